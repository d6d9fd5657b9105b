/* What the policy `access` says of connections, of what leaves and of acts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "plugins.h"

#define NOW UINT64_C(1900000000000) /* 02:46:40 in Japan */

static void *instance;
static struct erab_verdict verdict;
static struct erab_error error;

static int fill(const char *const *rules)
{
    static struct erab_config_value values[2];
    const struct erab_config config = {.size = sizeof(config), .n = 2, .values = values};
    values[0] = (struct erab_config_value){.name = "rules", .list = rules};
    values[1] = (struct erab_config_value){.name = "utc_offset_min", .integer = 540};
    error = (struct erab_error){.size = sizeof(error)};
    int r = erab_policy_access.check(&config, &error);
    if (r < 0)
        return r;
    instance = calloc(1, erab_policy_access.instance_size);
    return erab_policy_access.init(instance, NULL, NULL, &config, &error);
}

#define RULES(...) fill((const char *const[]){__VA_ARGS__, NULL})

static int drop(void **state)
{
    if (instance)
        erab_policy_access.fini(instance);
    free(instance);
    instance = NULL;
    return 0;
}

static enum erab_vote ask(const struct erab_policy_request *about, enum erab_type type)
{
    struct erab_header header = {.type = type};
    struct erab_policy_request request = *about;
    request.size = sizeof(request);
    request.header = &header;
    request.now_ms = NOW;
    request.from = request.from ? request.from : "coordinator";
    request.to = request.to ? request.to : "coordinator";
    request.object = request.object ? request.object : "";
    request.by = request.by ? request.by : "";
    verdict = (struct erab_verdict){.size = sizeof(verdict), .section = "", .detail = ""};
    erab_policy_access.decide(instance, 0, &request, &verdict);
    return verdict.vote;
}

#define CONNECT(...) ask(&(struct erab_policy_request){.stage = ERAB_STAGE_CONNECT, __VA_ARGS__}, 0)
#define EGRESS(t, ...) ask(&(struct erab_policy_request){.stage = ERAB_STAGE_EGRESS, __VA_ARGS__}, t)
#define ADMIN(...) ask(&(struct erab_policy_request){.stage = ERAB_STAGE_ADMIN, __VA_ARGS__}, 0)

static void a_peer_is_kept_out_where_a_rule_says_so(void **state)
{
    assert_int_equal(RULES("stage=connect peer=alder* interface=r3"), 0);
    assert_int_equal(CONNECT(.from = "alder-2", .interface = ERAB_IF_R3), ERAB_DENY);
    assert_int_equal(verdict.reason, ERAB_REASON_POLICY_DENIED);
    assert_string_equal(verdict.section, "3.6");
    assert_string_equal(verdict.detail, "rule 1");
    assert_int_equal(CONNECT(.from = "alder-2", .interface = ERAB_IF_R2), ERAB_ABSTAIN);
    assert_int_equal(CONNECT(.from = "birch", .interface = ERAB_IF_R3), ERAB_ABSTAIN);
    assert_int_equal(ADMIN(.act = "join", .interface = ERAB_IF_R3), ERAB_ABSTAIN);
}

static void within_its_hours_a_peer_may_be_there(void **state)
{
    assert_int_equal(RULES("stage=connect peer=maker hours=02:00-03:00 hours=12:00-13:00"), 0);
    assert_int_equal(CONNECT(.from = "maker"), ERAB_ABSTAIN);
    drop(NULL);
    assert_int_equal(RULES("stage=connect peer=maker hours=03:00-02:30"), 0);
    assert_int_equal(CONNECT(.from = "maker"), ERAB_DENY);
    assert_string_equal(verdict.detail, "rule 1: outside the allowed hours");
}

static void what_leaves_is_judged_by_type_and_recipient(void **state)
{
    assert_int_equal(RULES("stage=egress peer=alder type=dispatch type=opt"), 0);
    assert_int_equal(EGRESS(ERAB_DISPATCH, .to = "alder"), ERAB_DENY);
    assert_int_equal(EGRESS(ERAB_OPT, .to = "alder"), ERAB_DENY);
    assert_int_equal(EGRESS(ERAB_PLAN, .to = "alder"), ERAB_ABSTAIN);
    assert_int_equal(EGRESS(ERAB_DISPATCH, .to = "birch"), ERAB_ABSTAIN);
}

static void an_act_is_judged_by_what_whose_and_by_whom(void **state)
{
    assert_int_equal(RULES("stage=admin act=party-* object=maker-* by=night-*"), 0);
    assert_int_equal(ADMIN(.act = "party-approve", .object = "maker-1", .by = "night-1"), ERAB_DENY);
    assert_int_equal(ADMIN(.act = "party-approve", .object = "maker-1", .by = "day-1"), ERAB_ABSTAIN);
    assert_int_equal(ADMIN(.act = "party-approve", .object = "alder", .by = "night-1"), ERAB_ABSTAIN);
    assert_int_equal(ADMIN(.act = "join", .object = "maker-1", .by = "night-1"), ERAB_ABSTAIN);
}

static void rules_that_could_never_hold_are_refused(void **state)
{
    static const char *const wrong[] = {
        "peer=alder",                 /* no stage */
        "stage=ingress",              /* others judge there */
        "stage=connect type=opt",     "stage=connect by=somebody", "stage=admin peer=alder",
        "stage=admin act=party-deny", /* what makes things safer is never asked about */
        "stage=egress type=receipt",  "stage=egress hours=9-17",
        "stage=admin act=join by=night-*", /* these two are signed by nobody */
        "stage=admin act=config-reload by=hana",
        "stage=admin act=config-reload interface=r3", /* nor is it about an interface */
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(RULES("stage=connect peer=good", wrong[i]) < 0);
        assert_int_equal(error.item, 2);
    }
}

#define T(name) cmocka_unit_test_teardown(name, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_peer_is_kept_out_where_a_rule_says_so),
        T(within_its_hours_a_peer_may_be_there),
        T(what_leaves_is_judged_by_type_and_recipient),
        T(an_act_is_judged_by_what_whose_and_by_whom),
        T(rules_that_could_never_hold_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
