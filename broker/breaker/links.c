#include "breaker/links.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"

#define BUCKETS 16384u

struct erabi_links {
    uint8_t seed[crypto_shorthash_KEYBYTES];
    struct erabi_availability_limits limits;
    size_t most, n, n_open;
    struct erabi_link *last; /* found by erabi_links_get: a message asks for its link several times in a row */
    struct erabi_link *buckets[BUCKETS];
};

int erabi_links_new(struct erabi_links **out, const struct erabi_availability_limits *limits, size_t most)
{
    struct erabi_links *links = calloc(1, sizeof(*links));
    *out = links;
    if (!links)
        return -ENOMEM;
    randombytes_buf(links->seed, sizeof(links->seed));
    links->limits = limits ? *limits : erabi_availability_usual;
    links->most = most ? most : ERABI_LINKS_MAX;
    return 0;
}

void erabi_links_free(struct erabi_links *links)
{
    for (size_t i = 0; links && i < BUCKETS; i++) {
        while (links->buckets[i]) {
            struct erabi_link *link = links->buckets[i];
            assert(link->users == 0);
            links->buckets[i] = link->next;
            free(link);
        }
    }
    free(links);
}

const struct erabi_availability_limits *erabi_links_limits(const struct erabi_links *links)
{
    return &links->limits;
}

static size_t bucket(const struct erabi_links *links, const char *a, enum erab_interface interface, const char *b)
{
    uint8_t text[2 * (ERAB_PARTY_MAX + 1) + 1];
    struct erabi_writer w = erabi_writer(text, sizeof(text));
    erabi_write_bytes(&w, a, strlen(a) + 1);
    erabi_write_bytes(&w, b, strlen(b) + 1);
    erabi_write_u8(&w, (uint8_t)interface);
    union {
        uint8_t bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } hash;
    crypto_shorthash(hash.bytes, text, w.used, links->seed);
    return (size_t)(hash.number % BUCKETS);
}

static bool fits(const char *id)
{
    return strnlen(id, ERAB_PARTY_MAX + 1) <= ERAB_PARTY_MAX;
}

static bool is(const struct erabi_link *link, const char *a, enum erab_interface interface, const char *b)
{
    return link->interface == interface && strcmp(link->a, a) == 0 && strcmp(link->b, b) == 0;
}

static struct erabi_link *find(const struct erabi_links *links, size_t at, const char *a,
                               enum erab_interface interface, const char *b)
{
    struct erabi_link *link = links->buckets[at];
    while (link && !is(link, a, interface, b))
        link = link->next;
    return link;
}

struct erabi_link *erabi_links_find(const struct erabi_links *links, const char *x, enum erab_interface interface,
                                    const char *y)
{
    if (!fits(x) || !fits(y))
        return NULL;
    const char *a = strcmp(x, y) <= 0 ? x : y, *b = a == x ? y : x;
    if (links->last && is(links->last, a, interface, b))
        return links->last;
    return find(links, bucket(links, a, interface, b), a, interface, b);
}

static void forget(struct erabi_links *links, uint64_t now_ms)
{
    links->last = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct erabi_link **at = &links->buckets[i]; *at;) {
            struct erabi_link *link = *at;
            if (link->users || !erabi_availability_forgettable(&link->availability, now_ms)) {
                at = &link->next;
                continue;
            }
            *at = link->next;
            links->n--;
            free(link);
        }
    }
}

struct erabi_link *erabi_links_get(struct erabi_links *links, const char *x, enum erab_interface interface,
                                   const char *y, uint64_t now_ms)
{
    if (!fits(x) || !fits(y))
        return NULL;
    const char *a = strcmp(x, y) <= 0 ? x : y, *b = a == x ? y : x;
    if (links->last && is(links->last, a, interface, b))
        return links->last;
    size_t at = bucket(links, a, interface, b);
    struct erabi_link *link = find(links, at, a, interface, b);
    if (link)
        links->last = link;
    if (link || links->n >= links->most) /* full: the next tick makes room where it can */
        return link;
    link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    erabi_copy_text(link->a, sizeof(link->a), a);
    erabi_copy_text(link->b, sizeof(link->b), b);
    link->interface = interface;
    erabi_availability_init(&link->availability, now_ms);
    link->next = links->buckets[at];
    links->buckets[at] = link;
    links->n++;
    return link;
}

struct erabi_link *erabi_links_next(const struct erabi_links *links, const struct erabi_link *after)
{
    if (after && after->next)
        return after->next;
    size_t i = after ? bucket(links, after->a, after->interface, after->b) + 1 : 0;
    while (i < BUCKETS && !links->buckets[i])
        i++;
    return i < BUCKETS ? links->buckets[i] : NULL;
}

size_t erabi_links_open(const struct erabi_links *links)
{
    return links->n_open;
}

int erabi_link_compare(const struct erabi_link *x, const struct erabi_link *y)
{
    int r = x->interface < y->interface ? -1 : x->interface > y->interface;
    if (r == 0)
        r = strcmp(x->a, y->a);
    return r ? r : strcmp(x->b, y->b);
}

struct erabi_link *erabi_link_ref(struct erabi_link *link)
{
    if (link)
        link->users++;
    return link;
}

void erabi_link_unref(struct erabi_link *link)
{
    assert(!link || link->users);
    if (link)
        link->users--;
}

bool erabi_link_is_open(const struct erabi_link *link)
{
    return link && link->availability.state == ERABI_BREAKER_OPEN;
}

static enum erabi_breaker_change count(struct erabi_links *links, struct erabi_link *link, bool was_open,
                                       enum erabi_breaker_change change)
{
    bool open = erabi_link_is_open(link);
    if (open && !was_open) {
        links->n_open++;
        link->denied = 0;
    }
    if (!open && was_open) {
        links->n_open--;
        link->note[0] = 0;
    }
    return change;
}

enum erabi_breaker_change erabi_links_fact(struct erabi_links *links, struct erabi_link *link,
                                           enum erabi_breaker_fact fact, uint64_t now_ms)
{
    bool was = erabi_link_is_open(link);
    return count(links, link, was, erabi_availability_fact(&link->availability, &links->limits, fact, now_ms));
}

enum erabi_breaker_change erabi_links_trip(struct erabi_links *links, struct erabi_link *link, uint64_t now_ms)
{
    bool was = erabi_link_is_open(link);
    return count(links, link, was, erabi_availability_trip(&link->availability, now_ms));
}

enum erabi_breaker_change erabi_links_close(struct erabi_links *links, struct erabi_link *link, uint64_t now_ms)
{
    bool was = erabi_link_is_open(link);
    return count(links, link, was, erabi_availability_close(&link->availability, now_ms));
}

void erabi_links_tick(struct erabi_links *links, uint64_t now_ms,
                      void (*changed)(void *user, struct erabi_link *link, enum erabi_breaker_change change),
                      void *user)
{
    for (struct erabi_link *link = erabi_links_next(links, NULL); link; link = erabi_links_next(links, link)) {
        bool was = erabi_link_is_open(link);
        enum erabi_breaker_change change = count(
            links, link, was, erabi_availability_tick(&link->availability, &links->limits, now_ms));
        if (change)
            changed(user, link, change);
    }
    forget(links, now_ms);
}
