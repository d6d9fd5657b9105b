/* How votes combine, and what the five interface policies say. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "plugins.h"
#include "policy/chain.h"

static enum erab_vote next_vote;

static void vote(void *instance, erab_call call, const struct erab_policy_request *request,
                 struct erab_verdict *verdict)
{
    verdict->vote = next_vote;
}

static const struct erab_policy voter = {.size = sizeof(struct erab_policy),
                                         .abi_major = ERAB_ABI_MAJOR,
                                         .abi_minor = ERAB_ABI_MINOR,
                                         .name = "voter",
                                         .stages = ERAB_STAGE_INGRESS,
                                         .decide = vote};

static struct erab_verdict judge(const struct erabi_policy_chain *chain, enum erab_interface interface,
                                 enum erab_type type, enum erab_category category, bool is_signed)
{
    struct erab_header header = {.type = type, .category = category};
    struct erab_policy_request request = {.size = sizeof(request),
                                          .stage = ERAB_STAGE_INGRESS,
                                          .interface = interface,
                                          .is_signed = is_signed,
                                          .header = &header};
    struct erab_verdict verdict = {0};
    const char *name;
    erabi_policy_judge(chain, &request, &verdict, &name);
    return verdict;
}

static struct erab_verdict shipped(enum erab_interface interface, enum erab_type type, enum erab_category category,
                                   bool is_signed)
{
    struct erabi_policy_chain chain = {0};
    const struct erab_policy *all[] = {&erab_policy_r1, &erab_policy_r2, &erab_policy_r3, &erab_policy_r4,
                                       &erab_policy_r5};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(erabi_policy_add(&chain, all[i]), 0);
    struct erab_verdict verdict = judge(&chain, interface, type, category, is_signed);
    erabi_policy_deinit(&chain);
    return verdict;
}

static void no_policy_means_no(void **state)
{
    struct erabi_policy_chain chain = {0};
    struct erab_verdict v = judge(&chain, ERAB_IF_R3, ERAB_OPT, ERAB_OPERATION, true);
    assert_int_equal(v.vote, ERAB_DENY);
    assert_int_equal(v.reason, ERAB_REASON_POLICY_SILENT);
}

static void only_allow_allows(void **state)
{
    for (int i = ERAB_ABSTAIN; i <= ERAB_PENDING + 1; i++) {
        struct erabi_policy_chain chain = {0};
        assert_int_equal(erabi_policy_add(&chain, &voter), 0);
        next_vote = (enum erab_vote)i;
        struct erab_verdict v = judge(&chain, ERAB_IF_R3, ERAB_OPT, ERAB_OPERATION, true);
        assert_int_equal(v.vote, i == ERAB_ALLOW ? ERAB_ALLOW : ERAB_DENY);
        erabi_policy_deinit(&chain);
    }
}

static void a_deny_after_an_allow_denies(void **state)
{
    struct erabi_policy_chain chain = {0};
    assert_int_equal(erabi_policy_add(&chain, &erab_policy_r3), 0);
    assert_int_equal(erabi_policy_add(&chain, &voter), 0);
    next_vote = ERAB_DENY;
    struct erab_verdict v = judge(&chain, ERAB_IF_R3, ERAB_OPT, ERAB_OPERATION, true);
    assert_int_equal(v.vote, ERAB_DENY);
    assert_int_equal(v.reason, ERAB_REASON_POLICY_DENIED);
    erabi_policy_deinit(&chain);
}

static void a_policy_of_another_abi_is_not_taken(void **state)
{
    struct erabi_policy_chain chain = {0};
    struct erab_policy other = voter;
    other.abi_major++;
    assert_int_equal(erabi_policy_add(&chain, &other), -EINVAL);
    other = voter;
    other.decide = NULL;
    assert_int_equal(erabi_policy_add(&chain, &other), -EINVAL);
    assert_int_equal(chain.n, 0);
}

static void values_of_one_home_stay_below_r3(void **state)
{
    assert_int_equal(shipped(ERAB_IF_R1, ERAB_TELEMETRY, ERAB_SENSOR_HOME, false).reason, ERAB_REASON_CATEGORY_REFUSED);
    assert_int_equal(shipped(ERAB_IF_R3, ERAB_TELEMETRY, ERAB_SENSOR_HOME, false).reason, ERAB_REASON_CATEGORY_REFUSED);
    assert_int_equal(shipped(ERAB_IF_R4, ERAB_TELEMETRY, ERAB_SENSOR_HOME, false).vote, ERAB_ALLOW);
    assert_int_equal(shipped(ERAB_IF_R5, ERAB_TELEMETRY, ERAB_SENSOR_HOME, false).vote, ERAB_ALLOW);
}

static void names_of_people_pass_on_r2_only(void **state)
{
    for (int i = ERAB_IF_R1; i <= ERAB_IF_INTERNAL; i++)
        assert_int_equal(shipped((enum erab_interface)i, ERAB_PLAN, ERAB_PERSONAL, true).vote,
                         i == ERAB_IF_R2 ? ERAB_ALLOW : ERAB_DENY);
}

static void an_unsigned_order_is_denied_on_r1_and_r5(void **state)
{
    assert_int_equal(shipped(ERAB_IF_R1, ERAB_DISPATCH, ERAB_OPERATION, false).reason, ERAB_REASON_SIGNATURE_MISSING);
    assert_int_equal(shipped(ERAB_IF_R5, ERAB_DEVICE_COMMAND, ERAB_OPERATION, false).reason,
                     ERAB_REASON_SIGNATURE_MISSING);
    assert_int_equal(shipped(ERAB_IF_R1, ERAB_DISPATCH, ERAB_OPERATION, true).vote, ERAB_ALLOW);
}

static void nobody_speaks_for_an_interface_without_a_policy(void **state)
{
    assert_int_equal(shipped(ERAB_IF_INFO, ERAB_ADVISORY, ERAB_SECURITY, true).reason, ERAB_REASON_POLICY_SILENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_policy_means_no),
        cmocka_unit_test(only_allow_allows),
        cmocka_unit_test(a_deny_after_an_allow_denies),
        cmocka_unit_test(a_policy_of_another_abi_is_not_taken),
        cmocka_unit_test(values_of_one_home_stay_below_r3),
        cmocka_unit_test(names_of_people_pass_on_r2_only),
        cmocka_unit_test(an_unsigned_order_is_denied_on_r1_and_r5),
        cmocka_unit_test(nobody_speaks_for_an_interface_without_a_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
