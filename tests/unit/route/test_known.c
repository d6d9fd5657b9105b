/* Replay marks and live parents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cursor.h"
#include "route/known.h"

#define NOW 1000000u

static struct erab_header order(enum erab_type type, uint8_t id)
{
    struct erab_header header = {.type = type, .expires_at_ms = NOW + 1000, .from = "coordinator", .to = "alder"};
    header.id[15] = id;
    return header;
}

/* A Dispatch that alder has received, and a message of alder that names it. */
static struct erabi_known *taken(struct erabi_known_table *table, struct erab_header *child)
{
    struct erab_header header = order(ERAB_DISPATCH, 1);
    uint8_t hash[ERAB_HASH_SIZE] = {7};
    struct erabi_known *known = erabi_known_add(table, &header, hash);
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    body.order = (char *)(uintptr_t)"o-1";
    body.start_ms = NOW;
    body.end_ms = NOW + 60000;
    erabi_known_order(known, &body.base);
    known->state = ERAB_ACCEPTED;
    *child = (struct erab_header){.type = ERAB_DEVICE_COMMAND, .from = "alder", .to = "h0001.gw", .has_parent = true};
    erabi_copy_bytes(child->parent_hash, hash, sizeof(hash));
    return known;
}

static void a_live_order_is_a_parent(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_NONE);
    erabi_known_deinit(&table);
}

static void an_order_that_is_over_is_none(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    assert_int_equal(erabi_known_parent(known, &child, false, NOW + 60000), ERAB_REASON_PARENT_ENDED);
    assert_int_equal(erabi_known_parent(known, &child, true, NOW + 60000), ERAB_REASON_NONE);
    erabi_known_deinit(&table);
}

static void a_cancelled_order_is_none(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    known->cancelled = true;
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_PARENT_ENDED);
    assert_int_equal(erabi_known_parent(known, &child, true, NOW), ERAB_REASON_NONE);
    erabi_known_deinit(&table);
}

static void only_its_receiver_may_follow_it(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    erabi_copy_text(child.from, sizeof(child.from), "birch");
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_PARENT_MISMATCH);
    erabi_known_deinit(&table);
}

static void its_sender_may_name_it_too(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    erabi_copy_text(child.from, sizeof(child.from), "coordinator");
    erabi_copy_text(child.to, sizeof(child.to), "alder");
    child.type = ERAB_DISPATCH_CANCEL;
    assert_int_equal(erabi_known_parent(known, &child, true, NOW), ERAB_REASON_NONE);
    erabi_known_deinit(&table);
}

static void another_hash_is_another_order(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    child.parent_hash[31] ^= 1;
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_PARENT_MISMATCH);
    erabi_known_deinit(&table);
}

static void what_follows_a_drill_is_a_drill(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    known->exercise = true;
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_EXERCISE_MISMATCH);
    child.exercise = true;
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_NONE);
    erabi_known_deinit(&table);
}

static void a_window_has_an_end_after_its_start_and_to_come(void **state)
{
    Erab__V1__DeviceCommand command = ERAB__V1__DEVICE_COMMAND__INIT;
    command.start_ms = NOW;
    command.end_ms = NOW;
    assert_int_equal(erabi_order_window(ERAB_DEVICE_COMMAND, &command.base, NOW), ERAB_REASON_WINDOW_UNBOUNDED);
    command.end_ms = NOW + 1;
    assert_int_equal(erabi_order_window(ERAB_DEVICE_COMMAND, &command.base, NOW), ERAB_REASON_NONE);
    assert_int_equal(erabi_order_window(ERAB_DEVICE_COMMAND, &command.base, NOW + 1), ERAB_REASON_WINDOW_PAST);
}

static void a_thousand_are_found_again_and_forgotten_when_over(void **state)
{
    struct erabi_known_table table = {0};
    uint8_t hash[ERAB_HASH_SIZE] = {0};
    for (unsigned i = 0; i < 1000; i++) {
        struct erab_header header = order(ERAB_OPT, (uint8_t)i);
        header.id[0] = (uint8_t)(i >> 8);
        erabi_known_add(&table, &header, hash)->state = ERAB_ACCEPTED;
    }
    struct erab_header one = order(ERAB_OPT, 77);
    one.id[0] = 3;
    assert_non_null(erabi_known_find(&table, one.id));
    for (int i = 0; i < 60; i++)
        erabi_known_tick(&table, NOW);
    assert_int_equal(table.ids.n, 1000);
    for (int i = 0; i < 120; i++)
        erabi_known_tick(&table, NOW + 1000);
    assert_int_equal(table.ids.n, 0);
    assert_null(erabi_known_find(&table, one.id));
    erabi_known_deinit(&table);
}

static void what_waits_for_its_commit_is_not_forgotten(void **state)
{
    struct erabi_known_table table = {0};
    uint8_t hash[ERAB_HASH_SIZE] = {0};
    struct erab_header header = order(ERAB_OPT, 1);
    erabi_known_add(&table, &header, hash);
    for (int i = 0; i < 120; i++)
        erabi_known_tick(&table, NOW + 5000);
    assert_non_null(erabi_known_find(&table, header.id));
    erabi_known_deinit(&table);
}

static void its_own_order_is_a_parent_for_a_cancel_only(void **state)
{
    struct erabi_known_table table = {0};
    struct erab_header child;
    struct erabi_known *known = taken(&table, &child);
    erabi_copy_text(child.from, sizeof(child.from), "coordinator");
    assert_int_equal(erabi_known_parent(known, &child, true, NOW), ERAB_REASON_NONE);
    assert_int_equal(erabi_known_parent(known, &child, false, NOW), ERAB_REASON_PARENT_MISMATCH);
    erabi_known_deinit(&table);
}

/* A version of the order o-1. */
static struct erabi_known *version(struct erabi_known_table *table, uint8_t id, uint32_t modification)
{
    struct erab_header header = order(ERAB_DISPATCH, id);
    uint8_t hash[ERAB_HASH_SIZE] = {id};
    struct erabi_known *known = erabi_known_add(table, &header, hash);
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    body.order = (char *)(uintptr_t)"o-1";
    body.modification = modification;
    body.start_ms = NOW;
    body.end_ms = NOW + 60000;
    erabi_known_order(known, &body.base);
    known->state = ERAB_ACCEPTED;
    return known;
}

static enum erab_reason asked(const struct erabi_known_table *table, uint32_t modification, const char *to)
{
    struct erab_header header = order(ERAB_DISPATCH, 99);
    erabi_copy_text(header.to, sizeof(header.to), to);
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    body.order = (char *)(uintptr_t)"o-1";
    body.modification = modification;
    return erabi_known_modification(table, &header, &body.base);
}

static void a_newer_version_ends_the_older_one(void **state)
{
    struct erabi_known_table table = {0};
    struct erabi_known *older = version(&table, 1, 0);
    assert_null(erabi_known_supersede(&table, older));
    struct erabi_known *newer = version(&table, 2, 1);
    assert_ptr_equal(erabi_known_supersede(&table, newer), older);
    assert_true(older->cancelled);
    assert_false(newer->cancelled);
    erabi_known_deinit(&table);
}

static void a_lower_version_is_superseded_when_it_comes(void **state)
{
    struct erabi_known_table table = {0};
    erabi_known_supersede(&table, version(&table, 1, 3));
    assert_int_equal(asked(&table, 2, "alder"), ERAB_REASON_SUPERSEDED);
    assert_int_equal(asked(&table, 3, "alder"), ERAB_REASON_NONE);
    assert_int_equal(asked(&table, 2, "birch"), ERAB_REASON_NONE);
    struct erabi_known *late = version(&table, 2, 1);
    assert_ptr_equal(erabi_known_supersede(&table, late), late);
    assert_true(late->cancelled);
    erabi_known_deinit(&table);
}

static void orders_that_are_over_are_forgotten(void **state)
{
    struct erabi_known_table table = {0};
    erabi_known_supersede(&table, version(&table, 1, 3));
    for (int i = 0; i < 300; i++)
        erabi_known_tick(&table, NOW + 60000 + 3600000);
    assert_int_equal(table.ids.n + table.orders.n, 0);
    assert_int_equal(asked(&table, 0, "alder"), ERAB_REASON_NONE);
    erabi_known_deinit(&table);
}

static void one_partys_telemetry_does_not_take_all_marks(void **state)
{
    uint32_t charged[2] = {0};
    struct erabi_known_table table = {.charged = charged};
    struct erab_header header = order(ERAB_TELEMETRY, 1);
    uint8_t hash[ERAB_HASH_SIZE] = {7};
    struct erabi_known *known = erabi_known_add(&table, &header, hash);
    erabi_known_charge(&table, known, 1);
    assert_int_equal(charged[1], 1);
    charged[1] = ERABI_KNOWN_PARTY_MAX;
    assert_false(erabi_known_room(&table, ERAB_LANE_CONTROL, 1));
    assert_true(erabi_known_room(&table, ERAB_LANE_CONTROL, 0));
    assert_true(erabi_known_room(&table, ERAB_LANE_COMMAND, 1));
    charged[1] = 1;
    erabi_known_forget(&table, known);
    assert_int_equal(charged[1] + table.others, 0);
    erabi_known_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_live_order_is_a_parent),
        cmocka_unit_test(an_order_that_is_over_is_none),
        cmocka_unit_test(a_cancelled_order_is_none),
        cmocka_unit_test(only_its_receiver_may_follow_it),
        cmocka_unit_test(its_sender_may_name_it_too),
        cmocka_unit_test(another_hash_is_another_order),
        cmocka_unit_test(what_follows_a_drill_is_a_drill),
        cmocka_unit_test(a_window_has_an_end_after_its_start_and_to_come),
        cmocka_unit_test(a_thousand_are_found_again_and_forgotten_when_over),
        cmocka_unit_test(what_waits_for_its_commit_is_not_forgotten),
        cmocka_unit_test(a_newer_version_ends_the_older_one),
        cmocka_unit_test(a_lower_version_is_superseded_when_it_comes),
        cmocka_unit_test(orders_that_are_over_are_forgotten),
        cmocka_unit_test(one_partys_telemetry_does_not_take_all_marks),
        cmocka_unit_test(its_own_order_is_a_parent_for_a_cancel_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
