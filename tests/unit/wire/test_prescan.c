#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "wire/limits.h"
#include "wire/varint.h"
#include "wire/wire.h"

#include "probe.pb-c.h"

static enum erab_reason why;
static struct erabi_seen seen;

static int scan_as(const ProtobufCMessageDescriptor *type, const void *bytes, size_t n)
{
    why = ERAB_REASON_NONE;
    return erabi_prescan(type, erabi_slice(bytes, n), &seen, &why);
}

#define SCAN(text) scan_as(&probe__node__descriptor, text, sizeof(text) - 1)
#define TAKEN(text) assert_int_equal(SCAN(text), 0)
#define REFUSED(text, reason)                                                                                \
    do {                                                                                                     \
        assert_int_equal(SCAN(text), -EBADMSG);                                                              \
        assert_int_equal(why, ERAB_REASON_##reason);                                                         \
    } while (0)

static void an_empty_message_passes(void **state)
{
    TAKEN("");
}

static void every_wire_type_passes(void **state)
{
    TAKEN("\x0a\x00\x10\x05\x1a\x02hi\x21\0\0\0\0\0\0\xf0\x3f\x2d\0\0\x80\x3f\x30\x01\x38\x01\x40\x07\x48\x07\x50\x07"
          "\x5d\1\2\3\4\x61\1\2\3\4\5\6\7\x08\x6a\x00\x72\x01z");
}

static void a_negative_number_passes_in_ten_bytes(void **state)
{
    TAKEN("\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

static void a_number_too_large_for_its_field_is_refused(void **state)
{
    REFUSED("\x40\x80\x80\x80\x80\x08", MALFORMED);
    REFUSED("\x48\x80\x80\x80\x80\x10", MALFORMED);
    REFUSED("\x50\x80\x80\x80\x80\x10", MALFORMED);
}

static void an_unknown_field_is_refused(void **state)
{
    REFUSED("\x98\x06\x01", MALFORMED);
}

static void field_zero_is_refused(void **state)
{
    REFUSED("\x00\x01", MALFORMED);
}

static void a_second_value_of_a_singular_field_is_refused(void **state)
{
    REFUSED("\x48\x01\x48\x01", MALFORMED);
}

static void a_second_submessage_of_a_singular_field_is_refused(void **state)
{
    REFUSED("\x0a\x00\x0a\x00", MALFORMED);
}

static void a_wrong_wire_type_is_refused(void **state)
{
    REFUSED("\x4a\x01\x01", MALFORMED);
    REFUSED("\x18\x01", MALFORMED);
    REFUSED("\x25\0\0\0\0", MALFORMED);
}

static void a_packed_repeat_is_refused(void **state)
{
    REFUSED("\x12\x02\x01\x02", MALFORMED);
    REFUSED("\x7a\x02\x01\x02", MALFORMED);
}

static void a_group_is_refused(void **state)
{
    REFUSED("\x0b\x0c", MALFORMED);
}

static void an_unknown_enumeration_value_is_refused(void **state)
{
    REFUSED("\x30\x03", MALFORMED);
    REFUSED("\x30\x00", MALFORMED);
}

static void a_truth_value_other_than_0_and_1_is_refused(void **state)
{
    REFUSED("\x38\x02", MALFORMED);
}

static void a_missing_required_field_is_refused(void **state)
{
    assert_int_equal(scan_as(&probe__need__descriptor, "", 0), -EBADMSG);
    assert_int_equal(why, ERAB_REASON_MALFORMED);
    assert_int_equal(scan_as(&probe__need__descriptor, "\x08\x01", 2), 0);
}

static void not_a_number_is_refused(void **state)
{
    REFUSED("\x21\0\0\0\0\0\0\xf8\x7f", MALFORMED);
    REFUSED("\x2d\0\0\xc0\x7f", MALFORMED);
}

static void infinity_is_refused(void **state)
{
    REFUSED("\x21\0\0\0\0\0\0\xf0\x7f", MALFORMED);
    REFUSED("\x21\0\0\0\0\0\0\xf0\xff", MALFORMED);
    REFUSED("\x2d\0\0\x80\xff", MALFORMED);
}

static void the_largest_finite_number_passes(void **state)
{
    TAKEN("\x21\xff\xff\xff\xff\xff\xff\xef\x7f");
}

static void an_overlong_varint_is_refused(void **state)
{
    REFUSED("\x48\x81\x00", MALFORMED); /* value */
    REFUSED("\xc8\x00\x01", MALFORMED); /* tag */
    REFUSED("\x1a\x81\x00z", MALFORMED); /* length */
    REFUSED("\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", MALFORMED);
    REFUSED("\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", MALFORMED);
}

static void a_cut_off_value_is_refused(void **state)
{
    REFUSED("\x48", MALFORMED);
    REFUSED("\x48\x80", MALFORMED);
    REFUSED("\x1a\x02h", MALFORMED);
    REFUSED("\x21\0\0\0", MALFORMED);
    REFUSED("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", MALFORMED);
}

static void good_utf8_passes(void **state)
{
    TAKEN("\x1a\x0a\xc3\xa9\xe9\x9b\xbb\xf0\x9f\x94\x8b!");
    TAKEN("\x1a\x03\xed\x9f\xbf");
    TAKEN("\x1a\x04\xf4\x8f\xbf\xbf");
}

static void bad_utf8_is_refused(void **state)
{
    REFUSED("\x1a\x01\x80", MALFORMED);             /* lone continuation */
    REFUSED("\x1a\x02\xc0\xaf", MALFORMED);         /* overlong */
    REFUSED("\x1a\x03\xe0\x80\xaf", MALFORMED);     /* overlong */
    REFUSED("\x1a\x04\xf0\x80\x80\xaf", MALFORMED); /* overlong */
    REFUSED("\x1a\x03\xed\xa0\x80", MALFORMED);     /* surrogate */
    REFUSED("\x1a\x04\xf4\x90\x80\x80", MALFORMED); /* over 10FFFF */
    REFUSED("\x1a\x04\xf5\x80\x80\x80", MALFORMED);
    REFUSED("\x1a\x01\xc3", MALFORMED); /* cut off */
    REFUSED("\x1a\x02\xc3z", MALFORMED);
}

static void nul_in_text_is_refused(void **state)
{
    REFUSED("\x1a\x03" "a\0b", MALFORMED);
}

static void nul_in_bytes_passes(void **state)
{
    TAKEN("\x72\x03" "a\0b");
}

static size_t nest(uint8_t *out, unsigned levels)
{
    /* The innermost is empty; each level around it is tag, length, content. */
    uint8_t *end = out + 64;
    size_t n = 0;
    for (unsigned i = 1; i < levels; i++) {
        *(end - n - 1) = (uint8_t)n;
        *(end - n - 2) = 0x0a;
        n += 2;
    }
    return n;
}

static void eight_levels_pass(void **state)
{
    uint8_t room[64];
    size_t n = nest(room, 8);
    assert_int_equal(scan_as(&probe__node__descriptor, room + 64 - n, n), 0);
}

static void nine_levels_are_refused(void **state)
{
    uint8_t room[64];
    size_t n = nest(room, 9);
    assert_int_equal(scan_as(&probe__node__descriptor, room + 64 - n, n), -EBADMSG);
    assert_int_equal(why, ERAB_REASON_TOO_LARGE);
}

static int scan_repeats(unsigned n)
{
    uint8_t bytes[4096];
    for (unsigned i = 0; i < n; i++)
        erabi_copy_bytes(bytes + 2 * i, "\x10\x01", 2);
    return scan_as(&probe__node__descriptor, bytes, 2 * n);
}

static void the_limit_of_repeats_passes(void **state)
{
    assert_int_equal(scan_repeats(ERABI_PRESCAN_REPEATS), 0);
}

static void one_repeat_more_is_refused(void **state)
{
    assert_int_equal(scan_repeats(ERABI_PRESCAN_REPEATS + 1), -EBADMSG);
    assert_int_equal(why, ERAB_REASON_TOO_LARGE);
}

/* `nodes` items of 2 + 15 numbers each: 16 fields an item. */
static int scan_items(unsigned nodes, unsigned numbers, bool one_more)
{
    static uint8_t bytes[ERAB_BODY_MAX];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    for (unsigned i = 0; i < nodes; i++) {
        erabi_write_u8(&w, 0x6a);
        erabi_write_u8(&w, (uint8_t)(2 * numbers));
        for (unsigned k = 0; k < numbers; k++)
            erabi_write_bytes(&w, "\x10\x01", 2);
    }
    if (one_more)
        erabi_write_bytes(&w, "\x48\x01", 2);
    assert_false(w.bad);
    return scan_as(&probe__node__descriptor, bytes, w.used);
}

static void the_limit_of_fields_passes(void **state)
{
    assert_int_equal(scan_items(ERABI_PRESCAN_FIELDS / 16, 15, false), 0);
}

static void one_field_over_the_limit_is_refused(void **state)
{
    assert_int_equal(scan_items(ERABI_PRESCAN_FIELDS / 16, 15, true), -EBADMSG);
    assert_int_equal(why, ERAB_REASON_TOO_LARGE);
}

static void a_body_over_the_size_limit_is_refused(void **state)
{
    _free_ uint8_t *big = calloc(1, ERAB_BODY_MAX + 1);
    assert_non_null(big);
    assert_int_equal(scan_as(&probe__node__descriptor, big, ERAB_BODY_MAX + 1), -EBADMSG);
    assert_int_equal(why, ERAB_REASON_TOO_LARGE);
}

static void telemetry_without_a_point_is_refused(void **state)
{
    assert_int_equal(scan_as(erab_body_descriptor(ERAB_TELEMETRY), "", 0), -EBADMSG);
}

static void an_id_of_the_wrong_length_is_refused(void **state)
{
    uint8_t receipt[] = {0x0a, 1, 7, 0x18, 2, 0x22, 1, 'x'};
    assert_int_equal(scan_as(erab_body_descriptor(ERAB_RECEIPT), receipt, sizeof(receipt)), -EBADMSG);
    assert_int_equal(scan_as(erab_body_descriptor(ERAB_RECEIPT), receipt + 3, sizeof(receipt) - 3), 0);
}

static void the_fields_that_are_there_are_told(void **state)
{
    assert_int_equal(scan_as(&erab__v1__telemetry__descriptor, "\x0a\x0e\x0a\x01r\x10\x01\x18\x05\x21\0\0\0\0\0\0\0", 16), -EBADMSG);
    assert_int_equal(scan_as(&erab__v1__telemetry__descriptor,
                             "\x0a\x10\x0a\x01r\x10\x01\x18\x05\x21\0\0\0\0\0\0\0\0" "\x0a\x12\x0a\x01r\x10\x01\x18\x05\x21\0\0\0\0\0\0\0\0\x30\x02",
                             38), 0);
    assert_int_equal(seen.n, 2);
    assert_false(seen.more);
    assert_ptr_equal(seen.of[0].type, &erab__v1__telemetry_point__descriptor);
    assert_int_equal(seen.of[0].fields, 0x2f); /* all but the quality: of both points together */
    assert_ptr_equal(seen.of[1].type, &erab__v1__telemetry__descriptor);
    assert_int_equal(seen.of[1].fields, 1);
}

static void random_bytes_never_read_outside(void **state)
{
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = randombytes_uniform(40);
        _free_ uint8_t *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        randombytes_buf(exact, n);
        scan_as(&probe__node__descriptor, exact, n);
    }
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_empty_message_passes),
        T(every_wire_type_passes),
        T(a_negative_number_passes_in_ten_bytes),
        T(a_number_too_large_for_its_field_is_refused),
        T(an_unknown_field_is_refused),
        T(field_zero_is_refused),
        T(a_second_value_of_a_singular_field_is_refused),
        T(a_second_submessage_of_a_singular_field_is_refused),
        T(a_wrong_wire_type_is_refused),
        T(a_packed_repeat_is_refused),
        T(a_group_is_refused),
        T(an_unknown_enumeration_value_is_refused),
        T(a_truth_value_other_than_0_and_1_is_refused),
        T(a_missing_required_field_is_refused),
        T(not_a_number_is_refused),
        T(infinity_is_refused),
        T(the_largest_finite_number_passes),
        T(an_overlong_varint_is_refused),
        T(a_cut_off_value_is_refused),
        T(good_utf8_passes),
        T(bad_utf8_is_refused),
        T(nul_in_text_is_refused),
        T(nul_in_bytes_passes),
        T(eight_levels_pass),
        T(nine_levels_are_refused),
        T(the_limit_of_repeats_passes),
        T(one_repeat_more_is_refused),
        T(the_limit_of_fields_passes),
        T(one_field_over_the_limit_is_refused),
        T(a_body_over_the_size_limit_is_refused),
        T(telemetry_without_a_point_is_refused),
        T(an_id_of_the_wrong_length_is_refused),
        T(the_fields_that_are_there_are_told),
        T(random_bytes_never_read_outside),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
