/* schemas/vectors/, made by Python: the C code makes the same bytes and reads them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "wire/wire.h"

static json_t *envelopes, *curve;

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text)
        fail_msg("no %s", name);
    return text;
}

static size_t hex_text(const char *text, uint8_t *out, size_t room)
{
    size_t n = 0;
    const char *end = NULL;
    assert_int_equal(sodium_hex2bin(out, room, text, strlen(text), NULL, &n, &end), 0);
    assert_true(*end == '\0');
    return n;
}

static struct erabi_slice hex_of(const json_t *object, const char *name, uint8_t *out, size_t room)
{
    return erabi_slice(out, hex_text(text_of(object, name), out, room));
}

static uint64_t number_of(const json_t *fields, const char *name, uint64_t absent)
{
    const json_t *v = json_object_get(fields, name);
    if (json_is_boolean(v))
        return json_is_true(v);
    return v ? (uint64_t)json_integer_value(v) : absent;
}

static struct erab_header header_of(const json_t *fields)
{
    struct erab_header h = {0};
    hex_of(fields, "id", h.id, sizeof(h.id));
    erabi_copy_text(h.from, sizeof(h.from), text_of(fields, "from"));
    erabi_copy_text(h.to, sizeof(h.to), text_of(fields, "to"));
    h.type = (enum erab_type)number_of(fields, "type", 0);
    h.category = (enum erab_category)number_of(fields, "category", 0);
    h.issued_at_ms = number_of(fields, "issued_at_ms", 0);
    h.expires_at_ms = number_of(fields, "expires_at_ms", 0);
    h.seq = number_of(fields, "seq", 0);
    h.version = (uint32_t)number_of(fields, "version", 1);
    h.exercise = number_of(fields, "exercise", 0);
    h.sealed = number_of(fields, "sealed", 0);
    const json_t *parent = json_object_get(fields, "parent");
    if (parent) {
        h.has_parent = true;
        hex_text(json_string_value(json_array_get(parent, 0)), h.parent_id, sizeof(h.parent_id));
        hex_text(json_string_value(json_array_get(parent, 1)), h.parent_hash, sizeof(h.parent_hash));
    }
    if (json_object_get(fields, "trace_id")) {
        h.has_trace = true;
        hex_of(fields, "trace_id", h.trace_id, sizeof(h.trace_id));
    }
    return h;
}

#define EACH_CASE(c)                                                                                         \
    size_t i_;                                                                                               \
    json_t *c;                                                                                               \
    assert_true(json_array_size(json_object_get(envelopes, "cases")) > 3);                                   \
    json_array_foreach(json_object_get(envelopes, "cases"), i_, c)

static void headers_are_encoded_to_the_same_bytes(void **state)
{
    EACH_CASE(c)
    {
        uint8_t wanted[ERAB_HEADER_MAX], made[ERAB_HEADER_MAX];
        struct erabi_slice want = hex_of(c, "header", wanted, sizeof(wanted));
        struct erab_header h = header_of(json_object_get(c, "fields"));
        assert_true(erabi_slice_equal(want, erabi_slice(made, erabi_header_encode(&h, made))));
    }
}

static void headers_are_decoded_to_the_same_fields(void **state)
{
    EACH_CASE(c)
    {
        uint8_t bytes[ERAB_HEADER_MAX];
        struct erab_header got, want = header_of(json_object_get(c, "fields"));
        enum erab_reason why;
        assert_int_equal(erabi_header_decode(hex_of(c, "header", bytes, sizeof(bytes)), &got, &why), 0);
        assert_memory_equal(got.id, want.id, sizeof(got.id));
        assert_string_equal(got.from, want.from);
        assert_string_equal(got.to, want.to);
        assert_true(got.type == want.type && got.category == want.category && got.seq == want.seq);
        assert_true(got.issued_at_ms == want.issued_at_ms && got.expires_at_ms == want.expires_at_ms);
        assert_true(got.version == want.version && got.exercise == want.exercise && got.sealed == want.sealed);
        assert_true(got.has_parent == want.has_parent && got.has_trace == want.has_trace);
        assert_memory_equal(got.parent_hash, want.parent_hash, sizeof(got.parent_hash));
        assert_memory_equal(got.trace_id, want.trace_id, sizeof(got.trace_id));
    }
}

static void hashes_and_signatures_are_the_same(void **state)
{
    uint8_t seed[32], public_key[32], secret[64], wanted[32];
    hex_of(envelopes, "seed", seed, sizeof(seed));
    crypto_sign_seed_keypair(public_key, secret, seed);
    hex_of(envelopes, "public", wanted, sizeof(wanted));
    assert_memory_equal(public_key, wanted, 32);
    EACH_CASE(c)
    {
        uint8_t head[ERAB_HEADER_MAX], body[4096], hash[32], made[64], sig[64];
        struct erabi_slice h = hex_of(c, "header", head, sizeof(head)), b = hex_of(c, "body", body, sizeof(body));
        struct erabi_slice s = hex_of(c, "signature", sig, sizeof(sig));
        erabi_envelope_hash(h, b, hash);
        hex_of(c, "hash", wanted, sizeof(wanted));
        assert_memory_equal(hash, wanted, 32);
        if (s.size == 0)
            continue;
        erabi_envelope_sign(h, b, secret, made);
        assert_memory_equal(made, sig, 64);
        assert_true(erabi_envelope_verify(h, b, s, public_key));
    }
}

static void packets_are_the_same_both_ways(void **state)
{
    static struct erabi_envelope got[ERABI_ENVELOPES_MAX];
    EACH_CASE(c)
    {
        uint8_t head[ERAB_HEADER_MAX], body[4096], sig[64], wanted[8192], made[8192];
        struct erabi_envelope e = {hex_of(c, "header", head, sizeof(head)), hex_of(c, "body", body, sizeof(body)),
                                   hex_of(c, "signature", sig, sizeof(sig))};
        struct erabi_slice want = hex_of(c, "packet", wanted, sizeof(wanted));
        enum erab_lane_group group = (enum erab_lane_group)number_of(c, "lane_group", 0), group_read;
        struct erabi_writer w = erabi_writer(made, sizeof(made));
        size_t n;
        assert_int_equal(erabi_packet_begin(&w, group), 0);
        assert_int_equal(erabi_packet_add(&w, &e), 0);
        assert_true(erabi_slice_equal(want, erabi_slice(made, w.used)));
        assert_int_equal(erabi_packet_read(want, &group_read, got, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(group, group_read);
        assert_true(erabi_slice_equal(got[0].header, e.header) && erabi_slice_equal(got[0].body, e.body));
        assert_true(erabi_slice_equal(got[0].signature, e.signature));
    }
}

static void bodies_are_unpacked_and_packed_to_the_same_bytes(void **state)
{
    EACH_CASE(c)
    {
        uint8_t body[4096], *packed = NULL;
        struct erabi_slice b = hex_of(c, "body", body, sizeof(body));
        enum erab_type type = header_of(json_object_get(c, "fields")).type;
        enum erab_reason why;
        ProtobufCMessage *m = NULL;
        size_t n;
        if (number_of(json_object_get(c, "fields"), "sealed", 0))
            continue;
        assert_int_equal(erab_body_unpack(type, (struct erab_bytes){b.data, b.size}, &m, &why), 0);
        assert_int_equal(erab_body_pack(m, &packed, &n), 0);
        assert_true(erabi_slice_equal(b, erabi_slice(packed, n)));
        free(packed);
        erab_body_free(m);
    }
}

/* One command of the handshake or the traffic: clear part, box, both made and opened. */
static void check_command(const json_t *c)
{
    uint8_t clear[256], nonce[24], plain[512], bytes[512], ss[32], sp[32], rs[32], rp[32], made[512];
    struct erabi_slice before = hex_of(c, "clear", clear, sizeof(clear));
    struct erabi_slice inside = hex_of(c, "plain", plain, sizeof(plain));
    struct erabi_slice all = hex_of(c, "bytes", bytes, sizeof(bytes));
    hex_of(c, "nonce", nonce, sizeof(nonce));
    hex_of(c, "sender_secret", ss, 32);
    hex_of(c, "sender_public", sp, 32);
    hex_of(c, "receiver_secret", rs, 32);
    hex_of(c, "receiver_public", rp, 32);
    assert_int_equal(all.size, before.size + inside.size + crypto_box_MACBYTES);
    erabi_copy_bytes(made, clear, before.size);
    assert_int_equal(crypto_box_easy(made + before.size, plain, inside.size, nonce, rp, ss), 0);
    assert_memory_equal(made, bytes, all.size);
    assert_int_equal(crypto_box_open_easy(made, bytes + before.size, all.size - before.size, nonce, sp, rs), 0);
    assert_memory_equal(made, plain, inside.size);
}

static void each_curve_command_is_the_same_both_ways(void **state)
{
    size_t i;
    json_t *c, *commands = json_object_get(curve, "commands");
    assert_true(json_array_size(commands) >= 9);
    json_array_foreach(commands, i, c)
        check_command(c);
}

static void the_cookie_is_the_same_both_ways(void **state)
{
    const json_t *c = json_object_get(curve, "cookie");
    uint8_t key[32], nonce[24], plain[64], bytes[96], made[80];
    hex_of(c, "key", key, sizeof(key));
    hex_of(c, "nonce", nonce, sizeof(nonce));
    hex_of(c, "plain", plain, sizeof(plain));
    assert_int_equal(hex_of(c, "bytes", bytes, sizeof(bytes)).size, 96);
    crypto_secretbox_easy(made, plain, 64, nonce, key);
    assert_memory_equal(made, bytes + 16, 80);
    assert_memory_equal(nonce + 8, bytes, 16);
    assert_int_equal(crypto_secretbox_open_easy(made, bytes + 16, 80, nonce, key), 0);
    assert_memory_equal(made, plain, 64);
}

#define T(name) cmocka_unit_test(name)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(headers_are_encoded_to_the_same_bytes),
        T(headers_are_decoded_to_the_same_fields),
        T(hashes_and_signatures_are_the_same),
        T(packets_are_the_same_both_ways),
        T(bodies_are_unpacked_and_packed_to_the_same_bytes),
        T(each_curve_command_is_the_same_both_ways),
        T(the_cookie_is_the_same_both_ways),
    };
    if (argc != 3 || sodium_init() < 0)
        return 2;
    envelopes = json_load_file(argv[1], 0, NULL);
    curve = json_load_file(argv[2], 0, NULL);
    int r = envelopes && curve ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
    json_decref(envelopes);
    json_decref(curve);
    return r;
}
