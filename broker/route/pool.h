/* Blocks of one size that are used again, so that on the way of telemetry nothing is allocated for each message. A few
 * are kept, not what a flood once took. With an address sanitizer none is, so that it sees every use after the end.
 * Loop thread. */
#ifndef ERABI_ROUTE_POOL_H
#define ERABI_ROUTE_POOL_H

#include <stddef.h>

#define ERABI_POOL_SPARE 512u

struct erabi_pool {
    void *spare; /* each points to the next one */
    unsigned n;
};

/* Not zeroed; NULL: out of memory. `size` is the same for all of a pool. With pool NULL it is malloc. */
void *erabi_pool_take(struct erabi_pool *pool, size_t size);
/* NULL is allowed. With pool NULL it is free. */
void erabi_pool_give(struct erabi_pool *pool, void *block);
/* Frees what is spare; all else must have been given back. */
void erabi_pool_deinit(struct erabi_pool *pool);

#endif
