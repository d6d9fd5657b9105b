/* What changes while the transport runs: server keys, listeners, dialled connections, the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "transport/internal.h"

struct pair {
    uint8_t public_key[32], secret[32];
};

static struct fixture {
    uv_loop_t loop;
    uv_timer_t guard;
    struct erabi_transport *transport;
    struct erabi_listener *listener;
    struct pair server, next, client;
    unsigned opened, closed, refused;
    struct erabi_connection *accepted, *dialled;
    enum erab_reason close_reason;
    char refuse_detail[64];
    bool stopped, timed_out;
} f;

static enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t *key, const char *address,
                                   enum erab_reason *reason)
{
    return ERABI_ADMIT;
}

static void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
{
    *(l ? &f.accepted : &f.dialled) = c;
    f.opened++;
}

static void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
{
}

static void on_drained(void *user, struct erabi_connection *c)
{
}

static void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *event)
{
    f.closed++;
    f.close_reason = event->reason;
    if (c == f.accepted)
        f.accepted = NULL;
    if (c == f.dialled)
        f.dialled = NULL;
}

static void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *event)
{
    f.refused++;
    erabi_copy_text(f.refuse_detail, sizeof(f.refuse_detail), event->detail);
}

static void on_stopped(void *user)
{
    f.stopped = true;
}

static void on_guard(uv_timer_t *timer)
{
    f.timed_out = true;
}

/* Runs the loop until the condition holds; the guard ends a test that has failed already. */
#define RUN_UNTIL(condition)                                \
    do {                                                    \
        f.timed_out = false;                                \
        uv_timer_start(&f.guard, on_guard, 10000, 0);       \
        while (!(condition) && !f.timed_out)                \
            uv_run(&f.loop, UV_RUN_ONCE);                   \
        uv_timer_stop(&f.guard);                            \
        if (!(condition))                                   \
            fail_msg("never so: %s", #condition);           \
    } while (0)

static int setup(void **state)
{
    static const struct erabi_transport_callbacks callbacks = {on_key,     on_open,  on_packet,
                                                               on_drained, on_close, on_refused};
    f = (struct fixture){0};
    struct pair *pairs[] = {&f.server, &f.next, &f.client};
    for (int i = 0; i < 3; i++)
        crypto_box_keypair(pairs[i]->public_key, pairs[i]->secret);
    uv_loop_init(&f.loop);
    uv_timer_init(&f.loop, &f.guard);
    return erabi_transport_new(&f.transport, &f.loop, NULL, &callbacks, NULL) ||
           erabi_transport_listen(f.transport, &f.listener, "tcp://127.0.0.1:0", f.server.secret, NULL);
}

static int teardown(void **state)
{
    erabi_transport_stop(f.transport, on_stopped, NULL);
    RUN_UNTIL(f.stopped);
    assert_int_equal(f.opened, f.closed);
    uv_close((uv_handle_t *)&f.guard, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&f.loop);
}

static struct erabi_dialer *dial(const struct pair *server)
{
    struct erabi_dialer *d;
    assert_int_equal(erabi_transport_dial(f.transport, &d, erabi_listener_endpoint(f.listener), server->public_key,
                                          f.client.secret, NULL),
                     0);
    return d;
}

static void a_second_server_key_holds_beside_the_first(void **state)
{
    assert_int_equal(erabi_listener_next_key(f.listener, f.next.secret), 0);
    assert_int_equal(erabi_listener_next_key(f.listener, f.next.secret), -EEXIST);
    dial(&f.server);
    RUN_UNTIL(f.opened == 2);
    dial(&f.next);
    RUN_UNTIL(f.opened == 4);
}

static void the_first_key_is_refused_once_it_is_retired(void **state)
{
    erabi_listener_retire_key(f.listener); /* there is no second one: nothing changes */
    assert_int_equal(erabi_listener_next_key(f.listener, f.next.secret), 0);
    erabi_listener_retire_key(f.listener);
    dial(&f.server);
    RUN_UNTIL(f.refused > 0);
    assert_int_equal(f.opened, 0);
    dial(&f.next);
    RUN_UNTIL(f.opened == 2);
}

static void a_dialer_follows_to_the_new_key(void **state)
{
    struct erabi_dialer *d = dial(&f.server);
    RUN_UNTIL(f.opened == 2);
    assert_int_equal(erabi_listener_next_key(f.listener, f.next.secret), 0);
    erabi_listener_retire_key(f.listener);
    assert_int_equal(f.closed, 0); /* what is up stays */
    erabi_dialer_follow(d, f.next.public_key, f.client.secret);
    erabi_connection_cut(f.dialled, ERAB_REASON_REPLACED);
    RUN_UNTIL(f.opened == 4);
}

static void a_closed_listener_ends_handshakes_and_leaves_connections(void **state)
{
    struct erabi_transport_stats stats;
    struct erabi_endpoint e;
    dial(&f.server);
    RUN_UNTIL(f.opened == 2);
    assert_int_equal(erabi_endpoint_parse(&e, erabi_listener_endpoint(f.listener)), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &e.at.any, sizeof(e.at.v4)), 0);
    RUN_UNTIL((erabi_transport_stats(f.transport, &stats), stats.handshaking == 1));
    erabi_transport_unlisten(f.transport, f.listener, ERAB_REASON_BREAKER_OPEN);
    RUN_UNTIL(f.refused == 1);
    assert_string_equal(f.refuse_detail, "the listener closes");
    assert_int_equal(f.closed, 0);
    int again = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(again, &e.at.any, sizeof(e.at.v4)), -1);
    close(again);
    close(fd);
    erabi_connection_cut(f.accepted, ERAB_REASON_BREAKER_OPEN);
    RUN_UNTIL(LIST_EMPTY(&f.transport->listeners)); /* freed with the last connection that came by it */
}

static void what_is_not_dialled_any_more_is_cut_and_does_not_return(void **state)
{
    struct erabi_dialer *d = dial(&f.server);
    RUN_UNTIL(f.opened == 2);
    erabi_transport_undial(f.transport, d, ERAB_REASON_BREAKER_OPEN);
    RUN_UNTIL(f.closed == 2);
    RUN_UNTIL(LIST_EMPTY(&f.transport->dialers));
}

static void a_lower_limit_is_for_new_connections(void **state)
{
    dial(&f.server);
    RUN_UNTIL(f.opened == 2);
    erabi_transport_limit(f.transport, 2);
    dial(&f.server);
    RUN_UNTIL(f.refused > 0);
    assert_int_equal(f.closed, 0);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_server_key_holds_beside_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_key_is_refused_once_it_is_retired, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dialer_follows_to_the_new_key, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_listener_ends_handshakes_and_leaves_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_dialled_any_more_is_cut_and_does_not_return, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lower_limit_is_for_new_connections, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
