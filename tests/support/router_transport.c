/* broker/transport/transport.h on libzmq's ROUTER (DEALER for dialling), for comparison only: the same attack
 * table runs against this and against the broker's own transport. What libzmq cannot do, and what this does
 * instead:
 *  - a connection is known only by its first message: on_open comes with it, not after the handshake;
 *  - a handshake's failure is known by the socket monitor, without key or address; its reason is a guess by class;
 *  - a peer that has said nothing yet counts as in its handshake;
 *  - REFUSE is ERROR 400; PUT_OFF is ZAP 300: no answer, the connection hangs until the handshake's deadline;
 *  - no limits per source, of all connections, of age or of bytes a second; nothing is reserved of the
 *    descriptors, and accepting does not pause;
 *  - a cut drops at once what this peer says, and resets its descriptor if that is still the one learned from
 *    its first message; what libzmq's thread holds for the peer is out of reach;
 *  - the queue of one peer is libzmq's, counted in messages: erabi_connection_queued() is 0, or 1 after a
 *    refused send; on_drained is a timer's guess;
 *  - pause stops the reading from all peers of the listener;
 *  - bytes are counted without frames and encryption;
 *  - a dialled connection that was refused with ERROR stays down. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "router_internal.h"
#include "transport_kind.h"

const bool transport_is_router = true;

static void on_poll(uv_poll_t *poll, int status, int events)
{
    router_turn(poll->data);
}

static void on_idle(uv_idle_t *idle)
{
    router_turn(idle->data);
}

/* A send may take the edge that would have told of something to read. */
void router_look_again(struct erabi_transport *t)
{
    if (!t->stopping)
        uv_idle_start(&t->idle, on_idle);
}

static bool readable(void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

int router_watch(struct erabi_transport *t, uv_poll_t *poll, void *socket)
{
    int fd;
    size_t size = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0)
        return -errno;
    int r = uv_poll_init(t->loop, poll, fd);
    if (r < 0)
        return r;
    t->handles++;
    poll->data = t;
    return uv_poll_start(poll, UV_READABLE, on_poll);
}

/* ---- ZAP ---- */

static void answer_zap(struct erabi_transport *t, struct erabi_slice frames[7], unsigned n)
{
    enum erabi_admission verdict = ERABI_REFUSE;
    enum erab_reason reason = ERAB_REASON_NONE;
    char domain[16], address[ERABI_ADDRESS_MAX] = "", hex[2 * ERABI_KEY_SIZE + 1] = "";
    struct erabi_listener *l;
    LIST_FOREACH(l, &t->listeners, entry)
    {
        snprintf(domain, sizeof domain, "%u", l->number);
        if (n == 7 && frames[6].size == ERABI_KEY_SIZE && frames[3].size < sizeof address &&
            erabi_slice_equal(frames[5], erabi_slice("CURVE", 5)) &&
            erabi_slice_equal(frames[2], erabi_slice(domain, strlen(domain))))
            break;
    }
    if (l) {
        erabi_copy_bytes(address, frames[3].data, frames[3].size);
        verdict = t->callbacks.on_key(t->user, l, frames[6].data, address, &reason);
        sodium_bin2hex(hex, sizeof hex, frames[6].data, ERABI_KEY_SIZE);
    }
    const char *status = verdict == ERABI_ADMIT ? "200" : verdict == ERABI_PUT_OFF ? "300" : "400";
    zmq_send(t->zap, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(t->zap, frames[1].data, n > 1 ? frames[1].size : 0, ZMQ_SNDMORE);
    zmq_send(t->zap, status, 3, ZMQ_SNDMORE);
    zmq_send(t->zap, "", 0, ZMQ_SNDMORE);
    zmq_send(t->zap, hex, strlen(hex), ZMQ_SNDMORE);
    zmq_send(t->zap, "", 0, 0);
}

static void drain_zap(struct erabi_transport *t)
{
    for (unsigned i = 0; i < BATCH && !t->stopping && readable(t->zap); i++) {
        uint8_t room[7][256];
        struct erabi_slice frames[7];
        unsigned n = 0;
        int more = 1;
        while (more) {
            uint8_t spare[256], *to = n < 7 ? room[n] : spare;
            size_t size = sizeof more;
            int got = zmq_recv(t->zap, to, sizeof spare, ZMQ_DONTWAIT);
            if (got < 0)
                return;
            if (n < 7)
                frames[n] = erabi_slice(to, got > 256 ? 0 : (size_t)got);
            n++;
            zmq_getsockopt(t->zap, ZMQ_RCVMORE, &more, &size);
        }
        answer_zap(t, frames, n);
    }
}

/* ---- monitor ---- */

static struct erabi_connection *add(struct erabi_transport *t, struct erabi_listener *l, struct erabi_dialer *d, int fd)
{
    struct stat st = {0};
    struct erabi_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->transport = t;
    c->listener = l;
    c->dialer = d;
    c->fd = fd;
    fstat(fd, &st);
    c->inode = st.st_ino;
    t->stats.connections++;
    LIST_INSERT_HEAD(&t->connections, c, entry);
    return c;
}

static void end_of(struct erabi_transport *t, struct side *s, int fd)
{
    struct erabi_connection *c;
    LIST_FOREACH(c, &t->connections, entry)
    if (c->fd == fd && !c->gone && (c->listener ? &c->listener->side : &c->dialer->side) == s)
        c->gone = true;
}

static void failed(struct erabi_transport *t, struct side *s, struct erabi_listener *l)
{
    struct erabi_transport_event e = {s->failed, s->failed_detail, "", NULL};
    s->failed = ERAB_REASON_NONE;
    t->stats.refused++;
    if (t->callbacks.on_refused)
        t->callbacks.on_refused(t->user, l, &e);
}

static void note_failure(struct side *s, int event, uint32_t value)
{
    bool protocol = event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    if (s->failed && !protocol)
        return; /* a more exact one is known */
    s->failed = event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ? ERAB_REASON_UNKNOWN_KEY : ERAB_REASON_BAD_HANDSHAKE;
    s->failed_detail = "handshake failed";
    if (protocol && value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        s->failed = ERAB_REASON_WRONG_MECHANISM;
    if (protocol && value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
        s->failed = ERAB_REASON_BAD_BOX;
}

static void of_listener(struct erabi_listener *l, int event, int fd)
{
    struct erabi_transport *t = l->side.transport;
    struct peer *p;
    LIST_FOREACH(p, &l->peers, entry)
    if (p->fd == fd)
        break;
    if (event == ZMQ_EVENT_ACCEPTED && !p && (p = calloc(1, sizeof *p))) {
        p->fd = fd;
        LIST_INSERT_HEAD(&l->peers, p, entry);
        t->stats.handshaking++;
    } else if (event == ZMQ_EVENT_DISCONNECTED && p) {
        bool spoke = p->spoke;
        LIST_REMOVE(p, entry);
        free(p);
        end_of(t, &l->side, fd);
        t->stats.handshaking -= !spoke;
        if (!spoke && l->side.failed)
            failed(t, &l->side, l);
    }
}

static void of_dialer(struct erabi_dialer *d, int event, int fd)
{
    struct erabi_transport *t = d->side.transport;
    if (event == ZMQ_EVENT_CONNECTED) {
        d->fd = fd;
    } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) { /* which does not name its descriptor */
        struct erabi_connection *c = add(t, NULL, d, d->fd);
        if (!c)
            return;
        erabi_copy_bytes(c->key, d->server_key, ERABI_KEY_SIZE);
        t->callbacks.on_open(t->user, c, NULL, d);
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
        if (d->side.failed)
            failed(t, &d->side, NULL);
        end_of(t, &d->side, fd);
    }
}

static void drain_monitor(struct side *s, struct erabi_listener *l, struct erabi_dialer *d)
{
    while (!s->transport->stopping && readable(s->monitor)) {
        uint8_t frame[6], endpoint[256];
        uint16_t event = 0;
        uint32_t value = 0;
        if (zmq_recv(s->monitor, frame, sizeof frame, ZMQ_DONTWAIT) != sizeof frame)
            return;
        zmq_recv(s->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
        erabi_copy_bytes(&event, frame, sizeof event);
        erabi_copy_bytes(&value, frame + 2, sizeof value);
        if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
            event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
            note_failure(s, event, value);
        else if (l)
            of_listener(l, event, (int)value);
        else
            of_dialer(d, event, (int)value);
    }
}

/* ---- messages ---- */

static struct erabi_connection *learn(struct erabi_listener *l, struct erabi_slice id, zmq_msg_t *m)
{
    struct erabi_transport *t = l->side.transport;
    const char *hex = zmq_msg_gets(m, "User-Id"), *address = zmq_msg_gets(m, "Peer-Address");
    const char *name = zmq_msg_gets(m, "Identity");
    uint8_t key[ERABI_KEY_SIZE];
    int fd = zmq_msg_get(m, ZMQ_SRCFD);
    struct peer *p;
    if (!hex || sodium_hex2bin(key, sizeof key, hex, strlen(hex), NULL, NULL, NULL) != 0 || id.size > ID_MAX ||
        (name && *name))
        return NULL; /* no key, or a routing id of its own, which the protocol does not know */
    drain_monitor(&l->side, l, NULL);
    struct erabi_connection *c = add(t, l, NULL, fd);
    if (!c)
        return NULL;
    LIST_FOREACH(p, &l->peers, entry)
    if (p->fd == fd)
        break;
    c->gone = !p;
    if (p && !p->spoke) {
        p->spoke = true;
        t->stats.handshaking--;
    }
    c->id_size = id.size;
    erabi_copy_bytes(c->id, id.data, id.size);
    erabi_copy_bytes(c->key, key, sizeof key);
    erabi_copy_text(c->address, sizeof c->address, address ? address : "local");
    t->callbacks.on_open(t->user, c, l, NULL);
    return c;
}

static struct erabi_connection *find(struct erabi_transport *t, struct erabi_listener *l, struct erabi_dialer *d,
                                     struct erabi_slice id)
{
    struct erabi_connection *c;
    LIST_FOREACH(c, &t->connections, entry)
    if (c->listener == l && c->dialer == d && (!d || !c->gone) && erabi_slice_equal(erabi_slice(c->id, c->id_size), id))
        return c;
    return NULL;
}

/* Takes the rest of a message; the last frame stays in `m`. Returns how many there were, or -1. */
static int receive(void *socket, zmq_msg_t *m)
{
    int frames = 0;
    do {
        if (zmq_msg_recv(m, socket, ZMQ_DONTWAIT) < 0)
            return -1;
        frames++;
    } while (zmq_msg_more(m));
    return frames;
}

static void deliver(struct erabi_transport *t, struct erabi_connection *c, zmq_msg_t *m)
{
    size_t size = zmq_msg_size(m);
    if (t->stopping || c->cut || c->told || size == 0 || size > ERABI_PACKET_MAX)
        return;
    t->stats.packets_in++;
    t->stats.bytes_in += size;
    t->callbacks.on_packet(t->user, c, zmq_msg_data(m), size);
}

static bool held(const struct erabi_transport *t, const struct erabi_listener *l, const struct erabi_dialer *d)
{
    const struct erabi_connection *c;
    LIST_FOREACH(c, &t->connections, entry)
    if (c->paused && !c->cut && !c->gone && c->listener == l && c->dialer == d)
        return true;
    return false;
}

static void drain(struct side *s, struct erabi_listener *l, struct erabi_dialer *d)
{
    struct erabi_transport *t = s->transport;
    for (unsigned i = 0; i < BATCH && !t->stopping && !held(t, l, d) && readable(s->socket); i++) {
        zmq_msg_t id, m;
        zmq_msg_init(&id);
        zmq_msg_init(&m);
        if (!l || zmq_msg_recv(&id, s->socket, ZMQ_DONTWAIT) >= 0) {
            struct erabi_slice name = erabi_slice(zmq_msg_data(&id), zmq_msg_size(&id));
            int frames = receive(s->socket, &m);
            struct erabi_connection *c = frames > 0 ? find(t, l, d, name) : NULL;
            if (!c && frames > 0 && l)
                c = learn(l, name, &m);
            if (c && frames > 1 && !c->cut)
                erabi_connection_cut(c, ERAB_REASON_BAD_FRAME);
            if (c)
                deliver(t, c, &m);
        }
        zmq_msg_close(&id);
        zmq_msg_close(&m);
    }
}

void router_tell_close(struct erabi_connection *c, enum erab_reason reason)
{
    struct erabi_transport *t = c->transport;
    struct erabi_transport_event e = {reason, c->cut ? "cut" : "gone", c->address, c->key};
    if (c->told)
        return;
    c->told = c->cut = true;
    t->stats.connections--;
    t->callbacks.on_close(t->user, c, &e);
}

/* The ends that are known, once nothing said before them waits any more. */
static void tell_ends(struct erabi_transport *t, bool idle)
{
    struct erabi_connection *c, *next;
    for (c = LIST_FIRST(&t->connections); c && !t->stopping; c = next) {
        next = LIST_NEXT(c, entry);
        if (c->cut || (c->gone && idle))
            router_tell_close(c, c->cut ? c->reason : ERAB_REASON_CLOSED_BY_PEER);
        if (!t->stopping && c->told && c->gone && idle) {
            LIST_REMOVE(c, entry);
            free(c);
        }
    }
}

void router_turn(struct erabi_transport *t)
{
    struct erabi_listener *l;
    struct erabi_dialer *d;
    bool more = false;
    if (t->stopping)
        return;
    if (t->callbacks.on_turn)
        t->callbacks.on_turn(t->user);
    drain_zap(t);
    LIST_FOREACH(l, &t->listeners, entry)
    {
        if (!l->side.open)
            continue;
        drain_monitor(&l->side, l, NULL);
        drain(&l->side, l, NULL);
    }
    LIST_FOREACH(d, &t->dialers, entry)
    {
        drain_monitor(&d->side, NULL, d);
        drain(&d->side, NULL, d);
    }
    if (t->stopping)
        return;
    /* Asked last: who has been told has no further edge to come. */
    more = readable(t->zap);
    LIST_FOREACH(l, &t->listeners, entry)
    if (l->side.open)
        more |= readable(l->side.monitor) || (readable(l->side.socket) && !held(t, l, NULL));
    LIST_FOREACH(d, &t->dialers, entry)
    more |= readable(d->side.monitor) || (readable(d->side.socket) && !held(t, NULL, d));
    tell_ends(t, !more);
    if (t->stopping)
        return;
    if (more)
        uv_idle_start(&t->idle, on_idle);
    else
        uv_idle_stop(&t->idle);
}
