/* The transport on a real loop, with all that its callbacks told. */
#ifndef TESTS_TRANSPORT_RIG_H
#define TESTS_TRANSPORT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sodium.h>
#include <zmq.h>

#include "transport/internal.h"
#include "../support/curve_ends.h"

struct fixture {
    uv_loop_t loop;
    struct erabi_transport *transport;
    struct erabi_listener *listener;
    struct erabi_dialer *dialer;
    struct keys keys;
    void *zmq;
    enum erabi_admission verdict;
    unsigned put_off; /* handshakes to put off first */
    unsigned keys_seen, opened, closed, refused, packets, drained, refused_events;
    bool cut_on_open, stop_on_key;
    bool echo, cut_on_packet, in_cut, echo_at_turn, to_echo;
    struct erabi_connection *accepted, *dialled, *all[8]; /* all: accepted, as far as there is room */
    enum erab_reason close_reason, refuse_reason;
    char refuse_detail[64];
    uint8_t last[ERABI_PACKET_MAX];
    size_t last_size;
    bool stopped, timed_out;
    uv_timer_t guard;
    uint64_t give_up_ms;
    void *sockets[8]; /* of libzmq; closed at the end at the latest */
    unsigned socket_count;
};

static inline void on_stopped(void *user)
{
    struct fixture *f = user;
    f->stopped = true;
}

static inline enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason)
{
    struct fixture *f = user;
    f->keys_seen++;
    assert_ptr_equal(erabi_listener_tag(l), f);
    if (f->stop_on_key)
        erabi_transport_stop(f->transport, on_stopped, f);
    if (f->put_off) {
        f->put_off--;
        return ERABI_PUT_OFF;
    }
    return f->verdict;
}

static inline void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
{
    struct fixture *f = user;
    assert_true((l == NULL) != (d == NULL));
    *(l ? &f->accepted : &f->dialled) = c;
    if (l && f->opened < 8)
        f->all[f->opened] = c;
    f->opened++;
    if (f->cut_on_open)
        erabi_connection_cut(c, ERAB_REASON_REPLACED);
}

static inline void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    struct fixture *f = user;
    f->packets++;
    f->last_size = size;
    erabi_copy_bytes(f->last, packet, size);
    if (f->cut_on_packet) {
        f->in_cut = true;
        erabi_connection_cut(c, ERAB_REASON_BREAKER_OPEN);
        f->in_cut = false;
    } else if (f->echo_at_turn && c == f->accepted) {
        f->to_echo = true;
    } else if (f->echo && c == f->accepted) {
        erabi_connection_send(c, packet, size);
    }
}

static inline void on_turn(void *user)
{
    struct fixture *f = user;
    if (f->to_echo && f->accepted)
        erabi_connection_send(f->accepted, f->last, f->last_size);
    f->to_echo = false;
}

static inline void on_drained(void *user, struct erabi_connection *c)
{
    struct fixture *f = user;
    f->drained++;
}

static inline void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *event)
{
    struct fixture *f = user;
    assert_false(f->in_cut); /* never from inside the call */
    f->closed++;
    f->close_reason = event->reason;
    if (c == f->accepted)
        f->accepted = NULL;
    if (c == f->dialled)
        f->dialled = NULL;
}

static inline void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *event)
{
    struct fixture *f = user;
    f->refused_events++;
    f->refused++;
    f->refuse_reason = event->reason;
    erabi_copy_text(f->refuse_detail, sizeof f->refuse_detail, event->detail);
}

static inline void on_guard(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    f->timed_out = uv_now(&f->loop) > f->give_up_ms;
}

/* Runs the loop until the condition holds. The guard looks again at what libzmq's threads do, and ends a
 * test that has failed already. */
#define RUN_UNTIL(f, condition)                                                                              \
    do {                                                                                                     \
        bool _met;                                                                                           \
        (f)->timed_out = false;                                                                              \
        (f)->give_up_ms = uv_now(&(f)->loop) + 10000;                                                        \
        uv_timer_start(&(f)->guard, on_guard, 5, 5);                                                         \
        while (!(_met = (condition)) && !(f)->timed_out)                                                     \
            uv_run(&(f)->loop, UV_RUN_ONCE);                                                                 \
        uv_timer_stop(&(f)->guard);                                                                          \
        if (!_met)                                                                                           \
            fail_msg("never so: %s", #condition);                                                            \
    } while (0)

static inline void start(struct fixture *f, const struct erabi_transport_limits *limits, const char *endpoint)
{
    static const struct erabi_transport_callbacks callbacks = {on_key,     on_open,  on_packet,
                                                               on_drained, on_close, on_refused, on_turn};
    assert_int_equal(erabi_transport_new(&f->transport, &f->loop, limits, &callbacks, f), 0);
    assert_int_equal(erabi_transport_listen(f->transport, &f->listener, endpoint, f->keys.server_secret, f),
                     0);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    keys_init(&f->keys);
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->guard);
    f->guard.data = f;
    f->zmq = zmq_ctx_new();
    f->echo = true;
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->transport) {
        erabi_transport_stop(f->transport, on_stopped, f);
        while (!f->stopped)
            uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->opened, f->closed); /* once for each */
    uv_close((uv_handle_t *)&f->guard, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing left open */
    for (unsigned i = 0; i < f->socket_count; i++)
        zmq_close(f->sockets[i]);
    zmq_ctx_term(f->zmq);
    free(f);
    return 0;
}

static inline void *new_socket(struct fixture *f, int type)
{
    int zero = 0;
    void *s = zmq_socket(f->zmq, type);
    assert_non_null(s);
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
    f->sockets[f->socket_count++] = s;
    return s;
}

/* `beat`: how often it sends PINGs itself, 0: never. */
static inline void *dealer_with(struct fixture *f, int beat)
{
    void *s = new_socket(f, ZMQ_DEALER);
    int soon = 20, beat_timeout = 400, one = 1;
    zmq_setsockopt(s, ZMQ_RECONNECT_IVL, &soon, sizeof soon);
    zmq_setsockopt(s, ZMQ_HEARTBEAT_IVL, &beat, sizeof beat);
    zmq_setsockopt(s, ZMQ_HEARTBEAT_TIMEOUT, &beat_timeout, sizeof beat_timeout);
    zmq_setsockopt(s, ZMQ_IPV6, &one, sizeof one);
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, f->keys.server_public, 32);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, f->keys.client_public, 32);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, f->keys.client_secret, 32);
    assert_int_equal(zmq_connect(s, erabi_listener_endpoint(f->listener)), 0);
    return s;
}

static inline void *dealer(struct fixture *f)
{
    return dealer_with(f, 50);
}

/* A bare TCP socket to the listener. */
static inline int bare(struct fixture *f)
{
    struct erabi_endpoint e;
    assert_int_equal(erabi_endpoint_parse(&e, erabi_listener_endpoint(f->listener)), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &e.at.any, sizeof e.at.v4), 0);
    return fd;
}

static inline void echo_with_libzmq(struct fixture *f, size_t size)
{
    static uint8_t body[ERABI_PACKET_MAX], back[ERABI_PACKET_MAX + 1];
    void *s = dealer(f);
    int got = -1;
    randombytes_buf(body, sizeof body);
    assert_int_equal(zmq_send(s, body, size, 0), size);
    RUN_UNTIL(f, (got = zmq_recv(s, back, sizeof back, ZMQ_DONTWAIT)) >= 0);
    assert_int_equal(got, size);
    assert_memory_equal(back, body, size);
    assert_memory_equal(erabi_connection_key(f->accepted), f->keys.client_public, 32);
    f->socket_count = 0;
    zmq_close(s);
    RUN_UNTIL(f, f->closed == f->opened);
    assert_int_equal(f->close_reason, ERAB_REASON_CLOSED_BY_PEER);
}

static inline void in_folder(struct fixture *f, char endpoint[64])
{
    char folder[] = "/tmp/erab-transport-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(endpoint, 64, "ipc://%s/s", folder);
}

static inline void drop_folder(char *endpoint)
{
    unlink(endpoint + 6);
    *strrchr(endpoint, '/') = '\0';
    rmdir(endpoint + 6);
}

#endif
