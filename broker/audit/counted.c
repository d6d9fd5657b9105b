#include "audit/counted.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"

#define TEXT_MAX   80 /* a party or an instance */
#define CODE_MAX   32
#define PROBES_MAX 16u

struct slot {
    uint64_t n; /* 0: free */
    char what[CODE_MAX], verdict[CODE_MAX], reason[CODE_MAX], peer[TEXT_MAX];
};

struct erabi_counted {
    uint8_t seed[crypto_shorthash_KEYBYTES]; /* the names come from outside */
    size_t used;
    struct slot slots[ERABI_COUNTED_SLOTS];
    struct slot rest; /* when there is no place */
};

struct erabi_counted *erabi_counted_new(void)
{
    struct erabi_counted *c = calloc(1, sizeof(*c));
    if (c)
        randombytes_buf(c->seed, sizeof(c->seed));
    return c;
}

void erabi_counted_free(struct erabi_counted *c)
{
    free(c);
}

static void put(char *out, size_t size, const char *text)
{
    size_t n = text ? strnlen(text, size - 1) : 0;
    erabi_copy_bytes(out, text, n);
}

static bool same(const struct slot *a, const struct slot *b)
{
    return strcmp(a->what, b->what) == 0 && strcmp(a->verdict, b->verdict) == 0 && strcmp(a->reason, b->reason) == 0 &&
           strcmp(a->peer, b->peer) == 0;
}

static struct slot *find(struct erabi_counted *c, const struct slot *wanted)
{
    unsigned char text[sizeof(*wanted)] = {0}, hash[crypto_shorthash_BYTES];
    uint32_t at;
    erabi_copy_bytes(text, wanted, sizeof(*wanted));
    crypto_shorthash(hash, text, sizeof(text), c->seed);
    erabi_copy_bytes(&at, hash, sizeof(at));
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        struct slot *s = &c->slots[(at + i) % ERABI_COUNTED_SLOTS];
        if (s->n && !same(s, wanted))
            continue;
        if (!s->n) {
            *s = *wanted;
            c->used++;
        }
        return s;
    }
    if (!c->rest.n)
        put(c->rest.what, sizeof(c->rest.what), "various");
    return &c->rest;
}

bool erabi_counted_take(struct erabi_counted *c, const char *what, const struct erabi_audit_kind *kind)
{
    struct slot wanted = {0};
    put(wanted.what, sizeof(wanted.what), what);
    put(wanted.verdict, sizeof(wanted.verdict), kind->verdict);
    put(wanted.reason, sizeof(wanted.reason), kind->reason);
    put(wanted.peer, sizeof(wanted.peer), kind->peer);
    return ++find(c, &wanted)->n <= ERABI_AUDIT_ONE_BY_ONE;
}

void erabi_counted_end(struct erabi_counted *c,
                       void (*tell)(void *user, const char *what, const struct erabi_audit_kind *kind, uint64_t records),
                       void *user)
{
    for (size_t i = 0; i <= ERABI_COUNTED_SLOTS && (c->used || c->rest.n); i++) {
        struct slot *s = i < ERABI_COUNTED_SLOTS ? &c->slots[i] : &c->rest;
        struct erabi_audit_kind kind = {s->peer, s->verdict, s->reason};
        if (s->n > ERABI_AUDIT_ONE_BY_ONE)
            tell(user, s->what, &kind, s->n - ERABI_AUDIT_ONE_BY_ONE);
        *s = (struct slot){0};
    }
    c->used = 0;
}
