/* The availability breaker of one link: what opens it, what it lets through, how it recovers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "breaker/availability.h"

static const struct erabi_availability_limits limits = {
    .time_outs = 3,
    .full = 4,
    .reconnects = 5,
    .messages_per_second = 10,
    .backoff_min_ms = 1000,
    .backoff_max_ms = 6000,
    .quiet_ms = 500,
};
#define START 1000000u

static struct erabi_availability fresh(void)
{
    struct erabi_availability a;
    erabi_availability_init(&a, START);
    return a;
}

static enum erabi_breaker_change fact(struct erabi_availability *a, enum erabi_breaker_fact what, uint64_t at)
{
    return erabi_availability_fact(a, &limits, what, at);
}

/* Open because of time-outs at `at`. */
static void time_out(struct erabi_availability *a, uint64_t at)
{
    while (fact(a, ERABI_FACT_TIMED_OUT, at) != ERABI_CHANGE_OPENED)
        assert_int_not_equal(a->state, ERABI_BREAKER_OPEN);
}

static void half_open(struct erabi_availability *a)
{
    assert_int_equal(erabi_availability_tick(a, &limits, a->retry_ms), ERABI_CHANGE_HALF_OPENED);
}

static void a_new_link_is_closed_and_passes_everything(void **state)
{
    struct erabi_availability a = fresh();
    assert_true(erabi_availability_passes(&a, true));
    assert_true(erabi_availability_claim(&a, true, 100, START));
    assert_true(erabi_availability_claim(&a, true, 100, START));
    assert_false(a.probing);
}

static void time_outs_in_a_row_open_it(void **state)
{
    struct erabi_availability a = fresh();
    assert_int_equal(fact(&a, ERABI_FACT_TIMED_OUT, START), ERABI_CHANGE_NONE);
    assert_int_equal(fact(&a, ERABI_FACT_TIMED_OUT, START), ERABI_CHANGE_NONE);
    assert_int_equal(fact(&a, ERABI_FACT_TIMED_OUT, START), ERABI_CHANGE_OPENED);
    assert_int_equal(a.cause, ERABI_CAUSE_TIME_OUTS);
    assert_false(erabi_availability_passes(&a, false));
    assert_false(erabi_availability_passes(&a, true));
}

static void an_answer_between_them_starts_the_count_anew(void **state)
{
    struct erabi_availability a = fresh();
    for (int i = 0; i < 10; i++) {
        fact(&a, ERABI_FACT_TIMED_OUT, START);
        fact(&a, ERABI_FACT_TIMED_OUT, START);
        fact(&a, ERABI_FACT_ANSWERED, START);
    }
    assert_int_equal(a.state, ERABI_BREAKER_CLOSED);
}

static void a_queue_that_is_full_again_and_again_opens_it(void **state)
{
    struct erabi_availability a = fresh();
    for (int i = 0; i < 4; i++)
        assert_int_equal(fact(&a, ERABI_FACT_QUEUE_FULL, START), ERABI_CHANGE_NONE);
    assert_int_equal(fact(&a, ERABI_FACT_QUEUE_FULL, START), ERABI_CHANGE_OPENED);
    assert_int_equal(a.cause, ERABI_CAUSE_OVERLOAD);
}

static void a_full_queue_that_moves_is_no_overload(void **state)
{
    struct erabi_availability a = fresh();
    for (int i = 0; i < 100; i++) {
        fact(&a, ERABI_FACT_QUEUE_FULL, START);
        if (i % 3 == 0)
            fact(&a, ERABI_FACT_ANSWERED, START);
    }
    assert_int_equal(a.state, ERABI_BREAKER_CLOSED);
}

static void reconnects_far_apart_are_forgiven_and_many_are_not(void **state)
{
    struct erabi_availability a = fresh();
    uint64_t at = START;
    for (int i = 0; i < 100; i++, at += 6000)
        assert_int_equal(fact(&a, ERABI_FACT_RECONNECT, at), ERABI_CHANGE_NONE);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fact(&a, ERABI_FACT_RECONNECT, at), ERABI_CHANGE_NONE);
    while (a.state == ERABI_BREAKER_CLOSED)
        fact(&a, ERABI_FACT_RECONNECT, ++at);
    assert_int_equal(a.cause, ERABI_CAUSE_FLAPPING);
}

static void the_full_rate_for_long_is_no_flood_and_a_little_more_is_one(void **state)
{
    struct erabi_availability a = fresh();
    uint64_t at = START;
    for (int i = 0; i < 10000; i++, at += 100)
        assert_int_equal(fact(&a, ERABI_FACT_MESSAGE, at), ERABI_CHANGE_NONE);
    int n = 0;
    while (fact(&a, ERABI_FACT_MESSAGE, at += 90) == ERABI_CHANGE_NONE)
        assert_true(++n < 1000);
    assert_true(n > 300);
    assert_int_equal(a.cause, ERABI_CAUSE_FLOOD);
}

static void a_burst_of_four_seconds_passes(void **state)
{
    struct erabi_availability a = fresh();
    for (int i = 0; i < 40; i++)
        assert_int_equal(fact(&a, ERABI_FACT_MESSAGE, START), ERABI_CHANGE_NONE);
    assert_int_equal(fact(&a, ERABI_FACT_MESSAGE, START), ERABI_CHANGE_OPENED);
}

static void without_a_limit_nothing_is_a_flood(void **state)
{
    struct erabi_availability a = fresh();
    struct erabi_availability_limits none = limits;
    none.messages_per_second = 0;
    for (int i = 0; i < 100000; i++)
        assert_int_equal(erabi_availability_fact(&a, &none, ERABI_FACT_MESSAGE, START), ERABI_CHANGE_NONE);
}

static void while_open_it_is_known_whether_the_flood_goes_on(void **state)
{
    struct erabi_availability a = fresh();
    while (fact(&a, ERABI_FACT_MESSAGE, START) == ERABI_CHANGE_NONE)
        ;
    fact(&a, ERABI_FACT_MESSAGE, START + 1);
    assert_true(erabi_availability_floods(&a, &limits));
    fact(&a, ERABI_FACT_MESSAGE, START + 5000);
    assert_false(erabi_availability_floods(&a, &limits));
}

static void facts_while_open_change_nothing(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    uint64_t retry = a.retry_ms;
    for (int f = ERABI_FACT_ANSWERED; f <= ERABI_FACT_RECONNECT; f++)
        for (int i = 0; i < 100; i++)
            assert_int_equal(fact(&a, (enum erabi_breaker_fact)f, START), ERABI_CHANGE_NONE);
    assert_int_equal(a.state, ERABI_BREAKER_OPEN);
    assert_int_equal(a.retry_ms, retry);
}

static void it_half_opens_when_the_back_off_is_over_and_not_before(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    assert_int_equal(erabi_availability_tick(&a, &limits, START + 999), ERABI_CHANGE_NONE);
    assert_int_equal(erabi_availability_tick(&a, &limits, START + 1000), ERABI_CHANGE_HALF_OPENED);
}

static void half_open_lets_one_command_through(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    half_open(&a);
    assert_true(erabi_availability_passes(&a, true));
    assert_true(erabi_availability_claim(&a, true, 60000, START + 1000));
    assert_false(erabi_availability_passes(&a, true));
    assert_false(erabi_availability_claim(&a, true, 60000, START + 1000));
    assert_true(erabi_availability_passes(&a, false)); /* receipts and what is no order go on */
}

static void its_answer_closes_the_link(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    half_open(&a);
    erabi_availability_claim(&a, true, 60000, START + 1000);
    assert_int_equal(fact(&a, ERABI_FACT_ANSWERED, START + 1100), ERABI_CHANGE_CLOSED);
    assert_true(erabi_availability_passes(&a, true));
}

static void an_answer_without_the_one_command_closes_nothing(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    half_open(&a);
    assert_int_equal(fact(&a, ERABI_FACT_ANSWERED, START + 1100), ERABI_CHANGE_NONE);
    assert_int_equal(a.state, ERABI_BREAKER_HALF_OPEN);
}

static void its_time_out_opens_the_link_for_twice_as_long_up_to_the_most(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    static const uint32_t waits[] = {2000, 4000, 6000, 6000};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        half_open(&a);
        uint64_t at = a.retry_ms + 10;
        erabi_availability_claim(&a, true, 5, at);
        assert_int_equal(fact(&a, ERABI_FACT_TIMED_OUT, at), ERABI_CHANGE_OPENED);
        assert_int_equal(a.retry_ms - at, waits[i]);
    }
}

static void a_link_that_held_for_long_waits_shortly_again(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    half_open(&a);
    erabi_availability_claim(&a, true, 100, START + 1000);
    fact(&a, ERABI_FACT_ANSWERED, START + 1000);
    time_out(&a, START + 2000);
    assert_int_equal(a.retry_ms, START + 4000); /* soon after: twice */
    half_open(&a);
    erabi_availability_claim(&a, true, 100, START + 4000);
    fact(&a, ERABI_FACT_ANSWERED, START + 4000);
    time_out(&a, START + 700000);
    assert_int_equal(a.retry_ms, START + 701000);
}

static void silence_does_not_heal_time_outs_but_does_heal_a_flood(void **state)
{
    struct erabi_availability a = fresh(), b = fresh();
    time_out(&a, START);
    half_open(&a);
    assert_int_equal(erabi_availability_tick(&a, &limits, START + 1000000), ERABI_CHANGE_NONE);
    while (fact(&b, ERABI_FACT_MESSAGE, START) == ERABI_CHANGE_NONE)
        ;
    half_open(&b);
    assert_int_equal(erabi_availability_tick(&b, &limits, START + 1499), ERABI_CHANGE_NONE);
    assert_int_equal(erabi_availability_tick(&b, &limits, START + 1500), ERABI_CHANGE_CLOSED);
}

static void a_flood_while_half_open_opens_it_again(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    half_open(&a);
    int n = 0;
    while (fact(&a, ERABI_FACT_MESSAGE, START + 1000) == ERABI_CHANGE_NONE)
        assert_true(++n <= 40);
    assert_int_equal(a.cause, ERABI_CAUSE_FLOOD);
    assert_int_equal(a.retry_ms, START + 3000);
}

static void a_probe_whose_end_is_never_told_gives_its_place_back(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    half_open(&a);
    erabi_availability_claim(&a, true, 100, START + 1000);
    erabi_availability_tick(&a, &limits, START + 1099);
    assert_false(erabi_availability_passes(&a, true));
    erabi_availability_tick(&a, &limits, START + 1100);
    assert_true(erabi_availability_passes(&a, true));
}

static void an_operators_trip_stays_until_an_operator_closes_it(void **state)
{
    struct erabi_availability a = fresh();
    assert_int_equal(erabi_availability_trip(&a, START), ERABI_CHANGE_OPENED);
    assert_int_equal(erabi_availability_tick(&a, &limits, START + 100000000), ERABI_CHANGE_NONE);
    assert_int_equal(fact(&a, ERABI_FACT_ANSWERED, START + 100000000), ERABI_CHANGE_NONE);
    assert_int_equal(erabi_availability_trip(&a, START + 100000000), ERABI_CHANGE_NONE);
    assert_int_equal(erabi_availability_close(&a, START + 100000000), ERABI_CHANGE_CLOSED);
    assert_int_equal(erabi_availability_close(&a, START + 100000000), ERABI_CHANGE_NONE);
    assert_false(a.latched);
}

static void an_operator_may_latch_what_opened_by_itself(void **state)
{
    struct erabi_availability a = fresh();
    time_out(&a, START);
    assert_int_equal(erabi_availability_trip(&a, START), ERABI_CHANGE_OPENED);
    assert_int_equal(a.cause, ERABI_CAUSE_OPERATOR);
    assert_int_equal(erabi_availability_tick(&a, &limits, a.retry_ms + 1), ERABI_CHANGE_NONE);
}

static void only_what_is_closed_and_quiet_is_forgotten(void **state)
{
    struct erabi_availability a = fresh();
    assert_true(erabi_availability_forgettable(&a, START + 600000));
    fact(&a, ERABI_FACT_MESSAGE, START + 599999);
    assert_false(erabi_availability_forgettable(&a, START + 600000));
    erabi_availability_trip(&a, START);
    assert_false(erabi_availability_forgettable(&a, START + 100000000));
}

static void time_that_goes_back_does_no_harm(void **state)
{
    struct erabi_availability a = fresh();
    fact(&a, ERABI_FACT_MESSAGE, START);
    fact(&a, ERABI_FACT_MESSAGE, 0);
    fact(&a, ERABI_FACT_QUEUE_FULL, 0);
    assert_int_equal(a.state, ERABI_BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_link_is_closed_and_passes_everything),
        cmocka_unit_test(time_outs_in_a_row_open_it),
        cmocka_unit_test(an_answer_between_them_starts_the_count_anew),
        cmocka_unit_test(a_queue_that_is_full_again_and_again_opens_it),
        cmocka_unit_test(a_full_queue_that_moves_is_no_overload),
        cmocka_unit_test(reconnects_far_apart_are_forgiven_and_many_are_not),
        cmocka_unit_test(the_full_rate_for_long_is_no_flood_and_a_little_more_is_one),
        cmocka_unit_test(a_burst_of_four_seconds_passes),
        cmocka_unit_test(without_a_limit_nothing_is_a_flood),
        cmocka_unit_test(while_open_it_is_known_whether_the_flood_goes_on),
        cmocka_unit_test(facts_while_open_change_nothing),
        cmocka_unit_test(it_half_opens_when_the_back_off_is_over_and_not_before),
        cmocka_unit_test(half_open_lets_one_command_through),
        cmocka_unit_test(its_answer_closes_the_link),
        cmocka_unit_test(an_answer_without_the_one_command_closes_nothing),
        cmocka_unit_test(its_time_out_opens_the_link_for_twice_as_long_up_to_the_most),
        cmocka_unit_test(a_link_that_held_for_long_waits_shortly_again),
        cmocka_unit_test(silence_does_not_heal_time_outs_but_does_heal_a_flood),
        cmocka_unit_test(a_flood_while_half_open_opens_it_again),
        cmocka_unit_test(a_probe_whose_end_is_never_told_gives_its_place_back),
        cmocka_unit_test(an_operators_trip_stays_until_an_operator_closes_it),
        cmocka_unit_test(an_operator_may_latch_what_opened_by_itself),
        cmocka_unit_test(only_what_is_closed_and_quiet_is_forgotten),
        cmocka_unit_test(time_that_goes_back_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
