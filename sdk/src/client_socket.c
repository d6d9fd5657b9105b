/* The libzmq side: one DEALER with its monitor a lane group. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <sodium.h>
#include <zmq.h>

#include "client_internal.h"

#define REJECTED_MS 60000u
#define LOST_MS     15000u /* longer than libzmq waits between two attempts */
#define EVENTS                                                                                               \
    (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |   \
     ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED)

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) ? -errno : 0;
}

static int configure(struct link *l)
{
    const struct erab_client *c = l->client;
    erabi_copy_bytes(l->server_key, c->options.server_key, ERAB_KEY_SIZE);
    const int ints[][2] = {{ZMQ_LINGER, 0},
                           {ZMQ_IMMEDIATE, 1}, /* nothing is queued for a connection that is not there */
                           {ZMQ_SNDHWM, 4},
                           {ZMQ_RCVHWM, 64},
                           {ZMQ_IPV6, 1},
                           {ZMQ_HEARTBEAT_IVL, 5000},
                           {ZMQ_HEARTBEAT_TIMEOUT, 15000},
                           {ZMQ_HEARTBEAT_TTL, 15000},
                           {ZMQ_HANDSHAKE_IVL, 5000},
                           {ZMQ_CONNECT_TIMEOUT, 5000},
                           {ZMQ_RECONNECT_IVL, 100},
                           {ZMQ_RECONNECT_IVL_MAX, 10000}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        int r = set_int(l->socket, ints[i][0], ints[i][1]);
        if (r)
            return r;
    }
    int64_t max = 65536;
    if (zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &max, sizeof max) ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_SERVERKEY, c->options.server_key, ERAB_KEY_SIZE) ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_PUBLICKEY, c->identity.curve_public, ERAB_KEY_SIZE) ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_SECRETKEY, c->identity.curve_secret, ERAB_KEY_SIZE))
        return -errno;
    return 0;
}

static int watch(struct link *l, void *socket, int *fd)
{
    size_t size = sizeof *fd;
    if (zmq_getsockopt(socket, ZMQ_FD, fd, &size))
        return -errno;
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(l->client->epoll, EPOLL_CTL_ADD, *fd, &e)) {
        *fd = -1;
        return -errno;
    }
    return 0;
}

static int open_monitor(struct link *l)
{
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%u", ++l->client->sockets_made);
    if (zmq_socket_monitor(l->socket, address, EVENTS) < 0)
        return -errno;
    l->monitor = zmq_socket(l->client->context, ZMQ_PAIR);
    if (!l->monitor)
        return -errno;
    int r = set_int(l->monitor, ZMQ_LINGER, 0);
    if (!r && zmq_connect(l->monitor, address))
        r = -errno;
    return r ? r : watch(l, l->monitor, &l->monitor_fd);
}

int erabi_link_open(struct link *l)
{
    l->socket = zmq_socket(l->client->context, ZMQ_DEALER);
    int r = l->socket ? configure(l) : -errno;
    if (!r)
        r = open_monitor(l);
    if (!r)
        r = watch(l, l->socket, &l->fd);
    if (!r && zmq_connect(l->socket, l->client->endpoint))
        r = -errno;
    if (r)
        erabi_link_close(l);
    l->heard_at = erabi_client_monotonic();
    return r;
}

void erabi_link_close(struct link *l)
{
    if (l->fd >= 0)
        epoll_ctl(l->client->epoll, EPOLL_CTL_DEL, l->fd, NULL);
    if (l->monitor_fd >= 0)
        epoll_ctl(l->client->epoll, EPOLL_CTL_DEL, l->monitor_fd, NULL);
    l->fd = l->monitor_fd = -1;
    if (l->socket) {
        zmq_socket_monitor(l->socket, NULL, 0);
        zmq_close(l->socket);
    }
    if (l->monitor)
        zmq_close(l->monitor);
    l->socket = l->monitor = NULL;
    l->up = l->bound = l->ping_due = false;
}

void erabi_link_lost(struct link *l)
{
    l->up = l->bound = l->ping_due = false;
    erabi_queue_resend(l);
}

static bool same_server(const struct link *l)
{
    return sodium_memcmp(l->server_key, l->client->options.server_key, ERAB_KEY_SIZE) == 0;
}

/* One event, read from the first frame: 2 bytes event and 4 bytes value in the machine's order. */
static void monitor_event(struct link *l, uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        erabi_link_lost(l);
        l->up = l->ping_due = true;
        l->rejected = false;
        if (same_server(l))
            l->replace_at = 0;
        l->heard_at = erabi_client_monotonic();
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        /* libzmq does not come back after this: a new socket is needed. */
        erabi_link_lost(l);
        l->rejected = true;
        l->replace_at = erabi_client_monotonic() + REJECTED_MS;
        break;
    default:
        erabi_link_lost(l);
        /* The hub has told a newer server key since: libzmq would go on with the one it was given. */
        if (!same_server(l) && (!l->replace_at || !l->rejected))
            l->replace_at = erabi_client_monotonic();
        else if (!l->replace_at) /* after some errors of its peer libzmq does not come back either */
            l->replace_at = erabi_client_monotonic() + LOST_MS;
    }
}

void erabi_link_monitor(struct link *l)
{
    for (unsigned i = 0; i < 64 && l->monitor; i++) {
        uint8_t frame[64];
        uint16_t event = 0;
        int n = zmq_recv(l->monitor, frame, sizeof frame, ZMQ_DONTWAIT);
        if (n < 0)
            return;
        if (n >= 2)
            erabi_copy_bytes(&event, frame, sizeof event);
        int more = 0;
        size_t size = sizeof more;
        while (zmq_getsockopt(l->monitor, ZMQ_RCVMORE, &more, &size) == 0 && more)
            if (zmq_recv(l->monitor, frame, sizeof frame, ZMQ_DONTWAIT) < 0)
                break;
        monitor_event(l, event);
    }
    erabi_client_kick(l->client);
}

int erabi_link_send(struct link *l, const uint8_t *bytes, size_t size)
{
    if (zmq_send(l->socket, bytes, size, ZMQ_DONTWAIT) >= 0)
        return 0;
    return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
}

/* A packet is one frame; of a longer message every frame is thrown away. */
bool erabi_link_receive(struct link *l, unsigned budget)
{
    bool any = false, skipping = false;
    while (budget--) {
        if (l->group == ERAB_LANES_COMMAND && l->bound && erabi_queue_receipts_full(l))
            return any;
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, l->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&message);
            return any;
        }
        any = true;
        bool more = zmq_msg_more(&message);
        if (!more && !skipping) {
            l->heard_at = erabi_client_monotonic();
            erabi_client_packet(l, erabi_slice(zmq_msg_data(&message), zmq_msg_size(&message)));
        }
        skipping = more;
        zmq_msg_close(&message);
    }
    return any;
}

static void replace(struct link *l, uint64_t now)
{
    erabi_link_lost(l);
    erabi_link_close(l);
    l->rejected = false;
    l->replace_at = 0;
    if (erabi_link_open(l))
        l->replace_at = now + 1000; /* out of descriptors or memory: later again */
}

uint64_t erabi_link_tick(struct link *l, uint64_t now)
{
    uint64_t ping = l->client->options.ping_ms;
    if (l->replace_at && now >= l->replace_at)
        replace(l, now);
    /* A broker that answers heartbeats and no Ping hangs above its transport. */
    if (l->up && now >= l->heard_at + 3 * ping)
        replace(l, now);
    if (l->bound && now >= l->ping_at)
        l->ping_due = true;
    uint64_t due = l->up ? l->heard_at + 3 * ping : UINT64_MAX;
    if (l->bound && l->ping_at < due)
        due = l->ping_at;
    if (l->replace_at && l->replace_at < due)
        due = l->replace_at;
    return due;
}

void erabi_client_restate(struct erab_client *c)
{
    bool bound = true, rejected = false;
    for (unsigned i = 0; i < CLIENT_LINKS; i++) {
        bound = bound && c->links[i].bound;
        rejected = rejected || c->links[i].rejected;
    }
    enum erab_connection_state state = rejected ? ERAB_REJECTED : bound ? ERAB_CONNECTED : ERAB_DISCONNECTED;
    if (state == c->state)
        return;
    c->state = state;
    if (c->callbacks.on_state)
        c->callbacks.on_state(c->options.user, c, state);
}
