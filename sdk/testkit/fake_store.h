/* The fake host's store: as a real one's, but in memory, or in a folder that is given. */
#ifndef ERABI_FAKE_STORE_H
#define ERABI_FAKE_STORE_H

#include <stddef.h>
#include <sys/queue.h>

struct fake_kept;

struct fake_store {
    TAILQ_HEAD(, fake_kept) kept;
    unsigned n;
    const char *folder; /* one file a key; NULL: in memory */
};

void fake_store_init(struct fake_store *store);
void fake_store_deinit(struct fake_store *store);
/* The folder is there already; NULL: in memory. The text stays the caller's. */
void fake_store_use(struct fake_store *store, const char *folder);
/* As store_put and store_get of <erab/host.h>. */
int fake_store_put(struct fake_store *store, const char *key, const void *value, size_t size);
int fake_store_get(struct fake_store *store, const char *key, void *value, size_t *size);

#endif
