/* The client against a real libzmq ROUTER with CURVE, that plays the broker. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <zmq.h>

#include <erab/client.h>

#include "wire/wire.h"

struct world {
    void *context, *router;
    char endpoint[128];
    uint8_t server_public[32], server_secret[32];
    struct erab_identity me, tso;
    struct erab_client *client;
    uint64_t clock; /* 0: the real one */
    uint8_t peer[2][16];
    size_t peer_size[2];
    bool mute;
    unsigned packets, dispatches, pings;
    uint8_t last_id[ERAB_ID_SIZE], last_hash[ERAB_HASH_SIZE], last_about[ERAB_ID_SIZE];
    unsigned receipts_seen;
    char last_code[64];
    int last_state;
    unsigned messages, told;
    struct erab_receipt told_last;
};

static uint64_t test_now(void *user)
{
    const struct world *w = user;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u + w->clock;
}

static int on_message(void *user, struct erab_client *client, const struct erab_message *message)
{
    (void)client;
    (void)message;
    ((struct world *)user)->messages++;
    return 0;
}

static void on_receipt(void *user, struct erab_client *client, const struct erab_receipt *receipt)
{
    struct world *w = user;
    (void)client;
    w->told++;
    w->told_last = *receipt;
}

static void bind_router(struct world *w)
{
    int one = 1, zero = 0;
    w->router = zmq_socket(w->context, ZMQ_ROUTER);
    zmq_setsockopt(w->router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(w->router, ZMQ_CURVE_SECRETKEY, w->server_secret, 32);
    zmq_setsockopt(w->router, ZMQ_LINGER, &zero, sizeof zero);
    assert_int_equal(zmq_bind(w->router, w->endpoint), 0);
    size_t size = sizeof w->endpoint;
    assert_int_equal(zmq_getsockopt(w->router, ZMQ_LAST_ENDPOINT, w->endpoint, &size), 0);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct erab_identity server;
    erab_identity_generate(&server, "hub");
    erab_identity_generate(&w->me, "alder");
    erab_identity_generate(&w->tso, "tso");
    memcpy(w->server_secret, server.curve_secret, 32);
    memcpy(w->server_public, server.curve_public, 32);
    w->context = zmq_ctx_new();
    strcpy(w->endpoint, "tcp://127.0.0.1:*");
    bind_router(w);
    struct erab_trusted trusted = {.party = "tso"};
    memcpy(trusted.sign_key, w->tso.sign_public, 32);
    const struct erab_client_callbacks callbacks = {
        .size = sizeof callbacks, .on_message = on_message, .on_receipt = on_receipt};
    struct erab_client_options o = {.size = sizeof o,
                                    .endpoint = w->endpoint,
                                    .hub = "hub",
                                    .identity = &w->me,
                                    .sign = true,
                                    .trusted = &trusted,
                                    .n_trusted = 1,
                                    .callbacks = &callbacks,
                                    .user = w,
                                    .command_bytes = 65536,
                                    .now_ms = test_now};
    memcpy(o.server_key, w->server_public, 32);
    *state = w;
    return erab_client_new(&w->client, &o);
}

static int teardown(void **state)
{
    struct world *w = *state;
    erab_client_free(w->client);
    if (w->router)
        zmq_close(w->router);
    zmq_ctx_term(w->context);
    free(w);
    return 0;
}

/* The broker's half: one envelope to the client on a lane group. */
static void hub_send(struct world *w, enum erab_lane_group group, const struct erab_header *h, const uint8_t *body,
                     size_t size, const struct erab_identity *signer)
{
    uint8_t header[ERAB_HEADER_MAX], signature[64], packet[ERAB_PACKET_MAX];
    struct erabi_envelope e = {.header = erabi_slice(header, erabi_header_encode(h, header)),
                               .body = erabi_slice(body, size)};
    if (signer) {
        erabi_envelope_sign(e.header, e.body, signer->sign_secret, signature);
        e.signature = erabi_slice(signature, sizeof signature);
    }
    struct erabi_writer out = erabi_writer(packet, sizeof packet);
    assert_int_equal(erabi_packet_begin(&out, group), 0);
    assert_int_equal(erabi_packet_add(&out, &e), 0);
    zmq_send(w->router, w->peer[group - 1], w->peer_size[group - 1], ZMQ_SNDMORE);
    zmq_send(w->router, packet, out.used, 0);
}

static struct erab_header make_header(struct world *w, enum erab_type type, const char *from)
{
    struct erab_header h = {.type = type, .category = ERAB_OPERATION, .seq = 1, .version = 1};
    h.issued_at_ms = test_now(w);
    h.expires_at_ms = h.issued_at_ms + 30000;
    erab_id_new(h.id, h.issued_at_ms);
    strcpy(h.from, from);
    strcpy(h.to, "alder");
    return h;
}

static void hub_body(struct world *w, enum erab_lane_group group, const struct erab_header *h,
                     const ProtobufCMessage *m, const struct erab_identity *signer)
{
    uint8_t *bytes;
    size_t size;
    assert_int_equal(erab_body_pack(m, &bytes, &size), 0);
    hub_send(w, group, h, bytes, size, signer);
    free(bytes);
}

static void hub_pong(struct world *w, enum erab_lane_group group)
{
    Erab__V1__Ping pong = ERAB__V1__PING__INIT;
    pong.protocol = 1;
    pong.has_reply = pong.reply = 1;
    struct erab_header h = make_header(w, ERAB_PING, "hub");
    hub_body(w, group, &h, &pong.base, NULL);
}

static void hub_receipt(struct world *w, enum erab_receipt_state state, char *reason)
{
    Erab__V1__Receipt r = ERAB__V1__RECEIPT__INIT;
    r.has_about = 1;
    r.about = (ProtobufCBinaryData){ERAB_ID_SIZE, w->last_id};
    r.has_about_hash = 1;
    r.about_hash = (ProtobufCBinaryData){ERAB_HASH_SIZE, w->last_hash};
    r.state = (Erab__V1__ReceiptState)state;
    r.reason = reason;
    struct erab_header h = make_header(w, ERAB_RECEIPT, "hub");
    hub_body(w, ERAB_LANES_COMMAND, &h, &r.base, NULL);
}

static void hub_envelope(struct world *w, enum erab_lane_group group, const struct erabi_envelope *e)
{
    struct erab_header h;
    enum erab_reason reason;
    assert_int_equal(erabi_header_decode(e->header, &h, &reason), 0);
    if (h.type == ERAB_PING) {
        w->pings++;
        if (!w->mute)
            hub_pong(w, group);
    } else if (h.type == ERAB_RECEIPT) {
        ProtobufCMessage *body;
        assert_int_equal(erab_body_unpack(h.type, (struct erab_bytes){e->body.data, e->body.size}, &body, &reason), 0);
        const Erab__V1__Receipt *r = (const Erab__V1__Receipt *)body;
        w->receipts_seen++;
        w->last_state = r->state;
        memcpy(w->last_about, r->about.data, ERAB_ID_SIZE);
        strcpy(w->last_code, r->reason);
        erab_body_free(body);
    } else {
        w->dispatches++;
        assert_true(erabi_envelope_verify(e->header, e->body, e->signature, w->me.sign_public));
        memcpy(w->last_id, h.id, ERAB_ID_SIZE);
        erabi_envelope_hash(e->header, e->body, w->last_hash);
    }
}

static void hub_turn(struct world *w)
{
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    uint8_t id[16], packet[65536];
    int id_size, size;
    while (w->router && (id_size = zmq_recv(w->router, id, sizeof id, ZMQ_DONTWAIT)) > 0) {
        size = zmq_recv(w->router, packet, sizeof packet, 0);
        enum erab_lane_group group;
        size_t n;
        assert_int_equal(erabi_packet_read(erabi_slice(packet, (size_t)size), &group, envelopes, &n), 0);
        memcpy(w->peer[group - 1], id, (size_t)id_size);
        w->peer_size[group - 1] = (size_t)id_size;
        w->packets++;
        for (size_t i = 0; i < n; i++)
            hub_envelope(w, group, &envelopes[i]);
    }
}

/* Runs both sides until the condition holds; the bound only ends a broken test. Steps only when the
 * client's descriptor says so: that is part of the contract. */
#define until(w, condition)                                                                                  \
    do {                                                                                                     \
        for (unsigned turn_ = 0; turn_ < 3000 && !(condition); turn_++) {                                    \
            struct pollfd p_ = {.fd = erab_client_fd((w)->client), .events = POLLIN};                        \
            if (poll(&p_, 1, 5) > 0)                                                                         \
                assert_int_equal(erab_client_step((w)->client), 0);                                          \
            hub_turn(w);                                                                                     \
        }                                                                                                    \
        assert_true(condition);                                                                              \
    } while (0)

static int send_dispatch(struct world *w, uint64_t lifetime)
{
    Erab__V1__DispatchSlot slot = ERAB__V1__DISPATCH_SLOT__INIT, *slots = &slot;
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    uint64_t now = test_now(w);
    body.order = (char[]){"order-1"};
    body.mode = ERAB__V1__DISPATCH_MODE__DELTA;
    body.start_ms = slot.start_ms = now + 1000;
    body.end_ms = slot.end_ms = now + 60000;
    slot.has_target_kw = 1;
    body.n_slot = 1;
    body.slot = &slots;
    struct erab_outgoing m = {.size = sizeof m,
                              .to = "birch",
                              .type = ERAB_DISPATCH,
                              .category = ERAB_OPERATION,
                              .expires_at_ms = now + lifetime,
                              .body = &body.base};
    return erab_client_send(w->client, &m, NULL);
}

static void hub_command(struct world *w, const struct erab_header *h, const struct erab_identity *signer)
{
    Erab__V1__DispatchCancel c = ERAB__V1__DISPATCH_CANCEL__INIT;
    uint8_t id[16] = {1};
    c.order = (char[]){"order-1"};
    c.dispatch_id = (ProtobufCBinaryData){16, id};
    hub_body(w, ERAB_LANES_COMMAND, h, &c.base, signer);
}

static void connect_client(struct world *w)
{
    until(w, erab_client_state(w->client) == ERAB_CONNECTED);
}

static void binds_after_the_first_ping_on_both_connections(void **state)
{
    struct world *w = *state;
    connect_client(w);
    assert_int_equal(w->pings, 2);
}

static void sends_nothing_before_it_is_bound(void **state)
{
    struct world *w = *state;
    w->mute = true;
    assert_int_equal(send_dispatch(w, 30000), 0);
    until(w, w->pings == 2);
    for (unsigned i = 0; i < 20; i++) {
        erab_client_step(w->client);
        hub_turn(w);
    }
    assert_int_equal(w->dispatches, 0);
    hub_pong(w, ERAB_LANES_COMMAND);
    until(w, w->dispatches == 1);
}

static void packs_what_waits_into_few_packets(void **state)
{
    struct world *w = *state;
    connect_client(w);
    unsigned before = w->packets;
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(send_dispatch(w, 30000), 0);
    until(w, w->dispatches == 50);
    assert_int_equal(w->packets - before, 1);
}

static void sends_an_unanswered_command_again_after_a_reconnect(void **state)
{
    struct world *w = *state;
    uint8_t first[ERAB_HASH_SIZE];
    connect_client(w);
    send_dispatch(w, 30000);
    until(w, w->dispatches == 1);
    memcpy(first, w->last_hash, sizeof first);
    zmq_close(w->router);
    w->router = NULL;
    until(w, erab_client_state(w->client) == ERAB_DISCONNECTED);
    bind_router(w);
    until(w, w->dispatches == 2);
    assert_memory_equal(first, w->last_hash, sizeof first);
}

static void answered_command_is_told_and_no_longer_pending(void **state)
{
    struct world *w = *state;
    connect_client(w);
    send_dispatch(w, 30000);
    until(w, w->dispatches == 1);
    assert_int_equal(erab_client_pending(w->client), 1);
    hub_receipt(w, ERAB_ACCEPTED, (char[]){"none"});
    until(w, w->told == 1);
    assert_int_equal(w->told_last.state, ERAB_ACCEPTED);
    assert_int_equal(erab_client_pending(w->client), 0);
    hub_receipt(w, ERAB_APPLIED, (char[]){"none"});
    until(w, w->told == 2);
    assert_int_equal(w->told_last.state, ERAB_APPLIED);
}

static void unanswered_command_expires_locally(void **state)
{
    struct world *w = *state;
    connect_client(w);
    send_dispatch(w, 30000);
    until(w, w->dispatches == 1);
    w->clock += 31000;
    until(w, w->told == 1);
    assert_true(w->told_last.local);
    assert_int_equal(w->told_last.state, ERAB_EXPIRED);
    assert_int_equal(erab_client_pending(w->client), 0);
}

static void an_accepted_commands_end_is_told_after_its_deadline(void **state)
{
    struct world *w = *state;
    connect_client(w);
    send_dispatch(w, 30000);
    until(w, w->dispatches == 1);
    hub_receipt(w, ERAB_ACCEPTED, (char[]){"none"});
    until(w, w->told == 1);
    w->clock += 30500; /* the broker finds it out in its next second */
    erab_client_step(w->client);
    hub_receipt(w, ERAB_EXPIRED, (char[]){"expired"});
    until(w, w->told == 2);
    assert_false(w->told_last.local);
    assert_int_equal(w->told_last.state, ERAB_EXPIRED);
}

static void full_queue_refuses_commands(void **state)
{
    struct world *w = *state;
    int r = 0;
    for (unsigned i = 0; i < 1000 && !r; i++)
        r = send_dispatch(w, 30000);
    assert_int_equal(r, -EAGAIN);
}

static void signed_command_is_handed_over_and_answered(void **state)
{
    struct world *w = *state;
    connect_client(w);
    struct erab_header h = make_header(w, ERAB_DISPATCH_CANCEL, "tso");
    hub_command(w, &h, &w->tso);
    until(w, w->receipts_seen == 1);
    assert_int_equal(w->messages, 1);
    assert_int_equal(w->last_state, ERAB_DELIVERED);
    assert_memory_equal(w->last_about, h.id, ERAB_ID_SIZE);
}

static void repeated_command_is_answered_and_not_handed_over_again(void **state)
{
    struct world *w = *state;
    connect_client(w);
    struct erab_header h = make_header(w, ERAB_DISPATCH_CANCEL, "tso");
    hub_command(w, &h, &w->tso);
    hub_command(w, &h, &w->tso);
    until(w, w->receipts_seen == 2);
    assert_int_equal(w->messages, 1);
    assert_int_equal(w->last_state, ERAB_DELIVERED);
}

static void refused(struct world *w, const struct erab_header *h, const struct erab_identity *signer,
                    const char *code)
{
    connect_client(w);
    hub_command(w, h, signer);
    until(w, w->receipts_seen == 1);
    assert_int_equal(w->messages, 0);
    assert_string_equal(w->last_code, code);
}

static void unsigned_command_is_refused(void **state)
{
    struct world *w = *state;
    struct erab_header h = make_header(w, ERAB_DISPATCH_CANCEL, "tso");
    refused(w, &h, NULL, "signature-missing");
}

static void command_signed_with_another_key_is_refused(void **state)
{
    struct world *w = *state;
    struct erab_header h = make_header(w, ERAB_DISPATCH_CANCEL, "tso");
    refused(w, &h, &w->me, "signature-bad");
}

static void command_of_an_unknown_signer_is_refused(void **state)
{
    struct world *w = *state;
    struct erab_header h = make_header(w, ERAB_DISPATCH_CANCEL, "stranger");
    refused(w, &h, &w->tso, "signer-unknown");
}

static void expired_command_is_not_handed_over(void **state)
{
    struct world *w = *state;
    struct erab_header h = make_header(w, ERAB_DISPATCH_CANCEL, "tso");
    h.issued_at_ms -= 60000;
    h.expires_at_ms -= 60000;
    refused(w, &h, &w->tso, "expired");
    assert_int_equal(w->last_state, ERAB_EXPIRED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(binds_after_the_first_ping_on_both_connections),
        T(sends_nothing_before_it_is_bound),
        T(packs_what_waits_into_few_packets),
        T(sends_an_unanswered_command_again_after_a_reconnect),
        T(answered_command_is_told_and_no_longer_pending),
        T(unanswered_command_expires_locally),
        T(an_accepted_commands_end_is_told_after_its_deadline),
        T(full_queue_refuses_commands),
        T(signed_command_is_handed_over_and_answered),
        T(repeated_command_is_answered_and_not_handed_over_again),
        T(unsigned_command_is_refused),
        T(command_signed_with_another_key_is_refused),
        T(command_of_an_unknown_signer_is_refused),
        T(expired_command_is_not_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
