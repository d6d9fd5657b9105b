/* One accepted message in memory, shared by the links that it goes to. Reference counted, loop thread. */
#ifndef ERABI_ROUTE_PARCEL_H
#define ERABI_ROUTE_PARCEL_H

#include "route/pool.h"
#include "wire/wire.h"

struct erabi_parcel {
    unsigned refs;
    struct erabi_pool *pool; /* that it goes back to; NULL: it is freed */
    struct erab_header header;
    struct erabi_envelope envelope; /* views into `bytes` */
    uint8_t hash[ERAB_HASH_SIZE];
    uint8_t bytes[];
};

/* Copies the envelope; one reference, the caller's. NULL: out of memory. */
struct erabi_parcel *erabi_parcel_new(const struct erab_header *header, const struct erabi_envelope *envelope,
                                      const uint8_t hash[ERAB_HASH_SIZE]);
/* The same from a pool, whose blocks have ERABI_PARCEL_BLOCK bytes; one that is larger is allocated. */
#define ERABI_PARCEL_BLOCK 1024u
struct erabi_parcel *erabi_parcel_from(struct erabi_pool *pool, const struct erab_header *header,
                                       const struct erabi_envelope *envelope, const uint8_t hash[ERAB_HASH_SIZE]);
struct erabi_parcel *erabi_parcel_ref(struct erabi_parcel *parcel);
void erabi_parcel_unref(struct erabi_parcel *parcel);
/* What it takes of a packet. */
size_t erabi_parcel_size(const struct erabi_parcel *parcel);

#endif
