/* libuv's streams over a simulated network: TCP and Unix sockets between nodes. Bytes of one connection arrive in order,
 * in pieces of any size, after delays of any length; connections do not wait for one another. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

struct network sim_net = {.latency_us = 5000};

/* ---- life ---- */

struct stream *sim_stream_new(struct sim_node *node, uv_stream_t *handle)
{
    struct stream *s = calloc(1, sizeof(*s));
    assert(s);
    s->number = ++sim_net.made;
    s->node = node;
    s->handle = handle;
    s->refs = 1;
    STAILQ_INIT(&s->backlog);
    STAILQ_INIT(&s->in);
    STAILQ_INIT(&s->out);
    LIST_INSERT_HEAD(&sim_net.all, s, entry);
    return s;
}

void sim_stream_drop_input(struct stream *s)
{
    struct piece *p;
    while ((p = STAILQ_FIRST(&s->in))) {
        STAILQ_REMOVE_HEAD(&s->in, entry);
        free(p);
    }
    s->in_bytes = 0;
}

void sim_stream_unref(struct stream *s)
{
    if (--s->refs)
        return;
    sim_stream_drop_input(s);
    LIST_REMOVE(s, entry);
    free(s);
}

void sim_streams_end(void)
{
    struct stream *s;
    while ((s = LIST_FIRST(&sim_net.all))) {
        struct writing *w;
        while ((w = STAILQ_FIRST(&s->out))) {
            STAILQ_REMOVE_HEAD(&s->out, entry);
            free(w);
        }
        s->refs = 1;
        sim_stream_unref(s);
    }
    memset(sim_net.held_until_us, 0, sizeof(sim_net.held_until_us));
    sim_net.made = 0;
}

struct stream *sim_stream_of(const void *handle)
{
    return ((const uv_handle_t *)handle)->u.reserved[STREAM];
}

/* ---- what the network does ---- */

void sim_set_latency(uint32_t most_us)
{
    sim_net.latency_us = most_us;
}

void sim_set_tap(const struct sim_tap *tap)
{
    sim_net.tap = *tap;
}

uint64_t sim_read_sent_us(void)
{
    return sim_net.read_sent_us;
}

void sim_partition(unsigned a, unsigned b, uint64_t until_us)
{
    sim_net.held_until_us[a][b] = sim_net.held_until_us[b][a] = until_us;
}

uint64_t sim_arrival(const struct sim_node *from, const struct sim_node *to)
{
    uint64_t at = sim_us() + 50 + sim_random(sim_net.latency_us);
    uint64_t held = sim_net.held_until_us[from->index][to->index];
    return at > held ? at : held + sim_random(sim_net.latency_us);
}

static void deliver(void *arg);
static void keep_writing(void *arg);

void sim_stream_at(struct stream *s, uint64_t at_us, void (*fn)(void *arg))
{
    s->refs++;
    sim_schedule(s->node, at_us, fn, s);
}

void sim_stream_put(struct stream *to, enum piece_kind kind, const uint8_t *data, size_t size, const struct sim_node *from)
{
    struct piece *p = malloc(sizeof(*p) + size);
    assert(p);
    uint64_t at = sim_arrival(from, to->node);
    if (at < to->last_at_us)
        at = to->last_at_us;
    to->last_at_us = at;
    *p = (struct piece){.kind = kind, .at_us = at, .sent_us = sim_us(), .size = size};
    if (size)
        memcpy(p->bytes, data, size);
    STAILQ_INSERT_TAIL(&to->in, p, entry);
    to->in_bytes += size;
    sim_stream_at(to, at, deliver);
}

void sim_stream_detach(struct stream *s)
{
    struct stream *peer = s->peer;
    if (!peer)
        return;
    s->peer = peer->peer = NULL;
    sim_stream_unref(peer);
    sim_stream_unref(s);
}

/* The connection is torn: both ends hear of it, what was on its way is gone. */
void sim_stream_tear(struct stream *s)
{
    struct stream *ends[2] = {s, s->peer};
    for (int i = 0; i < 2; i++) {
        if (!ends[i])
            continue;
        sim_stream_drop_input(ends[i]);
        sim_stream_put(ends[i], RESET, NULL, 0, ends[i]->node);
    }
    sim_stream_detach(s);
}

void sim_break(unsigned a, unsigned b)
{
    struct stream *s, *next;
    for (s = LIST_FIRST(&sim_net.all); s; s = next) {
        next = LIST_NEXT(s, entry);
        if (s->peer && s->node->index == a && s->peer->node->index == b)
            sim_stream_tear(s);
    }
}

void sim_node_crash(struct sim_node *node)
{
    struct stream *s;
    node->dead = true;
    LIST_FOREACH(s, &sim_net.all, entry)
    {
        if (s->node != node)
            continue;
        if (s->listening)
            s->address[0] = '\0';
        if (s->peer) {
            sim_stream_drop_input(s->peer);
            sim_stream_put(s->peer, RESET, NULL, 0, node);
            sim_stream_detach(s);
        }
    }
}

/* ---- reading ---- */

static void finish_reading(struct stream *s, ssize_t error)
{
    uv_buf_t none = {NULL, 0};
    s->ended = true;
    if (s->handle && s->reading) {
        s->reading = false;
        s->read(s->handle, error, &none);
    }
}

static void deliver(void *arg)
{
    struct stream *s = arg;
    struct piece *p;
    bool took = false;
    while (s->handle && s->reading && !s->delivering && (p = STAILQ_FIRST(&s->in)) && p->at_us <= sim_us()) {
        if (p->kind != DATA) {
            STAILQ_REMOVE_HEAD(&s->in, entry);
            finish_reading(s, p->kind == END ? UV_EOF : UV_ECONNRESET);
            free(p);
            break;
        }
        uv_buf_t buf;
        s->alloc((uv_handle_t *)s->handle, 65536, &buf);
        size_t n = p->size - p->used < buf.len ? p->size - p->used : buf.len;
        memcpy(buf.base, p->bytes + p->used, n);
        p->used += n;
        s->in_bytes -= n;
        sim_net.read_sent_us = p->sent_us;
        if (p->used == p->size) {
            STAILQ_REMOVE_HEAD(&s->in, entry);
            free(p);
        }
        took = true;
        s->delivering = true;
        s->read(s->handle, (ssize_t)n, &buf);
        s->delivering = false;
    }
    if (took && s->peer && !STAILQ_EMPTY(&s->peer->out))
        sim_stream_at(s->peer, sim_arrival(s->node, s->peer->node), keep_writing);
    sim_stream_unref(s);
}

int uv_read_start(uv_stream_t *handle, uv_alloc_cb alloc, uv_read_cb read)
{
    struct stream *s = sim_stream_of(handle);
    if (!s->connected)
        return UV_ENOTCONN;
    s->alloc = alloc;
    s->read = read;
    s->reading = true;
    sim_stream_at(s, sim_us(), deliver);
    return 0;
}

int uv_read_stop(uv_stream_t *handle)
{
    sim_stream_of(handle)->reading = false;
    return 0;
}

/* ---- writing ---- */

/* Hands over what the window takes, in pieces; how much. */
static size_t push(struct stream *s, const uint8_t *data, size_t size)
{
    if (!s->peer)
        return size; /* nobody hears it any more */
    size_t room = s->peer->in_bytes < WINDOW ? WINDOW - s->peer->in_bytes : 0;
    if (size > room)
        size = room;
    if (size > 1 && sim_chance(16))
        size = 1 + sim_random((uint32_t)size);
    if (sim_net.tap.bytes && size)
        sim_net.tap.bytes(sim_net.tap.user, s->number, s->node->index, s->peer->node->index, data, size);
    for (size_t done = 0; done < size;) {
        size_t n = size - done;
        if (n > 1 && sim_chance(4))
            n = 1 + sim_random((uint32_t)n);
        sim_stream_put(s->peer, DATA, data + done, n, s->node);
        done += n;
    }
    return size;
}

static void shut_when_empty(struct stream *s)
{
    if (!s->shutdown || !STAILQ_EMPTY(&s->out))
        return;
    uv_shutdown_t *request = s->shutdown;
    s->shutdown = NULL;
    s->shut = true;
    if (s->peer)
        sim_stream_put(s->peer, END, NULL, 0, s->node);
    s->on_shut(request, 0);
}

static void keep_writing(void *arg)
{
    struct stream *s = arg;
    struct writing *w;
    while (s->handle && (w = STAILQ_FIRST(&s->out))) {
        size_t n = push(s, w->at, w->left);
        w->at += n;
        w->left -= n;
        s->out_bytes -= n;
        if (w->left) {
            /* A full window is reopened by the reader; a short write is only short. */
            if (n)
                sim_stream_at(s, sim_us() + 10, keep_writing);
            break;
        }
        STAILQ_REMOVE_HEAD(&s->out, entry);
        uv_write_t *request = w->request;
        uv_write_cb done = w->done;
        free(w);
        if (done)
            done(request, 0);
    }
    if (s->handle)
        shut_when_empty(s);
    sim_stream_unref(s);
}

int uv_try_write(uv_stream_t *handle, const uv_buf_t bufs[], unsigned n)
{
    struct stream *s = sim_stream_of(handle);
    assert(n == 1);
    if (!s->connected)
        return UV_EAGAIN;
    if (s->ended && !s->peer)
        return UV_EPIPE;
    if (!STAILQ_EMPTY(&s->out))
        return UV_EAGAIN;
    size_t done = push(s, (const uint8_t *)bufs[0].base, bufs[0].len);
    return done ? (int)done : UV_EAGAIN;
}

int uv_write(uv_write_t *request, uv_stream_t *handle, const uv_buf_t bufs[], unsigned n, uv_write_cb done)
{
    struct stream *s = sim_stream_of(handle);
    struct writing *w = malloc(sizeof(*w));
    assert(n == 1 && w);
    *w = (struct writing){.request = request, .done = done, .at = (const uint8_t *)bufs[0].base, .left = bufs[0].len};
    request->handle = handle;
    s->out_bytes += w->left;
    STAILQ_INSERT_TAIL(&s->out, w, entry);
    sim_stream_at(s, sim_us(), keep_writing);
    return 0;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *handle)
{
    return sim_stream_of(handle)->out_bytes;
}

int uv_shutdown(uv_shutdown_t *request, uv_stream_t *handle, uv_shutdown_cb done)
{
    struct stream *s = sim_stream_of(handle);
    if (!s->connected)
        return UV_ENOTCONN;
    request->handle = handle;
    s->shutdown = request;
    s->on_shut = done;
    sim_stream_at(s, sim_us(), keep_writing);
    return 0;
}
