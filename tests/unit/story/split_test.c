#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "split.h"

static void the_order_of_the_story_gives_cedar_375_kw(void **state)
{
    (void)state;
    const uint64_t homes[] = {400, 350, 250};
    int64_t w[3];
    assert_int_equal(story_split(-1500000, homes, 3, w), 0);
    assert_int_equal(w[0], -600000);
    assert_int_equal(w[1], -525000);
    assert_int_equal(w[2], -375000);
}

static void shares_always_add_up_and_miss_their_proportion_by_less_than_a_watt(void **state)
{
    (void)state;
    uint64_t seed = 20190419, weights[STORY_WEIGHTS_MAX];
    int64_t w[STORY_WEIGHTS_MAX];
    for (int round = 0; round < 2000; round++) {
        size_t n = 1 + (size_t)round % STORY_WEIGHTS_MAX;
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            weights[i] = (seed >> 33) % 997;
            sum += weights[i];
        }
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int64_t total = (int64_t)((seed >> 33) % 3000001) - 1500000, added = 0;
        if (sum == 0)
            continue;
        assert_int_equal(story_split(total, weights, n, w), 0);
        for (size_t i = 0; i < n; i++) {
            double exact = (double)total * (double)weights[i] / (double)sum;
            assert_true(fabs((double)w[i] - exact) < 1.0);
            added += w[i];
        }
        assert_int_equal(added, total);
    }
}

static void one_watt_goes_to_the_first_of_equal_members(void **state)
{
    (void)state;
    const uint64_t weights[] = {1, 1, 1};
    int64_t w[3];
    assert_int_equal(story_split(1, weights, 3, w), 0);
    assert_int_equal(w[0], 1);
    assert_int_equal(w[1], 0);
    assert_int_equal(w[2], 0);
}

static void a_member_of_weight_zero_gets_nothing(void **state)
{
    (void)state;
    const uint64_t weights[] = {0, 3, 0};
    int64_t w[3];
    assert_int_equal(story_split(-100, weights, 3, w), 0);
    assert_int_equal(w[0], 0);
    assert_int_equal(w[1], -100);
    assert_int_equal(w[2], 0);
}

static void what_cannot_be_divided_is_refused(void **state)
{
    (void)state;
    const uint64_t zero[] = {0, 0}, large[] = {STORY_WEIGHT_MAX + 1}, one[] = {1};
    int64_t w[2];
    assert_int_equal(story_split(5, one, 0, w), -EINVAL);
    assert_int_equal(story_split(5, zero, 2, w), -EINVAL);
    assert_int_equal(story_split(5, large, 1, w), -EINVAL);
    assert_int_equal(story_split(STORY_WATTS_MAX + 1, one, 1, w), -EINVAL);
    assert_int_equal(story_split(5, one, STORY_WEIGHTS_MAX + 1, w), -EINVAL);
}

static void the_largest_values_do_not_overflow(void **state)
{
    (void)state;
    const uint64_t weights[] = {STORY_WEIGHT_MAX, STORY_WEIGHT_MAX - 1};
    int64_t w[2];
    assert_int_equal(story_split(-STORY_WATTS_MAX, weights, 2, w), 0);
    assert_true(w[0] < 0 && w[1] < 0 && w[0] + w[1] == -STORY_WATTS_MAX);
}

static void kilowatts_become_whole_watts(void **state)
{
    (void)state;
    int64_t w;
    assert_int_equal(story_watts(-1500.0, &w), 0);
    assert_int_equal(w, -1500000);
    assert_int_equal(story_watts(0.0004, &w), 0);
    assert_int_equal(w, 0);
    assert_int_equal(story_watts((double)NAN, &w), -ERANGE);
    assert_int_equal(story_watts((double)INFINITY, &w), -ERANGE);
    assert_int_equal(story_watts(1e12, &w), -ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_the_story_gives_cedar_375_kw),
        cmocka_unit_test(shares_always_add_up_and_miss_their_proportion_by_less_than_a_watt),
        cmocka_unit_test(one_watt_goes_to_the_first_of_equal_members),
        cmocka_unit_test(a_member_of_weight_zero_gets_nothing),
        cmocka_unit_test(what_cannot_be_divided_is_refused),
        cmocka_unit_test(the_largest_values_do_not_overflow),
        cmocka_unit_test(kilowatts_become_whole_watts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
