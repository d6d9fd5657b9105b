#include "route/parcel.h"

#include <assert.h>
#include <stdlib.h>

struct erabi_parcel *erabi_parcel_new(const struct erab_header *header, const struct erabi_envelope *envelope,
                                      const uint8_t hash[ERAB_HASH_SIZE])
{
    return erabi_parcel_from(NULL, header, envelope, hash);
}

struct erabi_parcel *erabi_parcel_from(struct erabi_pool *pool, const struct erab_header *header,
                                       const struct erabi_envelope *envelope, const uint8_t hash[ERAB_HASH_SIZE])
{
    size_t size = sizeof(struct erabi_parcel) + envelope->header.size + envelope->body.size + envelope->signature.size;
    if (size > ERABI_PARCEL_BLOCK)
        pool = NULL;
    struct erabi_parcel *parcel = pool ? erabi_pool_take(pool, ERABI_PARCEL_BLOCK) : malloc(size);
    if (!parcel)
        return NULL;
    parcel->refs = 1;
    parcel->pool = pool;
    parcel->header = *header;
    erabi_copy_bytes(parcel->hash, hash, ERAB_HASH_SIZE);
    const struct erabi_slice *from[] = {&envelope->header, &envelope->body, &envelope->signature};
    struct erabi_slice *to[] = {&parcel->envelope.header, &parcel->envelope.body, &parcel->envelope.signature};
    uint8_t *at = parcel->bytes;
    for (size_t i = 0; i < 3; i++) {
        erabi_copy_bytes(at, from[i]->data, from[i]->size);
        *to[i] = erabi_slice(at, from[i]->size);
        at += from[i]->size;
    }
    return parcel;
}

struct erabi_parcel *erabi_parcel_ref(struct erabi_parcel *parcel)
{
    parcel->refs++;
    return parcel;
}

void erabi_parcel_unref(struct erabi_parcel *parcel)
{
    if (!parcel)
        return;
    assert(parcel->refs > 0);
    if (--parcel->refs == 0)
        erabi_pool_give(parcel->pool, parcel);
}

size_t erabi_parcel_size(const struct erabi_parcel *parcel)
{
    return parcel->envelope.header.size + parcel->envelope.body.size + parcel->envelope.signature.size +
           ERABI_ENVELOPE_OVERHEAD;
}
