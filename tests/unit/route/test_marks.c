/* Replay marks of telemetry: found while the message lives, forgotten with its second, whatever the clock does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <sodium.h>

#include "route/marks.h"

#define NOW UINT64_C(1900000000000)

static struct erabi_marks marks;
static uint32_t charged[2];
static uint8_t hash[ERAB_HASH_SIZE] = {7, [16] = 1}, other[ERAB_HASH_SIZE] = {8};

static int setup(void **state)
{
    memset(charged, 0, sizeof(charged));
    marks = (struct erabi_marks){.charged = charged};
    erabi_marks_tick(&marks, NOW);
    return 0;
}

static int teardown(void **state)
{
    erabi_marks_deinit(&marks);
    return 0;
}

static struct erab_header message(uint32_t n, uint64_t lives_ms)
{
    struct erab_header h = {.type = ERAB_TELEMETRY, .expires_at_ms = NOW + lives_ms};
    memcpy(h.id, &n, sizeof(n));
    return h;
}

static bool add(uint32_t n, uint64_t lives_ms, uint32_t party)
{
    struct erab_header h = message(n, lives_ms);
    return erabi_marks_add(&marks, &h, hash, party);
}

static const struct erabi_marks_row *found(uint32_t n)
{
    struct erab_header h = message(n, 0);
    return erabi_marks_find(&marks, h.id);
}

/* As often as the tick needs to be through. */
static void pass(uint64_t until_ms)
{
    for (int i = 0; i < 100; i++)
        erabi_marks_tick(&marks, NOW + until_ms);
}

static void a_mark_is_of_one_message_of_one_party(void **state)
{
    assert_null(found(1));
    assert_true(add(1, 1000, 1));
    assert_non_null(found(1));
    assert_null(found(2));
    assert_true(erabi_marks_is(found(1), hash, 1));
    assert_false(erabi_marks_is(found(1), other, 1));
    assert_false(erabi_marks_is(found(1), hash, 0));
}

static void it_stays_until_its_end_and_no_second_longer(void **state)
{
    for (uint32_t i = 0; i < 2000; i++)
        assert_true(add(i, i % 2 ? 1000 : 90000, 0));
    pass(999);
    assert_int_equal(marks.n, 2000);
    pass(2000);
    assert_int_equal(marks.n, 1000);
    assert_int_equal(charged[0], 1000);
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(found(i) != NULL, i % 2 == 0);
    pass(91000);
    assert_int_equal(marks.n, 0);
}

static void one_that_lives_for_many_rounds_stays(void **state)
{
    assert_true(add(1, 3600000, 0));
    for (uint64_t s = 0; s < 3600; s++)
        erabi_marks_tick(&marks, NOW + s * 1000);
    assert_non_null(found(1));
    pass(3601000);
    assert_null(found(1));
}

static void places_are_used_again(void **state)
{
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 1000; i++)
            assert_true(add(round * 1000 + i, round * 2000 + 1000, 0));
        pass(round * 2000 + 2000);
    }
    assert_int_equal(marks.n, 0);
    assert_int_equal(marks.used, 1000);
}

/* The buckets grow one by one; nothing is lost by it. */
static void many_are_all_found(void **state)
{
    for (uint32_t i = 0; i < 300000; i++)
        assert_true(add(i, 60000, i % 2));
    for (uint32_t i = 0; i < 300000; i++)
        assert_true(found(i) && erabi_marks_is(found(i), hash, i % 2));
    assert_null(found(300000));
    assert_in_range(marks.n_buckets, 299999, 300001);
    for (uint64_t s = 0; s <= 100; s++)
        erabi_marks_tick(&marks, NOW + 61000 + s);
    assert_int_equal(marks.n + charged[0] + charged[1], 0);
    assert_null(found(5));
}

static void what_is_forgotten_is_not_found_and_may_come_again(void **state)
{
    struct erab_header h = message(1, 1000);
    assert_true(add(1, 1000, 0));
    erabi_marks_forget(&marks, h.id, other); /* another message's mark stays */
    assert_non_null(found(1));
    erabi_marks_forget(&marks, h.id, hash);
    erabi_marks_forget(&marks, h.id, hash);
    assert_null(found(1));
    assert_true(add(1, 5000, 0));
    pass(2000);
    assert_non_null(found(1));
    assert_int_equal(charged[0], 1);
    pass(6000);
    assert_int_equal(marks.n + charged[0], 0);
}

static void one_party_cannot_take_the_room_of_all(void **state)
{
    charged[1] = ERABI_MARKS_PARTY_MAX;
    assert_false(add(1, 1000, 1));
    assert_true(add(1, 1000, 0));
    charged[1] = 0;
}

static void there_is_an_end_to_it(void **state)
{
    assert_true(add(1, 1000, 0));
    uint32_t n = marks.n;
    marks.n = ERABI_MARKS_MAX;
    assert_false(add(2, 1000, 0));
    marks.n = n;
    assert_true(add(2, 1000, 0));
}

static void a_clock_that_is_set_loses_nothing_and_keeps_nothing(void **state)
{
    assert_true(add(1, 60000, 0));
    pass(30000);
    marks.now_ms = NOW - 3600000; /* back */
    erabi_marks_tick(&marks, NOW - 3600000);
    assert_true(add(2, 1000, 0));
    assert_non_null(found(1));
    pass(2000);
    assert_null(found(2));
    assert_non_null(found(1));
    pass(7200000); /* and forth */
    assert_int_equal(marks.n, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_mark_is_of_one_message_of_one_party),
        T(it_stays_until_its_end_and_no_second_longer),
        T(one_that_lives_for_many_rounds_stays),
        T(places_are_used_again),
        T(many_are_all_found),
        T(what_is_forgotten_is_not_found_and_may_come_again),
        T(one_party_cannot_take_the_room_of_all),
        T(there_is_an_end_to_it),
        T(a_clock_that_is_set_loses_nothing_and_keeps_nothing),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
