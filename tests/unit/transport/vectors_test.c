/* schemas/vectors/curve.json against our CurveZMQ: each half opens what was recorded of the other and, with
 * the recorded keys and nonces in place of random bytes, makes the recorded bytes itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>

#include "transport/curve.h"

enum { KEY = ERABI_CURVE_KEY, ROOM = 1024 };

static json_t *vectors;

static size_t hex_of(const json_t *object, const char *name, uint8_t *out, size_t room)
{
    const char *text = json_string_value(json_object_get(object, name));
    size_t n = 0;
    if (!text)
        fail_msg("no %s", name);
    assert_int_equal(sodium_hex2bin(out, room, text, strlen(text), NULL, &n, NULL), 0);
    return n;
}

static const json_t *command(const char *name)
{
    size_t i;
    const json_t *c;
    json_array_foreach(json_object_get(vectors, "commands"), i, c)
    {
        if (!strcmp(json_string_value(json_object_get(c, "name")), name))
            return c;
    }
    fail_msg("no command %s", name);
    return NULL;
}

/* ---- what libsodium draws instead of random bytes: the script, piece by piece, each of the size asked for
 */

static struct {
    uint8_t bytes[256];
    size_t sizes[8];
    size_t pieces, drawn, used, at;
} script;

static void scripted_bytes(void *out, size_t size)
{
    if (script.drawn == script.pieces)
        fail_msg("random bytes are asked for that the script does not hold");
    assert_int_equal(size, script.sizes[script.drawn++]);
    erabi_copy_bytes(out, script.bytes + script.at, size);
    script.at += size;
}

static uint32_t scripted_number(void)
{
    fail_msg("a random number is not in the script");
    return 0;
}

static const char *scripted_name(void)
{
    return "script";
}

static void add_piece(const uint8_t *bytes, size_t size)
{
    assert_true(script.used + size <= sizeof script.bytes && script.pieces < 8);
    erabi_copy_bytes(script.bytes + script.used, bytes, size);
    script.used += size;
    script.sizes[script.pieces++] = size;
}

static void add_key(const json_t *object, const char *name)
{
    uint8_t key[KEY];
    assert_int_equal(hex_of(object, name, key, sizeof key), KEY);
    add_piece(key, KEY);
}

/* The last 16 bytes of a nonce that begins with a text. */
static void add_tail(const json_t *object)
{
    uint8_t nonce[24];
    assert_int_equal(hex_of(object, "nonce", nonce, sizeof nonce), 24);
    add_piece(nonce + 8, 16);
}

/* ---- one of our halves ---- */

struct half {
    struct erabi_curve curve;
    struct erabi_zmtp zmtp;
    uint8_t long_public[KEY], long_secret[KEY], plain[ERABI_ZMTP_BODY_MAX], bytes[ROOM];
    uint8_t made[ROOM];
    struct erabi_writer out;
    struct erabi_slice content;
    struct erabi_fault fault;
};

static struct half half;

static void greet(struct half *h, bool server)
{
    uint8_t greeting[ERABI_ZMTP_GREETING_SIZE];
    struct erabi_zmtp_frame frame;
    hex_of(vectors, server ? "greeting_client" : "greeting_server", greeting, sizeof greeting);
    struct erabi_reader in = erabi_reader(greeting, sizeof greeting);
    erabi_zmtp_init(&h->zmtp, server);
    assert_int_equal(erabi_zmtp_feed(&h->zmtp, &in, &frame, &h->fault), ERABI_ZMTP_GREETED);
    assert_int_equal(in.left, 0);
}

static int setup(void **state)
{
    half = (struct half){0};
    half.out = erabi_writer(half.made, sizeof half.made);
    memset(&script, 0, sizeof script);
    return 0;
}

static int teardown(void **state)
{
    erabi_curve_deinit(&half.curve);
    erabi_zmtp_deinit(&half.zmtp);
    return 0;
}

static void begin_server(struct half *h)
{
    add_key(command("READY"), "sender_secret"); /* s' */
    add_key(json_object_get(vectors, "cookie"), "key");
    add_tail(json_object_get(vectors, "cookie"));
    add_tail(command("WELCOME"));
    hex_of(command("WELCOME"), "sender_public", h->long_public, KEY);
    hex_of(command("WELCOME"), "sender_secret", h->long_secret, KEY);
    greet(h, true);
    assert_int_equal(erabi_curve_init_server(&h->curve, h->long_public, h->long_secret), 0);
}

static void begin_client(struct half *h)
{
    uint8_t server_key[KEY];
    add_key(command("HELLO"), "sender_secret"); /* c' */
    add_tail(command("vouch"));
    hex_of(command("HELLO"), "receiver_public", server_key, KEY);
    hex_of(command("vouch"), "sender_secret", h->long_secret, KEY);
    greet(h, false);
    assert_int_equal(erabi_curve_init_client(&h->curve, server_key, h->long_secret), 0);
}

/* The recorded command comes in as a frame of the wire. Returns the step. */
static int take_bytes(struct half *h, const uint8_t *body, size_t size, bool is_command)
{
    struct erabi_writer wire = erabi_writer(h->bytes, sizeof h->bytes);
    struct erabi_zmtp_frame frame;
    erabi_zmtp_write_head(&wire, is_command, size);
    erabi_write_bytes(&wire, body, size);
    assert_false(wire.bad);
    struct erabi_reader in = erabi_reader(h->bytes, wire.used);
    assert_int_equal(erabi_zmtp_feed(&h->zmtp, &in, &frame, &h->fault), ERABI_ZMTP_FRAME);
    return erabi_curve_receive(&h->curve, &frame, h->plain, &h->out, &h->content, &h->fault);
}

static int take(struct half *h, const char *name)
{
    uint8_t body[ROOM];
    size_t size = hex_of(command(name), "bytes", body, sizeof body);
    return take_bytes(h, body, size, !strstr(name, " from "));
}

/* What was written last is this recorded body in one frame, and nothing else. */
static void assert_made_bytes(struct half *h, const uint8_t *body, size_t size, bool is_command)
{
    uint8_t wire[ROOM];
    struct erabi_writer expected = erabi_writer(wire, sizeof wire);
    erabi_zmtp_write_head(&expected, is_command, size);
    erabi_write_bytes(&expected, body, size);
    assert_false(expected.bad || h->out.bad);
    assert_int_equal(h->out.used, expected.used);
    assert_memory_equal(h->made, wire, expected.used);
    h->out = erabi_writer(h->made, sizeof h->made);
}

static void assert_made(struct half *h, const char *name)
{
    uint8_t body[ROOM];
    size_t size = hex_of(command(name), "bytes", body, sizeof body);
    assert_made_bytes(h, body, size, !strstr(name, " from "));
}

static void open_server(struct half *h)
{
    begin_server(h);
    assert_int_equal(take(h, "HELLO"), ERABI_CURVE_QUIET);
    assert_made(h, "WELCOME");
    assert_int_equal(take(h, "INITIATE"), ERABI_CURVE_KNOWN);
}

static void open_client(struct half *h)
{
    begin_client(h);
    assert_int_equal(erabi_curve_hello(&h->curve, &h->out), 0);
    assert_made(h, "HELLO");
    assert_int_equal(take(h, "WELCOME"), ERABI_CURVE_QUIET);
    assert_made(h, "INITIATE");
    assert_int_equal(take(h, "READY"), ERABI_CURVE_OPEN);
}

static void assert_content(const struct half *h, const char *text)
{
    assert_int_equal(h->content.size, strlen(text));
    assert_memory_equal(h->content.data, text, strlen(text));
}

/* ---- tests ---- */

static void our_greetings_are_the_recorded_ones(void **state)
{
    for (int server = 0; server < 2; server++) {
        uint8_t recorded[ERABI_ZMTP_GREETING_SIZE];
        assert_int_equal(
            hex_of(vectors, server ? "greeting_server" : "greeting_client", recorded, sizeof recorded), 64);
        half.out = erabi_writer(half.made, sizeof half.made);
        erabi_zmtp_write_greeting(&half.out, server);
        assert_int_equal(half.out.used, sizeof recorded);
        assert_memory_equal(half.made, recorded, sizeof recorded);
    }
}

static void our_server_opens_the_client_and_makes_welcome_and_ready(void **state)
{
    uint8_t client_key[KEY];
    open_server(&half);
    hex_of(command("vouch"), "sender_public", client_key, KEY);
    assert_memory_equal(half.curve.peer_key, client_key, KEY);
    assert_int_equal(erabi_curve_admit(&half.curve, &half.out), 0);
    assert_made(&half, "READY");
    assert_int_equal(script.drawn, script.pieces); /* nothing else was random */
}

static void our_client_opens_the_server_and_makes_hello_and_initiate(void **state)
{
    open_client(&half);
    assert_int_equal(script.drawn, script.pieces);
}

static void our_server_exchanges_the_recorded_messages(void **state)
{
    open_server(&half);
    assert_int_equal(erabi_curve_admit(&half.curve, &half.out), 0);
    assert_made(&half, "READY");
    assert_int_equal(take(&half, "MESSAGE from the client"), ERABI_CURVE_PACKET);
    assert_content(&half, "content");
    assert_int_equal(erabi_curve_seal(&half.curve, &half.out, (const uint8_t *)"content", 7), 0);
    assert_made(&half, "MESSAGE from the server");
    half.curve.sent++; /* counter 3 was a PING with a context, which we answer but never make */
    assert_int_equal(erabi_curve_ping(&half.curve, &half.out, 10000), 0);
    assert_made(&half, "PING without a context from the server");
    assert_int_equal(take(&half, "PONG from the client"), ERABI_CURVE_QUIET);
    assert_content(&half, "ctx");
}

static void our_client_exchanges_the_recorded_messages(void **state)
{
    open_client(&half);
    assert_int_equal(erabi_curve_seal(&half.curve, &half.out, (const uint8_t *)"content", 7), 0);
    assert_made(&half, "MESSAGE from the client");
    assert_int_equal(take(&half, "MESSAGE from the server"), ERABI_CURVE_PACKET);
    assert_content(&half, "content");
    assert_int_equal(take(&half, "PING from the server"), ERABI_CURVE_PING);
    assert_content(&half, "ctx");
    assert_int_equal(erabi_curve_pong(&half.curve, &half.out, half.content), 0);
    assert_made(&half, "PONG from the client");
    assert_int_equal(take(&half, "PING without a context from the server"), ERABI_CURVE_PING);
    assert_content(&half, "");
}

static void our_server_refuses_with_the_recorded_error(void **state)
{
    uint8_t error[16];
    size_t size = hex_of(vectors, "error", error, sizeof error);
    open_server(&half);
    assert_int_equal(erabi_curve_refuse(&half.curve, &half.out), 0);
    assert_made_bytes(&half, error, size, true);
}

static void our_client_knows_the_recorded_error(void **state)
{
    uint8_t error[16];
    size_t size = hex_of(vectors, "error", error, sizeof error);
    begin_client(&half);
    assert_int_equal(erabi_curve_hello(&half.curve, &half.out), 0);
    assert_int_equal(take(&half, "WELCOME"), ERABI_CURVE_QUIET);
    assert_true(take_bytes(&half, error, size, true) < 0);
    assert_int_equal(half.fault.reason, ERAB_REASON_UNKNOWN_KEY);
}

/* A vector that opened although a bit of it is another one would prove nothing. */
static void recorded_hello_with_a_flipped_bit_does_not_open(void **state)
{
    uint8_t body[ROOM];
    size_t size = hex_of(command("HELLO"), "bytes", body, sizeof body);
    begin_server(&half);
    body[size - 1] ^= 1;
    assert_true(take_bytes(&half, body, size, true) < 0);
    assert_int_equal(half.fault.reason, ERAB_REASON_BAD_BOX);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    static struct randombytes_implementation scripted = {
        .implementation_name = scripted_name, .random = scripted_number, .buf = scripted_bytes};
    const struct CMUnitTest tests[] = {
        T(our_greetings_are_the_recorded_ones),
        T(our_server_opens_the_client_and_makes_welcome_and_ready),
        T(our_client_opens_the_server_and_makes_hello_and_initiate),
        T(our_server_exchanges_the_recorded_messages),
        T(our_client_exchanges_the_recorded_messages),
        T(our_server_refuses_with_the_recorded_error),
        T(our_client_knows_the_recorded_error),
        T(recorded_hello_with_a_flipped_bit_does_not_open),
    };
    if (argc != 2 || sodium_init() < 0 || randombytes_set_implementation(&scripted) != 0)
        return 2;
    vectors = json_load_file(argv[1], 0, NULL);
    int r = vectors ? cmocka_run_group_tests_name("transport vectors", tests, NULL, NULL) : 2;
    json_decref(vectors);
    return r;
}
