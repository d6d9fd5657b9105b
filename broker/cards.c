/* Party cards: signed by the owner, they tell connected peers the keys of the parties that they may talk with. They are
 * told when a peer binds and whenever something changes; like a receipt they are the broker's own word, so no rule judges
 * them and the journal keeps none: who was away hears them at its next connection. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "broker.h"

#define CARD_LIFE_MS  86400000u
#define GREETINGS_MAX ERABI_ENROLLED_MAX /* cards told at one binding */
#define SPEAKS_MAX    16u  /* parties of one attachment that are looked at */

struct card {
    Erab__V1__PartyCard body;
    Erab__V1__PartyKey keys[ERABI_ROW_KEYS], *list[ERABI_ROW_KEYS];
};

static void add_key(struct card *card, const uint8_t *sign, const uint8_t *curve, uint64_t from_ms, uint64_t until_ms)
{
    if (card->body.n_key == ERABI_ROW_KEYS)
        return;
    Erab__V1__PartyKey *key = &card->keys[card->body.n_key];
    erab__v1__party_key__init(key);
    key->sign_key = (ProtobufCBinaryData){ERAB_KEY_SIZE, (uint8_t *)(uintptr_t)sign};
    key->has_curve_key = curve != NULL;
    if (curve)
        key->curve_key = (ProtobufCBinaryData){ERAB_KEY_SIZE, (uint8_t *)(uintptr_t)curve};
    key->from_ms = from_ms;
    key->until_ms = until_ms;
    card->list[card->body.n_key++] = key;
}

static const struct erabi_gate *gate_of(const struct erabi_broker *broker, enum erab_interface interface)
{
    for (size_t i = 0; i < broker->n_gates; i++)
        if (broker->gates[i].interface == interface)
            return &broker->gates[i];
    return NULL;
}

/* The owner's own card: its connection keys are those of the listener over which it is told. While keys follow others,
 * every pair that holds is in it. */
static bool make_own_card(const struct erabi_broker *broker, const struct erabi_target *target, struct card *card)
{
    const struct erabi_gate *gate = gate_of(broker, target->interface);
    if (!gate)
        return false;
    erab__v1__party_card__init(&card->body);
    card->body.party = (char *)(uintptr_t)broker->owner.party;
    card->body.role = (Erab__V1__Role)broker->config->owner.role;
    card->body.version = gate->version > broker->owner_version ? gate->version : broker->owner_version;
    card->body.key = card->list;
    for (int older = 1; older >= 0; older--) {
        if (older && !gate->old_until_ms)
            continue;
        const uint8_t *curve = !older && gate->old_until_ms ? gate->next_keys.curve_public : gate->keys.curve_public;
        uint64_t from = older ? 0 : gate->since_ms, until = older ? gate->old_until_ms : ERABI_FOR_EVER;
        uint64_t sign_until = broker->owner_until_ms ? broker->owner_until_ms : ERABI_FOR_EVER;
        add_key(card, broker->owner.sign_public, curve, from, until < sign_until ? until : sign_until);
        if (broker->owner_until_ms)
            add_key(card, broker->next_owner.sign_public, curve, from, until);
    }
    return true;
}

/* False: there is no key to tell. */
static bool make_card(const struct erabi_broker *broker, const struct erabi_registry_party *about, struct card *card)
{
    const struct erabi_party_row *row = erabi_registry_row(broker->registry, about->id);
    uint64_t now = erabi_now_ms(&broker->loop);
    erab__v1__party_card__init(&card->body);
    card->body.party = (char *)(uintptr_t)about->id;
    card->body.role = (Erab__V1__Role)about->role;
    card->body.version = row ? row->version : 1;
    card->body.key = card->list;
    if (about->represented_by[0])
        card->body.represented_by = (char *)(uintptr_t)about->represented_by;
    card->body.has_withdrawn = card->body.withdrawn = about->revoked || about->waiting;
    if (about->revoked) { /* over every earlier one */
        struct erabi_party_row none = {.version = card->body.version};
        card->body.version = erabi_row_next_version(&none, now);
    }
    for (size_t i = 0; row && i < row->n_keys; i++)
        if (row->keys[i].until_ms > now)
            add_key(card, row->keys[i].sign, row->keys[i].curve, row->keys[i].from_ms, row->keys[i].until_ms);
    size_t n = 0;
    const erabi_key_bytes *keys = row && row->n_keys ? NULL : erabi_registry_sign_keys(broker->registry, about->id, &n);
    for (size_t i = 0; i < n; i++)
        add_key(card, keys[i], NULL, 0, ERABI_FOR_EVER);
    for (size_t i = 0; i < card->body.n_key; i++) /* who signs for it is another */
        card->keys[i].has_proxy = card->keys[i].proxy = about->represented_by[0] != '\0';
    return card->body.n_key > 0;
}

static void tell(struct erabi_broker *broker, struct erabi_target *target, const char *to, const struct card *card)
{
    uint64_t now = erabi_now_ms(&broker->loop);
    struct erab_header header = {.type = ERAB_PARTY_CARD,
                                 .category = ERAB_SECURITY,
                                 .issued_at_ms = now,
                                 .expires_at_ms = now + CARD_LIFE_MS,
                                 .seq = erabi_pipeline_next_seq(&broker->pipeline, to),
                                 .version = 1};
    uint8_t bytes[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE], hash[ERAB_HASH_SIZE];
    _free_ uint8_t *body = NULL;
    size_t size;
    erab_id_new(header.id, now);
    erabi_copy_text(header.from, sizeof(header.from), broker->owner.party);
    erabi_copy_text(header.to, sizeof(header.to), to);
    if (erab_body_pack(&card->body.base, &body, &size) < 0)
        return;
    struct erabi_envelope e = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                               .body = erabi_slice(body, size),
                               .signature = erabi_slice(signature, sizeof(signature))};
    erabi_envelope_sign(e.header, e.body, broker->owner.sign_secret, signature);
    erabi_envelope_hash(e.header, e.body, hash);
    struct erabi_parcel *parcel = erabi_parcel_new(&header, &e, hash);
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, to);
    if (parcel && party) /* a full queue: told again at the next binding */
        erabi_target_push(target, parcel, party->index, 0, ERABI_PUSH_CHECKED);
    erabi_parcel_unref(parcel);
}

/* May a party behind this attachment talk with the other one, over the attachment's interfaces? */
static bool neighbours(const struct erabi_broker *broker, const struct erabi_attachment *a,
                       const struct erabi_registry_party *about)
{
    if (a->kind == ERABI_ATTACH_LOCAL)
        return true;
    for (size_t i = 0; i < a->n_speaks_for && i < SPEAKS_MAX; i++) {
        const struct erabi_registry_party *p = erabi_registry_party_at(broker->registry, a->speaks_for[i]);
        struct erabi_profile_pair pair = erabi_profile_pair(broker->profile, p->role, about->role);
        bool one_firm = strcmp(p->firm, about->firm) == 0;
        if (p != about && pair.interface != ERAB_IF_NONE && (!pair.one_firm || one_firm) &&
            (a->interfaces == 0 || (a->interfaces >> pair.interface & 1)))
            return true;
    }
    return false;
}

static const char *addressee(const struct erabi_broker *broker, const struct erabi_attachment *a)
{
    return a->n_speaks_for ? erabi_registry_party_at(broker->registry, a->speaks_for[0])->id : broker->owner.party;
}

static bool hears(const struct erabi_session *session)
{
    return session->group == ERAB_LANES_COMMAND && !session->enrolling && !session->cut && !session->dialled;
}

void erabi_cards_greet(struct erabi_broker *broker, struct erabi_session *session)
{
    const struct erabi_attachment *a = session->target->attachment;
    const struct erabi_registry_party *self = erabi_registry_party_at(broker->registry, a->party);
    const struct erabi_party_row *own = self ? erabi_registry_row(broker->registry, self->id) : NULL;
    bool newcomer = own && !own->configured; /* who is configured here knows the others from its own configuration */
    const struct erabi_gate *gate = gate_of(broker, session->target->interface);
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    size_t n = erabi_registry_count(broker->registry), told = 0;
    struct card card;
    if (hears(session) && (newcomer || broker->owner_until_ms || (gate && gate->old_until_ms)) && make_own_card(broker, session->target, &card))
        tell(broker, session->target, addressee(broker, a), &card);
    if (!hears(session) || (!newcomer && !erabi_registry_rows(broker->registry)))
        return;
    for (size_t i = 0; i < n && told < GREETINGS_MAX; i++) {
        const struct erabi_registry_party *about = erabi_registry_party_at(broker->registry, (uint32_t)i);
        bool wanted = about->revoked || erabi_registry_row(broker->registry, about->id) || newcomer;
        if (!wanted || about->role == ERAB_ROLE_NONE || about->local || about == self || about == owner || (about->waiting && !about->revoked) ||
            !neighbours(broker, a, about) || !make_card(broker, about, &card))
            continue;
        tell(broker, session->target, addressee(broker, a), &card);
        told++;
    }
}

void erabi_cards_tell(struct erabi_broker *broker, const char *party)
{
    const struct erabi_registry_party *about = erabi_registry_party(broker->registry, party);
    struct card card;
    if (!about || (about->waiting && !about->revoked) || !make_card(broker, about, &card))
        return;
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        const struct erabi_attachment *a = s->target->attachment;
        if (!hears(s) || a->party == about->index || !neighbours(broker, a, about))
            continue;
        tell(broker, s->target, addressee(broker, a), &card);
        erabi_target_pump(s->target, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
    }
}

void erabi_cards_tell_own(struct erabi_broker *broker, enum erab_interface interface)
{
    struct card card;
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        if (!hears(s) || s->target->interface != interface || !make_own_card(broker, s->target, &card))
            continue;
        tell(broker, s->target, addressee(broker, s->target->attachment), &card);
        erabi_target_pump(s->target, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
    }
}
