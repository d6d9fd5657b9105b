/* The listener on a real loop: stock libzmq DEALERs and bare sockets against it; who gets in and how it ends. */
#include "transport_rig.h"

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
    };
    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
