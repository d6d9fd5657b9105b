/* The budgets of the policy `quota`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "one_policy.h"
#include "plugins.h"

static void a_burst_passes_and_then_the_rate_holds(void **state)
{
    make(&erab_policy_quota, "rules=rate=2 burst=3");
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = i), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 4), ERAB_DENY);
    assert_int_equal(verdict.reason, ERAB_REASON_QUOTA);
    assert_string_equal(verdict.section, "3.3");
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 5, .after_ms = 499), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 6, .after_ms = 500), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 7, .after_ms = 500), ERAB_DENY);
}

static void one_party_does_not_use_up_another_ones_budget(void **state)
{
    make(&erab_policy_quota, "rules=rate=1");
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 2), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 3, .from = "birch"), ERAB_ABSTAIN);
}

static void bytes_are_counted_as_sent(void **state)
{
    make(&erab_policy_quota, "rules=type=telemetry bytes=1000 bytes_burst=1000");
    assert_int_equal(ASK(NULL, .type = ERAB_TELEMETRY, .id = 1, .size = 700), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_TELEMETRY, .id = 2, .size = 700), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 3, .size = 700), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_TELEMETRY, .id = 4, .size = 700, .after_ms = 400), ERAB_ABSTAIN);
}

static void what_a_party_is_sent_has_a_budget_too(void **state)
{
    make(&erab_policy_quota, "rules=direction=out peer=battery-* rate=1");
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1, .from = "alder"), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 2, .from = "birch"), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 3, .from = "birch", .to = "gateway"), ERAB_ABSTAIN);
}

static void what_leaves_to_a_party_is_counted_when_it_leaves(void **state)
{
    make(&erab_policy_quota, "rules=direction=leaving rate=1");
    for (uint8_t i = 0; i < 4; i++) /* it may be accepted, and wait */
        assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = i), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 0, .stage = ERAB_STAGE_EGRESS), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1, .stage = ERAB_STAGE_EGRESS), ERAB_DENY);
    assert_int_equal(verdict.reason, ERAB_REASON_QUOTA);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1, .stage = ERAB_STAGE_EGRESS, .to = "battery-2"), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 2, .stage = ERAB_STAGE_EGRESS, .after_ms = 1000), ERAB_ABSTAIN);
}

static void other_budgets_are_not_spent_twice_when_it_leaves(void **state)
{
    make(&erab_policy_quota, "rules=rate=2;direction=out rate=2");
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1), ERAB_ABSTAIN);
    for (uint8_t i = 0; i < 4; i++)
        assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1, .stage = ERAB_STAGE_EGRESS), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 2), ERAB_ABSTAIN);
}

static void a_message_to_a_group_counts_once(void **state)
{
    make(&erab_policy_quota, "rules=rate=1");
    assert_int_equal(ASK(NULL, .type = ERAB_DISPATCH, .id = 1, .to = "a"), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_DISPATCH, .id = 1, .to = "b"), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_DISPATCH, .id = 1, .to = "a"), ERAB_DENY); /* came again */
    assert_int_equal(ASK(NULL, .type = ERAB_DISPATCH, .id = 1, .to = "b"), ERAB_DENY);
}

static void a_clock_that_goes_back_gives_no_budget_twice(void **state)
{
    make(&erab_policy_quota, "rules=rate=1 burst=1");
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 1, .after_ms = 5000), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 2, .after_ms = 0), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 3, .after_ms = 5000), ERAB_DENY);
}

static void a_full_table_denies_and_idle_entries_make_room(void **state)
{
    char name[16];
    make(&erab_policy_quota, "rules=rate=1 burst=1|entries:16");
    for (uint8_t i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "p-%u", i);
        assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = i, .from = name), ERAB_ABSTAIN);
    }
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 20, .from = "late"), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_OPT, .id = 21, .from = "late", .after_ms = 1000), ERAB_ABSTAIN);
}

static void receipts_are_no_load_unless_they_are_named(void **state)
{
    make(&erab_policy_quota, "rules=rate=1 burst=1");
    for (uint8_t i = 1; i < 5; i++)
        assert_int_equal(ASK(NULL, .type = ERAB_RECEIPT, .id = i), ERAB_ABSTAIN);
}

#define T(f) cmocka_unit_test_teardown(f, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_burst_passes_and_then_the_rate_holds),
        T(one_party_does_not_use_up_another_ones_budget),
        T(bytes_are_counted_as_sent),
        T(what_a_party_is_sent_has_a_budget_too),
        T(what_leaves_to_a_party_is_counted_when_it_leaves),
        T(other_budgets_are_not_spent_twice_when_it_leaves),
        T(a_message_to_a_group_counts_once),
        T(a_clock_that_goes_back_gives_no_budget_twice),
        T(a_full_table_denies_and_idle_entries_make_room),
        T(receipts_are_no_load_unless_they_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
