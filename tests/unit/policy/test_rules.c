/* What safety and privacy say, each alone, and the table of fields behind privacy and masking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <erab/privacy.h>

#include "one_policy.h"
#include "plugins.h"
#include "policy/judge.h"
#include "privacy_seen.h"

/* ---- safety ---- */

static const ProtobufCMessage *command(Erab__V1__DeviceAction action, double watts, uint64_t start, uint64_t end)
{
    static Erab__V1__DeviceCommand c;
    erab__v1__device_command__init(&c);
    c.action = action;
    c.has_power_w = watts >= 0;
    c.power_w = watts;
    c.start_ms = NOW + start;
    c.end_ms = NOW + end;
    return &c.base;
}

#define CHARGE    ERAB__V1__DEVICE_ACTION__CHARGE
#define DISCHARGE ERAB__V1__DEVICE_ACTION__DISCHARGE
#define MIN       UINT64_C(60000)

static const ProtobufCMessage *order(double first, double second)
{
    static Erab__V1__DispatchSlot slots[2];
    static Erab__V1__DispatchSlot *list[2] = {&slots[0], &slots[1]};
    static Erab__V1__Dispatch d;
    static char name[] = "o";
    erab__v1__dispatch__init(&d);
    d.order = name;
    d.mode = ERAB__V1__DISPATCH_MODE__SETPOINT;
    d.start_ms = NOW;
    d.end_ms = NOW + 60 * MIN;
    d.slot = list;
    d.n_slot = 2;
    for (int i = 0; i < 2; i++) {
        erab__v1__dispatch_slot__init(&slots[i]);
        slots[i].start_ms = NOW + (uint64_t)i * 30 * MIN;
        slots[i].end_ms = slots[i].start_ms + 30 * MIN;
        slots[i].has_target_kw = true;
        slots[i].target_kw = i ? second : first;
    }
    return &d.base;
}

#define COMMAND(...) ASK(command(__VA_ARGS__), .type = ERAB_DEVICE_COMMAND)

static void power_stays_in_its_range(void **state)
{
    make(&erab_policy_safety, "rules=target=battery-* min_kw=-3 max_kw=5");
    assert_int_equal(COMMAND(CHARGE, 5000, 0, MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(CHARGE, 5001, 0, MIN), ERAB_DENY);
    assert_int_equal(verdict.reason, ERAB_REASON_OUT_OF_RANGE);
    assert_string_equal(verdict.detail, "rule 1: power outside the range");
    assert_int_equal(COMMAND(DISCHARGE, 3000, 0, MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(DISCHARGE, 3001, 0, MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, -1, 0, MIN), ERAB_DENY); /* none given: as much as it can */
    assert_int_equal(ASK(command(CHARGE, 9000, 0, MIN), .type = ERAB_DEVICE_COMMAND, .to = "heater"), ERAB_ABSTAIN);
}

static void every_slot_of_an_order_is_looked_at(void **state)
{
    make(&erab_policy_safety, "rules=type=dispatch max_kw=100");
    assert_int_equal(ASK(order(50, 100), .type = ERAB_DISPATCH), ERAB_ABSTAIN);
    assert_int_equal(ASK(order(50, 101), .type = ERAB_DISPATCH), ERAB_DENY);
}

static void the_way_back_to_the_safe_state_is_never_stopped(void **state)
{
    make(&erab_policy_safety, "rules=deny=yes|unmatched:deny");
    assert_int_equal(COMMAND(CHARGE, 1, 0, MIN), ERAB_DENY);
    assert_int_equal(COMMAND(ERAB__V1__DEVICE_ACTION__RESTORE, -1, 0, MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(ERAB__V1__DEVICE_ACTION__STANDBY, -1, 0, MIN), ERAB_ABSTAIN);
}

static void lengths_and_notice_are_bounded(void **state)
{
    make(&erab_policy_safety, "rules=max_duration_s=3600 min_notice_s=60 max_ahead_s=600");
    assert_int_equal(COMMAND(CHARGE, 1, 2 * MIN, 10 * MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(CHARGE, 1, 2 * MIN, 63 * MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, 1, 0, 10 * MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, 1, 11 * MIN, 12 * MIN), ERAB_DENY);
}

static void hours_are_those_of_japan(void **state)
{
    make(&erab_policy_safety, "rules=hours=02:00-03:00"); /* now it is 02:46:40 there */
    assert_int_equal(COMMAND(CHARGE, 1, 0, 10 * MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(CHARGE, 1, 0, 20 * MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, 1, 15 * MIN, 16 * MIN), ERAB_DENY);
    drop(NULL);
    make(&erab_policy_safety, "rules=hours=22:00-06:00|utc_offset_min:540"); /* over midnight */
    assert_int_equal(COMMAND(CHARGE, 1, 0, 60 * MIN), ERAB_ABSTAIN);
}

static void power_changes_no_faster_than_its_ramp(void **state)
{
    make(&erab_policy_safety, "rules=ramp_kw_per_min=1");
    assert_int_equal(COMMAND(CHARGE, 1000, 0, 60 * MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(CHARGE, 5000, 2 * MIN, 60 * MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, 5000, 4 * MIN, 60 * MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(DISCHARGE, 5000, 9 * MIN, 60 * MIN), ERAB_DENY);
    drop(NULL);
    make(&erab_policy_safety, "rules=ramp_kw_per_min=1");
    assert_int_equal(ASK(order(0, 30), .type = ERAB_DISPATCH), ERAB_ABSTAIN);
    assert_int_equal(ASK(order(0, 31), .type = ERAB_DISPATCH, .to = "other"), ERAB_DENY);
}

static void what_was_refused_is_no_step_of_a_ramp(void **state)
{
    make(&erab_policy_safety, "rules=ramp_kw_per_min=1;max_kw=3");
    assert_int_equal(COMMAND(CHARGE, 1000, 0, 60 * MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(CHARGE, 5000, 4 * MIN, 60 * MIN), ERAB_DENY); /* by the second rule */
    assert_int_equal(COMMAND(CHARGE, 3000, 1 * MIN, 60 * MIN), ERAB_DENY); /* 1 to 3 kW within a minute */
}

static void recall(const ProtobufCMessage *body, bool exercise)
{
    struct erab_header header = {.type = ERAB_DEVICE_COMMAND, .exercise = exercise};
    struct erab_policy_request request = {.size = sizeof(request),
                                          .stage = ERAB_STAGE_INGRESS,
                                          .interface = ERAB_IF_R4,
                                          .from = "alder",
                                          .to = "battery-1",
                                          .header = &header,
                                          .body = body,
                                          .now_ms = NOW};
    policy->recall(instance, &request);
}

static void what_was_ordered_before_a_restart_bounds_the_next_ramp(void **state)
{
    make(&erab_policy_safety, "rules=ramp_kw_per_min=1");
    recall(command(CHARGE, 1000, 0, 60 * MIN), false);
    recall(command(CHARGE, 2000, 1 * MIN, 60 * MIN), false); /* the last one counts */
    recall(command(CHARGE, 9000, 1 * MIN, 60 * MIN), true);  /* nothing was switched */
    recall(command(ERAB__V1__DEVICE_ACTION__RESTORE, -1, 2 * MIN, 60 * MIN), false);
    assert_int_equal(COMMAND(CHARGE, 4000, 2 * MIN, 60 * MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, 3000, 2 * MIN, 60 * MIN), ERAB_ABSTAIN);
    drop(NULL);
    make(&erab_policy_safety, "rules=min_interval_s=300");
    recall(command(CHARGE, 1, 0, 60 * MIN), false);
    assert_int_equal(COMMAND(CHARGE, 1, 4 * MIN, 60 * MIN), ERAB_DENY);
}

static void orders_keep_their_distance(void **state)
{
    make(&erab_policy_safety, "rules=min_interval_s=300");
    assert_int_equal(COMMAND(CHARGE, 1, 0, 60 * MIN), ERAB_ABSTAIN);
    assert_int_equal(COMMAND(CHARGE, 1, 4 * MIN, 60 * MIN), ERAB_DENY);
    assert_int_equal(COMMAND(CHARGE, 1, 5 * MIN, 60 * MIN), ERAB_ABSTAIN);
}

/* ---- privacy ---- */

static const ProtobufCMessage *values_of(const char *resource, int members)
{
    static Erab__V1__TelemetryPoint point;
    static Erab__V1__TelemetryPoint *list[1] = {&point};
    static Erab__V1__Telemetry t;
    erab__v1__telemetry__init(&t);
    erab__v1__telemetry_point__init(&point);
    point.resource = (char *)(uintptr_t)resource;
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.has_members = members >= 0;
    point.members = members < 0 ? 0 : (uint32_t)members;
    t.point = list;
    t.n_point = 1;
    return &t.base;
}

static const ProtobufCMessage *registration(const char *serial)
{
    static Erab__V1__Registration r;
    static char resource[] = "battery-1", kind[] = "storage-battery";
    erab__v1__registration__init(&r);
    r.resource = resource;
    r.kind = kind;
    r.serial = (char *)(uintptr_t)serial;
    return &r.base;
}

static void a_field_that_the_interface_does_not_carry_is_named(void **state)
{
    make(&erab_policy_privacy, "");
    assert_int_equal(ASK(registration(NULL), .type = ERAB_REGISTRATION, .interface = ERAB_IF_R3), ERAB_ABSTAIN);
    assert_int_equal(ASK(registration("S1"), .type = ERAB_REGISTRATION, .interface = ERAB_IF_R4), ERAB_ABSTAIN);
    assert_int_equal(ASK(registration("S1"), .type = ERAB_REGISTRATION, .interface = ERAB_IF_R3), ERAB_DENY);
    assert_int_equal(verdict.reason, ERAB_REASON_CATEGORY_REFUSED);
    assert_string_equal(verdict.section, "3.7.2");
    assert_string_equal(verdict.detail, "Registration.serial is of category sensor-home, which r3 does not carry");
}

static void a_stated_category_counts_also_when_sealed(void **state)
{
    make(&erab_policy_privacy, "");
    assert_int_equal(ASK(NULL, .type = ERAB_PLAN, .interface = ERAB_IF_R3, .category = ERAB_PERSONAL), ERAB_DENY);
    assert_int_equal(ASK(NULL, .type = ERAB_PLAN, .interface = ERAB_IF_R2, .category = ERAB_PERSONAL), ERAB_ABSTAIN);
}

static void an_interface_carries_what_the_options_say(void **state)
{
    make(&erab_policy_privacy, "r3=operation;sensor-group;sensor-home");
    assert_int_equal(ASK(registration("S1"), .type = ERAB_REGISTRATION, .interface = ERAB_IF_R3), ERAB_ABSTAIN);
    assert_int_equal(ASK(NULL, .type = ERAB_INCIDENT, .interface = ERAB_IF_R3, .category = ERAB_SECURITY), ERAB_DENY);
}

static void a_sum_of_few_homes_is_a_home(void **state)
{
    make(&erab_policy_privacy, "group_min_members:10");
    struct ask a = {.type = ERAB_TELEMETRY, .interface = ERAB_IF_R3, .category = ERAB_SENSOR_GROUP};
    assert_int_equal(ask_about(a, values_of("group", 10)), ERAB_ABSTAIN);
    assert_int_equal(ask_about(a, values_of("group", 9)), ERAB_DENY);
}

static void without_consent_for_recipient_and_purpose_nothing_passes(void **state)
{
    make(&erab_policy_privacy, "r2=operation;sensor-home|consent_for=sensor-home|"
                               "purposes=type=telemetry to=retail purpose=settlement|"
                               "consents=subject=home-7 to=retail purpose=settlement until=2030-03-17;"
                               "subject=home-8 to=retail purpose=marketing until=2030-12-31;"
                               "subject=home-9 to=retail purpose=settlement until=2030-03-16");
    struct ask a = {.type = ERAB_TELEMETRY, .interface = ERAB_IF_R2, .category = ERAB_SENSOR_HOME, .to = "retail"};
    assert_int_equal(ask_about(a, values_of("home-7", -1)), ERAB_ABSTAIN);
    assert_int_equal(ask_about(a, values_of("home-8", -1)), ERAB_DENY); /* another purpose */
    assert_int_equal(verdict.reason, ERAB_REASON_CONSENT_MISSING);
    assert_null(strstr(verdict.detail, "home-8"));
    assert_int_equal(ask_about(a, values_of("home-9", -1)), ERAB_DENY); /* over */
    assert_int_equal(ask_about(a, values_of("home-6", -1)), ERAB_DENY);
    a.to = "another-retail";
    assert_int_equal(ask_about(a, values_of("home-7", -1)), ERAB_DENY);
    assert_non_null(strstr(verdict.detail, "no purpose is stated"));
}

static bool count_field(void *user, const struct erab_privacy_field *field)
{
    (*(unsigned *)user)++;
    return true;
}

/* Every field has its row, under its own name: one of an unknown class would come back as personal. */
static void every_field_of_every_body_is_in_the_table(void **state)
{
    for (int t = 1; t <= ERAB_TYPE_MAX; t++) {
        const ProtobufCMessageDescriptor *d = erab_body_descriptor((enum erab_type)t);
        for (unsigned i = 0; d && i < d->n_fields; i++) {
            const ProtobufCFieldDescriptor *f = &d->fields[i];
            if (erab_privacy_category(d, f->name, ERAB_SENSOR_GROUP) == ERAB_PERSONAL)
                fail_msg("%s.%s has no row", d->short_name, f->name);
            const ProtobufCMessageDescriptor *inner = f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
            for (unsigned k = 0; inner && k < inner->n_fields; k++)
                if (erab_privacy_category(inner, inner->fields[k].name, ERAB_SENSOR_GROUP) == ERAB_PERSONAL)
                    fail_msg("%s.%s has no row", inner->short_name, inner->fields[k].name);
        }
    }
    assert_int_equal(erab_privacy_category(erab_body_descriptor(ERAB_OPT), "no-such", ERAB_OPERATION), ERAB_PERSONAL);
}

static void a_walk_sees_what_is_there_and_nothing_else(void **state)
{
    unsigned n = 0;
    assert_true(erab_privacy_walk(registration(NULL), ERAB_OPERATION, 0, count_field, &n));
    assert_int_equal(n, 2);
    n = 0;
    assert_true(erab_privacy_walk(values_of("r", 4), ERAB_OPERATION, 0, count_field, &n));
    assert_int_equal(n, 6); /* the list itself, and five fields of its point */
}

static void what_is_masked_passes(void **state)
{
    make(&erab_policy_privacy, "");
    ProtobufCMessage *body = (ProtobufCMessage *)(uintptr_t)registration("S1");
    assert_int_equal(erab_privacy_mask(body, ERAB_OPERATION, erab_privacy_allowed(ERAB_IF_R3), 0, NULL), 1);
    assert_null(((Erab__V1__Registration *)(void *)body)->serial);
    assert_int_equal(ASK(body, .type = ERAB_REGISTRATION, .interface = ERAB_IF_R3), ERAB_ABSTAIN);
    uint8_t *packed;
    size_t size;
    ProtobufCMessage *again;
    enum erab_reason reason;
    assert_int_equal(erab_body_pack(body, &packed, &size), 0);
    if (erab_body_unpack(ERAB_REGISTRATION, (struct erab_bytes){packed, size}, &again, &reason))
        fail_msg("%s", erab_reason_code(reason));
    erab_body_free(again);
    free(packed);
}

static void what_cannot_be_masked_is_not_to_be_sent(void **state)
{
    const char *field = NULL;
    ProtobufCMessage *body = (ProtobufCMessage *)(uintptr_t)values_of("home-7", -1);
    assert_true(erab_privacy_mask(body, ERAB_SENSOR_HOME, erab_privacy_allowed(ERAB_IF_R3), 0, &field) < 0);
    assert_string_equal(field, "quantity");
    static Erab__V1__PlanSlot slot = ERAB__V1__PLAN_SLOT__INIT;
    static Erab__V1__PlanSlot *list[1] = {&slot};
    static char text[] = "x";
    Erab__V1__Baseline baseline = ERAB__V1__BASELINE__INIT;
    baseline.resource = baseline.method = text;
    baseline.slot = list;
    baseline.n_slot = 1; /* a list that needs one entry at least */
    assert_true(erab_privacy_mask(&baseline.base, ERAB_SENSOR_HOME, erab_privacy_allowed(ERAB_IF_R3), 0, &field) < 0);
    assert_string_equal(field, "slot");
}

#define T(f) cmocka_unit_test_teardown(f, drop)

/* ---- what the pre-scan saw, in place of the body ---- */

static struct erab_policy_request as_scanned(const struct ask *a, const struct erab_header *header,
                                             const ProtobufCMessage *body)
{
    static uint8_t bytes[ERAB_BODY_MAX];
    struct erab_policy_request request = {.size = sizeof(request), .stage = ERAB_STAGE_INGRESS, .from = "alder",
                                          .to = "battery-1", .interface = a->interface, .header = header};
    struct erabi_seen seen;
    enum erab_reason why;
    size_t n = protobuf_c_message_pack(body, bytes);
    assert_int_equal(erabi_body_scan(a->type, erabi_slice(bytes, n), &seen, &why), 0);
    request.categories = erabi_privacy_seen(&seen, header->category, &request.has_members);
    return request;
}

/* The vote by what was seen is the one by the body; what it is about is only known from the body, which is asked for. */
static bool votes_alike(struct ask a, const ProtobufCMessage *body)
{
    struct erab_header header = {.type = a.type, .category = a.category};
    struct erab_policy_request request = as_scanned(&a, &header, body);
    enum erab_vote vote = ask_about(a, body);
    bool wanted = policy->wants_body(instance, &request);
    struct erab_verdict seen = {.size = sizeof(seen), .section = "", .detail = ""};
    policy->decide(instance, 1, &request, &seen);
    assert_true(wanted || (seen.vote == vote && seen.reason == verdict.reason));
    return wanted;
}

static unsigned all_votes(void)
{
    unsigned wanted = 0;
    for (unsigned i = ERAB_IF_NONE; i <= ERAB_IF_COUNT; i++)
        for (unsigned c = ERAB_OPERATION; c <= ERAB_SECURITY; c++) {
            struct ask a = {.interface = (enum erab_interface)i, .category = (enum erab_category)c};
            a.type = ERAB_TELEMETRY;
            wanted += votes_alike(a, values_of("home-7", -1));
            wanted += votes_alike(a, values_of("home-7", 4));
            a.type = ERAB_REGISTRATION;
            wanted += votes_alike(a, registration(NULL));
            wanted += votes_alike(a, registration("S1"));
        }
    return wanted;
}

static void what_was_scanned_gives_the_vote_that_the_body_gives(void **state)
{
    static const char *const options[] = {"", "group_min_members:10", "consent_for=sensor-home;sensor-group",
                                          "r4=operation|r5=|r3=sensor-home;operation"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        make(&erab_policy_privacy, options[i]);
        assert_in_range(all_votes(), 1, 4 * 5 * (ERAB_IF_COUNT + 1) - 1); /* some are wanted, not all */
        drop(NULL);
    }
}

static void the_body_of_usual_telemetry_is_not_wanted(void **state)
{
    struct ask a = {.type = ERAB_TELEMETRY, .interface = ERAB_IF_R4, .category = ERAB_SENSOR_HOME};
    make(&erab_policy_privacy, "");
    assert_false(votes_alike(a, values_of("home-7", -1)));
    a.interface = ERAB_IF_R3;
    assert_true(votes_alike(a, values_of("home-7", -1))); /* the field is named */
}

/* A host that shows no body all the same: nothing passes for want of it. */
static void without_a_body_that_is_wanted_nothing_forbidden_passes(void **state)
{
    make(&erab_policy_privacy, "");
    struct ask a = {.type = ERAB_REGISTRATION, .interface = ERAB_IF_R3, .category = ERAB_OPERATION};
    struct erab_header header = {.type = a.type, .category = a.category};
    struct erab_policy_request request = as_scanned(&a, &header, registration("S1"));
    verdict = (struct erab_verdict){.size = sizeof(verdict), .section = "", .detail = ""};
    policy->decide(instance, 1, &request, &verdict);
    assert_int_equal(verdict.vote, ERAB_DENY);
    assert_int_equal(verdict.reason, ERAB_REASON_CATEGORY_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(power_stays_in_its_range),
        T(every_slot_of_an_order_is_looked_at),
        T(the_way_back_to_the_safe_state_is_never_stopped),
        T(lengths_and_notice_are_bounded),
        T(hours_are_those_of_japan),
        T(power_changes_no_faster_than_its_ramp),
        T(what_was_refused_is_no_step_of_a_ramp),
        T(orders_keep_their_distance),
        T(what_was_ordered_before_a_restart_bounds_the_next_ramp),
        T(a_field_that_the_interface_does_not_carry_is_named),
        T(a_stated_category_counts_also_when_sealed),
        T(an_interface_carries_what_the_options_say),
        T(a_sum_of_few_homes_is_a_home),
        T(without_consent_for_recipient_and_purpose_nothing_passes),
        T(what_was_scanned_gives_the_vote_that_the_body_gives),
        T(the_body_of_usual_telemetry_is_not_wanted),
        T(without_a_body_that_is_wanted_nothing_forbidden_passes),
        T(every_field_of_every_body_is_in_the_table),
        T(a_walk_sees_what_is_there_and_nothing_else),
        T(what_is_masked_passes),
        T(what_cannot_be_masked_is_not_to_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
