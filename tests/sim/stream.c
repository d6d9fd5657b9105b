/* libuv's streams over a simulated network: TCP and Unix sockets between nodes. Bytes of one connection arrive in order,
 * in pieces of any size, after delays of any length; connections do not wait for one another. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim.h"

enum { CLOSING = 1, ACTIVE = 2 };
enum { STREAM = 2 }; /* of u.reserved */
enum { WINDOW = 65536 };

enum piece_kind { DATA, END, RESET };

struct piece {
    STAILQ_ENTRY(piece) entry;
    enum piece_kind kind;
    uint64_t at_us, sent_us;
    size_t size, used;
    uint8_t bytes[];
};

struct writing {
    STAILQ_ENTRY(writing) entry;
    uv_write_t *request;
    uv_write_cb done;
    const uint8_t *at;
    size_t left;
};

struct stream {
    LIST_ENTRY(stream) entry;
    STAILQ_ENTRY(stream) waiting; /* in its listener, until accepted */
    uint32_t number;
    struct sim_node *node;
    uv_stream_t *handle; /* NULL: closed, or not yet accepted */
    struct stream *peer;
    bool listening, reading, connected, linger_none, ended, shut, delivering;
    char address[128];
    uv_connection_cb on_connection;
    STAILQ_HEAD(, stream) backlog;
    STAILQ_HEAD(, piece) in;
    size_t in_bytes;
    uint64_t last_at_us; /* nothing overtakes on one connection */
    uv_alloc_cb alloc;
    uv_read_cb read;
    STAILQ_HEAD(, writing) out;
    size_t out_bytes;
    uv_shutdown_t *shutdown;
    uv_shutdown_cb on_shut;
    uv_connect_t *connect;
    uv_connect_cb on_connect;
    unsigned refs; /* the handle, the peer, events */
};

static struct {
    LIST_HEAD(, stream) all;
    uint64_t held_until_us[SIM_NODES][SIM_NODES];
    uint32_t latency_us;
    uint32_t made;
    uint64_t read_sent_us;
    struct sim_tap tap;
} net = {.latency_us = 5000};

/* ---- life ---- */

static struct stream *stream_new(struct sim_node *node, uv_stream_t *handle)
{
    struct stream *s = calloc(1, sizeof(*s));
    assert(s);
    s->number = ++net.made;
    s->node = node;
    s->handle = handle;
    s->refs = 1;
    STAILQ_INIT(&s->backlog);
    STAILQ_INIT(&s->in);
    STAILQ_INIT(&s->out);
    LIST_INSERT_HEAD(&net.all, s, entry);
    return s;
}

static void drop_input(struct stream *s)
{
    struct piece *p;
    while ((p = STAILQ_FIRST(&s->in))) {
        STAILQ_REMOVE_HEAD(&s->in, entry);
        free(p);
    }
    s->in_bytes = 0;
}

static void unref(struct stream *s)
{
    if (--s->refs)
        return;
    drop_input(s);
    LIST_REMOVE(s, entry);
    free(s);
}

void sim_streams_end(void)
{
    struct stream *s;
    while ((s = LIST_FIRST(&net.all))) {
        struct writing *w;
        while ((w = STAILQ_FIRST(&s->out))) {
            STAILQ_REMOVE_HEAD(&s->out, entry);
            free(w);
        }
        s->refs = 1;
        unref(s);
    }
    memset(net.held_until_us, 0, sizeof(net.held_until_us));
    net.made = 0;
}

static struct stream *stream_of(const void *handle)
{
    return ((const uv_handle_t *)handle)->u.reserved[STREAM];
}

/* ---- what the network does ---- */

void sim_set_latency(uint32_t most_us)
{
    net.latency_us = most_us;
}

void sim_set_tap(const struct sim_tap *tap)
{
    net.tap = *tap;
}

uint64_t sim_read_sent_us(void)
{
    return net.read_sent_us;
}

void sim_partition(unsigned a, unsigned b, uint64_t until_us)
{
    net.held_until_us[a][b] = net.held_until_us[b][a] = until_us;
}

static uint64_t arrival(const struct sim_node *from, const struct sim_node *to)
{
    uint64_t at = sim_us() + 50 + sim_random(net.latency_us);
    uint64_t held = net.held_until_us[from->index][to->index];
    return at > held ? at : held + sim_random(net.latency_us);
}

static void deliver(void *arg);
static void keep_writing(void *arg);

static void schedule_stream(struct stream *s, uint64_t at_us, void (*fn)(void *arg))
{
    s->refs++;
    sim_schedule(s->node, at_us, fn, s);
}

static void put(struct stream *to, enum piece_kind kind, const uint8_t *data, size_t size, const struct sim_node *from)
{
    struct piece *p = malloc(sizeof(*p) + size);
    assert(p);
    uint64_t at = arrival(from, to->node);
    if (at < to->last_at_us)
        at = to->last_at_us;
    to->last_at_us = at;
    *p = (struct piece){.kind = kind, .at_us = at, .sent_us = sim_us(), .size = size};
    if (size)
        memcpy(p->bytes, data, size);
    STAILQ_INSERT_TAIL(&to->in, p, entry);
    to->in_bytes += size;
    schedule_stream(to, at, deliver);
}

static void detach(struct stream *s)
{
    struct stream *peer = s->peer;
    if (!peer)
        return;
    s->peer = peer->peer = NULL;
    unref(peer);
    unref(s);
}

/* The connection is torn: both ends hear of it, what was on its way is gone. */
static void tear(struct stream *s)
{
    struct stream *ends[2] = {s, s->peer};
    for (int i = 0; i < 2; i++) {
        if (!ends[i])
            continue;
        drop_input(ends[i]);
        put(ends[i], RESET, NULL, 0, ends[i]->node);
    }
    detach(s);
}

void sim_break(unsigned a, unsigned b)
{
    struct stream *s, *next;
    for (s = LIST_FIRST(&net.all); s; s = next) {
        next = LIST_NEXT(s, entry);
        if (s->peer && s->node->index == a && s->peer->node->index == b)
            tear(s);
    }
}

void sim_node_crash(struct sim_node *node)
{
    struct stream *s;
    node->dead = true;
    LIST_FOREACH(s, &net.all, entry)
    {
        if (s->node != node)
            continue;
        if (s->listening)
            s->address[0] = '\0';
        if (s->peer) {
            drop_input(s->peer);
            put(s->peer, RESET, NULL, 0, node);
            detach(s);
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
        net.read_sent_us = p->sent_us;
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
        schedule_stream(s->peer, arrival(s->node, s->peer->node), keep_writing);
    unref(s);
}

int uv_read_start(uv_stream_t *handle, uv_alloc_cb alloc, uv_read_cb read)
{
    struct stream *s = stream_of(handle);
    if (!s->connected)
        return UV_ENOTCONN;
    s->alloc = alloc;
    s->read = read;
    s->reading = true;
    schedule_stream(s, sim_us(), deliver);
    return 0;
}

int uv_read_stop(uv_stream_t *handle)
{
    stream_of(handle)->reading = false;
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
    if (net.tap.bytes && size)
        net.tap.bytes(net.tap.user, s->number, s->node->index, s->peer->node->index, data, size);
    for (size_t done = 0; done < size;) {
        size_t n = size - done;
        if (n > 1 && sim_chance(4))
            n = 1 + sim_random((uint32_t)n);
        put(s->peer, DATA, data + done, n, s->node);
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
        put(s->peer, END, NULL, 0, s->node);
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
                schedule_stream(s, sim_us() + 10, keep_writing);
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
    unref(s);
}

int uv_try_write(uv_stream_t *handle, const uv_buf_t bufs[], unsigned n)
{
    struct stream *s = stream_of(handle);
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
    struct stream *s = stream_of(handle);
    struct writing *w = malloc(sizeof(*w));
    assert(n == 1 && w);
    *w = (struct writing){.request = request, .done = done, .at = (const uint8_t *)bufs[0].base, .left = bufs[0].len};
    request->handle = handle;
    s->out_bytes += w->left;
    STAILQ_INSERT_TAIL(&s->out, w, entry);
    schedule_stream(s, sim_us(), keep_writing);
    return 0;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *handle)
{
    return stream_of(handle)->out_bytes;
}

int uv_shutdown(uv_shutdown_t *request, uv_stream_t *handle, uv_shutdown_cb done)
{
    struct stream *s = stream_of(handle);
    if (!s->connected)
        return UV_ENOTCONN;
    request->handle = handle;
    s->shutdown = request;
    s->on_shut = done;
    schedule_stream(s, sim_us(), keep_writing);
    return 0;
}

/* ---- opening and closing ---- */

static int stream_init(uv_loop_t *loop, uv_handle_t *h, uv_handle_type type)
{
    h->loop = loop;
    h->type = type;
    h->flags = 0;
    h->close_cb = NULL;
    memset(&h->u, 0, sizeof(h->u));
    h->u.reserved[STREAM] = stream_new(sim_node_of(loop), (uv_stream_t *)h);
    return 0;
}

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *h)
{
    return stream_init(loop, (uv_handle_t *)h, UV_TCP);
}

int uv_pipe_init(uv_loop_t *loop, uv_pipe_t *h, int ipc)
{
    (void)ipc;
    return stream_init(loop, (uv_handle_t *)h, UV_NAMED_PIPE);
}

static void fail_writes(struct stream *s)
{
    struct writing *w;
    while ((w = STAILQ_FIRST(&s->out))) {
        STAILQ_REMOVE_HEAD(&s->out, entry);
        if (w->done)
            w->done(w->request, UV_ECANCELED);
        free(w);
    }
    s->out_bytes = 0;
}

static void refuse(struct stream *waiting)
{
    tear(waiting);
    unref(waiting);
}

void sim_stream_close(uv_handle_t *h)
{
    struct stream *s = stream_of(h), *w;
    s->refs++;
    fail_writes(s);
    s->handle = NULL;
    s->reading = false;
    while ((w = STAILQ_FIRST(&s->backlog))) {
        STAILQ_REMOVE_HEAD(&s->backlog, waiting);
        refuse(w);
    }
    if (s->listening && s->address[0] == '/')
        unlink(s->address);
    s->address[0] = '\0';
    if (s->peer) {
        if (s->linger_none) {
            drop_input(s->peer);
            put(s->peer, RESET, NULL, 0, s->node);
        } else if (!s->shut) {
            put(s->peer, END, NULL, 0, s->node);
        }
    }
    detach(s);
    unref(s);
    unref(s);
}

static uint16_t port_of(const struct sockaddr *at)
{
    return ntohs(((const struct sockaddr_in *)(const void *)at)->sin_port);
}

int uv_tcp_bind(uv_tcp_t *h, const struct sockaddr *at, unsigned flags)
{
    (void)flags;
    snprintf(stream_of(h)->address, sizeof(stream_of(h)->address), "port %u", port_of(at));
    return 0;
}

int uv_pipe_bind(uv_pipe_t *h, const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    snprintf(stream_of(h)->address, sizeof(stream_of(h)->address), "%s", path);
    return 0;
}

int uv_listen(uv_stream_t *h, int backlog, uv_connection_cb fn)
{
    (void)backlog;
    stream_of(h)->listening = true;
    stream_of(h)->on_connection = fn;
    return 0;
}

static struct stream *find_listener(const char *address)
{
    struct stream *s;
    LIST_FOREACH(s, &net.all, entry)
    {
        if (s->listening && s->handle && !s->node->dead && strcmp(s->address, address) == 0)
            return s;
    }
    return NULL;
}

static void on_connected(void *arg)
{
    struct stream *s = arg;
    if (s->handle && s->connect) {
        uv_connect_t *request = s->connect;
        s->connect = NULL;
        s->connected = s->peer != NULL;
        s->on_connect(request, s->peer ? 0 : UV_ECONNREFUSED);
    }
    unref(s);
}

static void call_listener(void *arg)
{
    struct stream *l = arg;
    if (l->handle && !STAILQ_EMPTY(&l->backlog))
        l->on_connection(l->handle, 0);
    unref(l);
}

/* At the dialling side's node, when the network has carried its first packet. */
static void arrive(void *arg)
{
    struct stream *s = arg;
    struct stream *l = s->handle && !s->node->dead ? find_listener(s->address) : NULL;
    if (l) {
        struct stream *other = stream_new(l->node, NULL);
        other->connected = true;
        other->peer = s;
        s->peer = other;
        s->refs++;
        other->refs++;
        STAILQ_INSERT_TAIL(&l->backlog, other, waiting);
        schedule_stream(l, sim_us(), call_listener);
        schedule_stream(s, arrival(l->node, s->node), on_connected);
    } else {
        schedule_stream(s, sim_us() + 1000, on_connected);
    }
    unref(s);
}

static void connect_to(uv_connect_t *request, uv_stream_t *h, uv_connect_cb done)
{
    struct stream *s = stream_of(h);
    struct stream *l = find_listener(s->address);
    request->handle = h;
    s->connect = request;
    s->on_connect = done;
    schedule_stream(s, l ? arrival(s->node, l->node) : sim_us() + 1000, arrive);
}

int uv_tcp_connect(uv_connect_t *request, uv_tcp_t *h, const struct sockaddr *at, uv_connect_cb done)
{
    uv_tcp_bind(h, at, 0);
    connect_to(request, (uv_stream_t *)h, done);
    return 0;
}

void uv_pipe_connect(uv_connect_t *request, uv_pipe_t *h, const char *path, uv_connect_cb done)
{
    snprintf(stream_of(h)->address, sizeof(stream_of(h)->address), "%s", path);
    connect_to(request, (uv_stream_t *)h, done);
}

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
    struct stream *l = stream_of(server);
    struct stream *s = STAILQ_FIRST(&l->backlog);
    if (!s)
        return UV_EAGAIN;
    STAILQ_REMOVE_HEAD(&l->backlog, waiting);
    struct stream *blank = stream_of(client);
    blank->handle = NULL;
    unref(blank);
    client->u.reserved[STREAM] = s;
    s->handle = client;
    if (!STAILQ_EMPTY(&l->backlog))
        schedule_stream(l, sim_us(), call_listener);
    return 0;
}

/* ---- small answers ---- */

int uv_tcp_nodelay(uv_tcp_t *h, int on)
{
    (void)h;
    (void)on;
    return 0;
}

static int name_of(unsigned node, uint16_t port, struct sockaddr *name, int *size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(0x7F000001u + node);
    memcpy(name, &at, sizeof(at));
    *size = sizeof(at);
    return 0;
}

int uv_tcp_getsockname(const uv_tcp_t *h, struct sockaddr *name, int *size)
{
    const struct stream *s = stream_of(h);
    unsigned port = 0;
    sscanf(s->address, "port %u", &port);
    return name_of(0, (uint16_t)port, name, size);
}

int uv_tcp_getpeername(const uv_tcp_t *h, struct sockaddr *name, int *size)
{
    const struct stream *s = stream_of(h);
    return s->peer ? name_of(s->peer->node->index, 40000, name, size) : UV_ENOTCONN;
}

/* Not a descriptor, but a number that no descriptor has: below zero. */
int uv_fileno(const uv_handle_t *h, uv_os_fd_t *fd)
{
    *fd = -2 - (int)stream_of(h)->number;
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    if (fd >= -1)
        return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
    struct stream *s;
    LIST_FOREACH(s, &net.all, entry)
    {
        if (s->number == (uint32_t)(-2 - fd) && level == SOL_SOCKET && name == SO_LINGER)
            s->linger_none = true;
    }
    return 0;
}
