/* Time never goes back and never leaps ahead unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "loop/clock.h"

static void it_follows_the_system_clock(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 1000000, 50);
    erabi_clock_step(&c, 1000400, 450);
    assert_int_equal(c.wall_ms, 1000400);
    assert_false(c.jumped);
}

static void it_does_not_go_back_with_the_system_clock(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 10000000, 0);
    erabi_clock_step(&c, 10000000 - 3600000, 1000);
    assert_int_equal(c.wall_ms, 10001000);
}

static void a_jump_of_an_hour_is_not_taken_over(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 10000000, 0);
    erabi_clock_step(&c, 10000000 + 3600000, 1000);
    assert_true(c.jumped);
    assert_int_equal(c.wall_ms, 10001000);
    erabi_clock_step(&c, 10002000, 2000);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, 10002000);
}

static void sixty_seconds_are_still_believed(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 10000000, 0);
    erabi_clock_step(&c, 10000000 + 60000, 0);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, 10060000);
}

#define START UINT64_C(10000000)
#define HOUR  UINT64_C(3600000)

static void a_second_more_is_not_believed(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, START, 0);
    erabi_clock_step(&c, START + 61000, 0);
    assert_true(c.jumped);
    assert_int_equal(c.wall_ms, START);
    assert_string_equal(erabi_clock_state(&c), "ahead");
}

/* However often it is read: believed are 60 s against what it was, not 60 s a reading. */
static void a_jump_stays_one_until_somebody_decides(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, START, 0);
    for (uint64_t ms = 1000; ms <= 100000; ms += 1000) {
        erabi_clock_step(&c, START + HOUR + ms, ms);
        assert_true(c.jumped);
        assert_int_equal(c.wall_ms, START + ms);
    }
    erabi_clock_accept(&c);
    assert_int_equal(c.wall_ms, START + HOUR + 100000);
    erabi_clock_step(&c, START + HOUR + 101000, 101000);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, START + HOUR + 101000);
    assert_string_equal(erabi_clock_state(&c), "right");
}

static void a_rejected_jump_is_not_taken_over_and_stops_nothing(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, START, 0);
    erabi_clock_step(&c, START + HOUR, 0);
    erabi_clock_reject(&c);
    erabi_clock_step(&c, START + HOUR + 5000, 5000);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, START + 5000);
    assert_string_equal(erabi_clock_state(&c), "rejected");
    erabi_clock_step(&c, START + HOUR + 61001 + 6000, 6000); /* another jump, on top of that one */
    assert_true(c.jumped);
    assert_int_equal(c.wall_ms, START + 6000);
    erabi_clock_step(&c, START + HOUR + 7000, 7000);
    assert_false(c.jumped);
    erabi_clock_step(&c, START + 8000, 8000); /* set right: from now on it is believed again */
    assert_string_equal(erabi_clock_state(&c), "right");
    erabi_clock_step(&c, START + HOUR, 9000);
    assert_true(c.jumped);
}

static void it_goes_back_only_when_that_is_accepted(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, START + HOUR, 0);
    erabi_clock_step(&c, START + 1000, 1000);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, START + HOUR + 1000);
    assert_string_equal(erabi_clock_state(&c), "behind");
    erabi_clock_accept(&c);
    erabi_clock_step(&c, START + 2000, 2000);
    assert_int_equal(c.wall_ms, START + 2000);
    assert_string_equal(erabi_clock_state(&c), "right");
}

static void after_another_boot_it_starts_no_earlier_than_it_was(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, START - HOUR, 5);
    erabi_clock_restore(&c, START, 900000, 0, false);
    assert_int_equal(c.wall_ms, START);
    erabi_clock_init(&c, START + HOUR, 5); /* how long it was off, nobody knows */
    erabi_clock_restore(&c, START, 900000, 0, false);
    assert_int_equal(c.wall_ms, START + HOUR);
    assert_false(c.jumped);
}

static void in_the_same_boot_a_jump_is_found_over_a_restart(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, START + 30000, 1030000);
    erabi_clock_restore(&c, START, 1000000, 0, true);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, START + 30000);
    erabi_clock_init(&c, START + 30000 + 61000, 1030000);
    erabi_clock_restore(&c, START, 1000000, 0, true);
    assert_true(c.jumped);
    assert_int_equal(c.wall_ms, START + 30000);
    erabi_clock_init(&c, START + 30000 + HOUR, 1030000);
    erabi_clock_restore(&c, START, 1000000, HOUR, true); /* it was rejected before */
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, START + 30000);
    erabi_clock_init(&c, START + 30000 - HOUR, 1030000);
    erabi_clock_restore(&c, START, 1000000, 0, true);
    assert_int_equal(c.wall_ms, START + 30000);
    erabi_clock_init(&c, START + HOUR, 5); /* called the same boot, but its clock began anew */
    erabi_clock_restore(&c, START, 1000000, 0, true);
    assert_false(c.jumped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_system_clock),
        cmocka_unit_test(it_does_not_go_back_with_the_system_clock),
        cmocka_unit_test(a_jump_of_an_hour_is_not_taken_over),
        cmocka_unit_test(sixty_seconds_are_still_believed),
        cmocka_unit_test(a_second_more_is_not_believed),
        cmocka_unit_test(a_jump_stays_one_until_somebody_decides),
        cmocka_unit_test(a_rejected_jump_is_not_taken_over_and_stops_nothing),
        cmocka_unit_test(it_goes_back_only_when_that_is_accepted),
        cmocka_unit_test(after_another_boot_it_starts_no_earlier_than_it_was),
        cmocka_unit_test(in_the_same_boot_a_jump_is_found_over_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
