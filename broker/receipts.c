/* What the broker says about messages: the first answer to each, what became of it later, what its group's members
 * have done, what was shed. Later ones are owed: they stand in the journal until they were told. */
#include "receipts.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "record.h"

/* Members in one receipt: as many as surely fit into a body. */
#define MEMBERS_MAX 500u

static void push(struct erabi_pipeline *pipeline, struct erabi_target *target, struct erabi_parcel *parcel,
                 uint32_t party, int64_t row)
{
    const struct erabi_attachment *attachment = target->attachment;
    if (erabi_target_push(target, parcel, party, row, ERABI_PUSH_CHECKED) < 0)
        erabi_record_link(pipeline->audit, &parcel->header, parcel->header.to, ERAB_REASON_QUEUE_FULL,
                          attachment->name);
    erabi_target_pump(target, pipeline->loop->mono_ms, erabi_now_ms(pipeline->loop));
}

/* The row of a receipt that is owed; 0 when the journal takes nothing now: then it is told only in this life. */
static int64_t store(struct erabi_pipeline *pipeline, const struct erabi_parcel *parcel)
{
    struct erabi_journal_recipient to = {.to = parcel->header.to, .state = ERAB_ACCEPTED};
    struct erabi_journal_entry entry = {.id = parcel->header.id,
                                        .hash = parcel->hash,
                                        .header = parcel->envelope.header,
                                        .body = parcel->envelope.body,
                                        .signature = parcel->envelope.signature,
                                        .from = parcel->header.from,
                                        .type = ERAB_RECEIPT,
                                        .state = ERAB_ACCEPTED,
                                        .expires_at_ms = parcel->header.expires_at_ms,
                                        .recipients = &to,
                                        .n_recipients = 1};
    return erabi_journal_put(pipeline->journal, &entry, NULL, NULL) < 0 ? 0 : to.row;
}

enum owed { ONCE, OWED };

static void say(struct erabi_pipeline *pipeline, struct erabi_target *target, const struct erabi_answer *a,
                enum owed owed)
{
    const struct erabi_registry_party *to = erabi_registry_party(pipeline->registry, a->to);
    struct erabi_parcel *parcel = erabi_answer_receipt(a);
    if (parcel)
        push(pipeline, target, parcel, to ? to->index : ERABI_PARTY_NONE, owed == OWED ? store(pipeline, parcel) : 0);
    erabi_parcel_unref(parcel);
}

static struct erabi_answer answer_of(struct erabi_pipeline *pipeline, const char *to)
{
    return (struct erabi_answer){.owner = pipeline->owner->party,
                                 .to = to,
                                 .seq = erabi_pipeline_next_seq(pipeline, to),
                                 .now_ms = erabi_now_ms(pipeline->loop),
                                 .section = "",
                                 .detail = ""};
}

/* One receipt, or as many as the list of members needs. `refused_only`: the first answer tells who was left out. */
static void say_members(struct erabi_pipeline *pipeline, struct erabi_target *target, struct erabi_answer *a,
                        const struct erabi_gather *gather, bool refused_only, enum owed owed)
{
    _free_ Erab__V1__ReceiptMember *members = calloc(MEMBERS_MAX, sizeof(*members));
    _free_ Erab__V1__ReceiptMember **list = calloc(MEMBERS_MAX, sizeof(*list));
    if (!members || !list)
        return;
    a->members = list;
    for (size_t i = 0; i < gather->n; i++) {
        const struct erabi_gather_member *m = &gather->members[i];
        bool differs = m->state != a->state || m->reason;
        if (refused_only ? m->state != ERAB_REFUSED : !differs)
            continue;
        Erab__V1__ReceiptMember *out = list[a->n_members] = &members[a->n_members];
        erab__v1__receipt_member__init(out);
        out->party = (char *)(uintptr_t)erabi_registry_party_at(pipeline->registry, m->party)->id;
        out->state = (Erab__V1__ReceiptState)m->state;
        out->reason = (char *)(uintptr_t)erab_reason_code(m->reason);
        if (++a->n_members < MEMBERS_MAX)
            continue;
        say(pipeline, target, a, owed);
        a->seq = erabi_pipeline_next_seq(pipeline, a->to);
        a->n_members = 0;
    }
    say(pipeline, target, a, owed);
}

void erabi_receipts_first(struct erabi_pipeline *pipeline, struct erabi_target *source,
                          const struct erab_header *header, const uint8_t hash[ERAB_HASH_SIZE],
                          const struct erabi_gather *gather, const struct erabi_receipt_why *why)
{
    struct erabi_answer a = answer_of(pipeline, header->from);
    a.about = header->id;
    a.exercise = header->exercise;
    a.about_hash = hash;
    a.state = why->state;
    a.reason = why->reason;
    a.section = why->section ? why->section : "";
    a.detail = why->detail ? why->detail : "";
    if (gather)
        say_members(pipeline, source, &a, gather, true, ONCE);
    else
        say(pipeline, source, &a, ONCE);
}

/* The owner's application that a message came from; NULL: from none, or it is not known any more. */
static struct erabi_target *application(struct erabi_pipeline *pipeline, const struct erabi_known *known)
{
    for (size_t i = 0; known && known->source != UINT32_MAX && i < pipeline->tables.n_locals; i++)
        if (pipeline->tables.locals[i]->party == known->source)
            return erabi_pipeline_outlet(pipeline, pipeline->tables.locals[i], ERAB_IF_NONE);
    return NULL;
}

struct erabi_target *erabi_receipts_back(struct erabi_pipeline *pipeline, const char *from, uint32_t to)
{
    const struct erabi_registry_party *sender = erabi_registry_party(pipeline->registry, from);
    const struct erabi_registry_party *other = erabi_registry_party_at(pipeline->registry, to);
    if (!sender || !other)
        return NULL;
    enum erab_interface interface = erabi_profile_pair(pipeline->profile, sender->role, other->role).interface;
    return interface ? erabi_pipeline_target(pipeline, sender->index, interface, ERAB_RECEIPT) : NULL;
}

void erabi_receipts_later(struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery,
                          const struct erabi_receipt_why *why)
{
    const struct erab_header *h = &delivery->parcel->header;
    struct erabi_gather *gather = erabi_gather_find(&pipeline->gathers, h->id);
    if (gather) {
        erabi_receipts_member(pipeline, gather, delivery->party, why->state, why->reason);
        return;
    }
    const struct erabi_known *known = erabi_known_find(&pipeline->known, h->id);
    struct erabi_target *back = application(pipeline, known);
    if (!back)
        back = erabi_receipts_back(pipeline, h->from, delivery->party);
    if (!back)
        return;
    struct erabi_answer a = answer_of(pipeline, h->from);
    a.about = h->id;
    a.exercise = h->exercise;
    a.about_hash = delivery->parcel->hash;
    a.state = why->state;
    a.reason = why->reason;
    a.section = why->section ? why->section : "";
    a.detail = why->detail ? why->detail : "";
    a.life_ms = ERABI_OWED_LIFE_MS;
    say(pipeline, back, &a, OWED);
}

/* ---- groups ---- */

void erabi_receipts_member(struct erabi_pipeline *pipeline, struct erabi_gather *gather, uint32_t party,
                           enum erab_receipt_state state, enum erab_reason reason)
{
    if (erabi_gather_note(gather, party, state, reason))
        erabi_journal_member(pipeline->journal, gather->entry.id,
                             erabi_registry_party_at(pipeline->registry, party)->id, state, reason);
}

/* Every refusal names a reason: when nobody is left, the first member's. */
static enum erab_reason group_reason(const struct erabi_gather *gather, enum erab_receipt_state state)
{
    for (size_t i = 0; state == ERAB_REFUSED && i < gather->n; i++)
        if (gather->members[i].reason)
            return gather->members[i].reason;
    return state == ERAB_EXPIRED ? ERAB_REASON_EXPIRED : ERAB_REASON_NONE;
}

static void tell_group(struct erabi_pipeline *pipeline, const struct erabi_gather *gather)
{
    const struct erabi_known *known = erabi_known_find(&pipeline->known, gather->entry.id);
    struct erabi_target *back = application(pipeline, known);
    for (size_t i = 0; !back && i < gather->n; i++) /* a member that is not there has no interface */
        back = erabi_receipts_back(pipeline, gather->from, gather->members[i].party);
    if (!back)
        return;
    struct erabi_answer a = answer_of(pipeline, gather->from);
    a.about = gather->entry.id;
    a.exercise = gather->exercise;
    a.about_hash = gather->hash;
    a.state = erabi_gather_state(gather);
    a.reason = group_reason(gather, a.state);
    a.life_ms = ERABI_OWED_LIFE_MS;
    say_members(pipeline, back, &a, gather, false, OWED);
}

void erabi_receipts_tick(struct erabi_pipeline *pipeline, uint64_t now_ms)
{
    for (struct erabi_gather *g = TAILQ_FIRST(&pipeline->gathers.list), *next; g; g = next) {
        next = TAILQ_NEXT(g, link);
        if (!g->accepted)
            continue;
        bool over = erabi_gather_over(g, now_ms);
        if (g->news || over)
            tell_group(pipeline, g);
        g->news = false;
        if (!over)
            continue;
        erabi_journal_members_done(pipeline->journal, g->entry.id);
        erabi_gather_free(&pipeline->gathers, g);
    }
}

bool erabi_receipts_gathered(struct erabi_pipeline *pipeline, const struct erab_header *header,
                             const Erab__V1__Receipt *receipt)
{
    if (!receipt->has_about || receipt->about.len != ERAB_ID_SIZE)
        return false;
    const struct erabi_gather *gather = erabi_gather_find(&pipeline->gathers, receipt->about.data);
    return gather && strcmp(gather->from, header->to) == 0;
}

struct erabi_target *erabi_receipts_way(struct erabi_pipeline *pipeline, const Erab__V1__Receipt *receipt,
                                        struct erabi_target *taker)
{
    const struct erabi_known *known = receipt->has_about && receipt->about.len == ERAB_ID_SIZE
                                          ? erabi_known_find(&pipeline->known, receipt->about.data)
                                          : NULL;
    struct erabi_target *sender = application(pipeline, known);
    return sender ? sender : taker;
}

/* ---- telemetry ---- */

void erabi_receipts_shed(struct erabi_target *source, const struct erabi_registry_party *from, enum erab_reason reason)
{
    const struct erabi_attachment *attachment = source->attachment;
    source->shed++;
    source->shed_reason = reason;
    source->shed_party = from                      ? from->index
                         : attachment->n_speaks_for ? attachment->speaks_for[0]
                                                    : ERABI_PARTY_NONE;
}

void erabi_receipts_summary(struct erabi_pipeline *pipeline, struct erabi_target *target)
{
    const struct erabi_attachment *attachment = target->attachment;
    if (!target->shed || target->shed_party == ERABI_PARTY_NONE)
        return;
    const char *to = erabi_registry_party_at(pipeline->registry, target->shed_party)->id;
    struct erabi_answer a = answer_of(pipeline, to);
    a.state = ERAB_REFUSED;
    a.reason = target->shed_reason;
    a.detail = "telemetry shed or refused since the last summary";
    a.shed = target->shed > UINT32_MAX ? UINT32_MAX : (uint32_t)target->shed;
    target->shed = 0;
    erabi_record_shed(pipeline->audit, attachment->name, to, a.shed, a.reason);
    say(pipeline, target, &a, ONCE);
}
