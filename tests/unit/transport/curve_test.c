/* The state machines in memory: both halves with one another, two keys of a server, flipped bytes. */
#include "curve_rig.h"

static void halves_open_and_exchange_packets_in_chunks_of_any_size(void **state)
{
    struct fixture *f = *state;
    for (size_t chunk = 1; chunk <= 600; chunk += chunk < 80 ? 1 : 37) {
        again(f);
        ends_pump(&f->client, &f->server, chunk);
        assert_int_equal(f->server.known, 1);
        assert_int_equal(f->client.opened, 1);
        assert_memory_equal(f->server.curve.peer_key, f->keys.client_public, 32);
        end_send(&f->client, "up", 2);
        end_send(&f->server, "down", 4);
        ends_pump(&f->client, &f->server, chunk);
        assert_memory_equal(f->server.last, "up", 2);
        assert_memory_equal(f->client.last, "down", 4);
    }
}

static void largest_packet_passes_in_one_frame_of_65536(void **state)
{
    struct fixture *f = *state;
    static uint8_t packet[ERABI_ZMTP_BODY_MAX - ERABI_CURVE_OVERHEAD];
    memset(packet, 0xA5, sizeof packet);
    ends_pump(&f->client, &f->server, 4096);
    end_send(&f->client, packet, sizeof packet);
    assert_int_equal(f->client.used, 9 + 65536);
    ends_pump(&f->client, &f->server, 1000);
    assert_int_equal(f->server.last_size, sizeof packet);
    assert_memory_equal(f->server.last, packet, sizeof packet);
}

static void ping_is_answered_with_its_context(void **state)
{
    struct fixture *f = *state;
    rogue_enter(&f->rogue, &f->server);
    f->server.used = 0;
    rogue_message(&f->rogue, &f->server, 0, 2, "\4PING\0\12context", 14);
    assert_false(f->server.failed);
    assert_int_equal(f->server.pings, 1);
    assert_int_equal(f->server.used, 2 + 33 + 5 + 7);
}

static void our_own_ping_is_answered_by_our_client(void **state)
{
    struct fixture *f = *state;
    ends_pump(&f->client, &f->server, 4096);
    struct erabi_writer w = erabi_writer(f->server.out, sizeof f->server.out);
    assert_int_equal(erabi_curve_ping(&f->server.curve, &w, 15000), 0);
    f->server.used = w.used;
    ends_pump(&f->client, &f->server, 4096);
    assert_int_equal(f->client.pings, 1);
    assert_false(f->server.failed);
}

static void refused_key_reads_error_400(void **state)
{
    struct fixture *f = *state;
    f->server.refuses = true;
    ends_pump(&f->client, &f->server, 4096);
    assert_refused(&f->client, ERAB_REASON_UNKNOWN_KEY, "ERROR 400: the server refuses our key");
}

static void client_refuses_a_server_with_another_key(void **state)
{
    struct fixture *f = *state;
    end_deinit(&f->server);
    f->keys.server_secret[5] ^= 1;
    end_init_server(&f->server, &f->keys);
    ends_pump(&f->client, &f->server, 4096);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "HELLO: box does not open");
}

/* A server whose key is being replaced; the client means the key that it was given. */
static void replace_key(struct fixture *f, uint8_t next_public[32], uint8_t next_secret[32])
{
    crypto_box_keypair(next_public, next_secret);
    erabi_curve_also(&f->server.curve, next_public, next_secret);
}

static void a_server_with_two_keys_is_met_under_either(void **state)
{
    struct fixture *f = *state;
    uint8_t next_public[32], next_secret[32];
    replace_key(f, next_public, next_secret);
    ends_pump(&f->client, &f->server, 4096);
    assert_int_equal(f->client.opened, 1);
    again(f);
    replace_key(f, next_public, next_secret);
    struct keys newer = f->keys;
    memcpy(newer.server_public, next_public, 32);
    end_deinit(&f->client);
    end_init_client(&f->client, &newer);
    ends_pump(&f->client, &f->server, 4096);
    assert_int_equal(f->client.opened, 1);
    assert_int_equal(f->server.known, 1);
}

static void a_key_taken_away_again_is_no_key(void **state)
{
    struct fixture *f = *state;
    uint8_t next_public[32], next_secret[32];
    replace_key(f, next_public, next_secret);
    erabi_curve_also(&f->server.curve, NULL, NULL);
    struct keys newer = f->keys;
    memcpy(newer.server_public, next_public, 32);
    end_deinit(&f->client);
    end_init_client(&f->client, &newer);
    ends_pump(&f->client, &f->server, 4096);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "HELLO: box does not open");
}

static void a_vouch_for_the_older_key_is_refused_under_the_newer(void **state)
{
    struct fixture *f = *state;
    uint8_t next_public[32], next_secret[32];
    replace_key(f, next_public, next_secret);
    memcpy(f->rogue.keys.server_public, next_public, 32);
    f->rogue.vouch_server = 1;
    initiate(f);
    assert_refused(&f->server, ERAB_REASON_BAD_BOX, "INITIATE: vouch names another server");
}

static void secrets_of_the_handshake_are_gone_once_it_is_over(void **state)
{
    struct fixture *f = *state;
    ends_pump(&f->client, &f->server, 4096);
    assert_null(f->server.curve.handshake);
    assert_null(f->client.curve.handshake);
}

/* ---- one flipped byte ---- */

/* Bytes that mean nothing: the padding of the greeting, its minor version, the major one going up, and as-server of a
 * server, which libzmq's leaves at 0. */
static bool is_free(const struct end *sender, size_t at, uint8_t flip)
{
    bool as_server = at == 32 && flip == 1 && sender->zmtp.server;
    return (at >= 1 && at <= 8) || at == 11 || (at == 10 && (3 ^ flip) >= 3) || as_server;
}

/* Runs a handshake and a packet from `victim`'s peer, with byte `at` of that peer's stream flipped. Returns
 * false when the stream is shorter. */
static bool run_flipped(struct end *sender, struct end *victim, size_t at, uint8_t flip)
{
    size_t sent = 0;
    bool hit = false, packet = false;
    for (int round = 0; round < 8 && !victim->failed && !sender->failed; round++) {
        if (!packet && (sender->opened || sender->known)) {
            end_send(sender, "packet", 6);
            packet = true;
        }
        if (at >= sent && at < sent + sender->used) {
            sender->out[at - sent] ^= flip;
            hit = true;
        }
        sent += sender->used;
        size_t n = sender->used;
        sender->used = 0;
        end_feed(victim, sender->out, n);
        n = victim->used;
        victim->used = 0;
        end_feed(sender, victim->out, n);
    }
    return hit;
}

static void flip_every_byte(struct fixture *f, struct end *sender, struct end *victim)
{
    static const uint8_t flips[] = {0x01, 0x80};
    for (unsigned i = 0; i < sizeof flips; i++) {
        size_t at = 0;
        for (; run_flipped(sender, victim, at, flips[i]); at++) {
            if (victim->packets != is_free(sender, at, flips[i]))
                fail_msg("byte %zu flipped by %02x: %u packets", at, flips[i], victim->packets);
            again(f);
        }
        assert_true(at > 64 + 170); /* the loop did reach the end of the stream */
        assert_int_equal(victim->packets, 1);
        again(f);
    }
}

static void no_flipped_byte_of_a_client_gets_a_packet_through(void **state)
{
    struct fixture *f = *state;
    flip_every_byte(f, &f->client, &f->server);
}

static void no_flipped_byte_of_a_server_gets_a_packet_through(void **state)
{
    struct fixture *f = *state;
    flip_every_byte(f, &f->server, &f->client);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(halves_open_and_exchange_packets_in_chunks_of_any_size),
        T(largest_packet_passes_in_one_frame_of_65536),
        T(ping_is_answered_with_its_context),
        T(our_own_ping_is_answered_by_our_client),
        T(refused_key_reads_error_400),
        T(client_refuses_a_server_with_another_key),
        T(a_vouch_for_the_older_key_is_refused_under_the_newer),
        T(a_key_taken_away_again_is_no_key),
        T(a_server_with_two_keys_is_met_under_either),
        T(secrets_of_the_handshake_are_gone_once_it_is_over),
        T(no_flipped_byte_of_a_client_gets_a_packet_through),
        T(no_flipped_byte_of_a_server_gets_a_packet_through),
    };
    return cmocka_run_group_tests_name("curve", tests, NULL, NULL);
}
