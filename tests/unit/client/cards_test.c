/* What a client believes after cards of its hub. No network: packets are handed to the receiving side directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <erab/identity.h>

#include "base/clock.h"
#include "client_internal.h"

static struct erab_identity hub, alder, cedar, newer, me;
static struct erab_client *client;
static unsigned taken, heard;
static uint64_t clock_ms;

static int on_message(void *user, struct erab_client *c, const struct erab_message *m)
{
    taken++;
    return 0;
}

static void on_card(void *user, struct erab_client *c, const Erab__V1__PartyCard *card)
{
    heard++;
}

static uint64_t now_ms(void *user)
{
    return clock_ms;
}

static int setup(void **state)
{
    static const struct erab_client_callbacks callbacks = {.size = sizeof(callbacks), .on_message = on_message,
                                                           .on_card = on_card};
    struct erab_trusted trusted[2] = {{.party = "hub"}, {.party = "alder"}};
    erab_identity_generate(&hub, "hub");
    erab_identity_generate(&alder, "alder");
    erab_identity_generate(&cedar, "cedar");
    erab_identity_generate(&newer, "cedar");
    erab_identity_generate(&me, "me");
    memcpy(trusted[0].sign_key, hub.sign_public, ERAB_KEY_SIZE);
    memcpy(trusted[1].sign_key, alder.sign_public, ERAB_KEY_SIZE);
    struct erab_client_options options = {.size = sizeof(options), .endpoint = "ipc:///nowhere/at/all", .hub = "hub",
                                          .identity = &me, .sign = true, .trusted = trusted, .n_trusted = 2,
                                          .callbacks = &callbacks, .now_ms = now_ms};
    memcpy(options.server_key, hub.curve_public, ERAB_KEY_SIZE);
    clock_ms = erabi_clock_ms(CLOCK_REALTIME);
    taken = heard = 0;
    return erab_client_new(&client, &options);
}

static int teardown(void **state)
{
    erab_client_free(client);
    return 0;
}

/* One message of this signer, as if it had come over the command connection. */
static void receive(const struct erab_identity *from, enum erab_type type, const ProtobufCMessage *body)
{
    static uint64_t seq;
    struct erab_header h = {.type = type, .category = ERAB_SECURITY, .issued_at_ms = clock_ms,
                            .expires_at_ms = clock_ms + 60000, .seq = ++seq, .version = 1};
    uint8_t header[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE], packet[4096], *packed;
    size_t size;
    erab_id_new(h.id, clock_ms);
    strcpy(h.from, from->party);
    strcpy(h.to, "me");
    assert_int_equal(erab_body_pack(body, &packed, &size), 0);
    struct erabi_envelope e = {.header = erabi_slice(header, erabi_header_encode(&h, header)),
                               .body = erabi_slice(packed, size), .signature = erabi_slice(signature, sizeof(signature))};
    erabi_envelope_sign(e.header, e.body, from->sign_secret, signature);
    struct erabi_writer w = erabi_writer(packet, sizeof(packet));
    assert_int_equal(erabi_packet_begin(&w, ERAB_LANES_COMMAND), 0);
    assert_int_equal(erabi_packet_add(&w, &e), 0);
    erabi_client_packet(&client->links[0], erabi_slice(packet, w.used));
    free(packed);
}

static bool believes(const struct erab_identity *from)
{
    Erab__V1__Opt opt = ERAB__V1__OPT__INIT;
    opt.decision = ERAB__V1__OPT_DECISION__OPT_IN;
    unsigned before = taken;
    receive(from, ERAB_OPT, &opt.base);
    return taken > before;
}

static void tell(const struct erab_identity *signer, const char *party, uint32_t version, bool withdrawn,
                 const struct erab_identity *key, uint64_t until_ms)
{
    Erab__V1__PartyKey one = ERAB__V1__PARTY_KEY__INIT, *list[1] = {&one};
    Erab__V1__PartyCard card = ERAB__V1__PARTY_CARD__INIT;
    one.sign_key = (ProtobufCBinaryData){ERAB_KEY_SIZE, (uint8_t *)(uintptr_t)key->sign_public};
    one.has_curve_key = 1;
    one.curve_key = (ProtobufCBinaryData){ERAB_KEY_SIZE, (uint8_t *)(uintptr_t)key->curve_public};
    one.until_ms = until_ms;
    card.party = (char *)(uintptr_t)party;
    card.role = ERAB__V1__ROLE__RA;
    card.version = version;
    card.n_key = 1;
    card.key = list;
    card.has_withdrawn = card.withdrawn = withdrawn;
    receive(signer, ERAB_PARTY_CARD, &card.base);
}

#define EVER (clock_ms + 1000000000)

static void a_card_of_the_hub_makes_a_newcomer_believed(void **state)
{
    assert_false(believes(&cedar));
    tell(&hub, "cedar", 5, false, &cedar, EVER);
    assert_int_equal(heard, 1);
    assert_int_equal(taken, 0); /* no message of the application's */
    assert_true(believes(&cedar));
}

static void a_card_of_another_party_changes_nothing(void **state)
{
    tell(&alder, "cedar", 5, false, &cedar, EVER);
    assert_int_equal(heard, 0);
    assert_false(believes(&cedar));
}

static void a_card_in_the_hubs_name_with_another_key_changes_nothing(void **state)
{
    struct erab_identity false_hub = alder;
    strcpy(false_hub.party, "hub");
    tell(&false_hub, "cedar", 5, false, &cedar, EVER);
    assert_false(believes(&cedar));
}

static void a_newer_card_replaces_and_an_older_one_does_not(void **state)
{
    tell(&hub, "cedar", 5, false, &cedar, EVER);
    tell(&hub, "cedar", 6, false, &newer, EVER);
    assert_false(believes(&cedar));
    assert_true(believes(&newer));
    tell(&hub, "cedar", 5, false, &cedar, EVER);
    assert_false(believes(&cedar));
}

static void a_card_takes_the_place_of_what_was_given(void **state)
{
    assert_true(believes(&alder));
    tell(&hub, "alder", 1, false, &newer, EVER);
    assert_false(believes(&alder));
}

static void a_withdrawn_party_is_not_believed_any_more(void **state)
{
    tell(&hub, "alder", 7, true, &alder, EVER);
    assert_false(believes(&alder));
}

static void a_keys_time_ends(void **state)
{
    tell(&hub, "cedar", 5, false, &cedar, clock_ms + 5000);
    assert_true(believes(&cedar));
    clock_ms += 5000;
    assert_false(believes(&cedar));
}

static void a_hub_tells_its_newer_server_key_and_stays_believed(void **state)
{
    uint8_t key[ERAB_KEY_SIZE];
    struct erab_identity next = hub;
    memcpy(next.curve_public, newer.curve_public, ERAB_KEY_SIZE);
    tell(&hub, "hub", 2, false, &next, EVER);
    erab_client_server_key(client, key);
    assert_memory_equal(key, newer.curve_public, ERAB_KEY_SIZE);
    tell(&hub, "hub", 3, true, &next, EVER); /* a hub cannot withdraw itself */
    assert_true(believes(&hub));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_card_of_the_hub_makes_a_newcomer_believed),
        T(a_card_of_another_party_changes_nothing),
        T(a_card_in_the_hubs_name_with_another_key_changes_nothing),
        T(a_newer_card_replaces_and_an_older_one_does_not),
        T(a_card_takes_the_place_of_what_was_given),
        T(a_withdrawn_party_is_not_believed_any_more),
        T(a_keys_time_ends),
        T(a_hub_tells_its_newer_server_key_and_stays_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
