/* A fixed table, so that a crowd of addresses cannot grow it: sets of eight, chosen by a keyed hash. An
 * entry that has no open handshake and its full allowance carries no information and is reused. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "transport/internal.h"

enum { SETS = 512, WAYS = 8 };

struct erabi_sources {
    uint32_t rate;
    uint32_t connections;
    uint8_t key[crypto_shorthash_KEYBYTES];
    struct erabi_source table[SETS][WAYS];
};

int erabi_sources_new(struct erabi_sources **out, uint32_t rate, uint32_t connections)
{
    struct erabi_sources *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->rate = rate;
    s->connections = connections;
    randombytes_buf(s->key, sizeof s->key);
    *out = s;
    return 0;
}

void erabi_sources_free(struct erabi_sources *s)
{
    free(s);
}

static void prefix_of(const struct sockaddr *from, uint8_t prefix[16])
{
    struct erabi_writer w = erabi_writer(prefix, 16);
    if (from->sa_family == AF_INET) {
        erabi_write_u64(&w, 0);
        erabi_write_u32(&w, 0xFFFF);
        erabi_write_bytes(&w, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return;
    }
    const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    bool whole = IN6_IS_ADDR_V4MAPPED(a);
    erabi_write_bytes(&w, a, whole ? 16 : 8);
    if (!whole)
        erabi_write_u64(&w, 0);
}

static void refill(const struct erabi_sources *s, struct erabi_source *e, uint64_t now_ms)
{
    uint64_t full = (uint64_t)s->rate * 1000;
    uint64_t passed = now_ms - e->at_ms;
    uint64_t tokens = passed >= 1000 ? full : e->tokens + passed * s->rate;
    e->tokens = (uint32_t)(tokens < full ? tokens : full);
    e->at_ms = now_ms;
}

struct erabi_source *erabi_sources_enter(struct erabi_sources *s, const struct sockaddr *from,
                                         uint64_t now_ms)
{
    uint8_t prefix[16], hash[crypto_shorthash_BYTES];
    prefix_of(from, prefix);
    crypto_shorthash(hash, prefix, sizeof prefix, s->key);
    struct erabi_source *set = s->table[(hash[0] | hash[1] << 8) % SETS];
    struct erabi_source *found = NULL, *spare = NULL;
    for (unsigned i = 0; i < WAYS && !found; i++) {
        struct erabi_source *e = &set[i];
        refill(s, e, now_ms);
        if (erabi_slice_equal(erabi_slice(e->prefix, 16), erabi_slice(prefix, 16)))
            found = e;
        else if (!spare && e->handshaking == 0 && e->tokens == s->rate * 1000)
            spare = e;
    }
    if (!found && spare) {
        found = spare;
        erabi_copy_bytes(found->prefix, prefix, sizeof prefix);
    }
    if (!found || found->handshaking >= s->connections || found->tokens < 1000)
        return NULL;
    found->tokens -= 1000;
    found->handshaking++;
    return found;
}

void erabi_sources_leave(struct erabi_source *source)
{
    if (source)
        source->handshaking--;
}
