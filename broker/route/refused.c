#include "route/refused.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

static struct erabi_refused *find(const struct erabi_refused_table *table, const uint8_t id[ERAB_ID_SIZE],
                                  const uint8_t hash[ERAB_HASH_SIZE])
{
    for (struct erabi_id_entry *e = erabi_id_table_find(&table->ids, id); e; e = e->next) {
        struct erabi_refused *r = (struct erabi_refused *)e; /* entry is the first member */
        if (memcmp(e->id, id, ERAB_ID_SIZE) == 0 && memcmp(r->hash, hash, ERAB_HASH_SIZE) == 0)
            return r;
    }
    return NULL;
}

void erabi_refused_add(struct erabi_refused_table *table, const uint8_t id[ERAB_ID_SIZE],
                       const uint8_t hash[ERAB_HASH_SIZE], enum erab_reason reason)
{
    if (!table->ring)
        table->ring = calloc(ERABI_REFUSED_MAX, sizeof(*table->ring));
    if (!table->ring || find(table, id, hash))
        return;
    struct erabi_refused *r = &table->ring[table->next];
    if (r->reason)
        erabi_id_table_remove(&table->ids, &r->entry);
    *r = (struct erabi_refused){.reason = reason};
    erabi_copy_bytes(r->entry.id, id, ERAB_ID_SIZE);
    erabi_copy_bytes(r->hash, hash, ERAB_HASH_SIZE);
    if (erabi_id_table_add(&table->ids, &r->entry) < 0)
        r->reason = ERAB_REASON_NONE;
    table->next = (table->next + 1) % ERABI_REFUSED_MAX;
}

enum erab_reason erabi_refused_find(const struct erabi_refused_table *table, const uint8_t id[ERAB_ID_SIZE],
                                    const uint8_t hash[ERAB_HASH_SIZE])
{
    const struct erabi_refused *r = table->ring ? find(table, id, hash) : NULL;
    return r ? r->reason : ERAB_REASON_NONE;
}

void erabi_refused_deinit(struct erabi_refused_table *table)
{
    erabi_id_table_deinit(&table->ids, NULL);
    free(table->ring);
    table->ring = NULL;
}
