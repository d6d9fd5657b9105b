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
    erabi_clock_init(&c, 1000000, 50, 0);
    erabi_clock_step(&c, 1000400, 450);
    assert_int_equal(c.wall_ms, 1000400);
    assert_false(c.jumped);
}

static void it_does_not_go_back_with_the_system_clock(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 10000000, 0, 0);
    erabi_clock_step(&c, 10000000 - 3600000, 1000);
    assert_int_equal(c.wall_ms, 10001000);
}

static void a_jump_of_an_hour_is_not_taken_over(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 10000000, 0, 0);
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
    erabi_clock_init(&c, 10000000, 0, 0);
    erabi_clock_step(&c, 10000000 + 60000, 0);
    assert_false(c.jumped);
    assert_int_equal(c.wall_ms, 10060000);
}

static void it_starts_no_earlier_than_the_persisted_floor(void **state)
{
    struct erabi_clock c;
    erabi_clock_init(&c, 5, 0, 777);
    assert_int_equal(c.wall_ms, 777);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_the_system_clock),
        cmocka_unit_test(it_does_not_go_back_with_the_system_clock),
        cmocka_unit_test(a_jump_of_an_hour_is_not_taken_over),
        cmocka_unit_test(sixty_seconds_are_still_believed),
        cmocka_unit_test(it_starts_no_earlier_than_the_persisted_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
