#include "testkit/fake_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/write_all.h"

#define KEYS_MAX  256u
#define VALUE_MAX 65536u
#define KEY_MAX   64u

struct fake_kept {
    TAILQ_ENTRY(fake_kept) entry;
    char key[KEY_MAX + 1];
    size_t size;
    uint8_t value[];
};

void fake_store_init(struct fake_store *store)
{
    TAILQ_INIT(&store->kept);
    store->n = 0;
    store->folder = NULL;
}

void fake_store_use(struct fake_store *store, const char *folder)
{
    store->folder = folder;
}

void fake_store_deinit(struct fake_store *store)
{
    for (struct fake_kept *k; (k = TAILQ_FIRST(&store->kept));) {
        TAILQ_REMOVE(&store->kept, k, entry);
        free(k);
    }
}

static struct fake_kept *find(struct fake_store *store, const char *key)
{
    struct fake_kept *k = TAILQ_FIRST(&store->kept);
    while (k && strcmp(k->key, key) != 0)
        k = TAILQ_NEXT(k, entry);
    return k;
}

/* Whole or not at all, as a real host does it. */
static int put_file(const char *folder, const char *key, const void *value, size_t size)
{
    char path[PATH_MAX], draft[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, key) >= (int)sizeof path ||
        snprintf(draft, sizeof draft, "%s/.%s", folder, key) >= (int)sizeof draft)
        return -ENAMETOOLONG;
    _close_ int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = erabi_write_all(fd, value, size);
    return r < 0 ? r : rename(draft, path) < 0 ? -errno : 0;
}

static int get_file(const char *folder, const char *key, void *value, size_t *size)
{
    char path[PATH_MAX];
    struct stat st;
    if (strchr(key, '/') || snprintf(path, sizeof path, "%s/%s", folder, key) >= (int)sizeof path)
        return -EINVAL;
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    size_t room = *size;
    *size = (size_t)st.st_size;
    if (room < *size)
        return -ENOSPC;
    return read(fd, value, *size) == (ssize_t)*size ? (int)*size : -EIO;
}

int fake_store_put(struct fake_store *store, const char *key, const void *value, size_t size)
{
    size_t n = key ? strnlen(key, KEY_MAX + 1) : 0;
    if (!n || n > KEY_MAX || *key == '.' || (size && !value))
        return -EINVAL;
    if (strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
        return -EINVAL;
    if (store->folder)
        return size > VALUE_MAX ? -ENOSPC : put_file(store->folder, key, value, size);
    struct fake_kept *old = find(store, key);
    if (size > VALUE_MAX || (!old && store->n == KEYS_MAX))
        return -ENOSPC;
    struct fake_kept *k = malloc(sizeof *k + size);
    if (!k)
        return -ENOMEM;
    erabi_copy_text(k->key, sizeof k->key, key);
    k->size = size;
    if (size)
        erabi_copy_bytes(k->value, value, size);
    if (old) {
        TAILQ_REMOVE(&store->kept, old, entry);
        free(old);
    } else {
        store->n++;
    }
    TAILQ_INSERT_TAIL(&store->kept, k, entry);
    return 0;
}

int fake_store_get(struct fake_store *store, const char *key, void *value, size_t *size)
{
    if (store->folder && key)
        return get_file(store->folder, key, value, size);
    const struct fake_kept *k = key ? find(store, key) : NULL;
    if (!k)
        return -ENOENT;
    size_t room = *size;
    *size = k->size;
    if (room < k->size)
        return -ENOSPC;
    if (k->size)
        erabi_copy_bytes(value, k->value, k->size);
    return (int)k->size;
}
