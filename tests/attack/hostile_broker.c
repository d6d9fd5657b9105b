/* A hostile broker towards the SDK's client: it holds the right server key and says what it likes. The client hands
 * nothing wrong to its application, keeps within its memory, and is of use as soon as the broker behaves. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include <erab/client.h>

#include "base/clock.h"
#include "wire/wire.h"

enum { COMMAND, TELEMETRY, LINKS };

struct world {
    void *context, *router;
    char endpoint[128];
    struct erab_identity hub, me, tso, mallory;
    struct erab_client *client;
    uint8_t peer[LINKS][16];
    size_t peer_size[LINKS];
    bool mute;
    unsigned messages, receipts, cards;
    struct erab_header last;
    uint8_t sent[ERAB_ID_SIZE], sent_hash[ERAB_HASH_SIZE];
};

static uint64_t now(void)
{
    return erabi_clock_ms(CLOCK_REALTIME);
}

static int on_message(void *user, struct erab_client *client, const struct erab_message *message)
{
    struct world *w = user;
    w->messages++;
    w->last = *message->header;
    return 0;
}

static void on_receipt(void *user, struct erab_client *client, const struct erab_receipt *receipt)
{
    ((struct world *)user)->receipts++;
}

static void on_card(void *user, struct erab_client *client, const Erab__V1__PartyCard *card)
{
    ((struct world *)user)->cards++;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int one = 1, zero = 0;
    erab_identity_generate(&w->hub, "hub");
    erab_identity_generate(&w->me, "alder");
    erab_identity_generate(&w->tso, "tso");
    erab_identity_generate(&w->mallory, "mallory");
    w->context = zmq_ctx_new();
    w->router = zmq_socket(w->context, ZMQ_ROUTER);
    zmq_setsockopt(w->router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(w->router, ZMQ_CURVE_SECRETKEY, w->hub.curve_secret, 32);
    zmq_setsockopt(w->router, ZMQ_LINGER, &zero, sizeof zero);
    size_t size = sizeof w->endpoint;
    assert_int_equal(zmq_bind(w->router, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(w->router, ZMQ_LAST_ENDPOINT, w->endpoint, &size), 0);
    struct erab_trusted trusted[] = {{.party = "tso"}, {.party = "hub"}};
    memcpy(trusted[0].sign_key, w->tso.sign_public, 32);
    memcpy(trusted[1].sign_key, w->hub.sign_public, 32);
    const struct erab_client_callbacks callbacks = {
        .size = sizeof callbacks, .on_message = on_message, .on_receipt = on_receipt, .on_card = on_card};
    struct erab_client_options o = {.size = sizeof o,
                                    .endpoint = w->endpoint,
                                    .hub = "hub",
                                    .identity = &w->me,
                                    .sign = true,
                                    .trusted = trusted,
                                    .n_trusted = 2,
                                    .callbacks = &callbacks,
                                    .user = w,
                                    .command_bytes = 65536,
                                    .telemetry_bytes = 65536};
    memcpy(o.server_key, w->hub.curve_public, 32);
    *state = w;
    return erab_client_new(&w->client, &o);
}

static int teardown(void **state)
{
    struct world *w = *state;
    erab_client_free(w->client);
    zmq_close(w->router);
    zmq_ctx_term(w->context);
    free(w);
    return 0;
}

/* ---- what the broker says ---- */

static void raw(struct world *w, int link, const void *bytes, size_t size)
{
    zmq_send(w->router, w->peer[link], w->peer_size[link], ZMQ_SNDMORE);
    zmq_send(w->router, bytes, size, 0);
}

static struct erab_header header(enum erab_type type, const char *from, const char *to)
{
    struct erab_header h = {.type = type, .category = ERAB_OPERATION, .seq = 1, .version = 1};
    h.issued_at_ms = now();
    h.expires_at_ms = h.issued_at_ms + 30000;
    erab_id_new(h.id, h.issued_at_ms);
    snprintf(h.from, sizeof h.from, "%s", from);
    snprintf(h.to, sizeof h.to, "%s", to);
    return h;
}

static size_t make(const struct erab_header *h, const ProtobufCMessage *m, const struct erab_identity *signer,
                   enum erab_lane_group group, uint8_t packet[ERAB_PACKET_MAX])
{
    uint8_t bytes[ERAB_HEADER_MAX], signature[64], *body;
    size_t size;
    assert_int_equal(erab_body_pack(m, &body, &size), 0);
    struct erabi_envelope e = {.header = erabi_slice(bytes, erabi_header_encode(h, bytes)),
                               .body = erabi_slice(body, size)};
    if (signer) {
        erabi_envelope_sign(e.header, e.body, signer->sign_secret, signature);
        e.signature = erabi_slice(signature, sizeof signature);
    }
    struct erabi_writer out = erabi_writer(packet, ERAB_PACKET_MAX);
    assert_int_equal(erabi_packet_begin(&out, group), 0);
    assert_int_equal(erabi_packet_add(&out, &e), 0);
    free(body);
    return out.used;
}

static void say(struct world *w, int link, const struct erab_header *h, const ProtobufCMessage *m,
                const struct erab_identity *signer)
{
    uint8_t packet[ERAB_PACKET_MAX];
    raw(w, link, packet, make(h, m, signer, (enum erab_lane_group)(link + 1), packet));
}

static const ProtobufCMessage *cancel(void)
{
    static Erab__V1__DispatchCancel c = ERAB__V1__DISPATCH_CANCEL__INIT;
    static char order[] = "order-1";
    static uint8_t id[16] = {1};
    c.order = order;
    c.dispatch_id = (ProtobufCBinaryData){sizeof id, id};
    return &c.base;
}

static void order(struct world *w, const char *from, const char *to, const struct erab_identity *signer)
{
    struct erab_header h = header(ERAB_DISPATCH_CANCEL, from, to);
    say(w, COMMAND, &h, cancel(), signer);
}

static void receipt(struct world *w, const char *from, const uint8_t *about, const uint8_t *hash,
                    enum erab_receipt_state state)
{
    Erab__V1__Receipt r = ERAB__V1__RECEIPT__INIT;
    struct erab_header h = header(ERAB_RECEIPT, from, "alder");
    r.has_about = r.has_about_hash = 1;
    r.about = (ProtobufCBinaryData){ERAB_ID_SIZE, (uint8_t *)(uintptr_t)about};
    r.about_hash = (ProtobufCBinaryData){ERAB_HASH_SIZE, (uint8_t *)(uintptr_t)hash};
    r.state = (Erab__V1__ReceiptState)state;
    r.reason = (char[]){"none"};
    say(w, COMMAND, &h, &r.base, NULL);
}

/* A card about a party with this party's keys. */
static void card(struct world *w, const char *about, const struct erab_identity *keys,
                 const struct erab_identity *signer, bool withdrawn)
{
    Erab__V1__PartyKey key = ERAB__V1__PARTY_KEY__INIT, *list = &key;
    Erab__V1__PartyCard c = ERAB__V1__PARTY_CARD__INIT;
    key.has_curve_key = 1;
    key.curve_key = (ProtobufCBinaryData){32, (uint8_t *)(uintptr_t)keys->curve_public};
    key.sign_key = (ProtobufCBinaryData){32, (uint8_t *)(uintptr_t)keys->sign_public};
    key.from_ms = now();
    key.until_ms = now() + 3600000;
    c.party = (char *)(uintptr_t)about;
    c.version = UINT32_MAX;
    c.n_key = 1;
    c.key = &list;
    c.has_withdrawn = c.withdrawn = withdrawn;
    struct erab_header h = header(ERAB_PARTY_CARD, "hub", "alder");
    say(w, COMMAND, &h, &c.base, signer);
}

static void hear(struct world *w, int link, const struct erabi_envelope *e)
{
    struct erab_header h;
    enum erab_reason reason;
    assert_int_equal(erabi_header_decode(e->header, &h, &reason), 0);
    if (h.type == ERAB_PING && !w->mute) {
        Erab__V1__Ping pong = ERAB__V1__PING__INIT;
        struct erab_header answer = header(ERAB_PING, "hub", "alder");
        pong.protocol = 1;
        pong.has_reply = pong.reply = 1;
        say(w, link, &answer, &pong.base, NULL);
    } else if (h.type == ERAB_OPT) {
        memcpy(w->sent, h.id, sizeof w->sent);
        erabi_envelope_hash(e->header, e->body, w->sent_hash);
    }
}

static void turn(struct world *w)
{
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    uint8_t id[16], packet[65536];
    int id_size;
    struct pollfd p = {.fd = erab_client_fd(w->client), .events = POLLIN};
    if (poll(&p, 1, 5) > 0)
        assert_int_equal(erab_client_step(w->client), 0);
    while ((id_size = zmq_recv(w->router, id, sizeof id, ZMQ_DONTWAIT)) > 0) {
        int size = zmq_recv(w->router, packet, sizeof packet, 0);
        enum erab_lane_group group;
        size_t n;
        assert_int_equal(erabi_packet_read(erabi_slice(packet, (size_t)size), &group, envelopes, &n), 0);
        memcpy(w->peer[group - 1], id, (size_t)id_size);
        w->peer_size[group - 1] = (size_t)id_size;
        for (size_t i = 0; i < n; i++)
            hear(w, (int)group - 1, &envelopes[i]);
    }
}

/* The bound only ends a broken test. */
#define until(w, condition)                                             \
    do {                                                                \
        for (unsigned turn_ = 0; turn_ < 12000 && !(condition); turn_++) \
            turn(w);                                                    \
        assert_true(condition);                                         \
    } while (0)

static void bound(struct world *w)
{
    until(w, erab_client_state(w->client) == ERAB_CONNECTED);
}

/* What was sent before this was looked at when this has come: nothing of it got through, and the client works. */
static void only_a_good_order_passes(struct world *w)
{
    unsigned before = w->messages;
    order(w, "tso", "alder", &w->tso);
    until(w, w->messages > before);
    assert_int_equal(w->messages, before + 1);
    assert_string_equal(w->last.from, "tso");
}

static void send_opt(struct world *w)
{
    Erab__V1__Opt body = ERAB__V1__OPT__INIT;
    body.decision = ERAB__V1__OPT_DECISION__OPT_IN;
    body.order = (char[]){"o-1"};
    struct erab_outgoing m = {.size = sizeof m, .to = "tso", .type = ERAB_OPT, .category = ERAB_OPERATION,
                              .body = &body.base};
    assert_int_equal(erab_client_send(w->client, &m, NULL), 0);
    until(w, w->sent[0]);
}

static size_t memory(void)
{
#ifdef __SANITIZE_ADDRESS__ /* it keeps back what was freed: nothing can be told from its numbers */
    return 0;
#endif
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
    fclose(f);
    return resident * 4096u;
}

/* ---- tests ---- */

static void bytes_that_are_no_packet_pass_by(void **state)
{
    struct world *w = *state;
    uint8_t packet[ERAB_PACKET_MAX], bent[ERAB_PACKET_MAX];
    bound(w);
    struct erab_header h = header(ERAB_DISPATCH_CANCEL, "tso", "alder");
    size_t size = make(&h, cancel(), &w->tso, ERAB_LANES_COMMAND, packet);
    raw(w, COMMAND, "", 0);
    raw(w, COMMAND, "\xff\xff\xff\xff\xff", 5);
    for (size_t i = 0; i < size; i++) { /* every end too early, every byte another */
        memcpy(bent, packet, size);
        bent[i] ^= 0x55;
        raw(w, COMMAND, packet, i);
        raw(w, COMMAND, bent, size);
        if (i % 16 == 0)
            turn(w);
    }
    only_a_good_order_passes(w);
    assert_int_equal(w->receipts, 0);
}

static void a_command_on_the_telemetry_connection_is_not_taken(void **state)
{
    struct world *w = *state;
    uint8_t packet[ERAB_PACKET_MAX];
    bound(w);
    struct erab_header h = header(ERAB_DISPATCH_CANCEL, "tso", "alder");
    raw(w, TELEMETRY, packet, make(&h, cancel(), &w->tso, ERAB_LANES_COMMAND, packet));
    raw(w, TELEMETRY, packet, make(&h, cancel(), &w->tso, ERAB_LANES_TELEMETRY, packet));
    raw(w, COMMAND, packet, make(&h, cancel(), &w->tso, ERAB_LANES_TELEMETRY, packet));
    only_a_good_order_passes(w);
    for (unsigned i = 0; i < 50; i++)
        turn(w);
    assert_int_equal(w->messages, 1);
}

static void forged_unsigned_and_foreign_orders_are_not_taken(void **state)
{
    struct world *w = *state;
    bound(w);
    order(w, "tso", "alder", NULL);
    order(w, "tso", "alder", &w->mallory);
    order(w, "tso", "alder", &w->hub); /* the hub may not speak for others */
    order(w, "mallory", "alder", &w->mallory);
    order(w, "tso", "birch", &w->tso); /* a true order, to somebody else */
    only_a_good_order_passes(w);
}

static void late_early_and_repeated_orders_are_not_taken(void **state)
{
    struct world *w = *state;
    bound(w);
    struct erab_header late = header(ERAB_DISPATCH_CANCEL, "tso", "alder"), early = late, good = late;
    erab_id_new(early.id, now());
    erab_id_new(good.id, now());
    late.issued_at_ms -= 60000;
    late.expires_at_ms = late.issued_at_ms + 1;
    early.issued_at_ms += 3600000;
    early.expires_at_ms = early.issued_at_ms + 1000;
    say(w, COMMAND, &late, cancel(), &w->tso);
    say(w, COMMAND, &early, cancel(), &w->tso);
    for (int i = 0; i < 100; i++)
        say(w, COMMAND, &good, cancel(), &w->tso);
    until(w, w->messages);
    only_a_good_order_passes(w);
    assert_int_equal(w->messages, 2);
}

static void receipts_about_what_was_never_sent_are_not_told(void **state)
{
    struct world *w = *state;
    uint8_t other[ERAB_HASH_SIZE] = {7}, id[ERAB_ID_SIZE];
    bound(w);
    send_opt(w);
    erab_id_new(id, now());
    for (int state_ = 0; state_ < 9; state_++) {
        receipt(w, "hub", id, w->sent_hash, (enum erab_receipt_state)state_);
        receipt(w, "hub", w->sent, other, (enum erab_receipt_state)state_);
    }
    only_a_good_order_passes(w);
    assert_int_equal(w->receipts, 0);
    assert_int_equal(erab_client_pending(w->client), 1);
    receipt(w, "hub", w->sent, w->sent_hash, ERAB_APPLIED);
    until(w, w->receipts == 1 && erab_client_pending(w->client) == 0);
    receipt(w, "hub", w->sent, w->sent_hash, ERAB_REFUSED); /* it has ended */
    only_a_good_order_passes(w);
    assert_int_equal(w->receipts, 1);
}

static void a_card_without_the_hubs_signature_changes_no_key(void **state)
{
    struct world *w = *state;
    uint8_t key[ERAB_KEY_SIZE];
    bound(w);
    card(w, "hub", &w->mallory, &w->mallory, false);
    card(w, "hub", &w->mallory, NULL, false);
    card(w, "tso", &w->mallory, &w->mallory, false);
    card(w, "tso", &w->mallory, &w->tso, false);
    card(w, "tso", &w->tso, NULL, true);
    card(w, "hub", &w->hub, &w->hub, true); /* and the hub itself cannot make us believe nobody */
    only_a_good_order_passes(w);
    order(w, "tso", "alder", &w->mallory);
    only_a_good_order_passes(w);
    assert_int_equal(w->cards, 0);
    erab_client_server_key(w->client, key);
    assert_memory_equal(key, w->hub.curve_public, sizeof key);
}

static void a_frame_that_is_too_large_costs_the_connection_and_no_memory(void **state)
{
    struct world *w = *state;
    bound(w);
    size_t size = 32u << 20, before = memory();
    uint8_t *bytes = calloc(1, size);
    raw(w, COMMAND, bytes, size);
    free(bytes);
    until(w, erab_client_state(w->client) == ERAB_DISCONNECTED);
    bound(w);
    only_a_good_order_passes(w);
    assert_true(memory() < before + (48u << 20)); /* the ROUTER of this test is in the same process */
}

static void endless_packets_and_orders_leave_the_memory_bounded(void **state)
{
    struct world *w = *state;
    uint8_t packet[ERAB_PACKET_MAX];
    size_t before = 0;
    bound(w);
    for (unsigned i = 0; i < 60000; i++) {
        struct erab_header h = header(ERAB_DISPATCH_CANCEL, i % 2 ? "tso" : "mallory", "alder");
        raw(w, COMMAND, packet, make(&h, cancel(), i % 2 ? NULL : &w->mallory, ERAB_LANES_COMMAND, packet));
        if (i % 50 == 0)
            turn(w);
        if (i == 20000)
            before = memory();
    }
    assert_true(memory() < before + (8u << 20));
    assert_int_equal(w->messages, 0);
    only_a_good_order_passes(w);
}

static void parts_without_end_are_not_gathered(void **state)
{
    struct world *w = *state;
    bound(w);
    zmq_send(w->router, w->peer[COMMAND], w->peer_size[COMMAND], ZMQ_SNDMORE);
    for (unsigned i = 0; i < 20000; i++)
        zmq_send(w->router, "0123456789", 10, ZMQ_SNDMORE);
    zmq_send(w->router, "", 0, 0);
    only_a_good_order_passes(w);
}

static void a_broker_that_never_answers_is_asked_on_with_nothing_lost(void **state)
{
    struct world *w = *state;
    Erab__V1__Opt body = ERAB__V1__OPT__INIT;
    body.decision = ERAB__V1__OPT_DECISION__OPT_IN;
    body.order = (char[]){"o-1"};
    struct erab_outgoing m = {.size = sizeof m, .to = "tso", .type = ERAB_OPT, .category = ERAB_OPERATION,
                              .body = &body.base};
    w->mute = true;
    int r = 0;
    unsigned queued = 0;
    for (; r == 0 && queued < 100000; queued += r == 0)
        r = erab_client_send(w->client, &m, NULL);
    assert_true(r == -EAGAIN && queued > 10 && queued < 10000); /* its own budget */
    for (unsigned i = 0; i < 100; i++)
        turn(w);
    assert_int_equal(erab_client_pending(w->client), queued);
    assert_int_not_equal(erab_client_state(w->client), ERAB_CONNECTED);
    w->mute = false;
    until(w, w->sent[0]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bytes_that_are_no_packet_pass_by),
        T(a_command_on_the_telemetry_connection_is_not_taken),
        T(forged_unsigned_and_foreign_orders_are_not_taken),
        T(late_early_and_repeated_orders_are_not_taken),
        T(receipts_about_what_was_never_sent_are_not_told),
        T(a_card_without_the_hubs_signature_changes_no_key),
        T(a_frame_that_is_too_large_costs_the_connection_and_no_memory),
        T(endless_packets_and_orders_leave_the_memory_bounded),
        T(parts_without_end_are_not_gathered),
        T(a_broker_that_never_answers_is_asked_on_with_nothing_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
