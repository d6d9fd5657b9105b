#include "audit/counted.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"

#define TEXT_MAX 80 /* a party or an instance */
#define CODE_MAX 32
#define SLOTS    (2 * ERABI_COUNTED_KINDS) /* half stay free, so that a search is short */

struct slot {
    uint64_t n; /* 0: free */
    char what[CODE_MAX], verdict[CODE_MAX], reason[CODE_MAX], peer[TEXT_MAX];
};

struct erabi_counted {
    uint8_t seed[crypto_shorthash_KEYBYTES]; /* the names come from outside */
    size_t n_used;
    struct slot *used[ERABI_COUNTED_KINDS];
    struct slot slots[SLOTS]; /* memory that a quiet log never touches */
    struct slot rest;         /* when there is no place */
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
    struct slot *s = &c->slots[at % SLOTS];
    while (s->n && !same(s, wanted))
        s = s + 1 < c->slots + SLOTS ? s + 1 : c->slots;
    if (s->n)
        return s;
    if (c->n_used == ERABI_COUNTED_KINDS) {
        if (!c->rest.n)
            put(c->rest.what, sizeof(c->rest.what), "various");
        return &c->rest;
    }
    c->used[c->n_used++] = s;
    *s = *wanted;
    return s;
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

static void end_of(struct slot *s,
                   void (*tell)(void *user, const char *what, const struct erabi_audit_kind *kind, uint64_t records),
                   void *user)
{
    struct erabi_audit_kind kind = {s->peer, s->verdict, s->reason};
    if (s->n > ERABI_AUDIT_ONE_BY_ONE)
        tell(user, s->what, &kind, s->n - ERABI_AUDIT_ONE_BY_ONE);
    *s = (struct slot){0};
}

void erabi_counted_end(struct erabi_counted *c,
                       void (*tell)(void *user, const char *what, const struct erabi_audit_kind *kind, uint64_t records),
                       void *user)
{
    while (c->n_used)
        end_of(c->used[--c->n_used], tell, user);
    end_of(&c->rest, tell, user);
}
