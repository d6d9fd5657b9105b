/* What comes in: pings, receipts and messages, each checked before the application sees it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"

int erabi_dedup_init(struct dedup *d, bool evict)
{
    d->entries = calloc(CLIENT_DEDUP_MAX, sizeof *d->entries);
    d->evict = evict;
    return d->entries ? 0 : -ENOMEM;
}

struct dedup_entry *erabi_dedup_find(struct dedup *d, const uint8_t id[ERAB_ID_SIZE], uint64_t now)
{
    uint32_t at = d->buckets[erabi_client_bucket(id)];
    for (; at; at = d->entries[at - 1].chain)
        if (memcmp(d->entries[at - 1].id, id, ERAB_ID_SIZE) == 0)
            return d->entries[at - 1].expires_at_ms > now ? &d->entries[at - 1] : NULL;
    return NULL;
}

static void unlink_entry(struct dedup *d, uint32_t index)
{
    uint32_t *at = &d->buckets[erabi_client_bucket(d->entries[index].id)];
    while (*at && *at != index + 1)
        at = &d->entries[*at - 1].chain;
    if (*at)
        *at = d->entries[index].chain;
}

struct dedup_entry *erabi_dedup_add(struct dedup *d, const struct erab_header *h, const uint8_t hash[ERAB_HASH_SIZE],
                                    uint64_t now)
{
    uint32_t index = d->next;
    bool found = false;
    /* A few steps past entries that live longer than others; bounded, so that a full table stays cheap. */
    for (unsigned i = 0; i < 64 && !found; i++) {
        index = (d->next + i) % CLIENT_DEDUP_MAX;
        found = !d->entries[index].used || d->entries[index].expires_at_ms <= now;
    }
    if (!found && !d->evict)
        return NULL;
    if (!found)
        index = d->next;
    d->next = (index + 1) % CLIENT_DEDUP_MAX;
    struct dedup_entry *e = &d->entries[index];
    if (e->used)
        unlink_entry(d, index);
    *e = (struct dedup_entry){.used = 1, .expires_at_ms = h->expires_at_ms};
    erabi_copy_bytes(e->id, h->id, ERAB_ID_SIZE);
    erabi_copy_bytes(e->hash, hash, ERAB_HASH_SIZE);
    uint32_t *bucket = &d->buckets[erabi_client_bucket(h->id)];
    e->chain = *bucket;
    *bucket = index + 1;
    return e;
}

static bool must_sign(enum erab_type type)
{
    return type != ERAB_TELEMETRY && type != ERAB_DEVICE_STATE;
}

static enum erab_reason check_signature(const struct erab_client *c, const struct erab_header *h,
                                        const struct erabi_envelope *e, uint64_t now)
{
    if (!must_sign(h->type))
        return ERAB_REASON_NONE;
    if (!e->signature.size)
        return ERAB_REASON_SIGNATURE_MISSING;
    bool known = false;
    for (size_t i = 0; i < c->n_trusted; i++) {
        if (strcmp(c->trusted[i].party, h->from) != 0 || c->trusted[i].until_ms <= now)
            continue;
        known = true; /* a party may have two keys while it rotates them */
        if (erabi_envelope_verify(e->header, e->body, e->signature, c->trusted[i].sign_key))
            return ERAB_REASON_NONE;
    }
    return known ? ERAB_REASON_SIGNATURE_BAD : ERAB_REASON_SIGNER_UNKNOWN;
}

static void answer(struct link *l, const struct erab_message *m, enum erab_receipt_state state, enum erab_reason reason)
{
    if (l->group == ERAB_LANES_COMMAND)
        erab_client_answer(l->client, m, state, reason, NULL);
}

/* True when the message was seen before, and answered as it was then. */
static bool repeated(struct link *l, const struct erab_message *m, uint64_t now)
{
    struct dedup_entry *seen = erabi_dedup_find(&l->client->dedup[l->group - 1], m->header->id, now);
    if (!seen)
        return false;
    /* Other bytes under a known id get no answer: it would overwrite the true one's state at the broker. */
    if (memcmp(seen->hash, m->hash, ERAB_HASH_SIZE) != 0)
        return true;
    if (seen->interrupted) {
        erabi_client_receipt(l->client, m->header, m->hash, ERAB_REFUSED, ERAB_REASON_INTERNAL,
                             "interrupted while it was taken: whether it was done is not known");
    } else if (seen->state == ERAB_REFUSED && erab_reason_retry((enum erab_reason)seen->reason)) {
        seen->expires_at_ms = now; /* the sender was told that it may succeed later: this is later */
        return false;
    } else if (seen->state != DEDUP_BEGUN) {
        answer(l, m, (enum erab_receipt_state)seen->state, (enum erab_reason)seen->reason);
    }
    return true;
}

/* Also when the answer finds no room now: the next one who asks gets it. */
static void settle(struct link *l, const struct erab_message *m, struct dedup_entry *seen, enum erab_receipt_state state,
                   enum erab_reason reason)
{
    seen->state = (uint8_t)state;
    seen->reason = (uint16_t)reason;
    answer(l, m, state, reason);
}

static void hand_over(struct link *l, const struct erab_message *m, struct dedup_entry *seen)
{
    struct erab_client *c = l->client;
    int r = c->callbacks.on_message ? c->callbacks.on_message(c->options.user, c, m) : ERAB_REASON_NOT_SUPPORTED;
    if (r < 0 || r >= ERAB_REASON_COUNT)
        r = ERAB_REASON_INTERNAL;
    if (r)
        settle(l, m, seen, ERAB_REFUSED, (enum erab_reason)r);
    else if (seen->state == DEDUP_BEGUN) /* else the callback has said more already */
        settle(l, m, seen, ERAB_DELIVERED, ERAB_REASON_NONE);
}

/* Remembered first, handed over then: at once, or when what remembers it is on the disk. */
static void begin(struct link *l, const struct erab_message *m, const struct erabi_envelope *e, uint64_t now)
{
    struct erab_client *c = l->client;
    struct dedup_entry *seen = erabi_dedup_add(&c->dedup[l->group - 1], m->header, m->hash, now);
    if (!seen)
        answer(l, m, ERAB_REFUSED, ERAB_REASON_QUEUE_FULL);
    else if (!c->seen || l->group != ERAB_LANES_COMMAND)
        hand_over(l, m, seen);
    else if (erabi_seen_keep(c, seen))
        settle(l, m, seen, ERAB_REFUSED, ERAB_REASON_STORAGE);
    else
        c->begun[c->n_begun++] = (struct begun){*m->header, e, seen};
}

static struct erab_message message_of(const struct erab_header *h, const struct erabi_envelope *e)
{
    struct erab_message m = {.header = h,
                             .body = {e->body.data, e->body.size},
                             .header_bytes = {e->header.data, e->header.size},
                             .signature = {e->signature.data, e->signature.size}};
    erabi_envelope_hash(e->header, e->body, m.hash);
    return m;
}

static void hand_over_begun(struct link *l)
{
    struct erab_client *c = l->client;
    bool kept = erabi_seen_sync(c) == 0;
    uint64_t now = erabi_client_now(c); /* a disk may take its time, and a deadline does not wait */
    for (size_t i = 0; i < c->n_begun; i++) {
        const struct begun *b = &c->begun[i];
        struct erab_message m = message_of(&b->header, b->envelope);
        if (b->header.expires_at_ms <= now)
            settle(l, &m, b->seen, ERAB_EXPIRED, ERAB_REASON_EXPIRED);
        else if (kept)
            hand_over(l, &m, b->seen);
        else
            settle(l, &m, b->seen, ERAB_REFUSED, ERAB_REASON_STORAGE);
    }
    c->n_begun = 0;
}

/* A signed order to somebody else stays signed: what is not addressed to us is not ours to act on or to answer. */
static bool for_us(const struct erab_client *c, const char *to)
{
    const char *const *parties = c->options.parties;
    if (to[0] == '@' || (!parties && !c->options.sign))
        return true;
    if (!parties)
        return strcmp(to, c->identity.party) == 0;
    while (*parties && strcmp(*parties, to) != 0)
        parties++;
    return *parties != NULL;
}

static void take_message(struct link *l, const struct erab_header *h, const struct erabi_envelope *e, uint64_t now)
{
    struct erab_message m = message_of(h, e);
    if (repeated(l, &m, now))
        return;
    enum erab_reason reason = check_signature(l->client, h, e, now);
    if (reason != ERAB_REASON_NONE)
        answer(l, &m, ERAB_REFUSED, reason);
    else if (h->expires_at_ms <= now)
        answer(l, &m, ERAB_EXPIRED, ERAB_REASON_EXPIRED);
    else if (h->issued_at_ms > now + ERAB_CLOCK_AHEAD_MS)
        answer(l, &m, ERAB_REFUSED, ERAB_REASON_NOT_YET);
    else if (!erabi_card_take(l->client, h, e, now))
        begin(l, &m, e, now);
}

static void take_control(struct link *l, const struct erab_header *h, const struct erabi_envelope *e, uint64_t now)
{
    ProtobufCMessage *body = NULL;
    enum erab_reason reason;
    if (h->expires_at_ms <= now ||
        erab_body_unpack(h->type, (struct erab_bytes){e->body.data, e->body.size}, &body, &reason))
        return;
    if (h->type == ERAB_RECEIPT) {
        if (!erabi_takes_receipt(l->client, h, (const Erab__V1__Receipt *)body))
            erabi_queue_receipt(l->client, h, (const Erab__V1__Receipt *)body);
    } else {
        const Erab__V1__Ping *ping = (const Erab__V1__Ping *)body;
        if (l->up && ping->has_reply && ping->reply && strcmp(h->from, l->client->options.hub) == 0) {
            l->bound = true;
            if (ping->n_takes && l->client->options.n_takes)
                erabi_takes_tell(l->client, ERAB_REASON_NONE, "");
        }
    }
    erab_body_free(body);
}

/* `envelopes` is the client's; callbacks never come back here, as steps are not nested. */
void erabi_client_packet(struct link *l, struct erabi_slice packet)
{
    struct erab_client *c = l->client;
    enum erab_lane_group group;
    size_t n;
    if (erabi_packet_read(packet, &group, c->envelopes, &n) || group != l->group)
        return;
    uint64_t now = erabi_client_now(c);
    for (size_t i = 0; i < n; i++) {
        const struct erabi_envelope *e = &c->envelopes[i];
        struct erab_header h;
        enum erab_reason reason;
        if (erabi_header_decode(e->header, &h, &reason))
            continue; /* who sent it cannot be told, so nobody can be answered */
        bool telemetry = erab_type_lane(h.type) == ERAB_LANE_TELEMETRY;
        if (h.type == ERAB_PING || (h.type == ERAB_RECEIPT && !telemetry))
            take_control(l, &h, e, now);
        else if (telemetry == (l->group == ERAB_LANES_TELEMETRY) && for_us(c, h.to))
            take_message(l, &h, e, now);
    }
    hand_over_begun(l);
}
