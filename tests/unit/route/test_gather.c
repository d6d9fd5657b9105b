/* What became of a message to a group. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "route/gather.h"

#define NOW 1000000u

static struct erabi_gather_table table;

/* Parties 5, 2 and 9; 9 was refused. */
static struct erabi_gather *three(void)
{
    struct erab_header header = {.id = {1}, .from = "coordinator", .expires_at_ms = NOW + 1000};
    uint8_t hash[ERAB_HASH_SIZE] = {7};
    erabi_gather_init(&table);
    struct erabi_gather *g = erabi_gather_new(&table, &header, hash, 3);
    assert_non_null(g);
    erabi_gather_add(g, 5, ERAB_ACCEPTED, ERAB_REASON_NONE);
    erabi_gather_add(g, 2, ERAB_ACCEPTED, ERAB_REASON_NONE);
    erabi_gather_add(g, 9, ERAB_REFUSED, ERAB_REASON_BREAKER_OPEN);
    return g;
}

static void its_state_is_the_least_that_members_have_reached(void **state)
{
    struct erabi_gather *g = three();
    assert_int_equal(erabi_gather_state(g), ERAB_ACCEPTED);
    assert_int_equal(erabi_gather_note(g, 5, ERAB_APPLIED, ERAB_REASON_NONE), 1);
    assert_int_equal(erabi_gather_state(g), ERAB_ACCEPTED);
    assert_int_equal(erabi_gather_note(g, 2, ERAB_DELIVERED, ERAB_REASON_NONE), 1);
    assert_int_equal(erabi_gather_state(g), ERAB_DELIVERED);
    erabi_gather_deinit(&table);
}

static void when_nobody_is_left_it_is_expired_or_refused(void **state)
{
    struct erabi_gather *g = three();
    erabi_gather_note(g, 5, ERAB_REFUSED, ERAB_REASON_DECLINED);
    erabi_gather_note(g, 2, ERAB_EXPIRED, ERAB_REASON_EXPIRED);
    assert_int_equal(erabi_gather_state(g), ERAB_EXPIRED);
    erabi_gather_deinit(&table);
    g = three();
    erabi_gather_note(g, 5, ERAB_REFUSED, ERAB_REASON_DECLINED);
    erabi_gather_note(g, 2, ERAB_REFUSED, ERAB_REASON_DECLINED);
    assert_int_equal(erabi_gather_state(g), ERAB_REFUSED);
    erabi_gather_deinit(&table);
}

static void a_member_never_goes_back(void **state)
{
    struct erabi_gather *g = three();
    assert_int_equal(erabi_gather_note(g, 5, ERAB_APPLIED, ERAB_REASON_NONE), 1);
    g->news = false;
    assert_int_equal(erabi_gather_note(g, 5, ERAB_DELIVERED, ERAB_REASON_NONE), 0);
    assert_int_equal(erabi_gather_note(g, 5, ERAB_EXPIRED, ERAB_REASON_EXPIRED), 0);
    assert_int_equal(erabi_gather_note(g, 9, ERAB_APPLIED, ERAB_REASON_NONE), 0);
    assert_false(g->news);
    erabi_gather_deinit(&table);
}

static void who_is_no_member_changes_nothing(void **state)
{
    struct erabi_gather *g = three();
    assert_int_equal(erabi_gather_note(g, 4, ERAB_APPLIED, ERAB_REASON_NONE), 0);
    assert_int_equal(erabi_gather_note(g, 10, ERAB_APPLIED, ERAB_REASON_NONE), 0);
    erabi_gather_deinit(&table);
}

static void it_is_over_when_all_have_ended_or_at_the_deadline(void **state)
{
    struct erabi_gather *g = three();
    assert_false(erabi_gather_over(g, NOW));
    assert_true(erabi_gather_over(g, NOW + 1000));
    erabi_gather_note(g, 5, ERAB_APPLIED, ERAB_REASON_NONE);
    assert_false(erabi_gather_over(g, NOW));
    erabi_gather_note(g, 2, ERAB_APPLIED, ERAB_REASON_NONE);
    assert_true(erabi_gather_over(g, NOW));
    erabi_gather_deinit(&table);
}

static void members_in_all_are_bounded(void **state)
{
    struct erab_header header = {.id = {1}, .from = "coordinator"};
    uint8_t hash[ERAB_HASH_SIZE] = {7};
    erabi_gather_init(&table);
    struct erabi_gather *g = erabi_gather_new(&table, &header, hash, ERABI_GATHER_MEMBERS_MAX);
    assert_non_null(g);
    header.id[0] = 2;
    assert_null(erabi_gather_new(&table, &header, hash, 1));
    erabi_gather_free(&table, g);
    assert_non_null(erabi_gather_new(&table, &header, hash, 1));
    erabi_gather_deinit(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_state_is_the_least_that_members_have_reached),
        cmocka_unit_test(when_nobody_is_left_it_is_expired_or_refused),
        cmocka_unit_test(a_member_never_goes_back),
        cmocka_unit_test(who_is_no_member_changes_nothing),
        cmocka_unit_test(it_is_over_when_all_have_ended_or_at_the_deadline),
        cmocka_unit_test(members_in_all_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
