#include "route/pool.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define SPARE 0u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPARE 0u
#endif
#endif
#ifndef SPARE
#define SPARE ERABI_POOL_SPARE
#endif

struct spare {
    struct spare *next;
};

void *erabi_pool_take(struct erabi_pool *pool, size_t size)
{
    struct spare *block = pool ? pool->spare : NULL;
    if (!block)
        return malloc(size > sizeof(*block) ? size : sizeof(*block));
    pool->spare = block->next;
    pool->n--;
    return block;
}

void erabi_pool_give(struct erabi_pool *pool, void *block)
{
    if (!block || !pool || pool->n + 1 > SPARE) {
        free(block);
        return;
    }
    struct spare *spare = block;
    spare->next = pool->spare;
    pool->spare = spare;
    pool->n++;
}

void erabi_pool_deinit(struct erabi_pool *pool)
{
    while (pool->spare) {
        struct spare *block = pool->spare;
        pool->spare = block->next;
        free(block);
    }
    pool->n = 0;
}
