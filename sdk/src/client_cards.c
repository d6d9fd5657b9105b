/* Whose signatures this client believes: what it was given, and what signed cards of its hub say since. The hub's own key
 * is pinned by the caller; a card of anybody else is an ordinary message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "client_internal.h"

static void forget(struct erab_client *c, const char *party)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_trusted; i++)
        if (strcmp(c->trusted[i].party, party) != 0)
            c->trusted[n++] = c->trusted[i];
    c->n_trusted = n;
}

int erabi_trust_add(struct erab_client *c, const char *party, const uint8_t key[ERAB_KEY_SIZE], uint64_t until_ms)
{
    if (c->n_trusted == c->most_trusted) {
        size_t most = c->most_trusted ? c->most_trusted * 2 : 16;
        if (most > CLIENT_TRUST_MAX)
            return -ENOSPC;
        struct trusted *more = realloc(c->trusted, most * sizeof *more);
        if (!more)
            return -ENOMEM;
        c->trusted = more;
        c->most_trusted = most;
    }
    struct trusted *t = &c->trusted[c->n_trusted++];
    *t = (struct trusted){.until_ms = until_ms};
    erabi_copy_text(t->party, sizeof t->party, party);
    erabi_copy_bytes(t->sign_key, key, ERAB_KEY_SIZE);
    return 0;
}

/* True when the card is not older than what was heard of this party; notes it. */
static bool newer(struct erab_client *c, const char *party, uint32_t version)
{
    for (size_t i = 0; i < c->n_cards; i++) {
        if (strcmp(c->cards[i].party, party) != 0)
            continue;
        if (version < c->cards[i].version)
            return false;
        c->cards[i].version = version;
        return true;
    }
    if (c->n_cards == CLIENT_CARDS_MAX)
        return false;
    struct heard *more = realloc(c->cards, (c->n_cards + 1) * sizeof *more);
    if (!more)
        return false;
    c->cards = more;
    c->cards[c->n_cards] = (struct heard){.version = version};
    erabi_copy_text(c->cards[c->n_cards++].party, sizeof more->party, party);
    return true;
}

/* The newest of the listener's keys; used from the next connection on. */
static void learn_server_key(struct erab_client *c, const Erab__V1__PartyCard *card, uint64_t now)
{
    const Erab__V1__PartyKey *best = NULL;
    for (size_t i = 0; i < card->n_key; i++)
        if (card->key[i]->has_curve_key && card->key[i]->from_ms <= now + ERAB_CLOCK_AHEAD_MS &&
            card->key[i]->until_ms > now && (!best || card->key[i]->from_ms >= best->from_ms))
            best = card->key[i];
    if (best)
        erabi_copy_bytes(c->options.server_key, best->curve_key.data, ERAB_KEY_SIZE);
}

static void learn(struct erab_client *c, const Erab__V1__PartyCard *card, uint64_t now)
{
    bool withdrawn = card->has_withdrawn && card->withdrawn, hub = strcmp(card->party, c->options.hub) == 0;
    size_t usable = 0;
    for (size_t i = 0; i < card->n_key; i++)
        usable += card->key[i]->until_ms > now;
    if (hub && (withdrawn || usable == 0))
        return; /* a hub cannot make us believe nobody */
    if (!newer(c, card->party, card->version))
        return;
    forget(c, card->party);
    for (size_t i = 0; i < card->n_key && !withdrawn; i++)
        if (card->key[i]->until_ms > now)
            erabi_trust_add(c, card->party, card->key[i]->sign_key.data, card->key[i]->until_ms);
    if (hub)
        learn_server_key(c, card, now);
    if (c->callbacks.on_card)
        c->callbacks.on_card(c->options.user, c, card);
}

bool erabi_card_take(struct erab_client *c, const struct erab_header *h, const struct erabi_envelope *e, uint64_t now)
{
    if (h->type != ERAB_PARTY_CARD || strcmp(h->from, c->options.hub) != 0)
        return false;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason;
    if (erab_body_unpack(h->type, (struct erab_bytes){e->body.data, e->body.size}, &body, &reason) == 0) {
        const Erab__V1__PartyCard *card = (const Erab__V1__PartyCard *)body;
        if (erab_party_valid(card->party))
            learn(c, card, now);
    }
    erab_body_free(body);
    return true;
}
