/* The last questions before a message leaves, over a real connection: its breaker's, its policies'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "route/target.h"

static uv_loop_t loop;
static struct erabi_transport *transport;
static struct erabi_listener *listener;
static struct erabi_dialer *dialer;
static struct erabi_connection *accepted;
static struct erabi_links *links;
static struct erabi_link *alder, *birch;
static struct erabi_target target;
static unsigned denied, arrived, open_ends, asked, refused, came[32];
static bool asks;

static enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason)
{
    return ERABI_ADMIT;
}

static void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
{
    open_ends++;
    if (l)
        accepted = c;
}

/* The other end: which messages have come. */
static void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    enum erab_lane_group group;
    size_t n;
    assert_int_equal(erabi_packet_read(erabi_slice(packet, size), &group, envelopes, &n), 0);
    for (size_t i = 0; i < n; i++) {
        arrived |= 1u << envelopes[i].body.data[0];
        came[envelopes[i].body.data[0]]++;
    }
}

static void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *event)
{
}

static void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *event)
{
}

static void on_denied(void *user, struct erabi_delivery *delivery)
{
    denied |= 1u << delivery->row;
}

static void on_answered(void *user, struct erabi_delivery *delivery)
{
}

static bool on_asks(void *user)
{
    return asks;
}

/* The test's policy: nothing with an odd number. */
static bool on_leaves(void *user, struct erabi_delivery *delivery)
{
    asked++;
    if (delivery->row % 2 == 0)
        return true;
    delivery->refusal = malloc(8); /* freed with it */
    return false;
}

static void on_refused_by_policy(void *user, struct erabi_delivery *delivery)
{
    assert_non_null(delivery->refusal);
    refused |= 1u << delivery->row;
}

static int connect_ends(void **state)
{
    static const struct erabi_transport_callbacks callbacks = {on_key, on_open, on_packet, NULL, on_close, on_refused};
    static const struct erabi_target_gate gate = {
        NULL, on_denied, on_answered, on_asks, on_leaves, on_refused_by_policy};
    denied = arrived = open_ends = asked = refused = 0;
    memset(came, 0, sizeof(came));
    asks = false;
    uint8_t server[32], server_secret[32], client[32], client_secret[32];
    crypto_box_keypair(server, server_secret);
    crypto_box_keypair(client, client_secret);
    uv_loop_init(&loop);
    erabi_target_init(&target, NULL, ERAB_IF_R3, NULL, NULL);
    target.gate = &gate;
    int r = erabi_links_new(&links, NULL, 0);
    alder = erabi_links_get(links, "hub", ERAB_IF_R3, "alder", 1);
    birch = erabi_links_get(links, "hub", ERAB_IF_R3, "birch", 1);
    if (r == 0)
        r = erabi_transport_new(&transport, &loop, NULL, &callbacks, NULL);
    if (r == 0)
        r = erabi_transport_listen(transport, &listener, "tcp://127.0.0.1:0", server_secret, NULL);
    if (r == 0)
        r = erabi_transport_dial(transport, &dialer, erabi_listener_endpoint(listener), server, client_secret, NULL);
    while (r == 0 && open_ends < 2)
        uv_run(&loop, UV_RUN_ONCE);
    return r;
}

static int end(void **state)
{
    erabi_transport_stop(transport, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    erabi_target_deinit(&target);
    erabi_links_free(links);
    return uv_loop_close(&loop);
}

static void push_sized(enum erab_type type, uint8_t number, struct erabi_link *link, size_t size)
{
    static uint8_t body[60000];
    body[0] = number;
    struct erab_header header = {.type = type, .from = "hub", .to = "alder", .seq = 1, .version = 1,
                                 .category = ERAB_OPERATION, .issued_at_ms = 1, .expires_at_ms = 100};
    erab_id_new(header.id, 1);
    uint8_t bytes[ERAB_HEADER_MAX], hash[ERAB_HASH_SIZE] = {0};
    struct erabi_envelope envelope = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                                      .body = erabi_slice(body, size)};
    struct erabi_parcel *parcel = erabi_parcel_new(&header, &envelope, hash);
    assert_non_null(parcel);
    assert_int_equal(erabi_target_push_link(&target, parcel, 7, number, ERABI_PUSH_CHECKED, link), 0);
    erabi_parcel_unref(parcel);
}

static void push(enum erab_type type, uint8_t number, struct erabi_link *link)
{
    push_sized(type, number, link, 1);
}

static void what_is_queued_for_an_open_link_is_told_and_never_sent(void **state)
{
    push(ERAB_DISPATCH, 1, alder);
    push(ERAB_DISPATCH, 2, birch);
    push(ERAB_OPT, 3, alder);
    push(ERAB_BREAKER_NOTICE, 4, alder);
    push(ERAB_RECEIPT, 5, NULL);
    push(ERAB_OPT, 6, birch);
    erabi_links_trip(links, alder, 1);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, accepted);
    erabi_target_pump(&target, 1, 1);
    assert_int_equal(denied, 1 << 1 | 1 << 3);
    while (!(arrived & 1 << 6)) /* the last one in order */
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(arrived, 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6);
    assert_int_equal(alder->users, 1); /* the notice, until it is answered */
}

static void what_policies_let_go_leaves_and_the_rest_is_told(void **state)
{
    asks = true;
    push(ERAB_DISPATCH, 1, alder);
    push(ERAB_DISPATCH, 2, birch);
    push(ERAB_OPT, 3, alder);
    push(ERAB_RECEIPT, 5, alder);  /* nobody asks about receipts */
    push(ERAB_OPT, 7, NULL);       /* the broker's own: over no link */
    push(ERAB_OPT, 6, birch);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, accepted);
    erabi_target_pump(&target, 1, 1);
    assert_int_equal(refused, 1 << 1 | 1 << 3);
    assert_int_equal(asked, 4);
    while (!(arrived & 1 << 6))
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(arrived, 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7);
    assert_int_equal(alder->users, 1); /* the receipt, until it is told */
}

static void nobody_is_asked_where_no_policy_wants_it(void **state)
{
    push(ERAB_DISPATCH, 1, alder);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, accepted);
    erabi_target_pump(&target, 1, 1);
    assert_int_equal(asked, 0);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].n, 1);
}

static void what_may_have_arrived_is_not_refused_any_more(void **state)
{
    push(ERAB_DISPATCH, 1, alder);
    erabi_target_bind(&target, ERAB_LANES_COMMAND, accepted);
    erabi_target_pump(&target, 1, 1);
    asks = true; /* a reload */
    erabi_target_tick(&target, ERABI_TARGET_RETRY_MS + 2, 1);
    while (came[1] < 2 && !refused)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(asked, 0);
    assert_int_equal(refused, 0);
}

/* Beyond what the connection takes at once they wait here, and none of them leaves a second time. */
static void a_busy_connection_is_sent_nothing_twice(void **state)
{
    erabi_target_bind(&target, ERAB_LANES_TELEMETRY, accepted);
    for (uint8_t i = 0; i < 12; i++)
        push_sized(ERAB_TELEMETRY, i, alder, 40000);
    while (target.queues[ERABI_QUEUE_TELEMETRY].n) {
        erabi_target_pump(&target, 1, 1);
        uv_run(&loop, UV_RUN_ONCE);
    }
    while (!came[11])
        uv_run(&loop, UV_RUN_ONCE);
    for (uint8_t i = 0; i < 12; i++)
        assert_int_equal(came[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_queued_for_an_open_link_is_told_and_never_sent, connect_ends, end),
        cmocka_unit_test_setup_teardown(what_policies_let_go_leaves_and_the_rest_is_told, connect_ends, end),
        cmocka_unit_test_setup_teardown(nobody_is_asked_where_no_policy_wants_it, connect_ends, end),
        cmocka_unit_test_setup_teardown(what_may_have_arrived_is_not_refused_any_more, connect_ends, end),
        cmocka_unit_test_setup_teardown(a_busy_connection_is_sent_nothing_twice, connect_ends, end),
    };
    return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
