/* A listener gets a newer server key: both hold until the older one's time is over, clients learn the newer one by the
 * owner's signed card. The configuration goes on naming the older file until its operator changes it; the journal keeps
 * what follows it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "broker.h"
#include "identity/statement.h"
#include "record.h"

#define OVERLAP_MAX_MS (90u * 86400000ull)

struct rotation {
    struct erabi_broker *broker;
    struct erabi_gate *gate; /* NULL: the owner's own keys */
    struct erabi_act *act; /* the operator's, answered when it is on disk */
    struct erab_identity key;
    uint64_t until_ms;
};

static struct erabi_gate *find(struct erabi_broker *broker, const char *interface)
{
    for (size_t i = 0; interface && i < broker->n_gates; i++) {
        enum erab_interface v = broker->gates[i].interface;
        if (strcmp(v == ERAB_IF_NONE ? "local" : erab_interface_name(v), interface) == 0)
            return &broker->gates[i];
    }
    return NULL;
}

static int hold_both(struct erabi_broker *broker, struct erabi_gate *gate, const struct erab_identity *key,
                     uint64_t until_ms)
{
    int r = gate->listener ? erabi_listener_next_key(gate->listener, key->curve_secret) : 0;
    if (r < 0)
        return r;
    gate->next_keys = *key;
    gate->old_until_ms = until_ms;
    gate->since_ms = erabi_now_ms(&broker->loop);
    gate->version = (uint32_t)(gate->since_ms / 1000);
    return 0;
}

/* ---- the owner's keys: it signs, and dials, with the older until that one's time is over ---- */

#define OWNER "owner"

static int hold_both_of_owner(struct erabi_broker *broker, const struct erab_identity *key, uint64_t until_ms)
{
    uint64_t now = erabi_now_ms(&broker->loop);
    int r = erabi_registry_sign_key(broker->registry, key->party, key->sign_public, ERABI_FOR_EVER, now);
    if (r == 0)
        r = erabi_registry_sign_key(broker->registry, key->party, broker->owner.sign_public, until_ms, now);
    if (r < 0)
        return r;
    broker->next_owner = *key;
    broker->owner_until_ms = until_ms;
    broker->owner_version = (uint32_t)(now / 1000);
    return 0;
}

static void follow(struct erabi_uplink *uplink, const uint8_t *server_key, const uint8_t *secret_key)
{
    for (int i = 0; i < 2; i++)
        if (uplink->dials[i].dialer) /* not isolated */
            erabi_dialer_follow(uplink->dials[i].dialer, server_key, secret_key);
}

static void follow_owner(struct erabi_broker *broker)
{
    broker->owner = broker->next_owner;
    erab_identity_wipe(&broker->next_owner);
    broker->owner_until_ms = 0;
    broker->owner_version = (uint32_t)(erabi_now_ms(&broker->loop) / 1000);
    for (size_t i = 0; i < broker->config->n_uplinks; i++)
        follow(&broker->uplinks[i], NULL, broker->owner.curve_secret);
    erabi_record_admin(broker->audit, "key-retired", OWNER, "done");
}

/* To a hub that we dial, as any party announces its next keys; through the journal, so that it is not lost. */
static void announce(struct erabi_broker *broker, const char *to)
{
    uint64_t now = erabi_now_ms(&broker->loop);
    Erab__V1__PartyKey keys[2], *list[2] = {&keys[0], &keys[1]};
    Erab__V1__PartyCard card = ERAB__V1__PARTY_CARD__INIT;
    erabi_card_key(&keys[0], &broker->owner, 0, broker->owner_until_ms);
    erabi_card_key(&keys[1], &broker->next_owner, now, ERABI_FOR_EVER);
    card.party = broker->owner.party;
    card.role = (Erab__V1__Role)broker->config->owner.role;
    card.version = broker->owner_version;
    card.n_key = 2;
    card.key = list;
    struct erab_header header = {.type = ERAB_PARTY_CARD,
                                 .category = ERAB_SECURITY,
                                 .issued_at_ms = now,
                                 .expires_at_ms = now + ERABI_OTHER_LIFE_MS,
                                 .seq = erabi_pipeline_next_seq(&broker->pipeline, to),
                                 .version = 1};
    uint8_t bytes[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE], *body;
    size_t size;
    erab_id_new(header.id, now);
    erabi_copy_text(header.from, sizeof(header.from), broker->owner.party);
    erabi_copy_text(header.to, sizeof(header.to), to);
    if (erab_body_pack(&card.base, &body, &size) < 0)
        return;
    struct erabi_envelope e = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                               .body = erabi_slice(body, size),
                               .signature = erabi_slice(signature, sizeof(signature))};
    erabi_envelope_sign(e.header, e.body, broker->owner.sign_secret, signature);
    erabi_pipeline_originate(&broker->pipeline, &header, &e);
    free(body);
}

static void tell_of_owner(struct erabi_broker *broker)
{
    for (size_t i = 0; i < broker->config->n_uplinks; i++)
        announce(broker, broker->config->uplinks[i].party);
    for (size_t i = 0; i < broker->n_gates; i++)
        erabi_cards_tell_own(broker, broker->gates[i].interface);
}

void erabi_uplinks_follow(struct erabi_broker *broker, const char *party)
{
    const struct erabi_party_row *row = erabi_registry_row(broker->registry, party);
    uint64_t now = erabi_now_ms(&broker->loop);
    const struct erabi_row_key *best = NULL;
    for (size_t i = 0; row && i < row->n_keys; i++)
        if (!sodium_is_zero(row->keys[i].curve, ERAB_KEY_SIZE) && row->keys[i].until_ms > now &&
            (!best || row->keys[i].from_ms >= best->from_ms))
            best = &row->keys[i];
    for (size_t i = 0; best && i < broker->config->n_uplinks; i++)
        if (strcmp(broker->config->uplinks[i].party, party) == 0)
            follow(&broker->uplinks[i], best->curve, NULL);
}

/* ---- a listener's ---- */

static void retire(struct erabi_broker *broker, struct erabi_gate *gate)
{
    if (gate->listener) /* not isolated */
        erabi_listener_retire_key(gate->listener);
    gate->keys = gate->next_keys;
    erab_identity_wipe(&gate->next_keys);
    gate->old_until_ms = 0;
    gate->version = (uint32_t)(erabi_now_ms(&broker->loop) / 1000);
    erabi_record_admin(broker->audit, "key-retired", erab_interface_name(gate->interface), "done");
}

void erabi_server_keys_tick(struct erabi_broker *broker)
{
    for (size_t i = 0; i < broker->n_gates; i++)
        if (broker->gates[i].old_until_ms && erabi_now_ms(&broker->loop) >= broker->gates[i].old_until_ms)
            retire(broker, &broker->gates[i]);
    if (broker->owner_until_ms && erabi_now_ms(&broker->loop) >= broker->owner_until_ms)
        follow_owner(broker);
}

void erabi_keys_wipe(struct erabi_broker *broker)
{
    erab_identity_wipe(&broker->owner);
    erab_identity_wipe(&broker->next_owner);
    for (size_t i = 0; i < broker->n_gates; i++) {
        erab_identity_wipe(&broker->gates[i].keys);
        erab_identity_wipe(&broker->gates[i].next_keys);
    }
}

int erabi_server_keys_load(struct erabi_broker *broker, const char *interface, struct erabi_slice value)
{
    struct erabi_gate *gate = find(broker, interface);
    json_t *state = json_loadb((const char *)value.data, value.size, JSON_REJECT_DUPLICATES, NULL);
    const char *file, *public, *configured;
    json_int_t until;
    uint8_t kept[ERAB_KEY_SIZE], then[ERAB_KEY_SIZE];
    struct erab_identity key;
    char error[256] = "the journal's state of a server key cannot be read";
    bool owner = strcmp(interface, OWNER) == 0;
    int r = json_unpack(state, "{s:s, s:s, s:I, s:s}", "key_file", &file, "public", &public, "old_until", &until,
                        "configured", &configured) ||
                    erab_key_parse(public, kept) < 0 || erab_key_parse(configured, then) < 0
                ? -EBADMSG
                : 0;
    const uint8_t *now = owner ? broker->configured_owner : gate ? gate->configured : NULL;
    /* Else the configuration names the newer file already, or another since, or has this listener no more. */
    if (r == 0 && now && sodium_memcmp(now, kept, ERAB_KEY_SIZE) != 0 && sodium_memcmp(now, then, ERAB_KEY_SIZE) == 0 &&
        (r = erab_identity_load(&key, file, error, sizeof(error))) == 0) {
        const uint8_t *is = owner ? key.sign_public : key.curve_public;
        r = sodium_memcmp(is, kept, ERAB_KEY_SIZE) != 0 ? -EBADMSG
            : owner ? hold_both_of_owner(broker, &key, (uint64_t)until)
                    : hold_both(broker, gate, &key, (uint64_t)until);
        erab_identity_wipe(&key);
        erabi_broker_say(broker, "%s has a newer key: set its key_file to %s", interface, file);
    }
    json_decref(state);
    if (r < 0)
        erabi_broker_say(broker, "%s: %s", interface, error);
    erabi_server_keys_tick(broker);
    return r;
}

static void on_kept(void *user, int result)
{
    struct rotation *rotation = user;
    struct erabi_broker *broker = rotation->broker;
    erabi_loop_read(&broker->loop);
    const struct erabi_gate *gate = rotation->gate;
    const char *name = gate ? erab_interface_name(gate->interface) : OWNER;
    if (result == 0)
        result = gate ? hold_both(broker, rotation->gate, &rotation->key, rotation->until_ms)
                      : hold_both_of_owner(broker, &rotation->key, rotation->until_ms);
    if (result == 0) /* else the act says so */
        erabi_record_admin(broker->audit, "key-rotate", name, "done");
    if (result == 0 && gate)
        erabi_cards_tell_own(broker, gate->interface);
    else if (result == 0)
        tell_of_owner(broker);
    erabi_act_done(rotation->act, result < 0 ? result : 0);
    erab_identity_wipe(&rotation->key);
    free(rotation);
}

static int keep(struct rotation *rotation, const char *interface, const char *file)
{
    char key[64], public[65], configured[65], *text = NULL;
    erab_key_text(rotation->gate ? rotation->key.curve_public : rotation->key.sign_public, public);
    erab_key_text(rotation->gate ? rotation->gate->configured : rotation->broker->configured_owner, configured);
    json_t *state = json_pack("{s:s, s:s, s:I, s:s}", "key_file", file, "public", public, "old_until",
                              (json_int_t)rotation->until_ms, "configured", configured);
    if (state)
        text = json_dumps(state, JSON_COMPACT);
    json_decref(state);
    snprintf(key, sizeof(key), ERABI_SERVER_KEY_STATE "%s", interface);
    int r = text ? erabi_journal_state(rotation->broker->journal, key, erabi_slice(text, strlen(text)), on_kept, rotation)
                 : -ENOMEM;
    free(text);
    return r;
}

static const char *prepare(struct rotation *rotation, const json_t *statement)
{
    struct erabi_broker *broker = rotation->broker;
    const char *file = json_string_value(json_object_get(statement, "key_file"));
    json_int_t until = json_integer_value(json_object_get(statement, "old_until_ms"));
    uint64_t now = erabi_now_ms(&broker->loop);
    const char *interface = json_string_value(json_object_get(statement, "interface"));
    bool owner = interface && strcmp(interface, OWNER) == 0;
    rotation->gate = owner ? NULL : find(broker, interface);
    if (!owner && !rotation->gate)
        return "interface: this broker has no such listener; right would be one of 'erab health', or owner";
    if (!owner && rotation->gate->interface == ERAB_IF_NONE)
        return "the local endpoint's key is replaced in the configuration, with a restart of its applications";
    if (owner ? broker->owner_until_ms : rotation->gate->old_until_ms)
        return "two keys hold here already; wait until the older one's time is over";
    if (until <= 0 || (uint64_t)until <= now || (uint64_t)until - now > OVERLAP_MAX_MS)
        return "old_until_ms: a time from now to 90 days ahead is needed";
    rotation->until_ms = (uint64_t)until;
    if (!file || file[0] != '/' || strlen(file) > 3000)
        return "key_file: an absolute path is needed";
    if (erab_identity_load(&rotation->key, file, broker->verb_error, sizeof(broker->verb_error)) < 0)
        return broker->verb_error;
    if (owner && strcmp(rotation->key.party, broker->owner.party) != 0)
        return "the file holds the keys of another party; make one for the owner";
    if (owner ? erabi_registry_uses(broker->registry, rotation->key.sign_public) ||
                    sodium_memcmp(rotation->key.curve_public, broker->owner.curve_public, ERAB_KEY_SIZE) == 0
              : sodium_memcmp(rotation->key.curve_public, rotation->gate->keys.curve_public, ERAB_KEY_SIZE) == 0)
        return "the file holds the key in use; make a new one";
    return NULL;
}

/* Takes over the rotation. */
static json_t *begin(struct rotation *rotation, const char *interface, const char *file, const char **error)
{
    char text[65];
    erab_key_text(rotation->key.curve_public, text);
    json_t *answer = json_pack("{s:s, s:s, s:I}", "interface", interface, "server_key", text, "old_until_ms",
                               (json_int_t)rotation->until_ms);
    struct erabi_act *act = rotation->act = erabi_act_new(rotation->broker, "key-rotate", interface, answer,
                                                          "the journal could not keep it; look at 'erab health', then repeat");
    *error = "no memory";
    int r = act ? keep(rotation, interface, file) : -ENOMEM;
    if (r == 0)
        return erabi_act_wait(act, error);
    erab_identity_wipe(&rotation->key);
    free(rotation);
    return act ? erabi_act_now(act, r, error) : NULL;
}

json_t *erabi_verb_key_rotate(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    _statement_ struct erabi_statement s = {0};
    erabi_loop_read(&broker->loop);
    if (!erabi_operator_statement(broker, &s, request, "key-rotate", erabi_now_ms(&broker->loop), error))
        return NULL;
    struct rotation *rotation = calloc(1, sizeof(*rotation));
    const char *wrong = "no memory";
    if (rotation) {
        rotation->broker = broker;
        wrong = prepare(rotation, s.text);
    }
    const char *interface = json_string_value(json_object_get(s.text, "interface"));
    erabi_record_party(broker->audit, "key-rotate", interface ? interface : "", wrong ? "refused" : "signed", s.operator,
                       s.raw, s.signature);
    if (!wrong)
        return begin(rotation, interface, json_string_value(json_object_get(s.text, "key_file")), error);
    if (rotation)
        erab_identity_wipe(&rotation->key);
    free(rotation);
    *error = wrong;
    return NULL;
}
