#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/wire.h"

static int unpack(enum erab_type type, const void *bytes, size_t n, ProtobufCMessage **out, enum erab_reason *why)
{
    *out = NULL;
    *why = ERAB_REASON_NONE;
    return erab_body_unpack(type, (struct erab_bytes){bytes, n}, out, why);
}

static void a_body_comes_back_as_it_was(void **state)
{
    Erab__V1__DispatchSlot slot = ERAB__V1__DISPATCH_SLOT__INIT, *slots[] = {&slot};
    Erab__V1__Dispatch d = ERAB__V1__DISPATCH__INIT;
    d.order = (char *)(uintptr_t) "order-1";
    d.mode = ERAB__V1__DISPATCH_MODE__SETPOINT;
    d.end_ms = slot.end_ms = 1000;
    slot.has_target_kw = 1;
    d.n_slot = 1;
    d.slot = slots;
    _free_ uint8_t *bytes = NULL;
    size_t n;
    ProtobufCMessage *m;
    enum erab_reason why;
    assert_int_equal(erab_body_pack(&d.base, &bytes, &n), 0);
    assert_int_equal(unpack(ERAB_DISPATCH, bytes, n, &m, &why), 0);
    const Erab__V1__Dispatch *back = (const void *)m;
    assert_string_equal(back->order, "order-1");
    assert_true(back->slot[0]->has_target_kw); /* 0 kW is not absent */
    assert_int_equal(back->slot[0]->end_ms, 1000);
    erab_body_free(m);
}

static void an_empty_body_is_judged_by_its_required_fields(void **state)
{
    ProtobufCMessage *m;
    enum erab_reason why;
    assert_int_equal(unpack(ERAB_PING, NULL, 0, &m, &why), 1);
    assert_int_equal(why, ERAB_REASON_MALFORMED);
}

static void an_unknown_type_is_refused(void **state)
{
    ProtobufCMessage *m;
    enum erab_reason why;
    assert_int_equal(unpack((enum erab_type)9, "", 0, &m, &why), 1);
    assert_int_equal(why, ERAB_REASON_UNKNOWN_TYPE);
}

static void every_named_type_has_a_body(void **state)
{
    for (unsigned t = 0; t <= ERAB_TYPE_MAX + 1; t++)
        assert_int_equal(erab_body_descriptor((enum erab_type)t) != NULL,
                         strcmp(erab_type_name((enum erab_type)t), "?") != 0);
}

static bool bare_points;

/* A Telemetry of n points with every field (`bare_points`: with those it must have, and small numbers) and resource names of this length. */
static int pack_telemetry(unsigned points, unsigned name_size, uint8_t **bytes, size_t *n)
{
    static Erab__V1__TelemetryPoint rows[1025], *row[1025];
    char name[256];
    memset(name, 'r', name_size);
    name[name_size] = '\0';
    for (unsigned i = 0; i < points; i++) {
        erab__v1__telemetry_point__init(&rows[i]);
        rows[i].resource = name;
        rows[i].quantity = ERAB__V1__QUANTITY__POWER_KW;
        rows[i].at_ms = bare_points ? 1 : 1795430000000;
        rows[i].value = i;
        rows[i].has_quality = rows[i].has_members = !bare_points;
        rows[i].quality = ERAB__V1__QUALITY__LATE;
        row[i] = &rows[i];
    }
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    t.n_point = points;
    t.point = row;
    return erab_body_pack(&t.base, bytes, n);
}

static void the_largest_telemetry_is_unpacked(void **state)
{
    _free_ uint8_t *bytes = NULL;
    size_t n;
    ProtobufCMessage *m;
    enum erab_reason why;
    assert_int_equal(pack_telemetry(1024, 33, &bytes, &n), 0);
    assert_in_range(n, 58000, ERAB_BODY_MAX);
    assert_int_equal(unpack(ERAB_TELEMETRY, bytes, n, &m, &why), 0);
    assert_int_equal(((Erab__V1__Telemetry *)(void *)m)->n_point, 1024);
    erab_body_free(m);
}

/* What the scan takes of telemetry must unpack: the broker does the one and seldom the other. Many small points take the
 * most memory for their bytes, long names the most in all. */
static void all_telemetry_that_is_scanned_is_unpacked(void **state)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < 2 * 64 * 12; i++) {
        static const unsigned names[] = {0, 1, 15, 16, 31, 32, 33, 41, 42, 47, 120, 250};
        _free_ uint8_t *bytes = NULL;
        size_t n;
        ProtobufCMessage *m = NULL;
        enum erab_reason why;
        bare_points = i & 1;
        if (pack_telemetry(16 * (i / 2 % 64 + 1), names[i / 128], &bytes, &n) < 0)
            continue;
        assert_int_equal(erabi_body_scan(ERAB_TELEMETRY, erabi_slice(bytes, n), NULL, &why), 0);
        assert_int_equal(erabi_body_unpack_scanned(ERAB_TELEMETRY, erabi_slice(bytes, n), &m, &why), 0);
        erab_body_free(m);
        taken++;
    }
    bare_points = false;
    assert_in_range(taken, 1000, 1536);
}

static void one_point_more_is_too_large(void **state)
{
    _free_ uint8_t *bytes = NULL;
    size_t n;
    ProtobufCMessage *m;
    enum erab_reason why;
    assert_int_equal(pack_telemetry(1025, 3, &bytes, &n), 0);
    assert_int_equal(unpack(ERAB_TELEMETRY, bytes, n, &m, &why), 1);
    assert_int_equal(why, ERAB_REASON_TOO_LARGE);
    assert_null(m);
}

static void a_body_over_the_limit_is_not_packed(void **state)
{
    uint8_t *bytes = NULL;
    size_t n;
    assert_int_equal(pack_telemetry(1024, 40, &bytes, &n), -EMSGSIZE);
    assert_null(bytes);
}

static void freeing_nothing_is_allowed(void **state)
{
    erab_body_free(NULL);
}

/* Each byte of a good body replaced by each value: taken or refused, never a fault, and what is taken can be
 * packed again into the same number of bytes. */
static void every_mutated_byte_is_taken_or_refused(void **state)
{
    _free_ uint8_t *bytes = NULL;
    size_t n;
    assert_int_equal(pack_telemetry(3, 5, &bytes, &n), 0);
    for (size_t i = 0; i < n; i++) {
        uint8_t was = bytes[i];
        for (unsigned v = 0; v < 256; v++) {
            ProtobufCMessage *m;
            enum erab_reason why;
            bytes[i] = (uint8_t)v;
            int r = unpack(ERAB_TELEMETRY, bytes, n, &m, &why);
            assert_in_range(r, 0, 1);
            if (r == 0)
                assert_int_equal(protobuf_c_message_get_packed_size(m), n);
            erab_body_free(m);
        }
        bytes[i] = was;
    }
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_body_comes_back_as_it_was),
        T(an_empty_body_is_judged_by_its_required_fields),
        T(an_unknown_type_is_refused),
        T(every_named_type_has_a_body),
        T(the_largest_telemetry_is_unpacked),
        T(all_telemetry_that_is_scanned_is_unpacked),
        T(one_point_more_is_too_large),
        T(a_body_over_the_limit_is_not_packed),
        T(freeing_nothing_is_allowed),
        T(every_mutated_byte_is_taken_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
