/* Votes of the cacheable policies, by what they may depend on. A fixed table in which a newer entry replaces an
 * older one of the same place: bounded, and it dies with its snapshot. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"
#include "policy/chain.h"

#define PLACES 4096u /* a power of two */

struct key {
    char from[ERAB_PARTY_MAX + 1];
    char to[ERAB_PARTY_MAX + 1];
    uint8_t stage, interface, from_role, to_role, type, category, marks;
};

struct place {
    bool used;
    struct key key;
    struct erabi_policy_cached cached;
};

struct erabi_policy_cache {
    uint8_t secret[crypto_shorthash_KEYBYTES]; /* peers choose much of the key */
    struct place places[PLACES];
};

struct erabi_policy_cache *erabi_policy_cache_new(void)
{
    struct erabi_policy_cache *cache = calloc(1, sizeof(*cache));
    if (cache)
        crypto_shorthash_keygen(cache->secret);
    return cache;
}

void erabi_policy_cache_free(struct erabi_policy_cache *cache)
{
    free(cache);
}

static bool make_key(struct key *key, const struct erab_policy_request *r)
{
    *key = (struct key){.stage = (uint8_t)r->stage,
                        .interface = (uint8_t)r->interface,
                        .from_role = (uint8_t)r->from_role,
                        .to_role = (uint8_t)r->to_role,
                        .type = (uint8_t)r->header->type,
                        .category = (uint8_t)r->header->category,
                        .marks = (uint8_t)((r->is_signed ? 1 : 0) | (r->is_local ? 2 : 0) | (r->header->exercise ? 4 : 0))};
    return erabi_copy_text(key->from, sizeof(key->from), r->from) && erabi_copy_text(key->to, sizeof(key->to), r->to);
}

static bool same(const struct key *a, const struct key *b)
{
    return strcmp(a->from, b->from) == 0 && strcmp(a->to, b->to) == 0 && a->stage == b->stage &&
           a->interface == b->interface && a->from_role == b->from_role && a->to_role == b->to_role &&
           a->type == b->type && a->category == b->category && a->marks == b->marks;
}

static void ask_all(const struct erabi_policy_chain *chain, const struct erab_policy_request *request,
                    struct erabi_policy_cached *out)
{
    *out = (struct erabi_policy_cached){.allow_at = ERABI_POLICIES_MAX, .deny_at = ERABI_POLICIES_MAX};
    for (size_t i = 0; i < chain->n; i++) {
        struct erabi_policy_instance *instance = chain->at[i];
        if (!erabi_policy_cacheable(instance) || !erabi_policy_concerns(instance, request))
            continue;
        struct erab_verdict verdict;
        erabi_policy_ask(instance, 0, request, &verdict);
        if (verdict.vote == ERAB_ALLOW && out->allow_at == ERABI_POLICIES_MAX) {
            out->allow_at = i;
            out->allow = verdict;
        } else if (verdict.vote == ERAB_DENY || verdict.vote == ERAB_PENDING) { /* nothing to wait for here */
            out->deny_at = i;
            out->deny = verdict;
            return;
        }
    }
}

const struct erabi_policy_cached *erabi_policy_cache_get(struct erabi_policy_chain *chain,
                                                         const struct erab_policy_request *request)
{
    struct key key;
    uint8_t hash[crypto_shorthash_BYTES];
    if (!chain->cache || !make_key(&key, request))
        return NULL;
    /* The two ids and the seven bytes behind them, without what follows their ends. */
    uint8_t text[2 * (ERAB_PARTY_MAX + 1) + 7];
    struct erabi_writer w = erabi_writer(text, sizeof(text));
    erabi_write_bytes(&w, key.from, strlen(key.from) + 1);
    erabi_write_bytes(&w, key.to, strlen(key.to) + 1);
    const uint8_t rest[] = {key.stage, key.interface, key.from_role, key.to_role, key.type, key.category, key.marks};
    erabi_write_bytes(&w, rest, sizeof(rest));
    crypto_shorthash(hash, text, w.used, chain->cache->secret);
    struct place *place = &chain->cache->places[(hash[0] | (unsigned)hash[1] << 8) & (PLACES - 1)];
    if (!place->used || !same(&place->key, &key)) {
        place->used = false;
        ask_all(chain, request, &place->cached);
        place->key = key;
        place->used = true;
    }
    return &place->cached;
}
