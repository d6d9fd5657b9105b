/* What must hold in every run, checked by somebody who sees all nodes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify.h"
#include "world.h"

/* A recipient that has answered on a connection is not asked again on it after this time. */
enum { AGAIN_US = 3000000 };

void rule_broken(struct world *w, const char *format, ...)
{
    va_list list;
    if (w->violation[0])
        return;
    int n = snprintf(w->violation, sizeof(w->violation), "at %llu.%03llu s: ", (unsigned long long)(sim_us() / 1000000),
                     (unsigned long long)(sim_us() / 1000 % 1000));
    va_start(list, format);
    vsnprintf(w->violation + n, sizeof(w->violation) - (size_t)n, format, list);
    va_end(list);
}

struct message *rules_message(struct world *w, const uint8_t id[ERAB_ID_SIZE], const uint8_t *hash)
{
    struct message *m;
    STAILQ_FOREACH(m, &w->messages, entry)
    {
        if (memcmp(m->id, id, ERAB_ID_SIZE) == 0 && (!hash || memcmp(m->hash, hash, ERAB_HASH_SIZE) == 0))
            return m;
    }
    return NULL;
}

static const char *label(const struct message *m, char out[160])
{
    snprintf(out, 160, "%s %llu from %s to %s", erab_type_name(m->type), (unsigned long long)m->order_no, m->from, m->to);
    return out;
}

/* ---- receipts ---- */

/* Its link was cut by the revocation: its end may be told in any way or none. */
static bool cut_off(const struct world *w, const struct message *m)
{
    return w->revoked_us && (m->wanted & 1u << BIRCH || strcmp(m->from, "birch") == 0);
}

/* A message of the link that operators trip; `at`: who took it, BIRCH for what birch was sent of a group. */
static bool of_birch(const struct message *m, unsigned at)
{
    return strcmp(m->from, "birch") == 0 || strcmp(m->to, "birch") == 0 || (m->to[0] == '@' && at == BIRCH);
}

/* Was the link stopped by an operator at this time? */
static bool stopped(const struct world *w, uint64_t at_us)
{
    return w->tripped_us && !w->trip_lost && at_us > w->tripped_us && (!w->closed_us || at_us <= w->closed_us);
}

/* Why a message that keeps all rules may be refused nevertheless: times, limits, and cuts. */
static bool may_be_refused(const struct world *w, const struct message *m, const char *code)
{
    static const enum erab_reason reasons[] = {ERAB_REASON_EXPIRED,    ERAB_REASON_PARENT_ENDED, ERAB_REASON_QUEUE_FULL,
                                               ERAB_REASON_NOT_READY,  ERAB_REASON_NOT_YET,      ERAB_REASON_WINDOW_PAST,
                                               ERAB_REASON_BREAKER_OPEN};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strcmp(code, erab_reason_code(reasons[i])) == 0)
            return true;
    if (strcmp(code, erab_reason_code(ERAB_REASON_BREAKER_OPEN)) == 0 && world_opened(w, m->from, m->to))
        return true;
    return cut_off(w, m);
}

/* After an operator's trip nothing of the link is sent. What waited then is dropped, and what was told so is not sent
 * later either. */
static void check_breaker(struct party *p, const struct message *m)
{
    struct world *w = p->world;
    char text[160];
    if (!of_birch(m, p->index))
        return;
    if (stopped(w, sim_read_sent_us()))
        rule_broken(w, "%s was sent %s over an open link", p->name, label(m, text));
    if (m->accepted_us && m->accepted_us < w->tripped_us && !w->trip_lost && sim_read_sent_us() > w->tripped_us)
        rule_broken(w, "%s was sent %s, which had waited when its link was opened", p->name, label(m, text));
    if (m->denied_us && sim_read_sent_us() > m->denied_us && !w->count.crashes)
        rule_broken(w, "%s was sent %s after its sender was told that it is not", p->name, label(m, text));
}

void rules_receipt(struct party *p, struct message *m, const Erab__V1__Receipt *r)
{
    struct world *w = p->world;
    char text[160];
    if (r->has_about_hash && memcmp(r->about_hash.data, m->hash, ERAB_HASH_SIZE) != 0)
        return; /* about a forgery under the same id */
    if (strcmp(p->speaks, m->from) != 0)
        return;
    if (r->state == ERAB__V1__RECEIPT_STATE__ACCEPTED || r->state == ERAB__V1__RECEIPT_STATE__DELIVERED ||
        r->state == ERAB__V1__RECEIPT_STATE__APPLIED) {
        if (m->bad)
            rule_broken(w, "%s was accepted and must not be", label(m, text));
        if (of_birch(m, PARTIES) && m->made_us > w->tripped_us && stopped(w, sim_read_sent_us()))
            rule_broken(w, "%s was accepted over an open link", label(m, text));
        if (!m->accepted) {
            w->count.accepted++;
            m->accepted_us = sim_us();
        }
        m->accepted = true;
    } else if (r->state == ERAB__V1__RECEIPT_STATE__EXPIRED) {
        w->count.expired++;
        m->ended = true;
    } else if (r->state == ERAB__V1__RECEIPT_STATE__REFUSED) {
        w->count.refused++;
        if (!m->bad && r->n_member == 0 && !may_be_refused(w, m, r->reason))
            rule_broken(w, "%s was refused: %s", label(m, text), r->reason);
        if (!m->denied_us && strcmp(r->reason, erab_reason_code(ERAB_REASON_BREAKER_OPEN)) == 0)
            m->denied_us = sim_read_sent_us();
        m->ended = true;
    }
    if (getenv("SIM_TRACE"))
        printf("%8.3f %s told %s %d %s\n", (double)sim_us() / 1e6, p->name, label(m, text), r->state, r->reason);
    for (size_t i = 0; i < r->n_member; i++) {
        const Erab__V1__ReceiptMember *member = r->member[i];
        if (member->state == ERAB__V1__RECEIPT_STATE__EXPIRED || member->state == ERAB__V1__RECEIPT_STATE__REFUSED)
            m->ended_for |= strcmp(member->party, "birch") == 0 ? 1u << BIRCH : 1u << ALDER_APP;
    }
    m->told = (enum erab_receipt_state)r->state;
}

/* ---- deliveries ---- */

static bool properly_signed(const struct world *w, const struct erab_header *h, const struct erabi_envelope *e)
{
    const struct erab_identity *keys = NULL;
    for (unsigned i = 0; i < PARTIES; i++)
        if (!w->parties[i].local && !w->parties[i].intruder && strcmp(w->parties[i].speaks, h->from) == 0)
            keys = &w->keys[i];
    for (unsigned i = 0; i < BROKERS; i++)
        if (strcmp(w->seats[i].owner, h->from) == 0)
            keys = &w->owners[i];
    return keys && e->signature.size && erabi_envelope_verify(e->header, e->body, e->signature, keys->sign_public);
}

static void check_order(struct party *p, const struct message *m)
{
    unsigned sender = PARTIES;
    char text[160];
    for (unsigned i = 0; i < PARTIES; i++)
        if (!p->world->parties[i].intruder && strcmp(p->world->parties[i].speaks, m->from) == 0)
            sender = i;
    uint64_t *last = &p->last_no[sender][erab_type_lane(m->type)];
    if (m->order_no < *last)
        rule_broken(p->world, "%s: %s came after number %llu", p->name, label(m, text), (unsigned long long)*last);
    *last = m->order_no;
}

void rules_delivered(struct party *p, const struct erab_header *h, const struct erabi_envelope *e,
                     const uint8_t hash[ERAB_HASH_SIZE], enum taking taking)
{
    struct world *w = p->world;
    struct message *m = rules_message(w, h->id, hash);
    struct dial *d = &p->dials[erab_type_lane(h->type) == ERAB_LANE_TELEMETRY];
    char text[160];
    if (!m && (h->type == ERAB_AUDIT_HEAD || h->type == ERAB_BREAKER_NOTICE || h->type == ERAB_PARTY_CARD)) {
        if (!properly_signed(w, h, e))
            rule_broken(w, "%s took a %s without a true signature", p->name, erab_type_name(h->type));
        return; /* the brokers' own */
    }
    if (!m) {
        rule_broken(w, "%s took a %s that nobody sent", p->name, erab_type_name(h->type));
        return;
    }
    if (m->bad)
        rule_broken(w, "%s took %s, which must be refused", p->name, label(m, text));
    if (!(m->wanted >> p->index & 1))
        rule_broken(w, "%s took %s, which is not for it", p->name, label(m, text));
    if (erab_type_lane(h->type) != ERAB_LANE_TELEMETRY && !properly_signed(w, h, e))
        rule_broken(w, "%s took %s without a true signature", p->name, label(m, text));
    /* What the broker wrote at or after the deadline by its own clock, which never runs back. */
    uint64_t sent_wall = world_broker_wall(w, p->broker, sim_read_sent_us());
    if (sent_wall >= h->expires_at_ms + 1)
        rule_broken(w, "%s was sent %s %llu ms after its deadline", p->name, label(m, text),
                    (unsigned long long)(sent_wall - h->expires_at_ms));
    if (p->index == BIRCH && w->revoked_us && sim_read_sent_us() > w->revoked_us)
        rule_broken(w, "%s was sent %s after its revocation", p->name, label(m, text));
    check_breaker(p, m);
    if (getenv("SIM_TRACE"))
        printf("%8.3f %s took %s seq %llu%s\n", (double)sim_us() / 1e6, p->name, label(m, text), (unsigned long long)m->seq, taking == TAKEN_AGAIN ? " again" : taking == TAKEN_LATE ? " late" : "");
    if (taking == TAKEN_LATE)
        return; /* it was on its way too long; its recipient does not act on it */
    for (unsigned i = 0; i < p->n_taken; i++) {
        struct taken *t = &p->taken[i];
        if (memcmp(t->id, h->id, ERAB_ID_SIZE) != 0)
            continue;
        if (t->acked_us > d->bound_us && sim_us() - t->acked_us > AGAIN_US && !w->count.breaks)
            rule_broken(w, "%s was sent %s again %llu ms after its answer", p->name, label(m, text),
                        (unsigned long long)((sim_us() - t->acked_us) / 1000));
    }
    if (taking == TAKEN_FIRST) {
        w->count.delivered++;
        m->got |= 1u << p->index;
        check_order(p, m);
    }
}

/* ---- what goes over the network ---- */

/* One direction of a connection, read as far as a listener in the middle can. */
struct tapped {
    uint64_t nonce;
    uint64_t skip; /* bytes of the greeting or of a frame still to pass */
    uint8_t head[128];
    size_t have;
    uint64_t frame; /* size of the frame whose head is being kept, 0 = its flags and size are */
    bool greeted;
};

static void see_frame(struct world *w, struct tapped *t, uint32_t stream)
{
    static const struct {
        const char *name;
        size_t at;
    } commands[] = {{"\x05HELLO", 112}, {"\x08INITIATE", 105}, {"\x05READY", 6}, {"\x07MESSAGE", 8}};
    for (unsigned i = 0; i < 4; i++) {
        size_t n = strlen(commands[i].name);
        if (t->have < commands[i].at + 8 || memcmp(t->head, commands[i].name, n) != 0)
            continue;
        uint64_t nonce = 0;
        for (unsigned k = 0; k < 8; k++)
            nonce = nonce << 8 | t->head[commands[i].at + k];
        if (nonce <= t->nonce)
            rule_broken(w, "connection %u: nonce %llu after %llu", stream, (unsigned long long)nonce,
                        (unsigned long long)t->nonce);
        t->nonce = nonce;
    }
}

static size_t frame_head(const struct tapped *t, uint64_t *size)
{
    bool longer = t->have && (t->head[0] & 2);
    size_t n = longer ? 9 : 2;
    if (t->have < n)
        return 0;
    *size = 0;
    for (size_t i = 1; i < n; i++)
        *size = *size << 8 | t->head[i];
    return n;
}

static void see_byte(struct world *w, struct tapped *t, uint32_t stream, uint8_t byte)
{
    if (t->have < sizeof(t->head))
        t->head[t->have++] = byte;
    if (!t->frame) {
        uint64_t size;
        if (frame_head(t, &size)) {
            t->frame = size;
            t->skip = size;
            t->have = 0;
        }
        return;
    }
    if (--t->skip == 0) {
        see_frame(w, t, stream);
        t->frame = 0;
        t->have = 0;
    }
}

void rules_tap(void *user, uint32_t stream, unsigned from, unsigned to, const uint8_t *data, size_t size)
{
    struct world *w = user;
    if (memmem(data, size, WORLD_MARK, strlen(WORLD_MARK)))
        rule_broken(w, "connection %u carries an order in clear", stream);
    if (stream >= w->n_tapped) {
        w->tapped = realloc(w->tapped, (stream + 64) * sizeof(*w->tapped));
        memset(w->tapped + w->n_tapped, 0, (stream + 64 - w->n_tapped) * sizeof(*w->tapped));
        w->n_tapped = stream + 64;
    }
    struct tapped *t = &w->tapped[stream];
    if (!t->greeted) {
        t->greeted = true;
        t->skip = 64;
    }
    for (size_t i = 0; i < size; i++) {
        if (t->skip && !t->frame)
            t->skip--;
        else
            see_byte(w, t, stream, data[i]);
    }
}

/* ---- at the end, when all is healed and every deadline is over ---- */

/* What waited for a party that is revoked is told so at once, and not only when its time is over. */
static void check_revoked(struct world *w, const struct message *m)
{
    char text[160];
    uint64_t revoked_ms = sim_wall_ms(NULL) - (sim_us() - w->revoked_us) / 1000;
    if (!w->revoked_us || w->count.crashes || m->wanted != 1u << BIRCH || !m->accepted || m->got)
        return;
    if (m->told == ERAB_EXPIRED && m->made_us + 1000000 < w->revoked_us && m->expires_ms > revoked_ms + 5000)
        rule_broken(w, "%s expired in the queue of a revoked party", label(m, text));
}

static void check_fate(struct world *w, const struct message *m)
{
    char text[160];
    check_revoked(w, m);
    if (!m->accepted || cut_off(w, m) || erab_type_lane(m->type) == ERAB_LANE_TELEMETRY)
        return;
    if (((m->got | m->ended_for) & m->wanted) != m->wanted && !m->ended)
        rule_broken(w, "%s was accepted, came to nobody and its sender was told nothing", label(m, text));
}

/* Without a fault nobody loses a connection. */
static void check_calm(struct world *w)
{
    if (w->count.breaks || w->count.crashes || w->revoked_us || w->n_opened)
        return;
    for (unsigned i = 0; i < PARTIES; i++)
        if (!w->parties[i].intruder && w->parties[i].opened != 2)
            rule_broken(w, "%s connected %u times in calm weather", w->parties[i].name, w->parties[i].opened);
}

static void check_audit(struct world *w, const struct seat *seat)
{
    char path[200];
    struct erabi_audit_result result;
    snprintf(path, sizeof(path), "%s/audit.jsonl", seat->state);
    if (erabi_audit_verify(path, NULL, w->owners[seat->index].sign_public, &result) != 0)
        rule_broken(w, "audit of %s: record %llu: %s", seat->owner, (unsigned long long)result.bad_seq, result.reason);
}

void rules_at_end(struct world *w)
{
    struct message *m;
    STAILQ_FOREACH(m, &w->messages, entry)
    check_fate(w, m);
    for (unsigned i = 0; i < BROKERS; i++)
        check_audit(w, &w->seats[i]);
    check_calm(w);
    if (w->count.sent > 10 && w->count.delivered == 0)
        rule_broken(w, "nothing was delivered at all");
}
