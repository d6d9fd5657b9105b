#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "xml.h"

/* Many prefixes on the outer elements, defaults inside: one shape that is seen in the field. */
#define HEAD                                                                                                           \
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<oadr:oadrPayload xmlns:oadr=\"" OADR_NS                              \
    "\"><oadr:oadrSignedObject oadr:Id=\"obj\">"
#define TAIL "</oadr:oadrSignedObject></oadr:oadrPayload>"
#define LIST_HEAD                                                                                                      \
    HEAD "<oadr:oadrDistributeEvent ei:schemaVersion=\"2.0b\" xmlns:ei=\"" EI_NS "\"><ei:eiResponse><ei:responseCode>" \
         "200</ei:responseCode><requestID xmlns=\"" PYLD_NS "\"/></ei:eiResponse><requestID xmlns=\"" PYLD_NS          \
         "\">rq-1</requestID><ei:vtnID>VTN_A</ei:vtnID>"
#define LIST_TAIL "</oadr:oadrDistributeEvent>" TAIL

static char *event_text(const char *status, const char *test, const char *length, const char *signals,
                        const char *target)
{
    static char text[16384];
    snprintf(text, sizeof text,
             "<oadr:oadrEvent><ei:eiEvent><ei:eventDescriptor><ei:eventID>ev-7</ei:eventID><ei:modificationNumber>3"
             "</ei:modificationNumber><ei:priority>2</ei:priority><ei:eiMarketContext><marketContext xmlns=\"" EMIX_NS
             "\">http://m.example</marketContext></ei:eiMarketContext><ei:createdDateTime>2027-01-05T00:00:00Z"
             "</ei:createdDateTime><ei:eventStatus>%s</ei:eventStatus>%s</ei:eventDescriptor><ei:eiActivePeriod>"
             "<properties xmlns=\"" XCAL_NS "\"><dtstart><date-time>2027-01-05T03:00:00.250199Z</date-time></dtstart>"
             "<duration><duration>%s</duration></duration></properties><components xmlns=\"" XCAL_NS "\"/>"
             "</ei:eiActivePeriod><ei:eiEventSignals>%s</ei:eiEventSignals><ei:eiTarget>%s</ei:eiTarget></ei:eiEvent>"
             "<oadr:oadrResponseRequired>always</oadr:oadrResponseRequired></oadr:oadrEvent>",
             status, test, length, signals, target);
    return text;
}

static char *signal_text(const char *name, const char *type, const char *item, const char *first, const char *second)
{
    static char text[8192];
    snprintf(text, sizeof text,
             "<ei:eiEventSignal xmlns:xcal=\"" XCAL_NS "\" xmlns:strm=\"" STRM_NS "\" xmlns:power=\"" POWER_NS
             "\" xmlns:scale=\"" SCALE_NS "\"><strm:intervals><ei:interval><xcal:duration><xcal:duration>PT15M"
             "</xcal:duration></xcal:duration><xcal:uid><xcal:text>0</xcal:text></xcal:uid><ei:signalPayload>"
             "<ei:payloadFloat><ei:value>%s</ei:value></ei:payloadFloat></ei:signalPayload></ei:interval><ei:interval>"
             "<xcal:duration><xcal:duration>PT15M</xcal:duration></xcal:duration><ei:signalPayload><ei:payloadFloat>"
             "<ei:value>%s</ei:value></ei:payloadFloat></ei:signalPayload></ei:interval></strm:intervals>"
             "<ei:signalName>%s</ei:signalName><ei:signalType>%s</ei:signalType><ei:signalID>s</ei:signalID>%s"
             "</ei:eiEventSignal>",
             first, second, name, type, item);
    return text;
}

static struct oadr_message *parse_event(const char *event)
{
    static char text[20000];
    struct oadr_message *m;
    snprintf(text, sizeof text, "%s%s%s", LIST_HEAD, event, LIST_TAIL);
    assert_int_equal(erabi_oadr_parse(text, strlen(text), "VEN_1", &m), 0);
    assert_int_equal(m->n_events, 1);
    return m;
}

static uint32_t problem_of(const char *event)
{
    struct oadr_message *m = parse_event(event);
    uint32_t code = m->events[0].problem;
    erabi_oadr_message_free(m);
    return code;
}

static void reads_a_dispatch_with_two_intervals(void **state)
{
    struct oadr_message *m = parse_event(event_text("far", "<ei:testEvent>false</ei:testEvent>", "PT30M",
                                                    signal_text("LOAD_DISPATCH", "setpoint", "", "-1500", "2.5e2"), ""));
    const struct oadr_event *e = &m->events[0];
    assert_string_equal(m->request_id, "rq-1");
    assert_string_equal(m->vtn_id, "VTN_A");
    assert_string_equal(e->id, "ev-7");
    assert_string_equal(e->market_context, "http://m.example");
    assert_int_equal(e->modification, 3);
    assert_int_equal(e->priority, 2);
    assert_int_equal(e->problem, 0);
    assert_int_equal(e->mode, OADR_SETPOINT);
    assert_int_equal(e->end_ms - e->start_ms, 1800000);
    assert_int_equal(e->start_ms % 1000, 250);
    assert_int_equal(e->n_slots, 2);
    assert_true(e->slots[0].value == -1500 && e->slots[1].value == 250);
    assert_int_equal(e->slots[1].start_ms, e->slots[0].end_ms);
    assert_int_equal(e->slots[1].end_ms, e->end_ms);
    assert_false(e->test);
    assert_true(e->answer_required);
    erabi_oadr_message_free(m);
}

static void reads_numbered_prefixes_and_defaults(void **state)
{
    static const char text[] =
        "<p1:oadrPayload xmlns:p1=\"" OADR_NS "\">\n  <p1:oadrSignedObject>\n    <oadrRegisteredReport xmlns=\"" OADR_NS
        "\" xmlns:p3=\"" EI_NS "\" p3:schemaVersion=\"2.0b\" xmlns:p2=\"" PYLD_NS "\">\n<eiResponse xmlns=\"" EI_NS
        "\"><responseCode> 200 </responseCode><p2:requestID>x</p2:requestID></eiResponse><oadrReportRequest>"
        "<p3:reportRequestID>r-1</p3:reportRequestID><p3:reportSpecifier xmlns:p4=\"" XCAL_NS "\">"
        "<p3:reportSpecifierID>spec</p3:reportSpecifierID><p4:granularity><p4:duration>PT1M</p4:duration>"
        "</p4:granularity><p3:reportBackDuration><p4:duration>PT5M</p4:duration></p3:reportBackDuration>"
        "<p3:specifierPayload><p3:rID>power</p3:rID><p3:readingType>Direct Read</p3:readingType></p3:specifierPayload>"
        "</p3:reportSpecifier></oadrReportRequest><p3:venID>VEN_1</p3:venID></oadrRegisteredReport>"
        "</p1:oadrSignedObject></p1:oadrPayload>";
    struct oadr_message *m;
    assert_int_equal(erabi_oadr_parse(text, sizeof text - 1, "VEN_1", &m), 0);
    assert_int_equal(m->kind, OADR_REGISTERED_REPORT);
    assert_int_equal(m->code, 200);
    assert_int_equal(m->n_requests, 1);
    assert_string_equal(m->requests[0].id, "r-1");
    assert_int_equal(m->requests[0].granularity_ms, 60000);
    assert_int_equal(m->requests[0].back_ms, 300000);
    assert_string_equal(m->requests[0].rids[0], "power");
    erabi_oadr_message_free(m);
}

static void reads_a_registration_without_ids(void **state)
{
    static const char text[] =
        HEAD "<oadr:oadrCreatedPartyRegistration xmlns:ei=\"" EI_NS "\"><ei:eiResponse><ei:responseCode>200"
             "</ei:responseCode><requestID xmlns=\"" PYLD_NS "\">q</requestID></ei:eiResponse><ei:registrationID/>"
             "<ei:venID/><ei:vtnID>V</ei:vtnID><oadr:oadrProfiles/><oadr:oadrRequestedOadrPollFreq><duration xmlns=\""
             XCAL_NS "\">PT10S</duration></oadr:oadrRequestedOadrPollFreq></oadr:oadrCreatedPartyRegistration>" TAIL;
    struct oadr_message *m;
    assert_int_equal(erabi_oadr_parse(text, sizeof text - 1, "", &m), 0);
    assert_string_equal(m->registration_id, "");
    assert_int_equal(m->poll_ms, 10000);
    erabi_oadr_message_free(m);
}

static void anything_but_false_is_a_test(void **state)
{
    const char *s = signal_text("LOAD_DISPATCH", "delta", "", "1", "1");
    struct oadr_message *m = parse_event(event_text("far", "<ei:testEvent>no</ei:testEvent>", "PT30M", s, ""));
    assert_true(m->events[0].test);
    erabi_oadr_message_free(m);
}

#define ITEM(units, scale)                                                                                             \
    "<power:powerReal><power:itemDescription>RealPower</power:itemDescription><power:itemUnits>" units                 \
    "</power:itemUnits><scale:siScaleCode>" scale "</scale:siScaleCode></power:powerReal>"

static void the_unit_is_scaled_to_kilowatts(void **state)
{
    struct oadr_message *m = parse_event(event_text(
        "far", "", "PT30M", signal_text("LOAD_DISPATCH", "setpoint", ITEM("W", "M"), "-1.5", "2"), ""));
    assert_true(fabs(m->events[0].slots[0].value + 1500) < 1e-9);
    erabi_oadr_message_free(m);
    assert_int_equal(problem_of(event_text("far", "", "PT30M",
                                           signal_text("LOAD_DISPATCH", "setpoint", ITEM("J/s", "k"), "1", "1"), "")),
                     460);
}

static void intervals_must_fill_the_period(void **state)
{
    const char *s = signal_text("LOAD_DISPATCH", "setpoint", "", "1", "1");
    assert_int_equal(problem_of(event_text("far", "", "PT31M", s, "")), 454);
    assert_int_equal(problem_of(event_text("far", "", "PT30M", s, "")), 0);
}

static void bad_values_are_problems_of_their_event_only(void **state)
{
    static const char *const bad[] = {"NaN", "INF", "0x10", "", "1,5", "1e999", "12abc"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(problem_of(event_text("far", "", "PT30M",
                                               signal_text("LOAD_DISPATCH", "setpoint", "", bad[i], "1"), "")),
                         454);
    assert_int_equal(problem_of(event_text("far", "", "PT30M", signal_text("SIMPLE", "level", "", "4", "1"), "")), 454);
    assert_int_equal(problem_of(event_text("far", "", "PT30M", signal_text("SIMPLE", "level", "", "1.5", "1"), "")), 454);
}

static void unknown_signals_are_460(void **state)
{
    assert_int_equal(problem_of(event_text("far", "", "PT30M", signal_text("x-own", "setpoint", "", "1", "1"), "")), 460);
    assert_int_equal(
        problem_of(event_text("far", "", "PT30M", signal_text("LOAD_DISPATCH", "multiplier", "", "1", "1"), "")), 460);
}

static void targets_are_told(void **state)
{
    struct oadr_message *m = parse_event(event_text("far", "", "PT30M", signal_text("SIMPLE", "level", "", "1", "1"),
                                                    "<ei:resourceID>b-1</ei:resourceID><ei:venID>VEN_2</ei:venID>"));
    assert_true(m->events[0].targets_vens);
    assert_false(m->events[0].targets_us);
    assert_int_equal(m->events[0].n_resources, 1);
    erabi_oadr_message_free(m);
}

static void refused(const char *text, size_t size)
{
    struct oadr_message *m;
    assert_int_equal(erabi_oadr_parse(text, size, "VEN_1", &m), -EBADMSG);
    assert_null(m);
}

#define POLLED "<oadr:oadrRequestReregistration xmlns:ei=\"" EI_NS "\"><ei:venID>%s</ei:venID></oadr:oadrRequestReregistration>"

static void document_types_and_entities_are_refused(void **state)
{
    static const char *const heads[] = {
        "<!DOCTYPE oadrPayload>", "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">",
        "<!DOCTYPE x [<!ENTITY a \"b\">]>", "<!DOCTYPE x [<!ENTITY a SYSTEM \"http://127.0.0.1/\">]>",
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>"};
    char text[2048];
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        int n = snprintf(text, sizeof text,
                         "<?xml version=\"1.0\"?>%s<oadr:oadrPayload xmlns:oadr=\"" OADR_NS
                         "\"><oadr:oadrSignedObject>" POLLED TAIL, heads[i], "VEN_1");
        refused(text, (size_t)n);
    }
    int n = snprintf(text, sizeof text, HEAD POLLED TAIL, "&a;");
    refused(text, (size_t)n);
}

static void deep_nesting_is_refused(void **state)
{
    static char text[ERABI_OADR_DOC_MAX];
    size_t n = 0;
    for (; n < sizeof text - 3; n += 3)
        snprintf(text + n, 4, "<a>");
    refused(text, n);
}

static void what_is_too_large_is_refused(void **state)
{
    static char text[ERABI_OADR_DOC_MAX + 200];
    int n = snprintf(text, sizeof text, HEAD POLLED TAIL, "VEN_1");
    struct oadr_message *m;
    assert_int_equal(erabi_oadr_parse(text, (size_t)n, "", &m), 0);
    erabi_oadr_message_free(m);
    memset(text + n, ' ', sizeof text - (size_t)n);
    refused(text, sizeof text);
    static char many[ERABI_OADR_DOC_MAX];
    size_t used = 3;
    snprintf(many, sizeof many, "<a>");
    while (used < sizeof many - 8) {
        snprintf(many + used, 5, "<b/>");
        used += 4;
    }
    snprintf(many + used, 5, "</a>");
    refused(many, used + 4);
}

static void every_truncation_is_refused(void **state)
{
    char text[2048];
    int n = snprintf(text, sizeof text, HEAD POLLED TAIL, "VEN_1");
    for (int i = 0; i < n; i++)
        refused(text, (size_t)i);
}

static void wrong_roots_and_wrong_directions_are_refused(void **state)
{
    static const char *const texts[] = {
        "<oadrPayload/>", "<a xmlns=\"" OADR_NS "\"/>", HEAD TAIL, "not xml",
        HEAD "<oadr:oadrPoll/>" TAIL, HEAD "<oadr:oadrNoSuch/>" TAIL, HEAD "<oadrResponse/>" TAIL,
        HEAD "<oadr:oadrRequestReregistration/><oadr:oadrRequestReregistration/>" TAIL};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        refused(texts[i], strlen(texts[i]));
}

static void the_same_event_twice_refuses_the_list(void **state)
{
    static char text[40000];
    const char *e = event_text("far", "", "PT30M", signal_text("SIMPLE", "level", "", "1", "1"), "");
    int n = snprintf(text, sizeof text, "%s%s%s%s", LIST_HEAD, e, e, LIST_TAIL);
    refused(text, (size_t)n);
}

static void an_over_long_id_refuses_the_message(void **state)
{
    char text[2048], id[OADR_TEXT + 1];
    memset(id, 'v', OADR_TEXT);
    id[OADR_TEXT] = '\0';
    int n = snprintf(text, sizeof text, HEAD POLLED TAIL, id);
    refused(text, (size_t)n);
}

static void durations_and_times_are_exact(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } rows[] = {{"PT0S", 0}, {"PT1H30M", 5400000}, {"P1D", 86400000}, {"P1DT1S", 86401000}, {"PT0.5S", 500}, {"P1W", 604800000},
                {"P", -1}, {"PT", -1}, {"P1DT", -1}, {"PT1M1H", -1}, {"-PT1S", -1}, {"P1M", -1}, {"P1Y", -1}, {"PT1", -1},
                {"P999D", -1}, {"PT99999999999S", -1}, {"PT1SX", -1}, {"", -1}};
    uint64_t ms = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int r = erabi_oadr_duration_parse(rows[i].text, &ms);
        assert_int_equal(r, rows[i].ms < 0 ? -EINVAL : 0);
        if (r == 0)
            assert_int_equal(ms, rows[i].ms);
    }
    static const char *const bad[] = {"2027-02-30T00:00:00Z", "2027-01-05T03:00:00", "2027-01-05T03:00:00+09:00",
                                      "2027-1-5T03:00:00Z", "2027-01-05T25:00:00Z", "", "1969-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(erabi_oadr_time_parse(bad[i], &ms), -EINVAL);
    char text[32];
    assert_int_equal(erabi_oadr_time_parse("2027-01-05T03:00:00.250Z", &ms), 0);
    erabi_oadr_time_text(ms, text);
    assert_string_equal(text, "2027-01-05T03:00:00.250Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_dispatch_with_two_intervals),
        cmocka_unit_test(reads_numbered_prefixes_and_defaults),
        cmocka_unit_test(reads_a_registration_without_ids),
        cmocka_unit_test(anything_but_false_is_a_test),
        cmocka_unit_test(the_unit_is_scaled_to_kilowatts),
        cmocka_unit_test(intervals_must_fill_the_period),
        cmocka_unit_test(bad_values_are_problems_of_their_event_only),
        cmocka_unit_test(unknown_signals_are_460),
        cmocka_unit_test(targets_are_told),
        cmocka_unit_test(document_types_and_entities_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(wrong_roots_and_wrong_directions_are_refused),
        cmocka_unit_test(the_same_event_twice_refuses_the_list),
        cmocka_unit_test(an_over_long_id_refuses_the_message),
        cmocka_unit_test(durations_and_times_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
