/* A connection's life on a real loop: our own dialer, heartbeats, queues, pauses and the end. */
#include "transport_rig.h"

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
    return cmocka_run_group_tests_name("transport life", tests, NULL, NULL);
}
