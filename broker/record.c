#include "record.h"

#include <string.h>

#include <sodium.h>

#define FIELD(n, t) ((struct erabi_audit_field){.name = (n), .text = (t)})

void erabi_record_message(struct erabi_audit *audit, const char *what, const struct erab_header *header,
                          const uint8_t hash[ERAB_HASH_SIZE], const char *verdict, enum erab_reason reason,
                          const char *section, const char *by)
{
    char id[37], parent[37] = "", digest[65], parent_digest[65] = "";
    erab_id_text(header->id, id);
    sodium_bin2hex(digest, sizeof(digest), hash, ERAB_HASH_SIZE);
    if (header->has_parent) {
        erab_id_text(header->parent_id, parent);
        sodium_bin2hex(parent_digest, sizeof(parent_digest), header->parent_hash, ERAB_HASH_SIZE);
    }
    struct erabi_audit_field fields[] = {
        FIELD("id", id),
        FIELD("message_hash", digest),
        FIELD("type", erab_type_name(header->type)),
        FIELD("from", header->from),
        FIELD("to", header->to),
        FIELD("verdict", verdict),
        FIELD("reason", erab_reason_code(reason)),
        FIELD("section", section ? section : ""),
        FIELD("by", by),
        FIELD("exercise", header->exercise ? "yes" : "no"),
        {.name = "expires_ms", .number = header->expires_at_ms},
        FIELD("parent", parent),
        FIELD("parent_hash", parent_digest),
    };
    size_t n = sizeof(fields) / sizeof(fields[0]);
    n = header->has_parent ? n : n - 2;
    struct erabi_audit_kind kind = {by, verdict, erab_reason_code(reason)};
    if (strcmp(what, "refused") == 0)
        erabi_audit_write_counted(audit, what, &kind, fields, n);
    else
        erabi_audit_write(audit, what, fields, n);
}

void erabi_record_link(struct erabi_audit *audit, const struct erab_header *header, const char *to,
                       enum erab_reason reason, const char *by)
{
    char id[37];
    erab_id_text(header->id, id);
    struct erabi_audit_field fields[] = {
        FIELD("id", id), FIELD("from", header->from), FIELD("to", to), FIELD("reason", erab_reason_code(reason)),
    };
    struct erabi_audit_kind kind = {by, "", erab_reason_code(reason)};
    erabi_audit_write_counted(audit, "link-refused", &kind, fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_record_shed(struct erabi_audit *audit, const char *peer, const char *from, uint64_t n,
                       enum erab_reason reason)
{
    struct erabi_audit_field fields[] = {
        FIELD("peer", peer),
        FIELD("from", from),
        {.name = "messages", .number = n},
        FIELD("reason", erab_reason_code(reason)),
    };
    erabi_audit_write(audit, "telemetry-shed", fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_record_verdict(struct erabi_audit *audit, const struct erab_header *header, const char *to,
                          const char *policy, enum erab_reason reason, const char *section, const char *detail,
                          const char *by)
{
    char id[37];
    erab_id_text(header->id, id);
    struct erabi_audit_field fields[] = {
        FIELD("id", id),
        FIELD("from", header->from),
        FIELD("to", to),
        FIELD("policy", policy),
        FIELD("reason", erab_reason_code(reason)),
        FIELD("section", section),
        FIELD("detail", detail),
    };
    struct erabi_audit_kind kind = {by, "", erab_reason_code(reason)};
    erabi_audit_write_counted(audit, "verdict", &kind, fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_record_connection(struct erabi_audit *audit, const char *verdict, const char *peer, const char *interface,
                             const char *address, const uint8_t *key, enum erab_reason reason, const char *detail)
{
    char text[65] = "";
    if (key)
        sodium_bin2hex(text, sizeof(text), key, ERAB_KEY_SIZE);
    struct erabi_audit_field fields[] = {
        FIELD("verdict", verdict),
        FIELD("peer", peer),
        FIELD("interface", interface),
        FIELD("address", address),
        FIELD("key", text),
        FIELD("reason", erab_reason_code(reason)),
        FIELD("detail", detail ? detail : ""),
    };
    struct erabi_audit_kind kind = {peer, verdict, erab_reason_code(reason)};
    size_t n = sizeof(fields) / sizeof(fields[0]);
    if (strcmp(verdict, "cut") == 0) /* the broker's own act: each one, it is what an auditor looks for */
        erabi_audit_write(audit, "connection", fields, n);
    else
        erabi_audit_write_counted(audit, "connection", &kind, fields, n);
}

void erabi_record_breaker(struct erabi_audit *audit, const struct erabi_link *link, const char *owner, const char *by)
{
    const struct erabi_availability *a = &link->availability;
    bool swap = strcmp(link->b, owner) == 0;
    struct erabi_audit_field fields[] = {
        FIELD("kind", "availability"),
        FIELD("state", erabi_breaker_state_name(a->state)),
        FIELD("party", swap ? link->b : link->a),
        FIELD("interface", erab_interface_name(link->interface)),
        FIELD("peer", swap ? link->a : link->b),
        FIELD("cause", erabi_breaker_cause_name(a->cause)),
        FIELD("by", by),
        FIELD("note", link->note),
        {.name = "denied", .number = link->denied},
        {.name = "retry_in_ms", .number = a->retry_ms > a->since_ms ? a->retry_ms - a->since_ms : 0},
    };
    size_t n = sizeof(fields) / sizeof(fields[0]);
    erabi_audit_write(audit, "breaker", fields, a->state == ERABI_BREAKER_OPEN && !a->latched ? n : n - 1);
}

void erabi_record_admin(struct erabi_audit *audit, const char *act, const char *object, const char *verdict)
{
    struct erabi_audit_field fields[] = {FIELD("act", act), FIELD("object", object), FIELD("verdict", verdict)};
    erabi_audit_write(audit, "admin", fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_record_party(struct erabi_audit *audit, const char *act, const char *party, const char *verdict,
                        const char *operator, const char *statement, const char *signature)
{
    struct erabi_audit_field fields[] = {FIELD("act", act),           FIELD("object", party),
                                         FIELD("verdict", verdict),   FIELD("operator", operator),
                                         FIELD("statement", statement), FIELD("signature", signature)};
    erabi_audit_write(audit, "admin", fields, statement[0] ? 6 : operator[0] ? 4 : 3);
}

void erabi_record_act_denied(struct erabi_audit *audit, const char *act, const char *object, const char *by,
                             const char *policy, const struct erab_verdict *why)
{
    struct erabi_audit_field fields[] = {FIELD("act", act),          FIELD("object", object),
                                         FIELD("verdict", "refused"), FIELD("operator", by),
                                         FIELD("policy", policy),     FIELD("reason", erab_reason_code(why->reason)),
                                         FIELD("section", why->section), FIELD("detail", why->detail)};
    erabi_audit_write(audit, "admin", fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_record_module(struct erabi_audit *audit, const char *act, const char *instance, const char *path,
                         enum erab_reason reason)
{
    struct erabi_audit_field fields[] = {FIELD("act", act), FIELD("object", instance),
                                         FIELD("verdict", "refused"), FIELD("reason", erab_reason_code(reason)),
                                         FIELD("module", path)};
    erabi_audit_write(audit, "admin", fields, sizeof(fields) / sizeof(fields[0]));
}

void erabi_record_adapter(struct erabi_audit *audit, const char *instance, const char *verdict, const char *detail)
{
    struct erabi_audit_field fields[] = {FIELD("act", "adapter"), FIELD("object", instance),
                                         FIELD("verdict", verdict), FIELD("detail", detail)};
    erabi_audit_write(audit, "admin", fields, sizeof(fields) / sizeof(fields[0]) - (*detail == '\0'));
}

void erabi_record_journal(struct erabi_audit *audit, const struct erabi_journal_head *head)
{
    char id[2 * ERABI_JOURNAL_ID_SIZE + 1];
    sodium_bin2hex(id, sizeof(id), head->journal, sizeof(head->journal));
    struct erabi_audit_field fields[] = {
        FIELD("journal", id),
        FIELD("verdict", head->kind == ERABI_JOURNAL_ACCEPTED ? "accepted" : "committed"),
        {.name = "generation", .number = head->generation},
        {.name = "accepted_ms", .number = head->accepted_ms},
    };
    erabi_audit_write(audit, "journal", fields, sizeof(fields) / sizeof(fields[0]));
}
