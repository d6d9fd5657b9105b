/* The transport on a real loop: a stock libzmq DEALER, our own dialer, and bare sockets against it. */
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

static void on_stopped(void *user)
{
    struct fixture *f = user;
    f->stopped = true;
}

static enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t key[ERABI_KEY_SIZE],
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

static void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
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

static void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
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

static void on_turn(void *user)
{
    struct fixture *f = user;
    if (f->to_echo && f->accepted)
        erabi_connection_send(f->accepted, f->last, f->last_size);
    f->to_echo = false;
}

static void on_drained(void *user, struct erabi_connection *c)
{
    struct fixture *f = user;
    f->drained++;
}

static void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *event)
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

static void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *event)
{
    struct fixture *f = user;
    f->refused_events++;
    f->refused++;
    f->refuse_reason = event->reason;
    erabi_copy_text(f->refuse_detail, sizeof f->refuse_detail, event->detail);
}

static void on_guard(uv_timer_t *timer)
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

static void start(struct fixture *f, const struct erabi_transport_limits *limits, const char *endpoint)
{
    static const struct erabi_transport_callbacks callbacks = {on_key,     on_open,  on_packet,
                                                               on_drained, on_close, on_refused, on_turn};
    assert_int_equal(erabi_transport_new(&f->transport, &f->loop, limits, &callbacks, f), 0);
    assert_int_equal(erabi_transport_listen(f->transport, &f->listener, endpoint, f->keys.server_secret, f),
                     0);
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void *new_socket(struct fixture *f, int type)
{
    int zero = 0;
    void *s = zmq_socket(f->zmq, type);
    assert_non_null(s);
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
    f->sockets[f->socket_count++] = s;
    return s;
}

/* `beat`: how often it sends PINGs itself, 0: never. */
static void *dealer_with(struct fixture *f, int beat)
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

static void *dealer(struct fixture *f)
{
    return dealer_with(f, 50);
}

/* A bare TCP socket to the listener. */
static int bare(struct fixture *f)
{
    struct erabi_endpoint e;
    assert_int_equal(erabi_endpoint_parse(&e, erabi_listener_endpoint(f->listener)), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &e.at.any, sizeof e.at.v4), 0);
    return fd;
}

static void echo_with_libzmq(struct fixture *f, size_t size)
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

static void libzmq_client_is_echoed_over_tcp(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    echo_with_libzmq(f, 200);
}

static void what_is_sent_at_the_end_of_a_turn_is_written(void **state)
{
    struct fixture *f = *state;
    f->echo_at_turn = true;
    start(f, NULL, "tcp://127.0.0.1:0");
    echo_with_libzmq(f, 200);
}

static void libzmq_client_is_echoed_over_ipv6(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://[::1]:0");
    echo_with_libzmq(f, 200);
}

static void libzmq_client_is_echoed_with_the_largest_packet(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    echo_with_libzmq(f, ERABI_PACKET_MAX);
}

static void in_folder(struct fixture *f, char endpoint[64])
{
    char folder[] = "/tmp/erab-transport-XXXXXX";
    assert_non_null(mkdtemp(folder));
    snprintf(endpoint, 64, "ipc://%s/s", folder);
}

static void drop_folder(char *endpoint)
{
    unlink(endpoint + 6);
    *strrchr(endpoint, '/') = '\0';
    rmdir(endpoint + 6);
}

static void libzmq_client_is_echoed_over_ipc_with_mode_0600(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char endpoint[64];
    in_folder(f, endpoint);
    start(f, NULL, endpoint);
    assert_int_equal(stat(endpoint + 6, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    echo_with_libzmq(f, 200);
    drop_folder(endpoint);
}

static void stale_socket_file_is_replaced_and_a_live_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct erabi_listener *second;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char endpoint[64];
    in_folder(f, endpoint);
    erabi_copy_text(at.sun_path, sizeof at.sun_path, endpoint + 6);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
    start(f, NULL, endpoint);
    assert_int_equal(erabi_transport_listen(f->transport, &second, endpoint, f->keys.server_secret, f),
                     -EADDRINUSE);
    drop_folder(endpoint);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct erabi_listener *second;
    char endpoint[] = "ipc:///tmp/erab-file-XXXXXX";
    int fd = mkstemp(endpoint + 6);
    assert_true(fd >= 0);
    close(fd);
    start(f, NULL, "tcp://127.0.0.1:0");
    assert_int_equal(erabi_transport_listen(f->transport, &second, endpoint, f->keys.server_secret, f),
                     -EADDRINUSE);
    assert_int_equal(unlink(endpoint + 6), 0);
}

static void bound_port_is_not_bound_twice(void **state)
{
    struct fixture *f = *state;
    struct erabi_listener *second;
    start(f, NULL, "tcp://127.0.0.1:0");
    assert_int_equal(erabi_transport_listen(f->transport, &second, erabi_listener_endpoint(f->listener),
                                            f->keys.server_secret, f),
                     -EADDRINUSE);
}

static void malformed_endpoints_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",          "tcp://",          "tcp://127.0.0.1",     "tcp://127.0.0.1:",
        "tcp://x:1", "tcp://1.2.3.4:x", "tcp://1.2.3.4:65536", "tcp://*:1",
        "ipc://rel", "udp://1.2.3.4:1", "tcp://::1:5",         "tcp://[::1:5"};
    struct erabi_endpoint e;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_true(erabi_endpoint_parse(&e, wrong[i]) < 0);
}

static void cut_client_is_gone_at_once_and_returns(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->cut_on_packet = true;
    void *s = dealer(f);
    zmq_send(s, "a", 1, 0);
    RUN_UNTIL(f, f->closed == 1);
    assert_int_equal(f->close_reason, ERAB_REASON_BREAKER_OPEN);
    RUN_UNTIL(f, f->opened == 2);
}

static void cut_closes_the_descriptor_within_the_call(void **state)
{
    struct fixture *f = *state;
    uv_os_fd_t fd;
    start(f, NULL, "tcp://127.0.0.1:0");
    dealer(f);
    RUN_UNTIL(f, f->opened == 1);
    assert_int_equal(uv_fileno(&f->accepted->io.handle, &fd), 0);
    erabi_connection_send(f->accepted, f->last, 1000);
    f->in_cut = true;
    erabi_connection_cut(f->accepted, ERAB_REASON_REVOKED);
    erabi_connection_cut(f->accepted, ERAB_REASON_REPLACED); /* twice does nothing */
    f->in_cut = false;
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(erabi_connection_send(f->accepted, f->last, 1), -EPIPE);
    RUN_UNTIL(f, f->closed == 1);
    assert_int_equal(f->close_reason, ERAB_REASON_REVOKED);
}

static void cut_resets_instead_of_sending_what_the_kernel_holds(void **state)
{
    struct fixture *f = *state;
    uv_os_fd_t fd;
    int error = 0;
    socklen_t size = sizeof error;
    start(f, NULL, "tcp://127.0.0.1:0");
    assert_int_equal(erabi_transport_dial(f->transport, &f->dialer, erabi_listener_endpoint(f->listener),
                                          f->keys.server_public, f->keys.client_secret, NULL),
                     0);
    RUN_UNTIL(f, f->opened == 2);
    assert_int_equal(uv_fileno(&f->dialled->io.handle, &fd), 0);
    erabi_connection_cut(f->accepted, ERAB_REASON_REVOKED);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    assert_int_equal(error, ECONNRESET);
}

static void unknown_key_makes_a_libzmq_client_stop(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->verdict = ERABI_REFUSE;
    void *s = dealer(f);
    void *monitor = new_socket(f, ZMQ_PAIR);
    zmq_socket_monitor(s, "inproc://monitor", ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zmq_connect(monitor, "inproc://monitor");
    uint8_t event[6];
    RUN_UNTIL(f, f->refused == 1 && zmq_recv(monitor, event, sizeof event, ZMQ_DONTWAIT) == 6);
    assert_int_equal(event[2] | event[3] << 8, 400);
    assert_int_equal(f->refuse_reason, ERAB_REASON_UNKNOWN_KEY);
    assert_int_equal(f->keys_seen, 1);
}

static void client_put_off_returns_by_itself(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->put_off = 2;
    dealer(f);
    RUN_UNTIL(f, f->opened == 1);
    assert_int_equal(f->keys_seen, 3);
    assert_int_equal(f->refused, 2);
}

static void handshake_that_dawdles_is_ended(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.handshake_ms = 50};
    start(f, &limits, "tcp://127.0.0.1:0");
    int fd = bare(f);
    RUN_UNTIL(f, f->refused == 1);
    assert_int_equal(f->refuse_reason, ERAB_REASON_HANDSHAKE_TIMEOUT);
    close(fd);
}

static void peer_that_is_no_zmtp_is_ended_at_once(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    int fd = bare(f);
    assert_int_equal(send(fd, "GET / HTTP/1.1\r\n", 16, 0), 16);
    RUN_UNTIL(f, f->refused == 1);
    assert_int_equal(f->refuse_reason, ERAB_REASON_WRONG_VERSION);
    close(fd);
}

static void connect_with_mechanism(struct fixture *f, int username_option)
{
    void *s = new_socket(f, ZMQ_DEALER);
    if (username_option)
        assert_int_equal(zmq_setsockopt(s, username_option, "name", 4), 0);
    assert_int_equal(zmq_connect(s, erabi_listener_endpoint(f->listener)), 0);
}

/* libzmq closes as soon as it reads that our mechanism is not its own: the reason must be known before. */
static void assert_wrong_mechanism(struct fixture *f, int username_option)
{
    start(f, NULL, "tcp://127.0.0.1:0");
    connect_with_mechanism(f, username_option);
    RUN_UNTIL(f, f->refused > 0);
    assert_int_equal(f->refuse_reason, ERAB_REASON_WRONG_MECHANISM);
    assert_string_equal(f->refuse_detail, "greeting: mechanism is not CURVE");
    assert_int_equal(f->keys_seen, 0);
    assert_int_equal(f->opened, 0);
}

static void libzmq_client_without_security_is_refused_as_wrong_mechanism(void **state)
{
    assert_wrong_mechanism(*state, 0);
}

static void libzmq_client_with_a_password_is_refused_as_wrong_mechanism(void **state)
{
    assert_wrong_mechanism(*state, ZMQ_PLAIN_USERNAME);
}

static void one_source_may_have_so_many_handshakes_only(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.connections_per_source = 2};
    start(f, &limits, "tcp://127.0.0.1:0");
    int fds[3] = {bare(f), bare(f), bare(f)};
    RUN_UNTIL(f, f->refused == 1);
    assert_string_equal(f->refuse_detail, "limit of the source address");
    for (unsigned i = 0; i < 3; i++)
        close(fds[i]);
    RUN_UNTIL(f, f->refused == 3);
}

static void handshake_rate_of_a_source_is_limited(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.handshakes_per_second = 1};
    start(f, &limits, "tcp://127.0.0.1:0");
    int a = bare(f), b = bare(f);
    RUN_UNTIL(f, f->refused == 1);
    assert_int_equal(f->refuse_reason, ERAB_REASON_CONNECTION_LIMIT);
    close(a);
    close(b);
}

static void connections_in_all_are_limited(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.connections = 1};
    start(f, &limits, "tcp://127.0.0.1:0");
    int a = bare(f), b = bare(f);
    RUN_UNTIL(f, f->refused == 1);
    assert_string_equal(f->refuse_detail, "limit of all connections");
    close(a);
    close(b);
}

static void many_refusals_are_told_as_a_number(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.connections_per_source = 1};
    struct erabi_transport_stats stats;
    start(f, &limits, "tcp://127.0.0.1:0");
    int fds[31];
    for (unsigned i = 0; i < 31; i++)
        fds[i] = bare(f);
    RUN_UNTIL(f, f->refused_events == 21);
    assert_string_equal(f->refuse_detail, "and 10 more");
    erabi_transport_stats(f->transport, &stats);
    assert_int_equal(stats.refused, 30);
    for (unsigned i = 0; i < 31; i++)
        close(fds[i]);
}

static void accepting_waits_while_descriptors_are_short(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->transport->descriptors = 2; /* as if all above were in use */
    int fd = bare(f);
    RUN_UNTIL(f, f->refused == 1);
    assert_string_equal(f->refuse_detail, "descriptors are short");
    dealer(f);
    RUN_UNTIL(f, f->listener->held);
    assert_int_equal(f->opened, 0);
    f->transport->descriptors = INT32_MAX;
    RUN_UNTIL(f, f->opened == 1);
    close(fd);
}

static void old_connection_is_closed_in_order_and_returns(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.connection_age_s = 1};
    start(f, &limits, "tcp://127.0.0.1:0");
    dealer(f);
    RUN_UNTIL(f, f->closed == 1);
    assert_int_equal(f->close_reason, ERAB_REASON_AGE_LIMIT);
    RUN_UNTIL(f, f->opened == 2);
}

/* ---- the dialer, against our own listener ---- */

static void dial(struct fixture *f)
{
    assert_int_equal(erabi_transport_dial(f->transport, &f->dialer, erabi_listener_endpoint(f->listener),
                                          f->keys.server_public, f->keys.client_secret, &f->keys),
                     0);
    assert_ptr_equal(erabi_dialer_tag(f->dialer), &f->keys);
}

static void dialer_connects_and_is_echoed(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    assert_memory_equal(erabi_connection_key(f->dialled), f->keys.server_public, 32);
    assert_int_equal(erabi_connection_send(f->dialled, (const uint8_t *)"hello", 5), 0);
    RUN_UNTIL(f, f->packets == 2);
    assert_memory_equal(f->last, "hello", 5);
}

static void dialer_connects_over_ipc(void **state)
{
    struct fixture *f = *state;
    char endpoint[64];
    in_folder(f, endpoint);
    start(f, NULL, endpoint);
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    assert_string_equal(erabi_connection_address(f->dialled), "local");
    erabi_connection_send(f->dialled, (const uint8_t *)"hello", 5);
    RUN_UNTIL(f, f->packets == 2);
    drop_folder(endpoint);
}

static void dialer_keeps_trying_while_nobody_listens(void **state)
{
    struct fixture *f = *state;
    struct erabi_dialer *d;
    start(f, NULL, "tcp://127.0.0.1:0");
    assert_int_equal(erabi_transport_dial(f->transport, &d, "ipc:///nonexistent/socket",
                                          f->keys.server_public, f->keys.client_secret, NULL),
                     0);
    RUN_UNTIL(f, f->refused == 3);
    assert_int_equal(f->refuse_reason, ERAB_REASON_IO_ERROR);
    assert_true(d->backoff_ms >= 400);
}

static void connection_may_be_cut_from_on_open(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->cut_on_open = true;
    dealer(f);
    RUN_UNTIL(f, f->closed == 2);
    assert_int_equal(f->packets, 0);
}

static void transport_may_be_stopped_from_a_callback(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->stop_on_key = true;
    dealer(f);
    RUN_UNTIL(f, f->stopped);
    f->transport = NULL;
    assert_int_equal(f->opened, 0);
}

static void dialer_returns_after_a_cut(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    erabi_connection_cut(f->accepted, ERAB_REASON_REPLACED);
    RUN_UNTIL(f, f->opened == 4);
}

static void dialer_is_told_of_error_400_and_tries_again(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->verdict = ERABI_REFUSE;
    dial(f);
    RUN_UNTIL(f, f->refused == 2);
    assert_int_equal(f->refuse_reason, ERAB_REASON_UNKNOWN_KEY);
    f->verdict = ERABI_ADMIT;
    RUN_UNTIL(f, f->opened == 2);
}

static void silent_peer_is_given_up(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.heartbeat_ms = 1000000, .heartbeat_timeout_ms = 100};
    start(f, &limits, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->closed >= 1);
    assert_int_equal(f->close_reason, ERAB_REASON_HEARTBEAT_LOST);
}

static void heartbeats_keep_an_idle_link(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.heartbeat_ms = 20, .heartbeat_timeout_ms = 400};
    struct erabi_transport_stats stats;
    start(f, &limits, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    uint64_t begin = uv_now(&f->loop);
    RUN_UNTIL(f, uv_now(&f->loop) - begin > 1000);
    erabi_transport_stats(f->transport, &stats);
    assert_int_equal(f->closed, 0);
    assert_int_equal(stats.connections, 2);
    assert_int_equal(stats.packets_in, 0);
}

/* It has nothing to say, so only its answers to PINGs show that it lives; packets to it are no reason to send none. */
static void one_that_only_listens_is_kept_while_it_is_sent_packets(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.heartbeat_ms = 150, .heartbeat_timeout_ms = 500};
    static const uint8_t packet[100];
    f->echo = false;
    start(f, &limits, "tcp://127.0.0.1:0");
    dealer_with(f, 0);
    RUN_UNTIL(f, f->opened == 1);
    uint64_t begin = uv_now(&f->loop), last = begin;
    while (uv_now(&f->loop) - begin < 1200 && f->closed == 0) {
        uint64_t before = last;
        RUN_UNTIL(f, uv_now(&f->loop) - before >= 5 || f->closed);
        last = uv_now(&f->loop);
        if (!f->closed)
            erabi_connection_send(f->accepted, packet, sizeof(packet));
    }
    assert_int_equal(f->closed, 0);
}

static int waiting_in_kernel(const struct erabi_connection *c)
{
    uv_os_fd_t fd;
    int n = 0;
    return uv_fileno(&c->io.handle, &fd) == 0 && ioctl(fd, FIONREAD, &n) == 0 ? n : 0;
}

static void a_flood_in_the_background_keeps_the_turns_short(void **state)
{
    struct fixture *f = *state;
    static const uint8_t packet[8000];
    struct erabi_transport_stats stats;
    f->echo = false;
    start(f, NULL, "tcp://127.0.0.1:0");
    for (int i = 0; i < 8; i++)
        dealer(f);
    RUN_UNTIL(f, f->opened == 8);
    for (int i = 0; i < 8; i++) {
        erabi_connection_background(f->all[i], true);
        for (int k = 0; k < 8; k++)
            zmq_send(f->sockets[i], packet, sizeof(packet), 0);
    }
    for (int i = 0; i < 8; i++)
        for (int tries = 0; waiting_in_kernel(f->all[i]) < ERABI_INPUT_SIZE && tries < 10000; tries++)
            poll(NULL, 0, 1);
    uint64_t before, most = 0;
    erabi_transport_stats(f->transport, &stats);
    for (unsigned turn = 0; turn < 20; turn++) {
        before = stats.bytes_in;
        uv_run(&f->loop, UV_RUN_NOWAIT);
        erabi_transport_stats(f->transport, &stats);
        most = stats.bytes_in - before > most ? stats.bytes_in - before : most;
    }
    assert_true(most <= ERABI_BACKGROUND_SIZE + ERABI_INPUT_SIZE);
    RUN_UNTIL(f, f->packets == 64);
}

static void full_queue_refuses_and_tells_when_it_is_empty(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.send_bytes = 200000, .kernel_window = 4096};
    static const uint8_t packet[50000];
    f->echo = false;
    start(f, &limits, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    assert_int_equal(erabi_connection_queued(f->dialled), 0);
    unsigned before = f->drained, sent = 0;
    while (erabi_connection_send(f->dialled, packet, sizeof packet) == 0)
        sent++;
    assert_int_equal(sent, 3);
    assert_true(erabi_connection_queued(f->dialled) > 150000);
    assert_int_equal(erabi_connection_send(f->dialled, packet, sizeof packet), -EAGAIN);
    RUN_UNTIL(f, f->drained > before && f->packets == 3);
    assert_int_equal(erabi_connection_queued(f->dialled), 0);
}

static void packets_of_wrong_size_are_not_sent(void **state)
{
    struct fixture *f = *state;
    static const uint8_t packet[ERABI_PACKET_MAX + 1];
    start(f, NULL, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    assert_int_equal(erabi_connection_send(f->dialled, packet, sizeof packet), -EMSGSIZE);
    assert_int_equal(erabi_connection_send(f->dialled, packet, 0), -EMSGSIZE);
}

static void paused_connection_reads_only_after_resume(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    f->echo = false;
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    erabi_connection_pause(f->accepted, true);
    erabi_connection_send(f->dialled, (const uint8_t *)"later", 5);
    RUN_UNTIL(f, f->drained > 0 && erabi_connection_queued(f->dialled) == 0);
    for (unsigned i = 0; i < 20; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->packets, 0);
    erabi_connection_pause(f->accepted, false);
    RUN_UNTIL(f, f->packets == 1);
}

static void byte_rate_makes_reading_wait_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    const struct erabi_transport_limits limits = {.bytes_per_second = 100000};
    static const uint8_t packet[60000];
    start(f, &limits, "tcp://127.0.0.1:0");
    f->echo = false;
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(erabi_connection_send(f->dialled, packet, sizeof packet), 0);
    RUN_UNTIL(f, f->accepted->throttled);
    RUN_UNTIL(f, f->packets == 5);
    assert_int_equal(f->closed, 0);
}

static void stop_closes_everything_with_shutdown(void **state)
{
    struct fixture *f = *state;
    start(f, NULL, "tcp://127.0.0.1:0");
    dial(f);
    RUN_UNTIL(f, f->opened == 2);
    erabi_transport_stop(f->transport, on_stopped, f);
    f->transport = NULL;
    RUN_UNTIL(f, f->stopped);
    assert_int_equal(f->closed, 2);
    assert_int_equal(f->close_reason, ERAB_REASON_SHUTDOWN);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(libzmq_client_is_echoed_over_tcp),
        T(what_is_sent_at_the_end_of_a_turn_is_written),
        T(libzmq_client_is_echoed_over_ipv6),
        T(libzmq_client_is_echoed_with_the_largest_packet),
        T(libzmq_client_is_echoed_over_ipc_with_mode_0600),
        T(stale_socket_file_is_replaced_and_a_live_one_is_not),
        T(file_that_is_no_socket_is_left_alone),
        T(bound_port_is_not_bound_twice),
        T(malformed_endpoints_are_refused),
        T(cut_client_is_gone_at_once_and_returns),
        T(cut_closes_the_descriptor_within_the_call),
        T(cut_resets_instead_of_sending_what_the_kernel_holds),
        T(unknown_key_makes_a_libzmq_client_stop),
        T(client_put_off_returns_by_itself),
        T(handshake_that_dawdles_is_ended),
        T(peer_that_is_no_zmtp_is_ended_at_once),
        T(libzmq_client_without_security_is_refused_as_wrong_mechanism),
        T(libzmq_client_with_a_password_is_refused_as_wrong_mechanism),
        T(one_source_may_have_so_many_handshakes_only),
        T(handshake_rate_of_a_source_is_limited),
        T(connections_in_all_are_limited),
        T(many_refusals_are_told_as_a_number),
        T(accepting_waits_while_descriptors_are_short),
        T(old_connection_is_closed_in_order_and_returns),
        T(dialer_connects_and_is_echoed),
        T(dialer_connects_over_ipc),
        T(dialer_keeps_trying_while_nobody_listens),
        T(connection_may_be_cut_from_on_open),
        T(transport_may_be_stopped_from_a_callback),
        T(dialer_returns_after_a_cut),
        T(dialer_is_told_of_error_400_and_tries_again),
        T(silent_peer_is_given_up),
        T(heartbeats_keep_an_idle_link),
        T(a_flood_in_the_background_keeps_the_turns_short),
        T(one_that_only_listens_is_kept_while_it_is_sent_packets),
        T(full_queue_refuses_and_tells_when_it_is_empty),
        T(packets_of_wrong_size_are_not_sent),
        T(paused_connection_reads_only_after_resume),
        T(byte_rate_makes_reading_wait_and_loses_nothing),
        T(stop_closes_everything_with_shutdown),
    };
    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
