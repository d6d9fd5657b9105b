/* The outbox of a target and the breakers of its links. Nothing is connected here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "route/target.h"

static struct erabi_links *links;
static struct erabi_link *alder, *birch;
static struct erabi_target target, other;
static unsigned told, shed;
static bool opens;
static void left(void *user, struct erabi_delivery *delivery, enum erab_reason reason);

static int fresh(void **state)
{
    erabi_target_init(&target, NULL, ERAB_IF_R3, left, NULL);
    erabi_target_init(&other, NULL, ERAB_IF_NONE, left, NULL);
    told = shed = 0;
    opens = false;
    int r = erabi_links_new(&links, NULL, 0);
    alder = erabi_links_get(links, "hub", ERAB_IF_R3, "alder", 1);
    birch = erabi_links_get(links, "hub", ERAB_IF_R3, "birch", 1);
    return r;
}

static int end(void **state)
{
    erabi_target_deinit(&target);
    erabi_target_deinit(&other);
    erabi_links_free(links); /* asserts that nothing points at a link any more */
    return 0;
}

static void push(struct erabi_target *to, enum erab_type type, uint8_t id, struct erabi_link *link, uint64_t expires)
{
    struct erab_header header = {.type = type, .id = {id}, .from = "hub", .to = "alder", .expires_at_ms = expires};
    static const uint8_t bytes[4];
    struct erabi_envelope envelope = {.header = erabi_slice(bytes, 4), .body = erabi_slice(bytes, 4)};
    uint8_t hash[ERAB_HASH_SIZE] = {0};
    struct erabi_parcel *parcel = erabi_parcel_new(&header, &envelope, hash);
    assert_non_null(parcel);
    assert_int_equal(erabi_target_push_link(to, parcel, 7, id, ERABI_PUSH_CHECKED, link), 0);
    erabi_parcel_unref(parcel);
}

static void tell(void *user, struct erabi_delivery *delivery)
{
    told |= 1u << delivery->row;
}

static void take(struct erabi_link *link)
{
    struct erabi_deliveries taken = TAILQ_HEAD_INITIALIZER(taken);
    erabi_target_take_link(link, &taken);
    erabi_target_tell(&taken, tell, NULL);
}

static void a_link_is_taken_out_of_every_queue_and_nothing_else_is(void **state)
{
    push(&target, ERAB_DISPATCH, 1, alder, 100);
    push(&target, ERAB_DISPATCH, 2, birch, 100);
    push(&target, ERAB_OPT, 3, alder, 100);
    push(&target, ERAB_TELEMETRY, 4, alder, 100);
    push(&other, ERAB_OPT, 5, alder, 100);
    push(&other, ERAB_OPT, 6, NULL, 100);
    assert_int_equal(alder->users, 4);
    take(alder);
    assert_int_equal(told, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5);
    assert_int_equal(alder->users, 0);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].n + target.queues[ERABI_QUEUE_CONTROL].n + target.queues[ERABI_QUEUE_TELEMETRY].n, 1);
    assert_int_equal(other.queues[ERABI_QUEUE_CONTROL].n, 1);
    push(&target, ERAB_DISPATCH, 7, alder, 100); /* the queues hold together */
    push(&target, ERAB_DISPATCH, 8, birch, 100);
    take(birch);
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].n, 1);
}

static void left(void *user, struct erabi_delivery *delivery, enum erab_reason reason)
{
    shed += reason == ERAB_REASON_QUEUE_FULL;
    tell(user, delivery);
    if (opens && delivery->row == 1)
        take(alder);
}

static void a_link_may_open_while_an_expired_delivery_of_it_is_told(void **state)
{
    push(&target, ERAB_DISPATCH, 1, alder, 10);
    push(&target, ERAB_DISPATCH, 2, alder, 10);
    push(&target, ERAB_DISPATCH, 3, alder, 1000);
    push(&target, ERAB_DISPATCH, 4, birch, 10);
    opens = true;
    erabi_target_tick(&target, 50, 50);
    assert_int_equal(told, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4); /* each once and none left */
    assert_int_equal(target.queues[ERABI_QUEUE_COMMAND].n, 0);
    assert_int_equal(alder->users, 0);
}

static void what_was_answered_waits_for_its_link_no_more(void **state)
{
    static const uint8_t id[ERAB_ID_SIZE] = {1};
    push(&target, ERAB_DISPATCH, 1, alder, 100);
    push(&target, ERAB_DISPATCH, 2, alder, 100);
    int64_t row = 0;
    assert_int_equal(erabi_target_ack(&target, id, 7, NULL, &row), 1);
    assert_int_equal(row, 1);
    assert_int_equal(alder->users, 1);
    take(alder);
    assert_int_equal(told, 1 << 2);
}

static void telemetry_that_is_shed_waits_for_its_link_no_more(void **state)
{
    push(&target, ERAB_TELEMETRY, 1, alder, 100);
    while (shed == 0)
        push(&target, ERAB_TELEMETRY, 2, birch, 100);
    assert_int_equal(shed, 1);
    assert_int_equal(alder->users, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fresh, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_link_is_taken_out_of_every_queue_and_nothing_else_is),
        CASE(a_link_may_open_while_an_expired_delivery_of_it_is_told),
        CASE(what_was_answered_waits_for_its_link_no_more),
        CASE(telemetry_that_is_shed_waits_for_its_link_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
