/* The stages that have no wait (egress, connect, admin), and what policies are told after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "policy/judge.h"
#include "voters.h"

static struct erabi_policy_engine engine;
static struct erabi_policy_answer answer;
static struct erab_header header;
static enum erab_vote votes[2];
static unsigned asked[2], recalled[2], bodies;

static void vote(int i, struct erab_verdict *verdict)
{
    asked[i]++;
    verdict->vote = votes[i];
    verdict->reason = i ? ERAB_REASON_DECLINED : ERAB_REASON_BUSY;
    verdict->detail = "because";
}

static void decide0(void *instance, erab_call call, const struct erab_policy_request *request,
                    struct erab_verdict *verdict)
{
    struct erab_verdict late = {.size = sizeof(late), .vote = ERAB_ALLOW};
    vote(0, verdict);
    erabi_policy_host.decide(&engine.chain->at[0]->self, call, &late); /* there is no later here */
    bodies += request->body != NULL;
}

static void decide1(void *instance, erab_call call, const struct erab_policy_request *request,
                    struct erab_verdict *verdict)
{
    vote(1, verdict);
}

static void recall0(void *instance, const struct erab_policy_request *request)
{
    recalled[0]++;
    bodies += request->body != NULL;
}

static void recall1(void *instance, const struct erab_policy_request *request)
{
    recalled[1]++;
    bodies += request->body != NULL;
}

#define LATER (ERAB_STAGE_CONNECT | ERAB_STAGE_EGRESS | ERAB_STAGE_ADMIN)

static const struct erab_policy all = {.size = sizeof(all), .abi_minor = 1, .name = "all",
                                       .stages = LATER | ERAB_STAGE_INGRESS, .decide = decide0, .recall = recall0};
static const struct erab_policy egress = {.size = sizeof(egress), .abi_minor = 1, .name = "egress",
                                          .stages = ERAB_STAGE_EGRESS, .decide = decide1, .recall = recall1};
static const struct erab_policy cached = {.size = sizeof(cached), .abi_minor = 1, .name = "cached",
                                          .flags = ERAB_POLICY_CACHEABLE, .stages = LATER, .decide = decide1};
static const struct erab_policy reader = {.size = sizeof(reader), .abi_minor = 1, .name = "reader",
                                          .stages = ERAB_STAGE_INGRESS, .needs = ERAB_NEEDS_BODY,
                                          .decide = decide1, .recall = recall1};
static bool wants_telemetry(void *instance, const struct erab_policy_request *request)
{
    return request->header->type == ERAB_TELEMETRY;
}

static const struct erab_policy choosy = {.size = sizeof(choosy), .abi_minor = 1, .name = "choosy",
                                          .stages = ERAB_STAGE_INGRESS, .needs = ERAB_NEEDS_BODY,
                                          .decide = decide1, .wants_body = wants_telemetry};
static const struct erab_policy before = {.size = offsetof(struct erab_policy, wants_body), .abi_minor = 1,
                                          .name = "before", .stages = ERAB_STAGE_INGRESS, .needs = ERAB_NEEDS_BODY,
                                          .decide = decide1, .recall = recall1, .wants_body = wants_telemetry};
static const struct erab_policy shorter = {.size = offsetof(struct erab_policy, recall), .abi_minor = 1,
                                           .name = "shorter", .stages = ERAB_STAGE_INGRESS, .decide = decide1,
                                           .recall = recall1};

static int setup(void **state)
{
    memset(votes, 0, sizeof(votes));
    memset(asked, 0, sizeof(asked));
    memset(recalled, 0, sizeof(recalled));
    bodies = 0;
    header = (struct erab_header){.type = ERAB_OPT, .category = ERAB_OPERATION};
    return erabi_policy_engine_init(&engine, NULL, NULL);
}

static int teardown(void **state)
{
    erabi_policy_engine_deinit(&engine);
    return 0;
}

static void use(const struct erab_policy *a, const struct erab_policy *b)
{
    const struct erab_policy *list[] = {a, b};
    erabi_policy_engine_swap(&engine, chain_of(list, b ? 2 : 1, &engine));
}

static struct erab_policy_request request_at(uint32_t stage)
{
    return (struct erab_policy_request){.size = sizeof(struct erab_policy_request),
                                        .stage = stage,
                                        .interface = ERAB_IF_R3,
                                        .from = "alder",
                                        .to = "coordinator",
                                        .header = &header,
                                        .act = "join",
                                        .object = "r3",
                                        .by = "",
                                        .now_ms = 1000000};
}

static bool permits(uint32_t stage)
{
    struct erab_policy_request request = request_at(stage);
    return erabi_policy_permits(&engine, &request, 0, &answer);
}

static void silence_is_no_denial(void **state)
{
    use(&all, NULL);
    assert_true(permits(ERAB_STAGE_EGRESS));
    assert_true(permits(ERAB_STAGE_CONNECT));
    assert_true(permits(ERAB_STAGE_ADMIN));
    assert_int_equal(asked[0], 3);
}

static void the_first_deny_names_itself(void **state)
{
    use(&all, &egress);
    votes[0] = ERAB_ALLOW;
    votes[1] = ERAB_DENY;
    assert_false(permits(ERAB_STAGE_EGRESS));
    assert_string_equal(answer.policy, "egress");
    assert_int_equal(answer.verdict.reason, ERAB_REASON_DECLINED);
    votes[0] = ERAB_DENY;
    assert_false(permits(ERAB_STAGE_EGRESS));
    assert_string_equal(answer.policy, "all");
    assert_int_equal(asked[1], 1);
}

static void a_vote_that_would_come_later_is_a_deny(void **state)
{
    use(&all, NULL);
    votes[0] = ERAB_PENDING;
    assert_false(permits(ERAB_STAGE_EGRESS));
    assert_int_equal(answer.verdict.reason, ERAB_REASON_POLICY_DEADLINE);
    assert_int_equal(engine.n_pending, 0);
}

static void a_policy_is_asked_at_its_own_stages_only(void **state)
{
    use(&egress, NULL);
    votes[1] = ERAB_DENY;
    assert_true(erabi_policy_has(&engine, ERAB_STAGE_EGRESS));
    assert_false(erabi_policy_has(&engine, ERAB_STAGE_ADMIN));
    assert_true(permits(ERAB_STAGE_ADMIN));
    assert_true(permits(ERAB_STAGE_CONNECT));
    assert_int_equal(asked[1], 0);
    assert_false(permits(ERAB_STAGE_EGRESS));
}

static void a_cacheable_policy_is_asked_once_but_about_each_act(void **state)
{
    use(&cached, NULL);
    votes[1] = ERAB_DENY;
    assert_false(permits(ERAB_STAGE_EGRESS));
    assert_false(permits(ERAB_STAGE_EGRESS));
    assert_int_equal(asked[1], 1);
    assert_false(permits(ERAB_STAGE_CONNECT)); /* another stage, another vote */
    assert_int_equal(asked[1], 2);
    assert_false(permits(ERAB_STAGE_ADMIN));
    assert_false(permits(ERAB_STAGE_ADMIN));
    assert_int_equal(asked[1], 4);
}

static void types_narrow_messages_only_and_interfaces_no_acts(void **state)
{
    use(&all, NULL);
    votes[0] = ERAB_DENY;
    engine.chain->at[0]->types = UINT64_C(1) << ERAB_DISPATCH;
    assert_true(permits(ERAB_STAGE_EGRESS));
    assert_false(permits(ERAB_STAGE_CONNECT));
    assert_false(permits(ERAB_STAGE_ADMIN));
    engine.chain->at[0]->interfaces = UINT64_C(1) << ERAB_IF_R1;
    assert_true(permits(ERAB_STAGE_CONNECT));
    assert_false(permits(ERAB_STAGE_ADMIN));
}

static void who_judges_what_comes_in_is_told_what_came_before(void **state)
{
    Erab__V1__Opt body = ERAB__V1__OPT__INIT;
    struct erab_policy_request request = request_at(ERAB_STAGE_INGRESS);
    request.body = &body.base;
    use(&all, &egress);
    erabi_policy_recall(&engine, &request);
    assert_int_equal(recalled[0], 1);
    assert_int_equal(recalled[1], 0); /* it is not asked at that stage */
    assert_int_equal(bodies, 0);      /* it needs none */
    use(&reader, NULL);
    erabi_policy_recall(&engine, &request);
    assert_int_equal(recalled[1], 1);
    assert_int_equal(bodies, 1);
    use(&shorter, NULL);
    erabi_policy_recall(&engine, &request);
    assert_int_equal(recalled[1], 1);
    assert_int_equal(asked[0] + asked[1], 0);
}

static bool wanted(uint32_t stage, enum erab_type type)
{
    struct erab_policy_request request = request_at(stage);
    header.type = type;
    return erabi_policy_wants_body(&engine, &request);
}

static void a_body_is_wanted_by_who_needs_it_at_that_stage(void **state)
{
    use(&all, &egress);
    assert_false(wanted(ERAB_STAGE_INGRESS, ERAB_TELEMETRY));
    use(&all, &reader);
    assert_true(wanted(ERAB_STAGE_INGRESS, ERAB_TELEMETRY));
    assert_false(wanted(ERAB_STAGE_EGRESS, ERAB_TELEMETRY));
    use(&all, &choosy);
    assert_true(wanted(ERAB_STAGE_INGRESS, ERAB_TELEMETRY));
    assert_false(wanted(ERAB_STAGE_INGRESS, ERAB_DEVICE_STATE));
    use(&before, NULL);
    assert_true(wanted(ERAB_STAGE_INGRESS, ERAB_DEVICE_STATE));
    struct erab_policy_request request = request_at(ERAB_STAGE_INGRESS);
    erabi_policy_recall(&engine, &request);
    assert_int_equal(recalled[1], 1); /* it is as long as it was when recall was its last */
    use(&all, &reader);
    engine.chain->at[1]->types = UINT64_C(1) << ERAB_DISPATCH;
    assert_false(wanted(ERAB_STAGE_INGRESS, ERAB_TELEMETRY));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(silence_is_no_denial),
        T(a_body_is_wanted_by_who_needs_it_at_that_stage),
        T(the_first_deny_names_itself),
        T(a_vote_that_would_come_later_is_a_deny),
        T(a_policy_is_asked_at_its_own_stages_only),
        T(a_cacheable_policy_is_asked_once_but_about_each_act),
        T(types_narrow_messages_only_and_interfaces_no_acts),
        T(who_judges_what_comes_in_is_told_what_came_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
