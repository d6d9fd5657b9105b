/* The fake host's store: as a real one's, but in memory. */
#ifndef ERABI_FAKE_STORE_H
#define ERABI_FAKE_STORE_H

#include <stddef.h>
#include <sys/queue.h>

struct fake_kept;

struct fake_store {
    TAILQ_HEAD(, fake_kept) kept;
    unsigned n;
};

void fake_store_init(struct fake_store *store);
void fake_store_deinit(struct fake_store *store);
/* As store_put and store_get of <erab/host.h>. */
int fake_store_put(struct fake_store *store, const char *key, const void *value, size_t size);
int fake_store_get(struct fake_store *store, const char *key, void *value, size_t *size);

#endif
