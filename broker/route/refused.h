/* The last messages that were refused for a reason that may pass without the sender being told so: their copies that
 * are still on the way get the same answer. A sender without a receipt sends again, and must not be told that a message
 * was refused when a copy of it was taken. The oldest goes when it is full. Loop thread. */
#ifndef ERABI_ROUTE_REFUSED_H
#define ERABI_ROUTE_REFUSED_H

#include <erab/message.h>

#include "base/id_table.h"

#define ERABI_REFUSED_MAX 16384u

struct erabi_refused {
    struct erabi_id_entry entry; /* first */
    uint8_t hash[ERAB_HASH_SIZE];
    enum erab_reason reason; /* NONE: the place is free */
};

struct erabi_refused_table {
    struct erabi_id_table ids;
    struct erabi_refused *ring; /* NULL until the first */
    size_t next;
};

/* Without memory nothing is remembered. */
void erabi_refused_add(struct erabi_refused_table *table, const uint8_t id[ERAB_ID_SIZE],
                       const uint8_t hash[ERAB_HASH_SIZE], enum erab_reason reason);
/* Why these very bytes were refused; NONE: they were not, or it is long ago. */
enum erab_reason erabi_refused_find(const struct erabi_refused_table *table, const uint8_t id[ERAB_ID_SIZE],
                                    const uint8_t hash[ERAB_HASH_SIZE]);
void erabi_refused_deinit(struct erabi_refused_table *table);

#endif
