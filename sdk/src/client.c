/* The client's API: options, building messages, the step. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <sodium.h>
#include <zmq.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "client_internal.h"

#define LIFETIME_MS      60000u
/* Zero-copy receive keeps whole read buffers alive behind small messages; honoured by 4.3.4, absent from
 * Debian's zmq.h. */
#define CONTEXT_ZERO_COPY_RECV 10

uint64_t erabi_client_now(const struct erab_client *client)
{
    return client->options.now_ms ? client->options.now_ms(client->options.user) : erabi_clock_ms(CLOCK_REALTIME);
}

uint64_t erabi_client_monotonic(void)
{
    return erabi_clock_ms(CLOCK_MONOTONIC);
}

void erabi_client_kick(struct erab_client *client)
{
    ssize_t n = write(client->kick, &(uint64_t){1}, sizeof(uint64_t));
    (void)n; /* EAGAIN: it is readable already */
}

static int copy_options(struct erab_client *c, const struct erab_client_options *o)
{
    erabi_copy_bytes(&c->options, o, o->size < sizeof *o ? o->size : sizeof *o); /* an older caller knows less of it */
    if (o->callbacks) /* what an older caller does not know stays NULL */
        erabi_copy_bytes(&c->callbacks, o->callbacks,
                         o->callbacks->size < sizeof c->callbacks ? o->callbacks->size : sizeof c->callbacks);
    c->identity = *o->identity;
    c->endpoint = strdup(o->endpoint);
    c->software = o->software ? strdup(o->software) : NULL;
    c->flows = calloc(CLIENT_FLOWS_MAX, sizeof *c->flows);
    if (!c->endpoint || !c->flows || (o->software && !c->software))
        return -ENOMEM;
    for (size_t i = 0; i < o->n_trusted; i++)
        if (erabi_trust_add(c, o->trusted[i].party, o->trusted[i].sign_key, UINT64_MAX))
            return -ENOMEM;
    c->options.command_bytes = o->command_bytes ? o->command_bytes : 1u << 20;
    c->options.telemetry_bytes = o->telemetry_bytes ? o->telemetry_bytes : 1u << 20;
    c->options.ping_ms = o->ping_ms ? o->ping_ms : 10000;
    for (size_t i = 0; i < c->options.n_takes; i++)
        c->takes[i] = (Erab__V1__MessageType)c->options.takes[i];
    c->options.takes = NULL;
    c->options.identity = NULL;
    c->options.trusted = NULL;
    c->options.callbacks = NULL;
    return 0;
}

static int watch(struct erab_client *c, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int open_all(struct erab_client *c)
{
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    c->kick = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->epoll < 0 || c->timer < 0 || c->kick < 0)
        return -errno;
    int r = watch(c, c->timer);
    if (!r)
        r = watch(c, c->kick);
    if (r)
        return r;
    c->context = zmq_ctx_new();
    if (!c->context)
        return -errno;
    if (zmq_ctx_set(c->context, CONTEXT_ZERO_COPY_RECV, 0) || zmq_ctx_set(c->context, ZMQ_MAX_SOCKETS, 16) ||
        zmq_ctx_set(c->context, ZMQ_BLOCKY, 0))
        return -errno;
    for (unsigned i = 0; i < CLIENT_LINKS && !r; i++) {
        r = erabi_dedup_init(&c->dedup[i], i == 1);
        if (!r)
            r = erabi_link_open(&c->links[i]);
    }
    if (!r && c->options.seen_file)
        r = erabi_seen_open(c, erabi_take(c->options.seen_file));
    return r;
}

static bool options_valid(const struct erab_client_options *o)
{
    if (o->size < offsetof(struct erab_client_options, parties) || !o->endpoint || !o->identity || o->n_trusted > 4096 || (o->n_trusted && !o->trusted) ||
        (o->callbacks && o->callbacks->size < offsetof(struct erab_client_callbacks, on_card)))
        return false;
    if (strncmp(o->endpoint, "tcp://", 6) != 0 && strncmp(o->endpoint, "ipc://", 6) != 0)
        return false;
    if (o->sign && sodium_is_zero(o->identity->sign_secret, ERAB_SIGN_SECRET))
        return false;
    return erabi_takes_valid(o) && erab_party_valid(o->identity->party) && erab_party_valid(o->hub);
}

int erab_client_new(struct erab_client **out, const struct erab_client_options *options)
{
    *out = NULL;
    if (sodium_init() < 0)
        return -EIO;
    if (!options_valid(options))
        return -EINVAL;
    struct erab_client *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->epoll = c->timer = c->kick = -1;
    c->next_expiry_ms = UINT64_MAX;
    TAILQ_INIT(&c->kept);
    for (unsigned i = 0; i < CLIENT_LINKS; i++) {
        struct link *l = &c->links[i];
        l->client = c;
        l->group = i == 0 ? ERAB_LANES_COMMAND : ERAB_LANES_TELEMETRY;
        l->fd = l->monitor_fd = -1;
        TAILQ_INIT(&l->waiting);
        TAILQ_INIT(&l->sent);
        TAILQ_INIT(&l->receipts_waiting);
        TAILQ_INIT(&l->receipts_sent);
    }
    int r = copy_options(c, options);
    if (!r)
        r = open_all(c);
    if (r) {
        erab_client_free(c);
        return r;
    }
    *out = c;
    return 0;
}

void erab_client_free(struct erab_client *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CLIENT_LINKS; i++)
        erabi_link_close(&c->links[i]);
    if (c->context)
        while (zmq_ctx_term(c->context) && errno == EINTR) {
        }
    erabi_queue_deinit(c);
    for (unsigned i = 0; i < CLIENT_LINKS; i++)
        free(c->dedup[i].entries);
    erabi_seen_close(c);
    erabi_closep(&c->epoll);
    erabi_closep(&c->timer);
    erabi_closep(&c->kick);
    free(c->trusted);
    free(c->cards);
    free(c->flows);
    free(c->endpoint);
    free(c->software);
    erab_identity_wipe(&c->identity);
    free(c);
}

/* The next number of this flow. More flows than the table holds: the oldest begins anew, a gap that the
 * broker tells and does not refuse. */
static uint64_t next_seq(struct erab_client *c, const struct erab_header *h)
{
    enum erab_lane lane = erab_type_lane(h->type);
    for (size_t i = 0; i < c->n_flows; i++) {
        struct flow *f = &c->flows[i];
        if (f->lane == lane && strcmp(f->to, h->to) == 0 && strcmp(f->from, h->from) == 0)
            return ++f->seq;
    }
    struct flow *f = &c->flows[c->next_flow];
    c->next_flow = (c->next_flow + 1) % CLIENT_FLOWS_MAX;
    if (c->n_flows < CLIENT_FLOWS_MAX)
        c->n_flows++;
    *f = (struct flow){.lane = lane, .seq = 1};
    erabi_copy_text(f->from, sizeof f->from, h->from);
    erabi_copy_text(f->to, sizeof f->to, h->to);
    return 1;
}

static bool signs(enum erab_type type)
{
    return type != ERAB_TELEMETRY && type != ERAB_DEVICE_STATE && type != ERAB_RECEIPT && type != ERAB_PING;
}

static int pack(const ProtobufCMessage *body, const uint8_t *seal_to, uint8_t **out, size_t *size)
{
    int r = erab_body_pack(body, out, size);
    if (r || !seal_to)
        return r;
    _free_ uint8_t *plain = erabi_take(*out);
    return erab_body_seal(seal_to, (struct erab_bytes){plain, *size}, out, size);
}

int erabi_client_build(struct erab_client *c, struct erab_header *h, const ProtobufCMessage *body,
                       const uint8_t *seal_to, struct item **out)
{
    uint8_t header[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE];
    _free_ uint8_t *bytes = NULL;
    size_t size;
    int r = pack(body, seal_to, &bytes, &size);
    if (r)
        return r;
    _free_ struct item *item = calloc(1, sizeof *item);
    if (!item)
        return -ENOMEM;
    erab_id_new(h->id, h->issued_at_ms);
    h->seq = next_seq(c, h);
    item->header_size = erabi_header_encode(h, header);
    item->body_size = size;
    struct erabi_slice hs = erabi_slice(header, item->header_size), bs = erabi_slice(bytes, size);
    erabi_envelope_hash(hs, bs, item->hash);
    if (c->options.sign && signs(h->type)) {
        erabi_envelope_sign(hs, bs, c->identity.sign_secret, signature);
        item->signature_size = sizeof signature;
    }
    size_t all = item->header_size + item->body_size + item->signature_size;
    item->data = malloc(all);
    if (!item->data)
        return -ENOMEM;
    struct erabi_writer w = erabi_writer(item->data, all);
    erabi_write_bytes(&w, header, item->header_size);
    erabi_write_bytes(&w, bytes, size);
    erabi_write_bytes(&w, signature, item->signature_size);
    erabi_copy_bytes(item->id, h->id, ERAB_ID_SIZE);
    item->type = h->type;
    item->expires_at_ms = h->expires_at_ms;
    *out = erabi_take(item);
    return 0;
}

static int set_parent(struct erab_header *h, const struct erab_outgoing *m)
{
    const uint8_t *id = m->parent ? m->parent->header->id : m->parent_id;
    const uint8_t *hash = m->parent ? m->parent->hash : m->parent_hash;
    if (!id != !hash)
        return -EINVAL;
    if (id) {
        h->has_parent = true;
        erabi_copy_bytes(h->parent_id, id, ERAB_ID_SIZE);
        erabi_copy_bytes(h->parent_hash, hash, ERAB_HASH_SIZE);
    }
    const uint8_t *trace = m->trace_id;
    if (!trace && m->parent && m->parent->header->has_trace)
        trace = m->parent->header->trace_id;
    if (trace) {
        h->has_trace = true;
        erabi_copy_bytes(h->trace_id, trace, sizeof h->trace_id);
    }
    return 0;
}

int erab_client_send(struct erab_client *c, const struct erab_outgoing *m, uint8_t id[ERAB_ID_SIZE])
{
    const uint8_t *seal_to = NULL;
    if (m->size >= sizeof *m)
        seal_to = m->seal_to;
    if (m->size < offsetof(struct erab_outgoing, seal_to) || !m->to || !m->body || !erab_addressee_valid(m->to) || m->type == ERAB_RECEIPT ||
        m->type == ERAB_PING || m->category < ERAB_OPERATION || m->category > ERAB_SECURITY ||
        (seal_to && erab_type_lane(m->type) == ERAB_LANE_COMMAND) || !erab_body_descriptor(m->type) ||
        strcmp(m->body->descriptor->name, erab_body_descriptor(m->type)->name) != 0)
        return -EINVAL;
    const char *from = m->from ? m->from : c->identity.party;
    if (!erab_party_valid(from))
        return -EINVAL;
    uint64_t now = erabi_client_now(c);
    struct erab_header h = {.type = m->type,
                            .category = m->category,
                            .issued_at_ms = now,
                            .expires_at_ms = m->expires_at_ms ? m->expires_at_ms : now + LIFETIME_MS,
                            .version = 1,
                            .exercise = m->exercise,
                            .sealed = seal_to != NULL};
    if (h.expires_at_ms <= now || set_parent(&h, m))
        return -EINVAL;
    erabi_copy_text(h.from, sizeof h.from, from);
    erabi_copy_text(h.to, sizeof h.to, m->to);
    struct item *item;
    int r = erabi_client_build(c, &h, m->body, seal_to, &item);
    if (!r)
        r = erabi_queue_add(&c->links[erab_type_lane(m->type) == ERAB_LANE_TELEMETRY], item);
    if (r)
        return r;
    if (id)
        erabi_copy_bytes(id, h.id, ERAB_ID_SIZE);
    erabi_client_kick(c);
    return 0;
}

int erabi_client_receipt(struct erab_client *c, const struct erab_header *about, const uint8_t hash[ERAB_HASH_SIZE],
                         enum erab_receipt_state state, enum erab_reason reason, const char *detail)
{
    if (state < ERAB_QUEUED || state > ERAB_REFUSED || about->type == ERAB_RECEIPT || about->type == ERAB_PING ||
        !erab_party_valid(about->from))
        return -EINVAL;
    uint64_t now = erabi_client_now(c);
    Erab__V1__Receipt body = ERAB__V1__RECEIPT__INIT;
    uint8_t id_copy[ERAB_ID_SIZE], hash_copy[ERAB_HASH_SIZE];
    char code[64], text[256];
    erabi_copy_bytes(id_copy, about->id, sizeof id_copy);
    erabi_copy_bytes(hash_copy, hash, sizeof hash_copy);
    erabi_copy_text(code, sizeof code, erab_reason_code(reason));
    body.has_about = body.has_about_hash = 1;
    body.about = (ProtobufCBinaryData){sizeof id_copy, id_copy};
    body.about_hash = (ProtobufCBinaryData){sizeof hash_copy, hash_copy};
    body.state = (Erab__V1__ReceiptState)state;
    body.reason = code;
    if (detail && *detail && erabi_copy_text(text, sizeof text, detail))
        body.detail = text;
    struct erab_header h = {.type = ERAB_RECEIPT,
                            .category = ERAB_OPERATION,
                            .issued_at_ms = now,
                            .expires_at_ms = now + LIFETIME_MS,
                            .version = 1,
                            .exercise = about->exercise,
                            .has_trace = about->has_trace};
    erabi_copy_bytes(h.trace_id, about->trace_id, sizeof h.trace_id);
    erabi_copy_text(h.from, sizeof h.from, about->to[0] == '@' ? c->identity.party : about->to);
    erabi_copy_text(h.to, sizeof h.to, about->from);
    struct item *item;
    int r = erabi_client_build(c, &h, &body.base, NULL, &item);
    if (!r)
        r = erabi_queue_add(&c->links[0], item);
    if (!r)
        erabi_client_kick(c);
    return r;
}

int erab_client_answer_later(struct erab_client *c, const struct erab_header *about, const uint8_t hash[ERAB_HASH_SIZE],
                             enum erab_receipt_state state, enum erab_reason reason, const char *detail)
{
    int r = erabi_client_receipt(c, about, hash, state, reason, detail);
    /* A repeated message gets the newest answer again. */
    struct dedup_entry *seen = r ? NULL : erabi_dedup_find(&c->dedup[0], about->id, erabi_client_now(c));
    if (seen) {
        seen->state = (uint8_t)state;
        seen->reason = (uint16_t)reason;
        seen->interrupted = false;
        erabi_seen_keep(c, seen); /* failing that, it counts as interrupted after a restart */
    }
    return r;
}

int erab_client_answer(struct erab_client *c, const struct erab_message *m, enum erab_receipt_state state,
                       enum erab_reason reason, const char *detail)
{
    return erab_client_answer_later(c, m->header, m->hash, state, reason, detail);
}

int erab_client_open(const struct erab_client *c, const struct erab_message *m, uint8_t **body, size_t *size)
{
    return erab_body_open(c->identity.curve_public, c->identity.curve_secret, m->body, body, size);
}

int erab_client_fd(const struct erab_client *c)
{
    return c->epoll;
}

/* Read and write until nothing moves: ZMQ_FD is edge-triggered, what is left over would wake nobody. */
static bool turn(struct erab_client *c)
{
    bool moved = false;
    for (unsigned i = 0; i < CLIENT_LINKS; i++) {
        struct link *l = &c->links[i];
        if (!l->socket)
            continue;
        erabi_link_monitor(l);
        moved |= erabi_link_receive(l, 16);
        if (l->up && l->ping_due && erabi_client_ping(l) == 0) {
            l->ping_due = false;
            l->ping_at = erabi_client_monotonic() + c->options.ping_ms;
            moved = true;
        }
        if (l->bound)
            moved |= erabi_queue_flush(l);
    }
    return moved;
}

static void set_timer(struct erab_client *c, uint64_t now, uint64_t due)
{
    uint64_t wait = due > now ? due - now : 1;
    if (wait > 1000) /* the wall clock may be set, expiries follow it within a second */
        wait = 1000;
    struct itimerspec t = {.it_value = {(time_t)(wait / 1000), (long)(wait % 1000) * 1000000L}};
    timerfd_settime(c->timer, 0, &t, NULL);
}

int erab_client_step(struct erab_client *c)
{
    uint64_t count;
    if (c->fault)
        return c->fault;
    ssize_t n = read(c->kick, &count, sizeof count);
    n = read(c->timer, &count, sizeof count);
    (void)n;
    uint64_t now = erabi_client_monotonic(), due = UINT64_MAX;
    erabi_queue_expire(c, erabi_client_now(c));
    for (unsigned i = 0; i < CLIENT_LINKS; i++) {
        uint64_t at = erabi_link_tick(&c->links[i], now);
        due = at < due ? at : due;
    }
    bool more = true;
    for (unsigned i = 0; i < 8 && more; i++)
        more = turn(c);
    if (more)
        erabi_client_kick(c);
    erabi_client_restate(c);
    uint64_t wall = erabi_client_now(c);
    uint64_t expiry = c->next_expiry_ms == UINT64_MAX ? UINT64_MAX
                      : now + (c->next_expiry_ms > wall ? c->next_expiry_ms - wall : 0);
    set_timer(c, now, expiry < due ? expiry : due);
    return c->fault;
}

int erab_client_run(struct erab_client *c, int timeout_ms)
{
    uint64_t end = timeout_ms < 0 ? UINT64_MAX : erabi_client_monotonic() + (uint64_t)timeout_ms;
    for (;;) {
        int r = erab_client_step(c);
        if (r)
            return r;
        if (atomic_exchange(&c->stop, false))
            return 1;
        uint64_t now = erabi_client_monotonic();
        if (now >= end)
            return 0;
        struct pollfd p = {.fd = c->epoll, .events = POLLIN};
        uint64_t left = end - now;
        if (poll(&p, 1, left > 1000 ? 1000 : (int)left) < 0 && errno != EINTR)
            return -errno;
    }
}

void erab_client_stop(struct erab_client *c)
{
    int saved = errno;
    atomic_store(&c->stop, true);
    erabi_client_kick(c);
    errno = saved;
}

enum erab_connection_state erab_client_state(const struct erab_client *c)
{
    return c->state;
}

size_t erab_client_pending(const struct erab_client *c)
{
    return c->n_pending;
}

void erab_client_server_key(const struct erab_client *c, uint8_t key[ERAB_KEY_SIZE])
{
    erabi_copy_bytes(key, c->options.server_key, ERAB_KEY_SIZE);
}

uint64_t erab_client_shed(const struct erab_client *c)
{
    return c->shed;
}
