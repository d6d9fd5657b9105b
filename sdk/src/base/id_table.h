/* A hash table of structs that are found by a 16-byte message id. The entry is embedded; the table owns
 * nothing but its buckets. Keyed hash, for peers choose their ids. Grows by doubling; one thread. */
#ifndef ERABI_ID_TABLE_H
#define ERABI_ID_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct erabi_id_entry {
    struct erabi_id_entry *next;
    uint8_t id[16];
};

struct erabi_id_table {
    struct erabi_id_entry **buckets;
    size_t n_buckets; /* a power of two, 0 before the first add */
    size_t n;
    uint8_t key[16];
};

struct erabi_id_entry *erabi_id_table_find(const struct erabi_id_table *table, const uint8_t id[16]);
/* Room for so many entries, made at once: a growing table is gone over again each time it doubles. 0 or -ENOMEM (then it
 * grows as it would have). */
int erabi_id_table_reserve(struct erabi_id_table *table, size_t n);
/* `entry->id` is set by the caller and not in the table yet. 0 or -ENOMEM. */
int erabi_id_table_add(struct erabi_id_table *table, struct erabi_id_entry *entry);
void erabi_id_table_remove(struct erabi_id_table *table, struct erabi_id_entry *entry);
/* Calls `stale` for the entries of some buckets, from *cursor on, and removes those for which it returns
 * true (it may free them). A full round takes `turns` calls. */
void erabi_id_table_sweep(struct erabi_id_table *table, size_t *cursor, size_t turns,
                          int (*stale)(struct erabi_id_entry *entry, void *user), void *user);
/* Releases the buckets; `each` (may be NULL) frees the entries. */
void erabi_id_table_deinit(struct erabi_id_table *table, void (*each)(struct erabi_id_entry *entry));

#endif
