/* The ROUTER transport's life and what the layers above ask; router_transport.c says what it cannot do. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "router_internal.h"

#define EVENTS                                                                                                \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |                   \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_CONNECTED |        \
     ZMQ_EVENT_DISCONNECTED)

static int set_int(void *socket, int option, uint32_t value)
{
    int v = (int)value;
    return zmq_setsockopt(socket, option, &v, sizeof v) != 0 ? -errno : 0;
}

/* ---- sockets ---- */

static int configure(struct side *s, bool six)
{
    const struct erabi_transport_limits *l = &s->transport->limits;
    const uint32_t ints[][2] = {{ZMQ_LINGER, 0},
                                {ZMQ_IPV6, six},
                                {ZMQ_SNDHWM, l->send_bytes / ERABI_PACKET_MAX + 1},
                                {ZMQ_RCVHWM, 64},
                                {ZMQ_BACKLOG, 511},
                                {ZMQ_SNDBUF, l->kernel_window},
                                {ZMQ_HANDSHAKE_IVL, l->handshake_ms},
                                {ZMQ_HEARTBEAT_IVL, l->heartbeat_ms},
                                {ZMQ_HEARTBEAT_TIMEOUT, l->heartbeat_timeout_ms},
                                {ZMQ_HEARTBEAT_TTL, l->heartbeat_timeout_ms}};
    int64_t most = 65536;
    int r = zmq_setsockopt(s->socket, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0 ? -errno : 0;
    for (size_t i = 0; i < sizeof ints / sizeof *ints && r == 0; i++)
        r = set_int(s->socket, (int)ints[i][0], ints[i][1]);
    return r;
}

static int open_side(struct side *s, struct erabi_transport *t, int type, const char *endpoint)
{
    char address[48];
    s->transport = t;
    s->socket = zmq_socket(t->context, type);
    if (!s->socket)
        return -errno;
    int r = configure(s, strchr(endpoint, '[') != NULL);
    snprintf(address, sizeof address, "inproc://monitor-%u", ++t->numbers);
    if (r == 0 && zmq_socket_monitor(s->socket, address, EVENTS) < 0)
        r = -errno;
    if (r == 0 && !(s->monitor = zmq_socket(t->context, ZMQ_PAIR)))
        r = -errno;
    if (r == 0)
        r = set_int(s->monitor, ZMQ_LINGER, 0);
    if (r == 0 && zmq_connect(s->monitor, address) != 0)
        r = -errno;
    return r;
}

static int watch_side(struct side *s)
{
    int r = router_watch(s->transport, &s->poll, s->socket);
    if (r == 0)
        r = router_watch(s->transport, &s->monitor_poll, s->monitor);
    s->open = r == 0;
    router_look_again(s->transport);
    return r;
}

static void drop_side(struct side *s)
{
    if (s->socket)
        zmq_socket_monitor(s->socket, NULL, 0);
    if (s->monitor)
        zmq_close(s->monitor);
    if (s->socket)
        zmq_close(s->socket);
    s->socket = s->monitor = NULL;
}

/* ---- life ---- */

static void finish(struct erabi_transport *t)
{
    struct erabi_connection *c;
    struct erabi_listener *l;
    struct erabi_dialer *d;
    struct peer *p;
    LIST_FOREACH(c, &t->connections, entry)
    router_tell_close(c, ERAB_REASON_SHUTDOWN);
    while ((c = LIST_FIRST(&t->connections))) {
        LIST_REMOVE(c, entry);
        free(c);
    }
    while ((l = LIST_FIRST(&t->listeners))) {
        LIST_REMOVE(l, entry);
        drop_side(&l->side);
        while ((p = LIST_FIRST(&l->peers))) {
            LIST_REMOVE(p, entry);
            free(p);
        }
        free(l);
    }
    while ((d = LIST_FIRST(&t->dialers))) {
        LIST_REMOVE(d, entry);
        drop_side(&d->side);
        free(d);
    }
    zmq_close(t->zap);
    zmq_ctx_term(t->context);
    void (*done)(void *) = t->done;
    void *user = t->done_user;
    free(t);
    if (done)
        done(user);
}

static void on_closed(uv_handle_t *handle)
{
    struct erabi_transport *t = handle->data;
    if (--t->handles == 0 && t->stopping)
        finish(t);
}

static void close_poll(uv_poll_t *poll, void *socket)
{
    if (socket && poll->data && !uv_is_closing((uv_handle_t *)poll))
        uv_close((uv_handle_t *)poll, on_closed);
}

void erabi_transport_stop(struct erabi_transport *t, void (*done)(void *user), void *user)
{
    struct erabi_listener *l;
    struct erabi_dialer *d;
    if (t->stopping)
        return;
    t->stopping = true;
    t->done = done;
    t->done_user = user;
    LIST_FOREACH(l, &t->listeners, entry)
    {
        close_poll(&l->side.poll, l->side.socket);
        close_poll(&l->side.monitor_poll, l->side.monitor);
    }
    LIST_FOREACH(d, &t->dialers, entry)
    {
        close_poll(&d->side.poll, d->side.socket);
        close_poll(&d->side.monitor_poll, d->side.monitor);
    }
    close_poll(&t->zap_poll, t->zap);
    uv_close((uv_handle_t *)&t->idle, on_closed);
    uv_close((uv_handle_t *)&t->retry, on_closed);
}

static uint32_t or_default(uint32_t given, uint32_t otherwise)
{
    return given ? given : otherwise;
}

int erabi_transport_new(struct erabi_transport **out, uv_loop_t *loop, const struct erabi_transport_limits *limits,
                        const struct erabi_transport_callbacks *callbacks, void *user)
{
    static const struct erabi_transport_limits none;
    const struct erabi_transport_limits *from = limits ? limits : &none;
    struct erabi_transport *t = calloc(1, sizeof *t);
    if (!t || sodium_init() < 0)
        abort();
    t->loop = loop;
    t->callbacks = *callbacks;
    t->user = user;
    t->limits = (struct erabi_transport_limits){.handshake_ms = or_default(from->handshake_ms, 3000),
                                                .heartbeat_ms = or_default(from->heartbeat_ms, 5000),
                                                .heartbeat_timeout_ms = or_default(from->heartbeat_timeout_ms, 15000),
                                                .send_bytes = or_default(from->send_bytes, 1u << 20),
                                                .kernel_window = or_default(from->kernel_window, 65536)};
    t->context = zmq_ctx_new();
    zmq_ctx_set(t->context, ZERO_COPY_RECV, 0);
    zmq_ctx_set(t->context, ZMQ_MAX_SOCKETS, 1000);
    t->zap = zmq_socket(t->context, ZMQ_REP);
    set_int(t->zap, ZMQ_LINGER, 0);
    /* Bound before any CURVE socket is, and never unbound while one lives: without it libzmq lets everyone in. */
    if (zmq_bind(t->zap, "inproc://zeromq.zap.01") != 0 || router_watch(t, &t->zap_poll, t->zap) < 0)
        abort();
    uv_idle_init(loop, &t->idle);
    uv_timer_init(loop, &t->retry);
    t->idle.data = t->retry.data = t;
    t->handles += 2;
    *out = t;
    return 0;
}

int erabi_transport_listen(struct erabi_transport *t, struct erabi_listener **out, const char *endpoint,
                           const uint8_t secret_key[ERABI_KEY_SIZE], void *tag)
{
    struct erabi_listener *l = calloc(1, sizeof *l);
    char domain[16];
    size_t size = sizeof l->endpoint;
    if (!l)
        return -ENOMEM;
    l->number = ++t->numbers;
    l->tag = tag;
    snprintf(domain, sizeof domain, "%u", l->number);
    int r = open_side(&l->side, t, ZMQ_ROUTER, endpoint);
    if (r == 0)
        r = set_int(l->side.socket, ZMQ_CURVE_SERVER, 1);
    if (r == 0)
        r = set_int(l->side.socket, ZMQ_ROUTER_MANDATORY, 1);
    if (r == 0 && (zmq_setsockopt(l->side.socket, ZMQ_CURVE_SECRETKEY, secret_key, ERABI_KEY_SIZE) != 0 ||
                   zmq_setsockopt(l->side.socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) != 0))
        r = -errno;
    LIST_INSERT_HEAD(&t->listeners, l, entry); /* before the first handshake can ask for it */
    if (r == 0 && zmq_bind(l->side.socket, endpoint) != 0)
        r = -errno;
    if (r == 0 && strncmp(endpoint, "ipc://", 6) == 0 && chmod(endpoint + 6, 0600) != 0)
        r = -errno;
    if (r == 0 && zmq_getsockopt(l->side.socket, ZMQ_LAST_ENDPOINT, l->endpoint, &size) != 0)
        r = -errno;
    if (r == 0 && watch_side(&l->side) < 0)
        abort();
    if (r < 0) {
        LIST_REMOVE(l, entry);
        drop_side(&l->side);
        free(l);
        return r;
    }
    *out = l;
    return 0;
}

int erabi_transport_dial(struct erabi_transport *t, struct erabi_dialer **out, const char *endpoint,
                         const uint8_t server_key[ERABI_KEY_SIZE], const uint8_t secret_key[ERABI_KEY_SIZE], void *tag)
{
    struct erabi_dialer *d = calloc(1, sizeof *d);
    uint8_t public_key[ERABI_KEY_SIZE];
    if (!d)
        return -ENOMEM;
    d->tag = tag;
    erabi_copy_bytes(d->server_key, server_key, ERABI_KEY_SIZE);
    crypto_scalarmult_base(public_key, secret_key);
    int r = open_side(&d->side, t, ZMQ_DEALER, endpoint);
    if (r == 0)
        r = set_int(d->side.socket, ZMQ_IMMEDIATE, 1);
    if (r == 0 && (zmq_setsockopt(d->side.socket, ZMQ_CURVE_SERVERKEY, server_key, ERABI_KEY_SIZE) != 0 ||
                   zmq_setsockopt(d->side.socket, ZMQ_CURVE_PUBLICKEY, public_key, ERABI_KEY_SIZE) != 0 ||
                   zmq_setsockopt(d->side.socket, ZMQ_CURVE_SECRETKEY, secret_key, ERABI_KEY_SIZE) != 0 ||
                   zmq_connect(d->side.socket, endpoint) != 0))
        r = -errno;
    if (r == 0 && watch_side(&d->side) < 0)
        abort();
    if (r < 0) {
        drop_side(&d->side);
        free(d);
        return r;
    }
    LIST_INSERT_HEAD(&t->dialers, d, entry);
    *out = d;
    return 0;
}

/* ---- what the layers above ask ---- */

void *erabi_listener_tag(const struct erabi_listener *listener)
{
    return listener->tag;
}

const char *erabi_listener_endpoint(const struct erabi_listener *listener)
{
    return listener->endpoint;
}

void *erabi_dialer_tag(const struct erabi_dialer *dialer)
{
    return dialer->tag;
}

void erabi_connection_set_user(struct erabi_connection *c, void *user)
{
    c->user = user;
}

void *erabi_connection_user(const struct erabi_connection *c)
{
    return c->user;
}

const uint8_t *erabi_connection_key(const struct erabi_connection *c)
{
    return c->key;
}

const char *erabi_connection_address(const struct erabi_connection *c)
{
    return c->address;
}

static void on_retry(uv_timer_t *timer)
{
    struct erabi_transport *t = timer->data;
    struct erabi_connection *c;
    LIST_FOREACH(c, &t->connections, entry)
    {
        bool due = c->refused_send && !c->cut && !c->gone;
        c->refused_send = false;
        if (due && t->callbacks.on_drained)
            t->callbacks.on_drained(t->user, c);
        if (t->stopping)
            return;
    }
}

int erabi_connection_send(struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    struct erabi_transport *t = c->transport;
    void *socket = c->listener ? c->listener->side.socket : c->dialer->side.socket;
    if (c->cut || c->gone || t->stopping)
        return -EPIPE;
    if (size == 0 || size > ERABI_PACKET_MAX)
        return -EMSGSIZE;
    bool sent = !c->listener || zmq_send(socket, c->id, c->id_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0;
    sent = sent && zmq_send(socket, packet, size, ZMQ_DONTWAIT) >= 0;
    int error = errno;
    router_look_again(t);
    if (!sent && error == EAGAIN) {
        c->refused_send = true;
        uv_timer_start(&t->retry, on_retry, RETRY_MS, 0);
        return -EAGAIN;
    }
    if (!sent)
        return -EPIPE;
    t->stats.packets_out++;
    t->stats.bytes_out += size;
    return 0;
}

size_t erabi_connection_queued(const struct erabi_connection *c)
{
    return c->refused_send;
}

void erabi_connection_background(struct erabi_connection *c, bool background)
{
    (void)c;
    (void)background; /* libzmq reads as it likes */
}

void erabi_connection_pause(struct erabi_connection *c, bool paused)
{
    c->paused = paused;
    router_look_again(c->transport);
}

/* The number of the descriptor may be another connection's by now: the copy pins what it names, and only the one
 * that was learned is reset. */
static void reset(const struct erabi_connection *c)
{
    struct stat st;
    int fd = c->fd < 0 ? -1 : fcntl(c->fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_ino == c->inode) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        shutdown(fd, SHUT_RDWR);
    }
    close(fd);
}

void erabi_connection_cut(struct erabi_connection *c, enum erab_reason reason)
{
    if (c->cut)
        return;
    c->cut = true;
    c->reason = reason;
    if (!c->gone)
        reset(c);
    router_look_again(c->transport);
}

void erabi_transport_stats(const struct erabi_transport *transport, struct erabi_transport_stats *out)
{
    *out = transport->stats;
}
