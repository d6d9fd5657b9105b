#include "base/id_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define BUCKETS_MIN 256u /* a power of two */

static size_t bucket_of(const struct erabi_id_table *table, const uint8_t id[16])
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t h;
    crypto_shorthash(hash, id, 16, table->key);
    memcpy(&h, hash, sizeof(h));
    return (size_t)h & (table->n_buckets - 1);
}

struct erabi_id_entry *erabi_id_table_find(const struct erabi_id_table *table, const uint8_t id[16])
{
    if (!table->n_buckets)
        return NULL;
    struct erabi_id_entry *e = table->buckets[bucket_of(table, id)];
    while (e && memcmp(e->id, id, 16) != 0)
        e = e->next;
    return e;
}

static int grow(struct erabi_id_table *table, size_t n_buckets)
{
    struct erabi_id_table bigger = *table;
    bigger.n_buckets = n_buckets;
    bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
    if (!bigger.buckets)
        return -ENOMEM;
    if (!table->n_buckets)
        randombytes_buf(bigger.key, sizeof(bigger.key));
    for (size_t i = 0; i < table->n_buckets; i++) {
        for (struct erabi_id_entry *e = table->buckets[i]; e;) {
            struct erabi_id_entry *next = e->next;
            struct erabi_id_entry **at = &bigger.buckets[bucket_of(&bigger, e->id)];
            e->next = *at;
            *at = e;
            e = next;
        }
    }
    free(table->buckets);
    *table = bigger;
    return 0;
}

int erabi_id_table_reserve(struct erabi_id_table *table, size_t n)
{
    size_t wanted = BUCKETS_MIN;
    while (wanted < n && wanted <= SIZE_MAX / 2 / sizeof(*table->buckets))
        wanted *= 2;
    return wanted > table->n_buckets ? grow(table, wanted) : 0;
}

int erabi_id_table_add(struct erabi_id_table *table, struct erabi_id_entry *entry)
{
    if (table->n >= table->n_buckets && grow(table, table->n_buckets ? table->n_buckets * 2 : BUCKETS_MIN) < 0)
        return -ENOMEM;
    struct erabi_id_entry **at = &table->buckets[bucket_of(table, entry->id)];
    entry->next = *at;
    *at = entry;
    table->n++;
    return 0;
}

void erabi_id_table_remove(struct erabi_id_table *table, struct erabi_id_entry *entry)
{
    struct erabi_id_entry **at = &table->buckets[bucket_of(table, entry->id)];
    while (*at && *at != entry)
        at = &(*at)->next;
    if (*at) {
        *at = entry->next;
        table->n--;
    }
}

void erabi_id_table_sweep(struct erabi_id_table *table, size_t *cursor, size_t turns,
                          int (*stale)(struct erabi_id_entry *entry, void *user), void *user)
{
    size_t share = table->n_buckets / turns + 1;
    for (size_t i = 0; i < share && table->n_buckets; i++) {
        *cursor = (*cursor + 1) & (table->n_buckets - 1);
        struct erabi_id_entry **at = &table->buckets[*cursor];
        while (*at) {
            struct erabi_id_entry *e = *at, *next = e->next;
            if (stale(e, user)) {
                *at = next;
                table->n--;
            } else {
                at = &e->next;
            }
        }
    }
}

void erabi_id_table_deinit(struct erabi_id_table *table, void (*each)(struct erabi_id_entry *entry))
{
    for (size_t i = 0; i < table->n_buckets; i++) {
        for (struct erabi_id_entry *e = table->buckets[i]; e;) {
            struct erabi_id_entry *next = e->next;
            if (each)
                each(e);
            e = next;
        }
    }
    free(table->buckets);
    *table = (struct erabi_id_table){0};
}
