/* How a newcomer becomes a party: what was learned about it goes through the journal and counts once it is on disk; an
 * invitation's connection may send one Registration. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "broker.h"
#include "receipts.h"
#include "record.h"

#define REFUSALS_MAX 3u

/* ---- changes ---- */

struct erabi_change *erabi_enrol_prepare(struct erabi_broker *broker, const char *act)
{
    struct erabi_change *change = calloc(1, sizeof(*change));
    if (change) {
        change->broker = broker;
        change->act = act;
    }
    return change;
}

bool erabi_enrol_key_free(const struct erabi_broker *broker, const uint8_t key[ERAB_KEY_SIZE])
{
    for (const struct erabi_change *c = broker->changes; c; c = c->next)
        for (size_t i = 0; i < c->row.n_keys; i++)
            if (sodium_memcmp(c->row.keys[i].curve, key, ERAB_KEY_SIZE) == 0 ||
                sodium_memcmp(c->row.keys[i].sign, key, ERAB_KEY_SIZE) == 0)
                return false;
    return !erabi_registry_uses(broker->registry, key);
}

static void set_busy(struct erabi_broker *broker, const char *id, bool busy)
{
    struct erabi_party_row *row = erabi_registry_row(broker->registry, id);
    if (row)
        row->busy = busy;
}

static void on_kept(void *user, int result)
{
    struct erabi_change *change = user;
    struct erabi_broker *broker = change->broker;
    const char *id = change->row.id;
    struct erabi_change **at = &broker->changes;
    while (*at != change)
        at = &(*at)->next;
    *at = change->next;
    erabi_loop_read(&broker->loop);
    set_busy(broker, id, false);
    if (result == 0)
        result = erabi_registry_put(broker->registry, &change->row, erabi_now_ms(&broker->loop));
    if (result == 0 || !change->asked) /* else the act says so */
        erabi_record_party(broker->audit, change->act, id,
                           result == 0 ? erabi_party_state_name(change->row.state) : "not kept", "", "", "");
    if (result == 0) {
        erabi_uplinks_follow(broker, id);
        erabi_cards_tell(broker, id);
    }
    if (change->done)
        change->done(change, result);
    if (change->asked)
        erabi_act_done(change->asked, result);
    free(change);
}

int erabi_enrol_change(struct erabi_change *change)
{
    struct erabi_broker *broker = change->broker;
    char key[sizeof(ERABI_ENROL_STATE) + ERAB_PARTY_MAX], text[ERABI_ROW_TEXT];
    change->row.busy = false;
    change->row.version = erabi_row_next_version(&change->row, erabi_now_ms(&broker->loop));
    snprintf(key, sizeof(key), ERABI_ENROL_STATE "%s", change->row.id);
    int n = erabi_row_encode(&change->row, text);
    int r = n < 0 ? n : erabi_journal_state(broker->journal, key, erabi_slice(text, (size_t)n), on_kept, change);
    if (r < 0) {
        free(change);
        return r;
    }
    change->next = broker->changes;
    broker->changes = change;
    set_busy(broker, change->row.id, true);
    return 0;
}

int erabi_enrol_load(struct erabi_broker *broker, const char *id, struct erabi_slice value)
{
    struct erabi_party_row row;
    int r = erabi_row_decode(&row, (const char *)value.data, value.size);
    if (r == 0 && strcmp(row.id, id) != 0)
        r = -EBADMSG;
    if (r < 0) {
        erabi_broker_say(broker, "the journal's row of party %.63s cannot be read", id);
        return r;
    }
    const struct erabi_registry_party *known = erabi_registry_party(broker->registry, id);
    if (known && !row.configured) {
        erabi_broker_say(broker, "%s is enrolled and configured: the configuration counts", id);
        row.configured = true;
    }
    r = erabi_registry_put(broker->registry, &row, erabi_now_ms(&broker->loop));
    if (r == 0)
        erabi_uplinks_follow(broker, id);
    if (r == -ENOENT)
        return 0; /* taken out of the configuration: its keys mean nothing */
    if (r < 0) /* without this row it is not known who may come in: that is no broker to start */
        erabi_broker_say(broker, "party %s: %s", id, r == -EEXIST ? "one of its keys is another party's" : strerror(-r));
    return r;
}

/* ---- the Registration ---- */

static void answer(struct erabi_broker *broker, struct erabi_target *target, const struct erab_header *header,
                   const uint8_t hash[ERAB_HASH_SIZE], enum erab_receipt_state state, enum erab_reason reason,
                   const char *detail)
{
    struct erabi_receipt_why why = {state, reason, reason ? "3.6" : NULL, detail};
    erabi_record_message(broker->audit, reason ? "refused" : "message", header, hash,
                         reason ? "refused" : erab_receipt_state_name(state), reason, reason ? "3.6" : "", "invitation");
    erabi_receipts_first(&broker->pipeline, target, header, hash, NULL, &why);
}

static void on_registered(struct erabi_change *c, int result)
{
    answer(c->broker, c->target, &c->header, c->hash, result == 0 ? ERAB_DELIVERED : ERAB_REFUSED,
           result == 0 ? ERAB_REASON_NONE : ERAB_REASON_STORAGE,
           result == 0 ? "registered; an operator has to approve it" : "it could not be kept: send it again");
}

static enum erab_reason check_header(const struct erabi_broker *broker, const struct erabi_party_row *row,
                                     const struct erab_header *h)
{
    uint64_t now = erabi_now_ms(&broker->loop);
    if (h->type != ERAB_REGISTRATION)
        return ERAB_REASON_TYPE_NOT_YOURS;
    if (strcmp(h->from, row->id) != 0)
        return ERAB_REASON_FROM_NOT_YOURS;
    if (strcmp(h->to, broker->owner.party) != 0)
        return ERAB_REASON_RECIPIENT_UNKNOWN;
    if (row->state != ERABI_PARTY_INVITED)
        return ERAB_REASON_INVITATION_USED;
    if (now >= row->invited_until_ms)
        return ERAB_REASON_INVITATION_EXPIRED;
    if (row->busy)
        return ERAB_REASON_BUSY;
    if (h->version != 1 || h->sealed)
        return ERAB_REASON_NOT_SUPPORTED;
    if (h->expires_at_ms <= now)
        return ERAB_REASON_EXPIRED;
    return h->issued_at_ms > now + ERAB_CLOCK_AHEAD_MS ? ERAB_REASON_NOT_YET : ERAB_REASON_NONE;
}

/* Signed by the key that it brings: who sends it holds that key. */
static enum erab_reason check_keys(const struct erabi_broker *broker, const struct erabi_party_row *row,
                                   const struct erabi_envelope *e, const Erab__V1__Registration *body)
{
    if (!body->has_curve_key || !body->has_sign_key || strcmp(body->resource, row->id) != 0 ||
        strcmp(body->kind, erab_role_name((enum erab_role)row->role)) != 0 ||
        !erabi_keys_usable(body->curve_key.data, body->sign_key.data))
        return ERAB_REASON_MALFORMED;
    if (e->signature.size == 0)
        return ERAB_REASON_SIGNATURE_MISSING;
    if (!erabi_envelope_verify(e->header, e->body, e->signature, body->sign_key.data))
        return ERAB_REASON_SIGNATURE_BAD;
    if (!erabi_enrol_key_free(broker, body->curve_key.data) || !erabi_enrol_key_free(broker, body->sign_key.data))
        return ERAB_REASON_KEY_IN_USE;
    return ERAB_REASON_NONE;
}

static enum erab_reason take_registration(struct erabi_broker *broker, struct erabi_session *session,
                                          const struct erabi_party_row *row, const struct erab_header *header,
                                          const struct erabi_envelope *e, const uint8_t *hash)
{
    ProtobufCMessage *message = NULL;
    enum erab_reason reason = ERAB_REASON_NOT_READY;
    struct erab_bytes bytes = {e->body.data, e->body.size};
    if (erab_body_unpack(ERAB_REGISTRATION, bytes, &message, &reason) != 0)
        return reason;
    const Erab__V1__Registration *body = (const void *)message;
    reason = check_keys(broker, row, e, body);
    struct erabi_change *change = reason ? NULL : erabi_enrol_prepare(broker, "party-register");
    if (change) {
        change->row = *row;
        change->row.state = ERABI_PARTY_PENDING;
        change->row.n_approvals = 0;
        change->row.n_keys = 1;
        change->row.keys[0] = (struct erabi_row_key){.from_ms = erabi_now_ms(&broker->loop), .until_ms = ERABI_FOR_EVER};
        erabi_copy_bytes(change->row.keys[0].curve, body->curve_key.data, ERAB_KEY_SIZE);
        erabi_copy_bytes(change->row.keys[0].sign, body->sign_key.data, ERAB_KEY_SIZE);
        change->done = on_registered;
        change->target = session->target;
        change->header = *header;
        erabi_copy_bytes(change->hash, hash, ERAB_HASH_SIZE);
        if (erabi_enrol_change(change) < 0)
            reason = ERAB_REASON_STORAGE;
    } else if (!reason) {
        reason = ERAB_REASON_NOT_READY;
    }
    erab_body_free(message);
    return reason;
}

void erabi_enrol_receive(struct erabi_broker *broker, struct erabi_session *session, const struct erab_header *header,
                         const struct erabi_envelope *envelope)
{
    const struct erabi_attachment *attachment = session->target->attachment;
    const struct erabi_party_row *row =
        erabi_registry_row(broker->registry, erabi_registry_party_at(broker->registry, attachment->party)->id);
    uint8_t hash[ERAB_HASH_SIZE];
    bool seed;
    if (!row || header->type == ERAB_RECEIPT)
        return;
    if (erabi_registry_admits(broker->registry, erabi_connection_key(session->connection), erabi_now_ms(&broker->loop),
                              &seed) == ERAB_REASON_UNKNOWN_KEY) {
        broker->session_host.on_offence(broker, session, ERAB_REASON_INVITATION_USED, "a newer invitation replaced it");
        return;
    }
    erabi_envelope_hash(envelope->header, envelope->body, hash);
    enum erab_reason reason = check_header(broker, row, header);
    if (!reason)
        reason = take_registration(broker, session, row, header, envelope, hash);
    if (!reason)
        return;
    if (++session->refusals > REFUSALS_MAX) {
        broker->session_host.on_offence(broker, session, reason, "an invitation sends one registration");
        return;
    }
    answer(broker, session->target, header, hash, ERAB_REFUSED, reason, "an invitation sends one registration");
}
