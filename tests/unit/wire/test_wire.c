#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "wire/varint.h"
#include "wire/wire.h"

static const uint64_t now = 1795430000000;

static struct erab_header a_header(void)
{
    struct erab_header h = {.type = ERAB_DISPATCH, .category = ERAB_OPERATION, .issued_at_ms = now,
                            .expires_at_ms = now + 60000, .seq = 7, .version = 1};
    erab_id_new(h.id, now);
    erabi_copy_text(h.from, sizeof(h.from), "example-tso");
    erabi_copy_text(h.to, sizeof(h.to), "@example-group");
    return h;
}

static struct erab_header a_full_header(void)
{
    struct erab_header h = a_header();
    h.has_parent = h.has_trace = h.exercise = h.sealed = true;
    h.version = 3;
    erab_id_new(h.parent_id, now - 5);
    randombytes_buf(h.parent_hash, sizeof(h.parent_hash));
    randombytes_buf(h.trace_id, sizeof(h.trace_id));
    return h;
}

static int decode(const uint8_t *bytes, size_t n, enum erab_reason *why)
{
    struct erab_header h;
    *why = ERAB_REASON_NONE;
    return erabi_header_decode(erabi_slice(bytes, n), &h, why);
}

static void a_header_comes_back_as_it_was(void **state)
{
    struct erab_header in = a_full_header(), out;
    uint8_t bytes[ERAB_HEADER_MAX];
    enum erab_reason why;
    size_t n = erabi_header_encode(&in, bytes);
    assert_int_equal(erabi_header_decode(erabi_slice(bytes, n), &out, &why), 0);
    uint8_t again[ERAB_HEADER_MAX];
    assert_int_equal(erabi_header_encode(&out, again), n);
    assert_memory_equal(bytes, again, n);
    assert_memory_equal(in.parent_hash, out.parent_hash, ERAB_HASH_SIZE);
    assert_memory_equal(in.trace_id, out.trace_id, 16);
    assert_string_equal(in.from, out.from);
    assert_string_equal(in.to, out.to);
    assert_true(out.exercise && out.sealed && out.has_parent && out.has_trace);
    assert_int_equal(out.version, 3);
}

static void a_header_without_options_has_version_1(void **state)
{
    struct erab_header in = a_header(), out;
    uint8_t bytes[ERAB_HEADER_MAX];
    enum erab_reason why;
    size_t n = erabi_header_encode(&in, bytes);
    assert_int_equal(erabi_header_decode(erabi_slice(bytes, n), &out, &why), 0);
    assert_int_equal(out.version, 1);
    assert_false(out.has_parent || out.has_trace || out.exercise || out.sealed);
}

static void the_longest_header_fits(void **state)
{
    struct erab_header h = a_full_header();
    memset(h.from, 'a', ERAB_PARTY_MAX);
    memset(h.to, 'b', ERAB_ADDRESSEE_MAX);
    h.to[0] = '@';
    h.from[ERAB_PARTY_MAX] = h.to[ERAB_ADDRESSEE_MAX] = '\0';
    h.issued_at_ms = h.expires_at_ms = h.seq = UINT64_MAX;
    h.version = UINT32_MAX;
    uint8_t bytes[ERAB_HEADER_MAX];
    enum erab_reason why;
    size_t n = erabi_header_encode(&h, bytes);
    assert_int_equal(decode(bytes, n, &why), 0);
}

static void field_order_in_a_header_is_free(void **state)
{
    struct erab_header h = a_header();
    uint8_t bytes[ERAB_HEADER_MAX], turned[ERAB_HEADER_MAX];
    enum erab_reason why;
    size_t n = erabi_header_encode(&h, bytes);
    erabi_copy_bytes(turned, bytes + 18, n - 18); /* id, the first field, goes last */
    erabi_copy_bytes(turned + n - 18, bytes, 18);
    assert_int_equal(decode(turned, n, &why), 0);
}

static void every_cut_header_is_refused(void **state)
{
    struct erab_header h = a_header();
    uint8_t bytes[ERAB_HEADER_MAX];
    enum erab_reason why;
    size_t n = erabi_header_encode(&h, bytes);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(decode(bytes, i, &why), -EBADMSG);
}

/* Appends a field to a good header. */
static void refused_with(const char *more, size_t size, enum erab_reason expected)
{
    struct erab_header h = a_header();
    uint8_t bytes[ERAB_HEADER_MAX];
    enum erab_reason why;
    size_t n = erabi_header_encode(&h, bytes);
    erabi_copy_bytes(bytes + n, more, size);
    assert_int_equal(decode(bytes, n + size, &why), -EBADMSG);
    assert_int_equal(why, expected);
}

#define REFUSED_WITH(text) refused_with(text, sizeof(text) - 1, ERAB_REASON_MALFORMED)

static void an_unknown_header_field_is_refused(void **state)
{
    REFUSED_WITH("\x70\x01");
}

static void a_duplicate_header_field_is_refused(void **state)
{
    REFUSED_WITH("\x38\x07");
}

static void an_overlong_number_in_a_header_is_refused(void **state)
{
    REFUSED_WITH("\x68\x82\x00");
}

static void a_flag_of_2_is_refused(void **state)
{
    REFUSED_WITH("\x50\x02");
}

static void version_0_is_refused(void **state)
{
    REFUSED_WITH("\x68\x00");
}

static void a_short_trace_id_is_refused(void **state)
{
    REFUSED_WITH("\x5a\x02zz");
}

static void an_empty_parent_is_refused(void **state)
{
    REFUSED_WITH("\x42\x00");
}

static void a_wrong_wire_type_in_a_header_is_refused(void **state)
{
    REFUSED_WITH("\x52\x01\x01");
}

static void mutate_one(const char *what, unsigned field, const void *with, size_t size, enum erab_reason expected)
{
    /* Builds a header by hand in which one field is replaced. */
    uint8_t bytes[ERAB_HEADER_MAX], id[16];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    enum erab_reason why;
    erab_id_new(id, now);
    struct erabi_slice blocks[4] = {{0}, {id, 16}, {(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}};
    uint64_t numbers[10] = {[4] = 1, [5] = now, [6] = now + 1, [7] = 1, [9] = 1};
    if (field < 4)
        blocks[field] = erabi_slice(with, size);
    else
        numbers[field] = size;
    for (unsigned i = 1; i < 4; i++)
        erabi_write_block(&w, i, blocks[i]);
    for (unsigned i = 4; i < 10; i++)
        if (i != 8)
            erabi_write_number(&w, i, numbers[i]);
    int r = decode(bytes, w.used, &why);
    if (r != (expected == ERAB_REASON_NONE ? 0 : -EBADMSG) || why != expected)
        fail_msg("%s: %d %s", what, r, erab_reason_code(why));
}

static void each_header_field_is_checked(void **state)
{
    const enum erab_reason bad = ERAB_REASON_MALFORMED;
    uint8_t old[16] = {[6] = 0x40, [8] = 0x80};
    char name[65];
    memset(name, 'x', sizeof(name));
    mutate_one("good", 2, "party", 5, ERAB_REASON_NONE);
    mutate_one("UUIDv4", 1, old, 16, bad);
    mutate_one("short id", 1, old, 15, bad);
    mutate_one("empty from", 2, "", 0, bad);
    mutate_one("upper case", 2, "Party", 5, bad);
    mutate_one("from a group", 2, "@g", 2, bad);
    mutate_one("NUL", 2, "a\0b", 3, bad);
    mutate_one("long from", 2, name, 64, bad);
    mutate_one("longest from", 2, name, 63, ERAB_REASON_NONE);
    mutate_one("long to", 3, name, 64, bad);
    mutate_one("to nobody", 3, "@", 1, bad);
    mutate_one("to two", 3, "@@b", 3, bad);
    mutate_one("type 0", 4, NULL, 0, ERAB_REASON_UNKNOWN_TYPE);
    mutate_one("type in a gap", 4, NULL, 9, ERAB_REASON_UNKNOWN_TYPE);
    mutate_one("type 32", 4, NULL, 32, ERAB_REASON_UNKNOWN_TYPE);
    mutate_one("seq 0", 7, NULL, 0, bad);
    mutate_one("category 0", 9, NULL, 0, bad);
    mutate_one("category 6", 9, NULL, 6, bad);
}

static void a_header_over_the_limit_is_too_large(void **state)
{
    uint8_t bytes[ERAB_HEADER_MAX + 1] = {0};
    enum erab_reason why;
    assert_int_equal(decode(bytes, sizeof(bytes), &why), -EBADMSG);
    assert_int_equal(why, ERAB_REASON_TOO_LARGE);
}

static uint8_t packet[ERAB_PACKET_MAX];
static struct erabi_envelope read_back[ERABI_ENVELOPES_MAX];

static void packets_come_back_as_they_were(void **state)
{
    uint8_t sig[64] = {9};
    struct erabi_envelope one = {{(const uint8_t *)"head", 4}, {(const uint8_t *)"body", 4}, {sig, 64}};
    struct erabi_envelope two = {{(const uint8_t *)"h", 1}, {NULL, 0}, {NULL, 0}};
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    enum erab_lane_group group;
    size_t n;
    assert_int_equal(erabi_packet_begin(&w, ERAB_LANES_TELEMETRY), 0);
    assert_int_equal(erabi_packet_add(&w, &one), 0);
    assert_int_equal(erabi_packet_add(&w, &two), 0);
    assert_int_equal(erabi_packet_read(erabi_slice(packet, w.used), &group, read_back, &n), 0);
    assert_int_equal(group, ERAB_LANES_TELEMETRY);
    assert_int_equal(n, 2);
    assert_true(erabi_slice_equal(read_back[0].signature, one.signature));
    assert_true(erabi_slice_equal(read_back[0].body, one.body));
    assert_true(erabi_slice_equal(read_back[1].header, two.header));
    assert_int_equal(read_back[1].signature.size, 0);
}

static void an_envelope_that_does_not_fit_leaves_the_writer_alone(void **state)
{
    static const uint8_t body[ERAB_BODY_MAX];
    struct erabi_envelope e = {{(const uint8_t *)"head", 4}, {body, sizeof(body)}, {NULL, 0}};
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    assert_int_equal(erabi_packet_begin(&w, ERAB_LANES_COMMAND), 0);
    assert_int_equal(erabi_packet_add(&w, &e), 0);
    size_t used = w.used;
    assert_int_equal(erabi_packet_add(&w, &e), -ENOSPC);
    assert_int_equal(w.used, used);
    assert_false(w.bad);
}

static void no_packet_is_given_more_than_256_envelopes(void **state)
{
    struct erab_header h = a_header();
    uint8_t bytes[ERAB_HEADER_MAX];
    struct erabi_envelope e = {{bytes, erabi_header_encode(&h, bytes)}, {(const uint8_t *)"b", 1}, {NULL, 0}};
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    enum erab_lane_group group;
    size_t n, added = 0;
    erabi_packet_begin(&w, ERAB_LANES_COMMAND);
    while (erabi_packet_add(&w, &e) == 0)
        added++;
    assert_int_equal(added, ERABI_ENVELOPES_MAX);
    assert_int_equal(erabi_packet_read(erabi_slice(packet, w.used), &group, read_back, &n), 0);
    assert_int_equal(n, ERABI_ENVELOPES_MAX);
}

static int read_text(const char *bytes, size_t size)
{
    enum erab_lane_group group;
    size_t n;
    return erabi_packet_read(erabi_slice(bytes, size), &group, read_back, &n);
}

#define READ(text) read_text(text, sizeof(text) - 1)
#define ENVELOPE   "\x12\x06\x0a\x01h\x12\x01" "b"

static void a_small_packet_is_read(void **state)
{
    assert_int_equal(READ("\x08\x01" ENVELOPE), 0);
    assert_int_equal(READ(ENVELOPE "\x08\x02"), 0);
}

static void bad_packets_are_refused(void **state)
{
    assert_int_equal(READ(""), -EBADMSG);
    assert_int_equal(READ("\x08\x01"), -EBADMSG);                              /* no envelope */
    assert_int_equal(READ(ENVELOPE), -EBADMSG);                               /* no lane group */
    assert_int_equal(READ("\x08\x03" ENVELOPE), -EBADMSG);                     /* unknown group */
    assert_int_equal(READ("\x08\x01\x08\x01" ENVELOPE), -EBADMSG);             /* twice */
    assert_int_equal(READ("\x08\x81\x00" ENVELOPE), -EBADMSG);                 /* overlong */
    assert_int_equal(READ("\x08\x01" ENVELOPE "\x18\x01"), -EBADMSG);          /* unknown field */
    assert_int_equal(READ("\x08\x01\x12\x03\x0a\x01h"), -EBADMSG);             /* no body */
    assert_int_equal(READ("\x08\x01\x12\x03\x12\x01" "b"), -EBADMSG);          /* no header */
    assert_int_equal(READ("\x08\x01\x12\x05\x0a\x00\x12\x01" "b"), -EBADMSG);  /* empty header */
    assert_int_equal(READ("\x08\x01\x12\x08\x0a\x01h\x12\x01" "b\x1a\x00"), -EBADMSG);
    assert_int_equal(READ("\x08\x01\x12\x09\x0a\x01h\x12\x01" "b\x1a\x01s"), -EBADMSG); /* short signature */
    assert_int_equal(READ("\x08\x01\x12\x09\x0a\x01h\x0a\x01h\x12\x01" "b"), -EBADMSG);  /* two headers */
    assert_int_equal(READ("\x08\x01\x12\x09\x0a\x01h\x12\x01" "b\x22\x01x"), -EBADMSG);  /* unknown field */
    assert_int_equal(READ("\x08\x01\x12\x7f\x0a\x01h\x12\x01" "b"), -EBADMSG); /* length over the end */
}

static void signatures_verify_with_the_key_and_fail_without(void **state)
{
    uint8_t pk[32], sk[64], other[32], other_sk[64], sig[64];
    struct erabi_slice h = erabi_slice("header", 6), b = erabi_slice("body", 4), s = {sig, 64};
    crypto_sign_keypair(pk, sk);
    crypto_sign_keypair(other, other_sk);
    erabi_envelope_sign(h, b, sk, sig);
    assert_true(erabi_envelope_verify(h, b, s, pk));
    assert_false(erabi_envelope_verify(h, b, s, other));
    assert_false(erabi_envelope_verify(h, b, erabi_slice(sig, 63), pk));
    assert_false(erabi_envelope_verify(h, b, erabi_slice(NULL, 0), pk));
}

static void a_byte_moved_between_header_and_body_is_seen(void **state)
{
    uint8_t pk[32], sk[64], sig[64], one[32], two[32];
    crypto_sign_keypair(pk, sk);
    erabi_envelope_sign(erabi_slice("ab", 2), erabi_slice("c", 1), sk, sig);
    assert_false(erabi_envelope_verify(erabi_slice("a", 1), erabi_slice("bc", 2), erabi_slice(sig, 64), pk));
    erabi_envelope_hash(erabi_slice("ab", 2), erabi_slice("c", 1), one);
    erabi_envelope_hash(erabi_slice("a", 1), erabi_slice("bc", 2), two);
    assert_memory_not_equal(one, two, 32);
}

static void the_hash_is_that_of_the_signed_string(void **state)
{
    static const uint8_t string[] = "erab.v1.envelope\0\0\0\0\x02hd\0\0\0\x03" "bdy";
    uint8_t expected[32], hash[32];
    crypto_generichash(expected, 32, string, sizeof(string) - 1, NULL, 0);
    erabi_envelope_hash(erabi_slice("hd", 2), erabi_slice("bdy", 3), hash);
    assert_memory_equal(hash, expected, 32);
}

static void the_signature_is_over_the_signed_string(void **state)
{
    static const uint8_t string[] = "erab.v1.envelope\0\0\0\0\x02hd\0\0\0\x03" "bdy";
    uint8_t pk[32], sk[64], sig[64];
    crypto_sign_keypair(pk, sk);
    erabi_envelope_sign(erabi_slice("hd", 2), erabi_slice("bdy", 3), sk, sig);
    assert_int_equal(crypto_sign_verify_detached(sig, string, sizeof(string) - 1, pk), 0);
}

static void a_body_over_the_limit_does_not_verify(void **state)
{
    static const uint8_t big[ERAB_HEADER_MAX + ERAB_BODY_MAX];
    uint8_t pk[32], sk[64], sig[64] = {0};
    crypto_sign_keypair(pk, sk);
    assert_false(erabi_envelope_verify(erabi_slice("hd", 2), erabi_slice(big, sizeof(big)), erabi_slice(sig, 64), pk));
}

/* Every bit of a signed packet is flipped once: each must be refused by the decoders or the signature, except
 * in the lane group, which the signature does not cover and the connection binds. */
static void every_flipped_bit_is_seen(void **state)
{
    struct erab_header h = a_full_header(), seen;
    uint8_t head[ERAB_HEADER_MAX], pk[32], sk[64], sig[64];
    struct erabi_envelope e = {{head, erabi_header_encode(&h, head)}, {(const uint8_t *)"bodybody", 8}, {sig, 64}};
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    enum erab_lane_group group;
    enum erab_reason why;
    size_t n;
    crypto_sign_keypair(pk, sk);
    erabi_envelope_sign(e.header, e.body, sk, sig);
    erabi_packet_begin(&w, ERAB_LANES_COMMAND);
    erabi_packet_add(&w, &e);
    for (size_t i = 2; i < w.used; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            packet[i] ^= (uint8_t)(1u << bit);
            bool taken = erabi_packet_read(erabi_slice(packet, w.used), &group, read_back, &n) == 0 &&
                         erabi_header_decode(read_back[0].header, &seen, &why) == 0 &&
                         erabi_envelope_verify(read_back[0].header, read_back[0].body, read_back[0].signature, pk);
            assert_false(taken);
            packet[i] ^= (uint8_t)(1u << bit);
        }
    }
}

static void ids_are_version_7_of_their_time(void **state)
{
    uint8_t id[16], other[16];
    char text[37];
    erab_id_new(id, 0x0123456789ab);
    erab_id_new(other, 0x0123456789ab);
    erab_id_text(id, text);
    assert_memory_equal(text, "01234567-89ab-7", 15);
    assert_memory_not_equal(id, other, 16);
    assert_int_equal(id[8] >> 6, 2);
}

static void ids_come_back_from_their_text(void **state)
{
    uint8_t id[16], back[16];
    char text[37];
    erab_id_new(id, now);
    erab_id_text(id, text);
    assert_int_equal(erab_id_parse(text, back), 0);
    assert_memory_equal(id, back, 16);
}

static void bad_id_texts_are_refused(void **state)
{
    uint8_t id[16];
    assert_int_equal(erab_id_parse("", id), -EINVAL);
    assert_int_equal(erab_id_parse("01234567-89ab-7000-8000-00000000000", id), -EINVAL);
    assert_int_equal(erab_id_parse("01234567-89ab-7000-8000-0000000000000", id), -EINVAL);
    assert_int_equal(erab_id_parse("01234567-89AB-7000-8000-000000000000", id), -EINVAL);
    assert_int_equal(erab_id_parse("01234567089ab-7000-8000-000000000000", id), -EINVAL);
    assert_int_equal(erab_id_parse("0123456g-89ab-7000-8000-000000000000", id), -EINVAL);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_header_comes_back_as_it_was),
        T(a_header_without_options_has_version_1),
        T(the_longest_header_fits),
        T(field_order_in_a_header_is_free),
        T(every_cut_header_is_refused),
        T(an_unknown_header_field_is_refused),
        T(a_duplicate_header_field_is_refused),
        T(an_overlong_number_in_a_header_is_refused),
        T(a_flag_of_2_is_refused),
        T(version_0_is_refused),
        T(a_short_trace_id_is_refused),
        T(an_empty_parent_is_refused),
        T(a_wrong_wire_type_in_a_header_is_refused),
        T(each_header_field_is_checked),
        T(a_header_over_the_limit_is_too_large),
        T(packets_come_back_as_they_were),
        T(an_envelope_that_does_not_fit_leaves_the_writer_alone),
        T(no_packet_is_given_more_than_256_envelopes),
        T(a_small_packet_is_read),
        T(bad_packets_are_refused),
        T(signatures_verify_with_the_key_and_fail_without),
        T(a_byte_moved_between_header_and_body_is_seen),
        T(the_hash_is_that_of_the_signed_string),
        T(the_signature_is_over_the_signed_string),
        T(a_body_over_the_limit_does_not_verify),
        T(every_flipped_bit_is_seen),
        T(ids_are_version_7_of_their_time),
        T(ids_come_back_from_their_text),
        T(bad_id_texts_are_refused),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
