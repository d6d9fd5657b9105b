#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { TICK_US = 1000000, RESEND_US = 3000000 };

static uint64_t now_ms(const struct party *p)
{
    return sim_wall_ms(p->node);
}

/* ---- sending ---- */

static void send_items(struct party *p, const struct item *const *items, size_t n, enum erab_lane_group group)
{
    static uint8_t packet[ERAB_PACKET_MAX];
    struct dial *d = &p->dials[group - 1];
    for (size_t i = 0; i < n;) {
        struct erabi_writer w = erabi_writer(packet, sizeof(packet));
        erabi_packet_begin(&w, group);
        size_t begun = i;
        for (; i < n; i++) {
            const uint8_t *at = items[i]->bytes;
            struct erabi_envelope e = {erabi_slice(at, items[i]->header_size),
                                       erabi_slice(at + items[i]->header_size, items[i]->body_size),
                                       erabi_slice(at + items[i]->header_size + items[i]->body_size,
                                                   items[i]->signature_size)};
            if (erabi_packet_add(&w, &e) < 0)
                break;
        }
        if (i == begun || !d->connection || erabi_connection_send(d->connection, packet, w.used) < 0)
            return;
    }
}

static struct item *make_item(struct party *p, const struct erab_header *h, const ProtobufCMessage *body, bool sign)
{
    uint8_t header[ERAB_HEADER_MAX], *packed;
    size_t body_size, header_size = erabi_header_encode(h, header);
    if (erab_body_pack(body, &packed, &body_size) < 0)
        abort();
    struct item *i = calloc(1, sizeof(*i) + header_size + body_size + ERAB_SIGNATURE_SIZE);
    memcpy(i->id, h->id, ERAB_ID_SIZE);
    memcpy(i->bytes, header, header_size);
    memcpy(i->bytes + header_size, packed, body_size);
    free(packed);
    i->group = erab_type_lane(h->type) == ERAB_LANE_TELEMETRY ? ERAB_LANES_TELEMETRY : ERAB_LANES_COMMAND;
    i->expires_ms = h->expires_at_ms;
    i->header_size = header_size;
    i->body_size = body_size;
    if (sign) {
        i->signature_size = ERAB_SIGNATURE_SIZE;
        erabi_envelope_sign(erabi_slice(i->bytes, header_size), erabi_slice(i->bytes + header_size, body_size),
                            p->keys->sign_secret, i->bytes + header_size + body_size);
    }
    return i;
}

static void send_one(struct party *p, struct item *i)
{
    const struct item *list[1] = {i};
    i->sent_us = sim_us();
    if (p->dials[i->group - 1].bound)
        send_items(p, list, 1, i->group);
}

static uint64_t next_seq(struct party *p, const char *to, enum erab_lane lane)
{
    unsigned at = 0;
    for (const char *c = to; *c; c++)
        at = at * 31 + (unsigned char)*c;
    return ++p->seqs[at % (PARTIES + 4)][lane];
}

static void fill_header(struct party *p, struct erab_header *h, enum erab_type type, const char *to, uint32_t life_ms)
{
    *h = (struct erab_header){.type = type, .category = ERAB_OPERATION, .version = 1};
    h->issued_at_ms = now_ms(p);
    h->expires_at_ms = h->issued_at_ms + life_ms;
    erab_id_new(h->id, h->issued_at_ms);
    erabi_copy_text(h->from, sizeof(h->from), p->speaks);
    erabi_copy_text(h->to, sizeof(h->to), to);
    h->seq = next_seq(p, to, erab_type_lane(type));
}

static unsigned wanted_by(const char *to)
{
    if (strcmp(to, "coordinator.rest") == 0)
        return 1u << REST_APP;
    if (strcmp(to, "alder") == 0)
        return 1u << ALDER_APP;
    if (strcmp(to, "@all-ra") == 0)
        return 1u << ALDER_APP | 1u << BIRCH;
    return strcmp(to, "birch") == 0 ? 1u << BIRCH : strcmp(to, "gw1") == 0 ? 1u << GW1 : 1u << GW2;
}

struct message *party_send(struct party *p, const struct sending *s)
{
    struct world *world = p->world;
    struct erab_header h;
    fill_header(p, &h, s->type, s->to, s->life_ms);
    if (s->from)
        erabi_copy_text(h.from, sizeof(h.from), s->from);
    if (s->parent_id) {
        h.has_parent = true;
        memcpy(h.parent_id, s->parent_id, ERAB_ID_SIZE);
        memcpy(h.parent_hash, s->parent_hash, ERAB_HASH_SIZE);
    }
    if (s->id)
        memcpy(h.id, s->id, ERAB_ID_SIZE);
    bool telemetry = erab_type_lane(s->type) == ERAB_LANE_TELEMETRY;
    struct item *item = make_item(p, &h, s->body, !p->local && !telemetry && !s->unsigned_too);
    struct message *m = calloc(1, sizeof(*m));
    *m = (struct message){.type = s->type, .seq = h.seq, .issued_ms = h.issued_at_ms, .expires_ms = h.expires_at_ms,
                          .bad = s->bad, .wanted = wanted_by(s->to), .made_us = sim_us(), .order_no = ++world->n_messages};
    memcpy(m->id, h.id, ERAB_ID_SIZE);
    erabi_envelope_hash(erabi_slice(item->bytes, item->header_size),
                        erabi_slice(item->bytes + item->header_size, item->body_size), m->hash);
    erabi_copy_text(m->from, sizeof(m->from), h.from);
    erabi_copy_text(m->to, sizeof(m->to), h.to);
    STAILQ_INSERT_TAIL(&world->messages, m, entry);
    world->count.sent++;
    item->message = m;
    if (telemetry) { /* once, whether it arrives or not */
        send_one(p, item);
        free(item);
        return m;
    }
    STAILQ_INSERT_TAIL(&p->items, item, entry);
    send_one(p, item);
    return m;
}

void party_replay(struct party *p, const struct item *item)
{
    send_items(p, &item, 1, item->group);
}

static void send_receipt(struct party *p, const struct erab_header *about, const uint8_t *hash,
                         enum erab_receipt_state state, enum erab_reason reason)
{
    struct erab_header h;
    Erab__V1__Receipt r = ERAB__V1__RECEIPT__INIT;
    fill_header(p, &h, ERAB_RECEIPT, about->from, 60000);
    r.has_about = r.has_about_hash = true;
    r.about = (ProtobufCBinaryData){ERAB_ID_SIZE, (uint8_t *)(uintptr_t)about->id};
    r.about_hash = (ProtobufCBinaryData){ERAB_HASH_SIZE, (uint8_t *)(uintptr_t)hash};
    r.state = (Erab__V1__ReceiptState)state;
    r.reason = (char *)(uintptr_t)erab_reason_code(reason);
    struct item *i = make_item(p, &h, &r.base, false);
    i->group = ERAB_LANES_COMMAND;
    send_one(p, i);
    free(i); /* a lost one is made again when the message comes again */
}

static void send_ping(struct dial *d)
{
    struct party *p = d->party;
    struct erab_header h;
    Erab__V1__Ping ping = ERAB__V1__PING__INIT;
    ping.protocol = 1;
    fill_header(p, &h, ERAB_PING, p->world->seats[p->broker].owner, 60000);
    struct item *i = make_item(p, &h, &ping.base, false);
    const struct item *list[1] = {i};
    send_items(p, list, 1, d->group);
    free(i);
}

static void resend(struct party *p, enum erab_lane_group group, bool all)
{
    const struct item *list[256];
    struct item *i;
    size_t n = 0;
    STAILQ_FOREACH(i, &p->items, entry)
    {
        if (n == 256 || i->group != group || (!all && sim_us() - i->sent_us < RESEND_US))
            continue;
        i->sent_us = sim_us();
        list[n++] = i;
        p->world->count.resent++;
    }
    send_items(p, list, n, group);
}

static void on_tick(void *arg)
{
    struct party *p = arg;
    struct item *i, *next;
    if (!p->transport)
        return;
    p->ticks++;
    for (i = STAILQ_FIRST(&p->items); i; i = next) {
        next = STAILQ_NEXT(i, entry);
        if (i->expires_ms + 2000 < now_ms(p)) {
            STAILQ_REMOVE(&p->items, i, item, entry);
            free(i);
        }
    }
    if (p->dials[0].bound)
        resend(p, ERAB_LANES_COMMAND, false);
    for (int k = 0; k < 2 && p->ticks % 10 == 0; k++)
        if (p->dials[k].bound)
            send_ping(&p->dials[k]);
    sim_at(p->node, sim_us() + TICK_US, on_tick, p);
}

/* ---- receiving ---- */

static void take_receipt(struct party *p, const struct erabi_envelope *e)
{
    ProtobufCMessage *body = NULL;
    enum erab_reason reason;
    if (erab_body_unpack(ERAB_RECEIPT, (struct erab_bytes){e->body.data, e->body.size}, &body, &reason) != 0)
        return;
    const Erab__V1__Receipt *r = (const void *)body;
    struct item *i;
    const uint8_t *hash = r->has_about_hash ? r->about_hash.data : NULL;
    struct message *m = r->has_about ? rules_message(p->world, r->about.data, hash) : NULL;
    if (m)
        rules_receipt(p, m, r);
    STAILQ_FOREACH(i, &p->items, entry)
    {
        if (!r->has_about || memcmp(i->id, r->about.data, ERAB_ID_SIZE) != 0 ||
            (r->has_about_hash && i->message && memcmp(i->message->hash, r->about_hash.data, ERAB_HASH_SIZE) != 0))
            continue;
        STAILQ_REMOVE(&p->items, i, item, entry);
        free(i);
        break;
    }
    erab_body_free(body);
}

static struct taken *find_taken(struct party *p, const uint8_t *id)
{
    for (unsigned i = 0; i < p->n_taken; i++)
        if (memcmp(p->taken[i].id, id, ERAB_ID_SIZE) == 0)
            return &p->taken[i];
    return NULL;
}

static void take_message(struct party *p, const struct erab_header *h, const struct erabi_envelope *e)
{
    uint8_t hash[ERAB_HASH_SIZE];
    erabi_envelope_hash(e->header, e->body, hash);
    struct taken *t = find_taken(p, h->id);
    bool late = h->expires_at_ms <= now_ms(p);
    rules_delivered(p, h, e, hash, t ? TAKEN_AGAIN : late ? TAKEN_LATE : TAKEN_FIRST);
    if (erab_type_lane(h->type) == ERAB_LANE_TELEMETRY)
        return;
    if (late) {
        send_receipt(p, h, hash, ERAB_EXPIRED, ERAB_REASON_EXPIRED);
        return;
    }
    if (!t && p->n_taken < sizeof(p->taken) / sizeof(p->taken[0])) {
        t = &p->taken[p->n_taken++];
        memcpy(t->id, h->id, ERAB_ID_SIZE);
        memcpy(t->hash, hash, ERAB_HASH_SIZE);
        story_on_message(p, h, hash);
    }
    send_receipt(p, h, hash, ERAB_DELIVERED, ERAB_REASON_NONE);
}

static void on_packet(void *user, struct erabi_connection *connection, const uint8_t *packet, size_t size)
{
    struct party *p = user;
    struct dial *d = erabi_connection_user(connection);
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    enum erab_lane_group group;
    size_t n;
    if (erabi_packet_read(erabi_slice(packet, size), &group, envelopes, &n) < 0 || group != d->group) {
        rule_broken(p->world, "%s: a packet that cannot be read", p->name);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct erab_header h;
        enum erab_reason reason;
        if (erabi_header_decode(envelopes[i].header, &h, &reason) < 0) {
            rule_broken(p->world, "%s: a header that cannot be read", p->name);
            return;
        }
        if (h.type == ERAB_RECEIPT) {
            take_receipt(p, &envelopes[i]);
        } else if (h.type == ERAB_PING) {
            if (!d->bound) {
                d->bound = true;
                d->bound_us = sim_us();
                resend(p, d->group, true);
            }
        } else {
            take_message(p, &h, &envelopes[i]);
        }
    }
}

/* ---- connections ---- */

static enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t *key, const char *address,
                                   enum erab_reason *reason)
{
    return ERABI_REFUSE; /* a party listens nowhere */
}

static void on_open(void *user, struct erabi_connection *connection, struct erabi_listener *l, struct erabi_dialer *dialer)
{
    struct party *p = user;
    struct dial *d = erabi_dialer_tag(dialer);
    p->opened++;
    if (p->intruder)
        rule_broken(p->world, "an unknown key was let in");
    erabi_connection_set_user(connection, d);
    d->connection = connection;
    d->bound = false;
    send_ping(d);
}

static void on_drained(void *user, struct erabi_connection *connection)
{
}

static void on_close(void *user, struct erabi_connection *connection, const struct erabi_transport_event *event)
{
    struct dial *d = erabi_connection_user(connection);
    d->connection = NULL;
    d->bound = false;
}

static void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *event)
{
}

void party_start(struct party *p)
{
    static const struct erabi_transport_callbacks callbacks = {on_key,     on_open,  on_packet,
                                                               on_drained, on_close, on_refused};
    char endpoint[ERABI_ENDPOINT_MAX];
    const struct seat *seat = &p->world->seats[p->broker];
    if (p->local)
        snprintf(endpoint, sizeof(endpoint), "ipc://%s/%s.sock", p->world->run, seat->owner);
    else
        snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%d", 7001 + (int)p->broker);
    const struct erab_identity *server = p->local ? &p->world->locals[p->broker] : &p->world->listeners[p->broker];
    STAILQ_INIT(&p->items);
    if (erabi_transport_new(&p->transport, &p->node->uv, NULL, &callbacks, p) < 0)
        abort();
    for (int i = 0; i < 2; i++) {
        p->dials[i] = (struct dial){.party = p, .group = (enum erab_lane_group)(i + 1)};
        if (erabi_transport_dial(p->transport, &p->dials[i].dialer, endpoint, server->curve_public,
                                 p->keys->curve_secret, &p->dials[i]) < 0)
            abort();
    }
    sim_at(p->node, sim_us() + TICK_US, on_tick, p);
}

void party_stop(struct party *p)
{
    struct item *i;
    while ((i = STAILQ_FIRST(&p->items))) {
        STAILQ_REMOVE_HEAD(&p->items, entry);
        free(i);
    }
    if (p->transport)
        erabi_transport_stop(p->transport, NULL, NULL);
    p->transport = NULL;
}
