/* Each field of each command and frame, wrong by itself: refused, and why. */
#include "curve_rig.h"

/* ---- HELLO ---- */

static void hello_of_another_version_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.hello_major = 2;
    hello(f);
    assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, "HELLO: version is not 1.0");
}

static void hello_of_another_minor_version_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.hello_minor = 1;
    hello(f);
    assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, "HELLO: version is not 1.0");
}

static void hello_with_padding_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.hello_padding = 1;
    hello(f);
    assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, "HELLO: padding is not zero");
}

static void hello_box_of_other_than_zeros_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.hello_content = 1;
    hello(f);
    assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, "HELLO: box does not hold zeros");
}

static void hello_with_counter_zero_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.counter = UINT64_MAX;
    hello(f);
    assert_refused(&f->server, ERAB_REASON_NONCE_ORDER, "HELLO: counter is zero");
}

static void hello_of_a_low_order_key_is_refused(void **state)
{
    struct fixture *f = *state;
    memset(f->rogue.transient_public, 0, 32);
    hello(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "HELLO: box does not open");
}

static void second_hello_is_refused(void **state)
{
    struct fixture *f = *state;
    hello(f);
    rogue_hello(&f->rogue, &f->server);
    assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, "INITIATE: wrong size");
}

static void hello_of_any_other_size_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t frames[][4] = {{4, 0}, {4, 1, 5}};
    for (unsigned i = 0; i < 2; i++) {
        again(f);
        rogue_greet(&f->server);
        end_feed(&f->server, frames[i], i + 2);
        assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, "HELLO: wrong size");
    }
}

/* ---- INITIATE ---- */

static void initiate_with_everything_right_is_taken(void **state)
{
    struct fixture *f = *state;
    initiate(f);
    assert_false(f->server.failed);
    assert_int_equal(f->server.known, 1);
}

static void initiate_with_a_changed_cookie_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.other_cookie = 1;
    initiate(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: cookie is not of this connection");
}

static void initiate_with_the_cookie_of_another_connection_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t cookie[96];
    hello(f);
    rogue_take_welcome(&f->rogue, &f->server);
    memcpy(cookie, f->rogue.cookie, sizeof cookie);
    again(f);
    hello(f);
    rogue_take_welcome(&f->rogue, &f->server);
    memcpy(f->rogue.cookie, cookie, sizeof cookie);
    rogue_initiate(&f->rogue, &f->server);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: cookie is not of this connection");
}

static void initiate_whose_counter_does_not_rise_is_refused(void **state)
{
    struct fixture *f = *state;
    hello(f);
    rogue_take_welcome(&f->rogue, &f->server);
    f->rogue.counter--;
    rogue_initiate(&f->rogue, &f->server);
    assert_refused(&f->server, ERAB_REASON_NONCE_ORDER, "INITIATE: counter does not rise");
}

static void initiate_sealed_with_another_key_is_refused(void **state)
{
    struct fixture *f = *state;
    hello(f);
    rogue_take_welcome(&f->rogue, &f->server);
    f->rogue.shared[0] ^= 1;
    rogue_initiate(&f->rogue, &f->server);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: box does not open");
}

static void vouch_that_does_not_open_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.vouch_box = 1;
    initiate(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: vouch does not open");
}

static void claimed_key_without_its_secret_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.keys.client_public[3] ^= 1;
    initiate(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: vouch does not open");
}

static void vouch_for_another_transient_key_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.vouch_transient = 1;
    initiate(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: vouch names another key");
}

static void vouch_for_another_server_is_refused(void **state)
{
    struct fixture *f = *state;
    f->rogue.vouch_server = 1;
    initiate(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: vouch names another server");
}

static void metadata_is_judged_field_by_field(void **state)
{
    struct fixture *f = *state;
#define ROW(text, wrong)                                                                                     \
    {                                                                                                        \
        text, sizeof(text) - 1, wrong                                                                        \
    }
    static const struct {
        const char *text;
        size_t size;
        const char *wrong;
    } rows[] = {
        ROW("\13Socket-Type\0\0\0\6DEALER", NULL), /* Identity may be absent */
        ROW("\13Socket-Type\0\0\0\6DEALER\3X-a\0\0\0\1b", NULL),
        ROW("", "metadata: Socket-Type missing"),
        ROW("\10Identity\0\0\0\0", "metadata: Socket-Type missing"),
        ROW("\13Socket-Type\0\0\0\6ROUTER", "metadata: Socket-Type does not fit"),
        ROW("\13Socket-Type\0\0\0\3REQ", "metadata: Socket-Type does not fit"),
        ROW("\13Socket-Type\0\0\0\6DEALER\13Socket-Type\0\0\0\6DEALER", "metadata: Socket-Type does not fit"),
        ROW("\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\1a", "metadata: Identity must be empty"),
        ROW("\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\0\10Identity\0\0\0\0",
            "metadata: Identity must be empty"),
        ROW("\13Socket-Type\0\0\0\7DEALER", "metadata: malformed"),
        ROW("\13Socket-Type\xff\xff\xff\xff", "metadata: malformed"),
        ROW("\13Socket-Type\0\0\0\6DEALER\0\0\0\0\0", "metadata: malformed"),
        ROW("\13Socket-Type\0\0\0\6DEALER\1", "metadata: malformed"),
        ROW("\13Socket-Type\0\0\0\6DEALER\1a\0\0", "metadata: malformed"),
    };
#undef ROW
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        again(f);
        f->rogue.metadata = erabi_slice(rows[i].text, rows[i].size);
        initiate(f);
        assert_int_equal(f->server.failed, rows[i].wrong != NULL);
        if (rows[i].wrong)
            assert_refused(&f->server, ERAB_REASON_BAD_HANDSHAKE, rows[i].wrong);
    }
}

/* ---- MESSAGE ---- */

static void message_before_initiate_is_refused(void **state)
{
    struct fixture *f = *state;
    hello(f);
    rogue_take_welcome(&f->rogue, &f->server);
    rogue_message(&f->rogue, &f->server, 0, 0, "x", 1);
    assert_refused(&f->server, ERAB_REASON_BAD_FRAME, "handshake: not a command frame");
}

static void expect_message(void **state, uint8_t outer, uint8_t inner, const char *content, size_t size,
                           enum erab_reason reason, const char *detail)
{
    struct fixture *f = *state;
    rogue_enter(&f->rogue, &f->server);
    rogue_message(&f->rogue, &f->server, outer, inner, content, size);
    assert_refused(&f->server, reason, detail);
}

static void message_with_the_command_flag_is_refused(void **state)
{
    expect_message(state, 4, 0, "x", 1, ERAB_REASON_BAD_FRAME, "MESSAGE: has the command flag");
}

static void message_of_more_outer_frames_is_refused(void **state)
{
    expect_message(state, 1, 0, "x", 1, ERAB_REASON_BAD_FRAME, "frame: more than one in a message");
}

static void message_of_more_inner_frames_is_refused(void **state)
{
    expect_message(state, 0, 1, "x", 1, ERAB_REASON_BAD_FRAME, "MESSAGE: more than one frame");
}

static void message_with_reserved_inner_flags_is_refused(void **state)
{
    expect_message(state, 0, 4, "x", 1, ERAB_REASON_BAD_FRAME, "MESSAGE: reserved flags");
}

static void frame_with_reserved_flags_is_refused(void **state)
{
    expect_message(state, 8, 0, "x", 1, ERAB_REASON_BAD_FRAME, "frame: reserved flags");
}

static void empty_message_is_refused(void **state)
{
    expect_message(state, 0, 0, "", 0, ERAB_REASON_BAD_FRAME, "MESSAGE: empty");
}

static void unknown_inner_command_is_refused(void **state)
{
    expect_message(state, 0, 2, "\5ERROR", 6, ERAB_REASON_BAD_FRAME, "MESSAGE: unknown command inside");
}

static void ping_without_ttl_is_refused(void **state)
{
    expect_message(state, 0, 2, "\4PING\0", 6, ERAB_REASON_BAD_FRAME, "MESSAGE: malformed PING or PONG");
}

static void ping_with_a_context_over_16_is_refused(void **state)
{
    expect_message(state, 0, 2, "\4PING\0\0seventeen bytes..", 24, ERAB_REASON_BAD_FRAME,
                   "MESSAGE: malformed PING or PONG");
}

static void packet_over_the_limit_is_refused(void **state)
{
    static const char packet[65504];
    expect_message(state, 0, 0, packet, sizeof packet, ERAB_REASON_FRAME_TOO_LARGE, "frame: over the limit");
}

static void replayed_message_is_refused(void **state)
{
    struct fixture *f = *state;
    rogue_enter(&f->rogue, &f->server);
    rogue_message(&f->rogue, &f->server, 0, 0, "x", 1);
    assert_int_equal(f->server.packets, 1);
    f->server.packets = 0;
    f->rogue.counter--;
    rogue_message(&f->rogue, &f->server, 0, 0, "x", 1);
    assert_refused(&f->server, ERAB_REASON_NONCE_ORDER, "MESSAGE: counter does not rise");
}

static void message_with_a_counter_of_the_handshake_is_refused(void **state)
{
    struct fixture *f = *state;
    rogue_enter(&f->rogue, &f->server);
    f->rogue.counter = 0;
    rogue_message(&f->rogue, &f->server, 0, 0, "x", 1);
    assert_refused(&f->server, ERAB_REASON_NONCE_ORDER, "MESSAGE: counter does not rise");
}

static void gap_in_the_counters_is_taken(void **state)
{
    struct fixture *f = *state;
    rogue_enter(&f->rogue, &f->server);
    f->rogue.counter += 1000;
    rogue_message(&f->rogue, &f->server, 0, 0, "x", 1);
    assert_int_equal(f->server.packets, 1);
}

static void message_under_another_key_is_refused(void **state)
{
    struct fixture *f = *state;
    rogue_enter(&f->rogue, &f->server);
    f->rogue.shared[31] ^= 0x80;
    rogue_message(&f->rogue, &f->server, 0, 0, "x", 1);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "MESSAGE: box does not open");
}

static void short_or_foreign_body_instead_of_message_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t foreign[2 + 40] = {0, 40, 7, 'M', 'E', 'S', 'S', 'A', 'G', 'F'};
    rogue_enter(&f->rogue, &f->server);
    end_feed(&f->server, foreign, sizeof foreign);
    assert_refused(&f->server, ERAB_REASON_BAD_FRAME, "MESSAGE expected");
    again(f);
    rogue_enter(&f->rogue, &f->server);
    end_feed(&f->server, (const uint8_t *)"\0\1x", 3);
    assert_refused(&f->server, ERAB_REASON_BAD_FRAME, "MESSAGE: too short");
}

static void nothing_is_sealed_before_the_connection_is_up(void **state)
{
    struct fixture *f = *state;
    uint8_t room[100];
    struct erabi_writer w = erabi_writer(room, sizeof room);
    assert_true(erabi_curve_seal(&f->server.curve, &w, room, 10) < 0);
    assert_int_equal(w.used, 0);
}

/* ---- greeting ---- */

static void expect_greeting(void **state, size_t at, uint8_t value, enum erab_reason reason,
                            const char *detail)
{
    struct fixture *f = *state;
    uint8_t greeting[64];
    struct erabi_writer w = erabi_writer(greeting, sizeof greeting);
    erabi_zmtp_write_greeting(&w, false);
    greeting[at] = value;
    end_feed(&f->server, greeting, at + 1 < 32 && at >= 12 ? 32 : at + 1); /* no byte more than is needed */
    if (at > 32)
        end_feed(&f->server, greeting + at + 1, 63 - at);
    assert_refused(&f->server, reason, detail);
}

static void something_else_than_zmtp_ends_at_its_first_byte(void **state)
{
    expect_greeting(state, 0, 'G', ERAB_REASON_WRONG_VERSION, "greeting: not ZMTP");
}

static void old_zmtp_ends_at_its_signature(void **state)
{
    expect_greeting(state, 9, 0, ERAB_REASON_WRONG_VERSION, "greeting: not ZMTP");
}

static void version_below_3_is_refused(void **state)
{
    expect_greeting(state, 10, 2, ERAB_REASON_WRONG_VERSION, "greeting: version below 3");
}

static void another_mechanism_is_refused(void **state)
{
    expect_greeting(state, 12, 'N', ERAB_REASON_WRONG_MECHANISM, "greeting: mechanism is not CURVE");
}

static void mechanism_with_a_longer_name_is_refused(void **state)
{
    expect_greeting(state, 17, '2', ERAB_REASON_WRONG_MECHANISM, "greeting: mechanism is not CURVE");
}

static void client_that_claims_to_be_a_server_is_refused(void **state)
{
    expect_greeting(state, 32, 1, ERAB_REASON_BAD_HANDSHAKE, "greeting: as-server does not fit");
}

static void filler_that_is_not_zero_is_refused(void **state)
{
    expect_greeting(state, 40, 1, ERAB_REASON_BAD_HANDSHAKE, "greeting: filler is not zero");
}

static void large_frame_during_the_handshake_is_refused_at_its_head(void **state)
{
    struct fixture *f = *state;
    rogue_greet(&f->server);
    end_feed(&f->server, (const uint8_t *)"\6\0\0\0\0\0\0\4\1", 9);
    assert_refused(&f->server, ERAB_REASON_FRAME_TOO_LARGE, "frame: over the limit");
}

/* ---- the client's half ---- */

static void expect_of_client(struct fixture *f, const char *frame, size_t size, const char *detail)
{
    again(f);
    end_feed(&f->client, f->server.out, 64);
    end_feed(&f->client, (const uint8_t *)frame, size);
    assert_refused(&f->client, ERAB_REASON_BAD_HANDSHAKE, detail);
}

static void client_refuses_what_is_no_welcome(void **state)
{
    struct fixture *f = *state;
    static const char welcome[2 + 168] = {4, (char)168, 7, 'W', 'E', 'L', 'C', 'O', 'M', 'X'};
    expect_of_client(f, "\4\1x", 3, "WELCOME: wrong size");
    expect_of_client(f, welcome, sizeof welcome, "WELCOME expected");
    expect_of_client(f, "\4\12\5ERROR\003500", 12, "ERROR of the server");
    expect_of_client(f, "\4\6\5ERROR", 8, "ERROR of the server");
}

/* Makes the server's READY anew, with this metadata, sealed and under this counter. */
static void forge_ready(struct fixture *f, uint64_t counter, const char *metadata, size_t size)
{
    uint8_t nonce[24], body[300];
    struct erabi_writer w = erabi_writer(body, sizeof body), n = erabi_writer(nonce, sizeof nonce);
    again(f);
    f->server.refuses = false;
    end_feed(&f->client, f->server.out, f->server.used);
    f->server.used = 0;
    end_feed(&f->server, f->client.out, f->client.used);
    f->client.used = 0;
    end_feed(&f->client, f->server.out, f->server.used);
    end_feed(&f->server, f->client.out, f->client.used);
    erabi_zmtp_write_head(&w, true, 6 + 8 + 16 + size);
    erabi_write_bytes(&w, "\5READY", 6);
    erabi_write_u64(&w, counter);
    erabi_write_bytes(&n, "CurveZMQREADY---", 16);
    erabi_write_u64(&n, counter);
    assert_int_equal(crypto_box_easy_afternm(erabi_write_room(&w, size + 16), (const uint8_t *)metadata, size,
                                             nonce, f->server.curve.shared),
                     0);
    end_feed(&f->client, body, w.used);
}

static void client_judges_ready_field_by_field(void **state)
{
    struct fixture *f = *state;
    forge_ready(f, 1, "\13Socket-Type\0\0\0\6ROUTER", 22);
    assert_int_equal(f->client.opened, 1);
    forge_ready(f, 1, "\13Socket-Type\0\0\0\6DEALER", 22);
    assert_refused(&f->client, ERAB_REASON_BAD_HANDSHAKE, "metadata: Socket-Type does not fit");
    forge_ready(f, 1, "\13Socket-Type\0\0\0\7ROUTER", 22);
    assert_refused(&f->client, ERAB_REASON_BAD_HANDSHAKE, "metadata: malformed");
    forge_ready(f, 0, "\13Socket-Type\0\0\0\6ROUTER", 22);
    assert_refused(&f->client, ERAB_REASON_NONCE_ORDER, "READY: counter is zero");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(hello_of_another_version_is_refused),
        T(hello_of_another_minor_version_is_refused),
        T(hello_with_padding_is_refused),
        T(hello_box_of_other_than_zeros_is_refused),
        T(hello_with_counter_zero_is_refused),
        T(hello_of_a_low_order_key_is_refused),
        T(second_hello_is_refused),
        T(hello_of_any_other_size_is_refused),
        T(initiate_with_everything_right_is_taken),
        T(initiate_with_a_changed_cookie_is_refused),
        T(initiate_with_the_cookie_of_another_connection_is_refused),
        T(initiate_whose_counter_does_not_rise_is_refused),
        T(initiate_sealed_with_another_key_is_refused),
        T(vouch_that_does_not_open_is_refused),
        T(claimed_key_without_its_secret_is_refused),
        T(vouch_for_another_transient_key_is_refused),
        T(vouch_for_another_server_is_refused),
        T(metadata_is_judged_field_by_field),
        T(message_before_initiate_is_refused),
        T(message_with_the_command_flag_is_refused),
        T(message_of_more_outer_frames_is_refused),
        T(message_of_more_inner_frames_is_refused),
        T(message_with_reserved_inner_flags_is_refused),
        T(frame_with_reserved_flags_is_refused),
        T(empty_message_is_refused),
        T(unknown_inner_command_is_refused),
        T(ping_without_ttl_is_refused),
        T(ping_with_a_context_over_16_is_refused),
        T(packet_over_the_limit_is_refused),
        T(replayed_message_is_refused),
        T(message_with_a_counter_of_the_handshake_is_refused),
        T(gap_in_the_counters_is_taken),
        T(message_under_another_key_is_refused),
        T(short_or_foreign_body_instead_of_message_is_refused),
        T(nothing_is_sealed_before_the_connection_is_up),
        T(something_else_than_zmtp_ends_at_its_first_byte),
        T(old_zmtp_ends_at_its_signature),
        T(version_below_3_is_refused),
        T(another_mechanism_is_refused),
        T(mechanism_with_a_longer_name_is_refused),
        T(client_that_claims_to_be_a_server_is_refused),
        T(filler_that_is_not_zero_is_refused),
        T(large_frame_during_the_handshake_is_refused_at_its_head),
        T(client_refuses_what_is_no_welcome),
        T(client_judges_ready_field_by_field),
    };
    return cmocka_run_group_tests_name("curve fields", tests, NULL, NULL);
}
