/* A party announces the keys that follow its own: a PartyCard about itself to the owner, signed with a key that is good
 * now. Both pairs hold during the overlap, then the older is refused. A card of a hub that we dial tells its keys and
 * those of the parties behind it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "broker.h"
#include "record.h"

#define OVERLAP_MAX_MS (90u * 86400000ull)

static bool is_hub(const struct erabi_broker *broker, const struct erabi_attachment *source)
{
    for (size_t i = 0; i < broker->config->n_uplinks; i++)
        if (broker->uplinks[i].attachment == source)
            return true;
    return false;
}

static bool has_sign_key(const struct erabi_registry_party *p, ProtobufCBinaryData key)
{
    for (size_t i = 0; i < p->n_sign_keys; i++)
        if (sodium_memcmp(p->sign_keys[i], key.data, ERAB_KEY_SIZE) == 0)
            return true;
    return false;
}

/* Announced before, with the same keys: nothing to do. */
static bool repeated(const struct erabi_broker *broker, const struct erabi_registry_party *p,
                     const Erab__V1__PartyCard *card)
{
    const Erab__V1__PartyKey *next = card->key[1];
    return has_sign_key(p, next->sign_key) &&
           erabi_registry_owns(broker->registry, p->index, next->curve_key.data, erabi_now_ms(&broker->loop));
}

/* Room for one more: the oldest whose time is over may go. */
static bool has_room(const struct erabi_party_row *row, uint64_t now_ms)
{
    return row->n_keys < ERABI_ROW_KEYS || row->keys[0].until_ms <= now_ms;
}

enum erab_reason erabi_rotate_check(void *user, const struct erabi_attachment *source, const struct erab_header *header,
                                    const Erab__V1__PartyCard *card)
{
    struct erabi_broker *broker = user;
    uint64_t now = erabi_now_ms(&broker->loop);
    const struct erabi_registry_party *p = erabi_registry_party(broker->registry, card->party);
    struct erabi_party_row row;
    if (!p && is_hub(broker, source))
        return ERAB_REASON_NONE; /* of a party that we have nothing to do with */
    if (!p || (unsigned)card->role != (unsigned)p->role)
        return ERAB_REASON_MALFORMED;
    if (is_hub(broker, source))
        return erabi_registry_attachment_of(broker->registry, p->index) == source ? ERAB_REASON_NONE
                                                                                   : ERAB_REASON_FROM_NOT_YOURS;
    if (strcmp(card->party, header->from) != 0 || source->party != p->index)
        return ERAB_REASON_FROM_NOT_YOURS; /* nobody announces another party's keys */
    if (card->n_key == 1 && has_sign_key(p, card->key[0]->sign_key) && !(card->has_withdrawn && card->withdrawn))
        return ERAB_REASON_NONE; /* tells what is known */
    if (card->n_key != 2 || (card->has_withdrawn && card->withdrawn))
        return ERAB_REASON_MALFORMED;
    const Erab__V1__PartyKey *old = card->key[0], *next = card->key[1];
    if (!old->has_curve_key || !next->has_curve_key || (next->has_proxy && next->proxy) ||
        !erabi_keys_usable(next->curve_key.data, next->sign_key.data) || next->from_ms > now + ERAB_CLOCK_AHEAD_MS)
        return ERAB_REASON_MALFORMED;
    if (repeated(broker, p, card))
        return ERAB_REASON_NONE;
    if (!has_sign_key(p, old->sign_key) || !erabi_registry_owns(broker->registry, p->index, old->curve_key.data, now))
        return ERAB_REASON_KEY_EXPIRED;
    if (old->until_ms <= now || old->until_ms - now > OVERLAP_MAX_MS)
        return ERAB_REASON_LIFETIME;
    if (!erabi_enrol_key_free(broker, next->curve_key.data) || !erabi_enrol_key_free(broker, next->sign_key.data))
        return ERAB_REASON_KEY_IN_USE;
    if (!erabi_registry_row_copy(broker->registry, card->party, &row) || row.busy || !has_room(&row, now))
        return ERAB_REASON_BUSY;
    return ERAB_REASON_NONE;
}

static void append(struct erabi_party_row *row, const Erab__V1__PartyKey *key, uint64_t from_ms, uint64_t until_ms)
{
    if (row->n_keys == ERABI_ROW_KEYS) {
        for (size_t i = 1; i < ERABI_ROW_KEYS; i++)
            row->keys[i - 1] = row->keys[i];
        row->n_keys--;
    }
    struct erabi_row_key *to = &row->keys[row->n_keys++];
    *to = (struct erabi_row_key){.from_ms = from_ms, .until_ms = until_ms};
    erabi_copy_bytes(to->sign, key->sign_key.data, ERAB_KEY_SIZE);
    if (key->has_curve_key)
        erabi_copy_bytes(to->curve, key->curve_key.data, ERAB_KEY_SIZE);
}

/* The pair that ends may stand in the row, or in the configuration only. */
static void rotate(struct erabi_party_row *row, const Erab__V1__PartyCard *card, uint64_t now)
{
    size_t i = 0;
    while (i < row->n_keys && sodium_memcmp(row->keys[i].sign, card->key[0]->sign_key.data, ERAB_KEY_SIZE) != 0)
        i++;
    if (i < row->n_keys)
        row->keys[i].until_ms = card->key[0]->until_ms;
    else
        append(row, card->key[0], 0, card->key[0]->until_ms);
    append(row, card->key[1], now, ERABI_FOR_EVER);
}

void erabi_rotate_take(void *user, const struct erabi_attachment *source, const struct erab_header *header,
                       const Erab__V1__PartyCard *card)
{
    struct erabi_broker *broker = user;
    uint64_t now = erabi_now_ms(&broker->loop);
    const struct erabi_registry_party *p = erabi_registry_party(broker->registry, card->party);
    (void)header;
    if (!p || p->revoked || (!is_hub(broker, source) && card->n_key != 2) || (!is_hub(broker, source) && repeated(broker, p, card)))
        return;
    struct erabi_change *change = erabi_enrol_prepare(broker, "key-rotate");
    if (!change || !erabi_registry_row_copy(broker->registry, card->party, &change->row) || change->row.busy) {
        free(change);
        erabi_record_admin(broker->audit, "key-rotate", card->party, "not kept");
        return;
    }
    if (!is_hub(broker, source)) {
        rotate(&change->row, card, now);
    } else {
        change->row.n_keys = 0;
        for (size_t i = 0; i < card->n_key && i < ERABI_ROW_KEYS; i++)
            append(&change->row, card->key[i], card->key[i]->from_ms,
                   card->key[i]->until_ms < ERABI_FOR_EVER ? card->key[i]->until_ms : ERABI_FOR_EVER);
    }
    if (erabi_enrol_change(change) < 0)
        erabi_record_admin(broker->audit, "key-rotate", card->party, "not kept");
}
