/* How votes combine, now and later; what is remembered; what a swap of the chain does. The test drives the clock. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plugins.h"
#include "policy/judge.h"
#include "voters.h"

static struct erabi_policy_engine engine;
static struct erabi_policy_answer now, later;
static char later_policy[64], later_detail[128];
static unsigned done;
static uint64_t wanted_ms;
static struct erab_header header;

static void on_done(void *user, const struct erabi_policy_answer *answer)
{
    done++;
    later = *answer;
    strcpy(later_policy, answer->policy);
    strcpy(later_detail, answer->verdict.detail);
}

static void on_deadline(void *user, uint64_t at_ms)
{
    wanted_ms = at_ms;
}

static int setup(void **state)
{
    memset(voters, 0, sizeof(voters));
    header = (struct erab_header){.type = ERAB_OPT, .category = ERAB_OPERATION};
    done = 0;
    wanted_ms = 0;
    return erabi_policy_engine_init(&engine, on_deadline, NULL);
}

static int teardown(void **state)
{
    erabi_policy_engine_deinit(&engine);
    return 0;
}

static void use(size_t n, const struct erab_policy *const *policies)
{
    erabi_policy_engine_swap(&engine, chain_of(policies, n, &engine));
}

#define USE(...)                                                                                             \
    do {                                                                                                     \
        const struct erab_policy *const list_[] = {__VA_ARGS__};                                             \
        use(sizeof(list_) / sizeof(list_[0]), list_);                                                        \
    } while (0)

static int ask(enum erab_interface interface, uint64_t mono_ms)
{
    struct erab_policy_request request = {.size = sizeof(request),
                                          .stage = ERAB_STAGE_INGRESS,
                                          .interface = interface,
                                          .from = "alder",
                                          .to = "coordinator",
                                          .is_signed = true,
                                          .header = &header,
                                          .now_ms = 1000000 + mono_ms};
    return erabi_policy_judge(&engine, &request, mono_ms, on_done, NULL, &now);
}

static void say(erab_call call, enum erab_vote vote, enum erab_reason reason, const char *detail)
{
    struct erab_verdict v = {.size = sizeof(v), .vote = vote, .reason = reason, .section = "3.6", .detail = detail};
    erabi_policy_vote(&engine, call, &v, NULL);
}

static void no_policy_means_no(void **state)
{
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.vote, ERAB_DENY);
    assert_int_equal(now.verdict.reason, ERAB_REASON_POLICY_SILENT);
    assert_string_equal(now.policy, "");
}

static void only_allow_allows(void **state)
{
    USE(&voter_policies[0]);
    for (int i = ERAB_ABSTAIN; i <= ERAB_DENY; i++) {
        voters[0].vote = (enum erab_vote)i;
        assert_int_equal(ask(ERAB_IF_R3, 0), 0);
        assert_int_equal(now.verdict.vote, i == ERAB_ALLOW ? ERAB_ALLOW : ERAB_DENY);
    }
    voters[0].vote = (enum erab_vote)(ERAB_PENDING + 1);
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_POLICY_DENIED);
}

static void the_first_deny_ends_it(void **state)
{
    USE(&erab_policy_r3, &voter_policies[0], &voter_policies[1]);
    voters[0] = (struct voter){.vote = ERAB_DENY, .reason = ERAB_REASON_QUOTA};
    voters[1].vote = ERAB_ALLOW;
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_QUOTA);
    assert_string_equal(now.policy, "voter0");
    assert_int_equal(voters[1].asked, 0);
}

static void a_policy_of_another_abi_is_not_taken(void **state)
{
    int fault = 0;
    struct erab_policy other = voter_policies[0];
    other.abi_major++;
    assert_null(erabi_policy_instance_new(&other, "x", &fault));
    assert_int_equal(fault, -EINVAL);
    other = voter_policies[0];
    other.decide = NULL;
    assert_null(erabi_policy_instance_new(&other, "x", &fault));
}

static void a_shorter_descriptor_of_this_abi_is_taken(void **state)
{
    int fault = 0;
    struct erab_policy shorter = voter_policies[0];
    shorter.size = offsetof(struct erab_policy, cancel);
    struct erabi_policy_instance *instance = erabi_policy_instance_new(&shorter, "x", &fault);
    assert_non_null(instance);
    erabi_policy_instance_unref(instance);
}

static void a_cacheable_policy_is_asked_once_for_each_kind_of_message(void **state)
{
    USE(&voter_policies[3]);
    voters[3].vote = ERAB_ALLOW;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.vote, ERAB_ALLOW);
    assert_int_equal(voters[3].asked, 1);
    header.category = ERAB_SENSOR_HOME;
    ask(ERAB_IF_R3, 0);
    header.exercise = true;
    ask(ERAB_IF_R3, 0);
    ask(ERAB_IF_R4, 0);
    assert_int_equal(voters[3].asked, 4);
}

static void what_was_remembered_ends_with_the_snapshot(void **state)
{
    USE(&voter_policies[3]);
    voters[3].vote = ERAB_ALLOW;
    ask(ERAB_IF_R3, 0);
    USE(&voter_policies[3]);
    voters[3].vote = ERAB_DENY;
    ask(ERAB_IF_R3, 0);
    assert_int_equal(now.verdict.vote, ERAB_DENY);
}

static void remembered_votes_keep_their_place_in_the_order(void **state)
{
    USE(&voter_policies[0], &voter_policies[3]);
    voters[0] = (struct voter){.vote = ERAB_DENY, .reason = ERAB_REASON_QUOTA};
    voters[3] = (struct voter){.vote = ERAB_DENY, .reason = ERAB_REASON_CATEGORY_REFUSED};
    ask(ERAB_IF_R3, 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_QUOTA);
    voters[0].vote = ERAB_ABSTAIN;
    ask(ERAB_IF_R3, 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_CATEGORY_REFUSED);
    assert_int_equal(voters[3].asked, 1);
}

static void a_later_allow_goes_on_with_the_next_policy(void **state)
{
    USE(&voter_policies[0], &voter_policies[1]);
    voters[0].vote = ERAB_PENDING;
    voters[1].vote = ERAB_ALLOW;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    assert_int_equal(voters[1].asked, 0);
    say(voters[0].call, ERAB_ABSTAIN, ERAB_REASON_NONE, "");
    assert_int_equal(done, 1);
    assert_int_equal(later.verdict.vote, ERAB_ALLOW);
    assert_string_equal(later_policy, "voter1");
}

static void a_later_deny_carries_its_reason(void **state)
{
    USE(&voter_policies[0]);
    voters[0].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    char text[] = "the vendor says no";
    say(voters[0].call, ERAB_DENY, ERAB_REASON_DECLINED, text);
    assert_int_equal(done, 1);
    assert_int_equal(later.verdict.reason, ERAB_REASON_DECLINED);
    assert_string_equal(later_detail, "the vendor says no");
}

static void a_missed_deadline_is_a_deny_and_the_vote_after_it_is_nothing(void **state)
{
    USE(&voter_policies[0]);
    voters[0].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 500), 1);
    assert_int_equal(wanted_ms, 1500);
    erabi_policy_tick(&engine, 1499, 0);
    assert_int_equal(done, 0);
    erabi_policy_tick(&engine, 1500, 0);
    assert_int_equal(done, 1);
    assert_int_equal(later.verdict.vote, ERAB_DENY);
    assert_int_equal(later.verdict.reason, ERAB_REASON_POLICY_DEADLINE);
    assert_int_equal(voters[0].cancelled, 1);
    say(voters[0].call, ERAB_ALLOW, ERAB_REASON_NONE, "");
    assert_int_equal(done, 1);
}

static void a_token_votes_once(void **state)
{
    USE(&voter_policies[0], &voter_policies[1]);
    voters[0].vote = voters[1].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    erab_call first = voters[0].call;
    say(first, ERAB_ALLOW, ERAB_REASON_NONE, "");
    assert_int_not_equal(voters[1].call, first);
    say(first, ERAB_ALLOW, ERAB_REASON_NONE, ""); /* not the second policy's vote */
    assert_int_equal(done, 0);
    say(voters[1].call, ERAB_ABSTAIN, ERAB_REASON_NONE, "");
    assert_int_equal(done, 1);
    assert_int_equal(later.verdict.vote, ERAB_ALLOW);
}

static void a_policy_cannot_vote_for_another(void **state)
{
    USE(&voter_policies[0], &voter_policies[1]);
    voters[1].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    struct erab_verdict v = {.size = sizeof(v), .vote = ERAB_ALLOW};
    erabi_policy_vote(&engine, voters[1].call, &v, engine.chain->at[0]);
    assert_int_equal(done, 0);
    erabi_policy_vote(&engine, voters[1].call, &v, engine.chain->at[1]);
    assert_int_equal(done, 1);
}

static void garbage_for_a_later_vote_is_a_deny(void **state)
{
    USE(&erab_policy_r3, &voter_policies[0]);
    voters[0].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    say(voters[0].call, ERAB_PENDING, ERAB_REASON_NONE, "");
    assert_int_equal(later.verdict.reason, ERAB_REASON_POLICY_DENIED);
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    erabi_policy_vote(&engine, voters[0].call, NULL, NULL);
    assert_int_equal(done, 2);
    assert_int_equal(later.verdict.vote, ERAB_DENY);
}

static void what_waits_is_bounded(void **state)
{
    USE(&voter_policies[0]);
    voters[0].vote = ERAB_PENDING;
    for (unsigned i = 0; i < ERABI_PENDING_MAX; i++)
        assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_QUEUE_FULL);
    erabi_policy_tick(&engine, 1000, 0);
    assert_int_equal(done, ERABI_PENDING_MAX);
    assert_int_equal(engine.n_pending, 0);
    assert_int_equal(ask(ERAB_IF_R3, 1000), 1);
}

static void a_swap_lets_what_waits_end_by_the_old_chain(void **state)
{
    USE(&voter_policies[0]);
    voters[0].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    USE(&erab_policy_r3);
    assert_int_equal(voters[0].gone, 0);
    assert_int_equal(ask(ERAB_IF_R3, 0), 0); /* new ones are judged anew */
    assert_int_equal(now.verdict.vote, ERAB_ALLOW);
    say(voters[0].call, ERAB_ALLOW, ERAB_REASON_NONE, "");
    assert_int_equal(later.verdict.vote, ERAB_ALLOW);
    assert_string_equal(later_policy, "voter0");
    assert_int_equal(voters[0].gone, 1);
}

static void a_stop_denies_what_waits(void **state)
{
    USE(&voter_policies[0]);
    voters[0].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    erabi_policy_engine_stop(&engine);
    assert_int_equal(done, 1);
    assert_int_equal(later.verdict.reason, ERAB_REASON_SHUTDOWN);
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_SHUTDOWN);
}

static void a_lost_policy_denies_only_what_waits_for_it(void **state)
{
    USE(&voter_policies[0], &voter_policies[1]);
    voters[0].vote = ERAB_PENDING;
    voters[1].vote = ERAB_PENDING;
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    assert_int_equal(ask(ERAB_IF_R3, 0), 1);
    say(voters[0].call, ERAB_ALLOW, ERAB_REASON_NONE, ""); /* this one now waits for voter1 */
    erabi_policy_lost(&engine, engine.chain->at[0], "gone");
    assert_int_equal(done, 1);
    assert_int_equal(engine.n_pending, 1);
}

static void a_policy_may_vote_before_it_returns(void **state);
static enum erab_vote early_vote;

static void early(void *instance, erab_call call, const struct erab_policy_request *request,
                  struct erab_verdict *verdict)
{
    struct erab_verdict v = {.size = sizeof(v), .vote = early_vote, .reason = ERAB_REASON_BUSY};
    struct erabi_policy_instance *me = engine.chain->at[0];
    erabi_policy_host.decide(&me->self, call, &v);
    verdict->vote = ERAB_PENDING;
}

static void a_policy_may_vote_before_it_returns(void **state)
{
    static const struct erab_policy policy = {.size = sizeof(policy),
                                              .abi_major = ERAB_ABI_MAJOR,
                                              .abi_minor = ERAB_ABI_MINOR,
                                              .name = "early",
                                              .stages = ERAB_STAGE_INGRESS,
                                              .decide = early};
    USE(&policy);
    early_vote = ERAB_ALLOW;
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.vote, ERAB_ALLOW);
    early_vote = ERAB_DENY;
    assert_int_equal(ask(ERAB_IF_R3, 0), 0);
    assert_int_equal(now.verdict.reason, ERAB_REASON_BUSY);
    assert_int_equal(engine.n_pending, 0);
}

static void shipped(enum erab_interface interface, enum erab_type type, enum erab_category category, bool is_signed)
{
    USE(&erab_policy_r1, &erab_policy_r2, &erab_policy_r3, &erab_policy_r4, &erab_policy_r5);
    struct erab_header h = {.type = type, .category = category};
    struct erab_policy_request request = {.size = sizeof(request),
                                          .stage = ERAB_STAGE_INGRESS,
                                          .interface = interface,
                                          .from = "a",
                                          .to = "b",
                                          .is_signed = is_signed,
                                          .header = &h};
    assert_int_equal(erabi_policy_judge(&engine, &request, 0, on_done, NULL, &now), 0);
}

static void values_of_one_home_stay_below_r3(void **state)
{
    for (int i = ERAB_IF_R1; i <= ERAB_IF_R5; i++) {
        shipped((enum erab_interface)i, ERAB_TELEMETRY, ERAB_SENSOR_HOME, false);
        assert_int_equal(now.verdict.vote, i == ERAB_IF_R4 || i == ERAB_IF_R5 ? ERAB_ALLOW : ERAB_DENY);
    }
}

static void names_of_people_pass_on_r2_only(void **state)
{
    for (int i = ERAB_IF_R1; i <= ERAB_IF_INTERNAL; i++) {
        shipped((enum erab_interface)i, ERAB_PLAN, ERAB_PERSONAL, true);
        assert_int_equal(now.verdict.vote, i == ERAB_IF_R2 ? ERAB_ALLOW : ERAB_DENY);
    }
}

static void an_unsigned_order_is_denied_on_r1_and_r5(void **state)
{
    shipped(ERAB_IF_R1, ERAB_DISPATCH, ERAB_OPERATION, false);
    assert_int_equal(now.verdict.reason, ERAB_REASON_SIGNATURE_MISSING);
    shipped(ERAB_IF_R5, ERAB_DEVICE_COMMAND, ERAB_OPERATION, false);
    assert_int_equal(now.verdict.reason, ERAB_REASON_SIGNATURE_MISSING);
    shipped(ERAB_IF_R1, ERAB_DISPATCH, ERAB_OPERATION, true);
    assert_int_equal(now.verdict.vote, ERAB_ALLOW);
}

static void nobody_speaks_for_an_interface_without_a_policy(void **state)
{
    shipped(ERAB_IF_INFO, ERAB_ADVISORY, ERAB_SECURITY, true);
    assert_int_equal(now.verdict.reason, ERAB_REASON_POLICY_SILENT);
}

static void a_text_is_cut_before_a_character(void **state)
{
    char to[5];
    erabi_policy_text(to, sizeof(to), "ab\xe9\x9b\xbb");
    assert_string_equal(to, "ab");
    erabi_policy_text(to, sizeof(to), NULL);
    assert_string_equal(to, "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(no_policy_means_no),
        T(only_allow_allows),
        T(the_first_deny_ends_it),
        T(a_policy_of_another_abi_is_not_taken),
        T(a_shorter_descriptor_of_this_abi_is_taken),
        T(a_cacheable_policy_is_asked_once_for_each_kind_of_message),
        T(what_was_remembered_ends_with_the_snapshot),
        T(remembered_votes_keep_their_place_in_the_order),
        T(a_later_allow_goes_on_with_the_next_policy),
        T(a_later_deny_carries_its_reason),
        T(a_missed_deadline_is_a_deny_and_the_vote_after_it_is_nothing),
        T(a_token_votes_once),
        T(a_policy_cannot_vote_for_another),
        T(garbage_for_a_later_vote_is_a_deny),
        T(what_waits_is_bounded),
        T(a_swap_lets_what_waits_end_by_the_old_chain),
        T(a_stop_denies_what_waits),
        T(a_lost_policy_denies_only_what_waits_for_it),
        T(a_policy_may_vote_before_it_returns),
        T(values_of_one_home_stay_below_r3),
        T(names_of_people_pass_on_r2_only),
        T(an_unsigned_order_is_denied_on_r1_and_r5),
        T(nobody_speaks_for_an_interface_without_a_policy),
        T(a_text_is_cut_before_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
