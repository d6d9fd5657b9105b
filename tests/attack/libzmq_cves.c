/* What has been published against libzmq, tried on the broker's own transport (and on the end that dials, where the
 * victim was a client). Each test is named by its CVE; the line above says what it was. */
#include "stage.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include <erab/client.h>

static const uint8_t v3_null[64] = {0xFF, [8] = 1, [9] = 0x7F, 3, 1, 'N', 'U', 'L', 'L'};
static const uint8_t v3_curve[64] = {0xFF, [8] = 1, [9] = 0x7F, 3, 1, 'C', 'U', 'R', 'V', 'E'};

static int setup(void **state)
{
    static const struct erabi_transport_limits limits = {.handshake_ms = 2000};
    *state = stage_new(&limits);
    return 0;
}

static int teardown(void **state)
{
    stage_bystander_is_served(*state);
    stage_free(*state);
    return 0;
}

static void expect_refused(struct stage *s, const void *bytes, size_t size, enum erab_reason reason)
{
    unsigned before = stage_ended(s);
    int fd = stage_connect(s);
    stage_write(s, fd, bytes, size);
    STAGE_UNTIL(s, stage_gone(fd) && stage_ended(s) == before + 1);
    close(fd);
    assert_int_equal(s->reason, reason);
    assert_int_equal(s->keys_seen + s->opened + s->packets, 0);
}

/* A raw client through its handshake, then these bytes; it must be ended for `reason` with nothing delivered. */
static void expect_ended(struct stage *s, const void *bytes, size_t size, enum erab_reason reason)
{
    struct raw *r = raw_new(s, NULL);
    unsigned before = stage_ended(s);
    raw_enter(r);
    stage_write(s, r->fd, bytes, size);
    STAGE_UNTIL(s, !raw_step(r) && stage_ended(s) == before + 1);
    raw_free(r);
    assert_int_equal(s->reason, reason);
    assert_int_equal(s->packets, 0);
}

/* A peer could talk a server down to a weaker mechanism by its greeting. There is only one mechanism here. */
static void cve_2014_7202_mechanism_downgrade(void **state)
{
    uint8_t bytes[64 + 2 + 28 + 7];
    struct erabi_writer w = erabi_writer(bytes, sizeof bytes);
    erabi_write_bytes(&w, v3_null, sizeof v3_null);
    erabi_write_bytes(&w, "\4\34\5READY\13Socket-Type\0\0\0\6DEALER", 30); /* what NULL would send next */
    erabi_write_bytes(&w, "\0\5hello", 7);
    expect_refused(*state, bytes, w.used, ERAB_REASON_WRONG_MECHANISM);
}

/* Nonces were not checked for having been used, so that a message could be replayed to a server ... */
static void cve_2014_7203_replay_to_the_server(void **state)
{
    struct stage *s = *state;
    struct raw *r = raw_new(s, NULL);
    raw_enter(r);
    size_t from = r->logged;
    raw_packet(r, "pay 100", 7);
    stage_write(s, r->fd, r->log + from, r->logged - from);
    STAGE_UNTIL(s, !raw_step(r) && s->closed == 1);
    assert_int_equal(s->reason, ERAB_REASON_NONCE_ORDER);
    assert_int_equal(s->packets, 1);
    raw_free(r);
}

struct pair {
    struct end server, client;
};

static struct pair *pair_new(const struct stage *s)
{
    struct pair *p = calloc(1, sizeof *p);
    assert_non_null(p);
    end_init_server(&p->server, &s->keys);
    end_init_client(&p->client, &s->keys);
    ends_pump(&p->server, &p->client, 65536);
    assert_int_equal(p->client.opened, 1);
    return p;
}

static void pair_free(struct pair *p)
{
    end_deinit(&p->server);
    end_deinit(&p->client);
    free(p);
}

/* ... and to a client. */
static void cve_2014_7203_replay_to_the_client(void **state)
{
    struct pair *p = pair_new(*state);
    end_send(&p->server, "stop", 4);
    end_feed(&p->client, p->server.out, p->server.used);
    assert_false(p->client.failed);
    end_feed(&p->client, p->server.out, p->server.used);
    assert_true(p->client.failed);
    assert_int_equal(p->client.packets, 1);
    assert_int_equal(p->client.fault.reason, ERAB_REASON_NONCE_ORDER);
    pair_free(p);
}

/* A header of ZMTP 2 or older went past the security mechanism altogether: at a server ... */
static void cve_2014_9721_old_header_to_the_server(void **state)
{
    static const char v1[] = "\1\0\6\0hello", v20[] = "\377\0\0\0\0\0\0\0\1\177\0\5\0\0\0\5hello";
    uint8_t bytes[sizeof v20 - 1];
    expect_refused(*state, v1, sizeof v1 - 1, ERAB_REASON_WRONG_VERSION);
    for (uint8_t revision = 0; revision < 3; revision++) {
        erabi_copy_bytes(bytes, v20, sizeof bytes);
        bytes[10] = revision;
        expect_refused(*state, bytes, sizeof bytes, ERAB_REASON_WRONG_VERSION);
    }
}

/* ---- servers that mean harm ---- */

/* ... and at a client: our own dialling end ... */
static void cve_2014_9721_old_header_to_our_dialer(void **state)
{
    static const char v20[] = "\377\0\0\0\0\0\0\0\1\177\1\6\0\0\0\5hello";
    struct stage *s = *state;
    struct erabi_dialer *d;
    char endpoint[64];
    int listening = stage_listen(endpoint);
    assert_int_equal(erabi_transport_dial(s->transport, &d, endpoint, s->keys.server_public, s->keys.client_secret, s), 0);
    int fd = stage_accept(s, listening);
    stage_write(s, fd, v20, sizeof v20 - 1);
    STAGE_UNTIL(s, stage_ended(s) == 1);
    assert_int_equal(s->reason, ERAB_REASON_WRONG_VERSION);
    assert_int_equal(s->opened + s->packets, 0);
    close(fd);
    close(listening);
}

/* ... and the SDK's client, which stands on the system's libzmq: a server that answers with ZMTP 2 or without CURVE
 * is never one to talk to. */
static void cve_2014_9721_old_header_to_the_sdk(void **state)
{
    static const char v20[] = "\377\0\0\0\0\0\0\0\1\177\1\6\0\0\0\5hello";
    struct stage *s = *state;
    struct erab_identity me;
    struct erab_client *client;
    char endpoint[64];
    int listening = stage_listen(endpoint);
    erab_identity_generate(&me, "alder");
    struct erab_client_options o = {.size = sizeof o, .endpoint = endpoint, .hub = "hub", .identity = &me, .sign = true};
    erabi_copy_bytes(o.server_key, s->keys.server_public, 32);
    assert_int_equal(erab_client_new(&client, &o), 0);
    for (unsigned i = 0; i < 2; i++) { /* it has two sockets */
        int fd = stage_accept(s, listening);
        stage_write(s, fd, i == 1 ? (const void *)v3_null : v20, i == 1 ? sizeof v3_null : sizeof v20 - 1);
        STAGE_UNTIL(s, stage_gone(fd)); /* the client hangs up */
        close(fd);
        assert_int_equal(erab_client_step(client), 0);
        assert_int_not_equal(erab_client_state(client), ERAB_CONNECTED);
    }
    erab_client_free(client);
    close(listening);
}

/* A size near 2^64 wrapped round in the frame decoder, and its bytes were written out of bounds. */
static void cve_2019_6250_frame_size_wraps(void **state)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 8, UINT64_MAX - 64, 1ull << 63, INT64_MAX, 1ull << 32};
    uint8_t bytes[64 + 9 + 16];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct erabi_writer w = erabi_writer(bytes, sizeof bytes);
        erabi_write_bytes(&w, v3_curve, sizeof v3_curve);
        erabi_write_u8(&w, 6);
        erabi_write_u64(&w, sizes[i]);
        erabi_write_bytes(&w, "sixteen bytes it", 16);
        expect_refused(*state, bytes, w.used, ERAB_REASON_FRAME_TOO_LARGE);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct erabi_writer w = erabi_writer(bytes, sizeof bytes);
        erabi_write_u8(&w, 2);
        erabi_write_u64(&w, sizes[i]);
        expect_ended(*state, bytes, w.used, ERAB_REASON_FRAME_TOO_LARGE);
    }
}

/* INITIATE with long metadata overran a buffer on the stack, before any key was proven. */
static void cve_2019_13132_long_initiate(void **state)
{
    static const size_t sizes[] = {385, 512, 640, 1000, 1024};
    struct stage *s = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t frame[9 + 1024];
        struct erabi_writer w = erabi_writer(frame, sizeof frame);
        struct raw *r = raw_new(s, NULL);
        r->hold = 2;
        STAGE_UNTIL(s, !raw_step(r) || r->end.used);
        assert_false(r->gone);
        erabi_zmtp_write_head(&w, true, sizes[i]); /* the right cookie, then what no key has sealed */
        erabi_write_bytes(&w, r->end.out + 9, 9 + 96 + 8);
        uint8_t *rest = erabi_write_room(&w, sizes[i] - 9 - 96 - 8);
        randombytes_buf(rest, sizes[i] - 9 - 96 - 8);
        stage_write(s, r->fd, frame, w.used);
        STAGE_UNTIL(s, !raw_step(r) && stage_ended(s) == i + 1);
        assert_int_equal(s->reason, ERAB_REASON_BAD_BOX);
        raw_free(r);
    }
    assert_int_equal(s->keys_seen, 0);
}

static void cve_2019_13132_initiate_over_the_limit(void **state)
{
    uint8_t bytes[64 + 9];
    struct erabi_writer w = erabi_writer(bytes, sizeof bytes);
    erabi_write_bytes(&w, v3_curve, sizeof v3_curve);
    erabi_zmtp_write_head(&w, true, 1025);
    expect_refused(*state, bytes, w.used, ERAB_REASON_FRAME_TOO_LARGE);
}

/* The same by someone who holds a key: metadata as long as a frame can carry is read within its bounds. */
static void cve_2019_13132_long_metadata_under_a_right_seal(void **state)
{
    static uint8_t metadata[560];
    struct stage *s = *state;
    struct rogue rogue;
    struct end *server = calloc(1, sizeof *server);
    struct erabi_writer w = erabi_writer(metadata, sizeof metadata);
    assert_non_null(server);
    end_init_server(server, &s->keys);
    rogue_init(&rogue, &s->keys);
    erabi_write_bytes(&w, "\13Socket-Type\0\0\0\6DEALER", 22);
    erabi_write_bytes(&w, "\1X", 2);
    erabi_write_u32(&w, (uint32_t)(sizeof metadata - w.used - 4));
    rogue.metadata = erabi_slice(metadata, sizeof metadata);
    rogue_greet(server);
    rogue_hello(&rogue, server);
    rogue_take_welcome(&rogue, server);
    rogue_initiate(&rogue, server);
    assert_int_equal(server->known, 1);
    end_deinit(server);
    free(server);
}

/* One connection that never began its handshake kept everybody's messages from the application. */
static void cve_2020_15166_silent_connection_starves_the_others(void **state)
{
    struct stage *s = *state;
    int fds[50];
    for (unsigned i = 0; i < 50; i++) {
        fds[i] = stage_connect(s);
        stage_write(s, fds[i], v3_curve, i % 3 * 11); /* nothing, its signature, half of it */
    }
    for (unsigned i = 0; i < 20; i++)
        stage_bystander_is_served(s);
    assert_int_equal(s->heard, 20);
    assert_int_equal(stage_ended(s), 0); /* they are all still there */
    for (unsigned i = 0; i < 50; i++)
        close(fds[i]);
    STAGE_UNTIL(s, stage_ended(s) == 50);
}

/* A server could leave unfinished messages in a client which never let go of them. Here a frame with "more" ends the
 * connection, and what is there of a frame goes with it. */
static void cve_2021_20234_unfinished_messages_leak_in_the_client(void **state)
{
    static const uint8_t more[] = {1, 5, 'h', 'e', 'l', 'l', 'o'};
    size_t before = 0;
    for (unsigned i = 0; i < 100; i++) {
        struct pair *p = pair_new(*state);
        if (i % 2) {
            end_feed(&p->client, more, sizeof more);
            assert_true(p->client.failed);
            assert_int_equal(p->client.fault.reason, ERAB_REASON_BAD_FRAME);
        } else {
            end_send(&p->server, p->server.last, 60000);
            end_feed(&p->client, p->server.out, 50000); /* and the server is gone */
        }
        assert_int_equal(p->client.packets, 0);
        pair_free(p);
        if (i == 10)
            before = stage_memory();
    }
    assert_true(stage_memory() <= before + 1000);
}

/* Two messages of over 8192 bytes in ZMTP 1 changed the recorded size of a static buffer. ZMTP 1 ends at its first
 * byte; in ZMTP 3 a buffer grows with what has come only. */
static void cve_2021_20235_zmtp1_buffer_size(void **state)
{
    static uint8_t bytes[2 + 2 * (9 + 9000)] = {1};
    struct erabi_writer w = erabi_writer(bytes, sizeof bytes);
    erabi_write_u8(&w, 1);
    erabi_write_u8(&w, 0);
    for (unsigned i = 0; i < 2; i++) {
        erabi_write_u8(&w, 0xFF);
        erabi_write_u64(&w, 9000);
        erabi_write_room(&w, 9000);
    }
    expect_refused(*state, bytes, w.used, ERAB_REASON_WRONG_VERSION);
}

static void cve_2021_20235_large_frames_in_pieces_of_any_size(void **state)
{
    static uint8_t packet[60000];
    struct stage *s = *state;
    for (size_t chunk = 1; chunk < 9000; chunk = chunk * 3 + 1) {
        struct pair *p = pair_new(s);
        end_send(&p->client, packet, sizeof packet);
        end_send(&p->client, packet, 9000);
        end_send(&p->client, packet, sizeof packet);
        ends_pump(&p->client, &p->server, chunk);
        assert_int_equal(p->server.packets, 3);
        pair_free(p);
    }
}

/* Subscriptions built a tree in PUB that overflowed the stack when it was taken down. No subscription is known here:
 * the command ends the connection, the old form is a packet like any other. */
static void cve_2021_20236_subscriptions(void **state)
{
    static uint8_t topic[60000] = {1};
    struct stage *s = *state;
    struct raw *r = raw_new(s, NULL);
    raw_enter(r);
    raw_packet(r, topic, sizeof topic);
    STAGE_UNTIL(s, s->packets == 1);
    raw_message(r, 0, 2, "\11SUBSCRIBEtopic", 15);
    STAGE_UNTIL(s, !raw_step(r) && s->closed == 1);
    assert_int_equal(s->reason, ERAB_REASON_BAD_FRAME);
    raw_free(r);
}

static void cve_2021_20236_subscriber_is_no_peer(void **state)
{
    static const char metadata[] = "\13Socket-Type\0\0\0\3SUB";
    struct stage *s = *state;
    struct rogue rogue;
    struct end *server = calloc(1, sizeof *server);
    assert_non_null(server);
    end_init_server(server, &s->keys);
    rogue_init(&rogue, &s->keys);
    rogue.metadata = erabi_slice(metadata, sizeof metadata - 1);
    rogue_greet(server);
    rogue_hello(&rogue, server);
    rogue_take_welcome(&rogue, server);
    rogue_initiate(&rogue, server);
    assert_true(server->failed);
    assert_int_equal(server->fault.reason, ERAB_REASON_BAD_HANDSHAKE);
    end_deinit(server);
    free(server);
}

/* Metadata of messages that PUB never looks at stayed referenced for ever: what comes and goes leaves nothing. */
static void cve_2021_20237_clients_that_come_and_go_leave_nothing(void **state)
{
    struct stage *s = *state;
    size_t before = 0;
    stage_bystander_is_served(s);
    for (unsigned i = 0; i < 60; i++) {
        struct raw *r = raw_new(s, NULL);
        raw_enter(r);
        raw_message(r, 0, 2, i % 2 ? "\11SUBSCRIBE" : "\6CANCEL\0\0\0", 10);
        STAGE_UNTIL(s, !raw_step(r) && s->closed == i + 1);
        raw_free(r);
        if (i == 20)
            before = stage_memory();
    }
    assert_true(stage_memory() <= before + 10000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(cve_2014_7202_mechanism_downgrade),
        T(cve_2014_7203_replay_to_the_server),
        T(cve_2014_7203_replay_to_the_client),
        T(cve_2014_9721_old_header_to_the_server),
        T(cve_2014_9721_old_header_to_our_dialer),
        T(cve_2014_9721_old_header_to_the_sdk),
        T(cve_2019_6250_frame_size_wraps),
        T(cve_2019_13132_long_initiate),
        T(cve_2019_13132_initiate_over_the_limit),
        T(cve_2019_13132_long_metadata_under_a_right_seal),
        T(cve_2020_15166_silent_connection_starves_the_others),
        T(cve_2021_20234_unfinished_messages_leak_in_the_client),
        T(cve_2021_20235_zmtp1_buffer_size),
        T(cve_2021_20235_large_frames_in_pieces_of_any_size),
        T(cve_2021_20236_subscriptions),
        T(cve_2021_20236_subscriber_is_no_peer),
        T(cve_2021_20237_clients_that_come_and_go_leave_nothing),
    };
    return cmocka_run_group_tests_name("published against libzmq", tests, NULL, NULL);
}
