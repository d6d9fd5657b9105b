/* A file a key in the instance's state directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/write_all.h"
#include "runner.h"

#define KEYS_MAX  256u
#define VALUE_MAX 65536u
#define KEY_MAX   64u
#define TEMPORARY ".new"

static bool key_valid(const char *key)
{
    size_t n = strnlen(key, KEY_MAX + 1);
    return n && n <= KEY_MAX && *key != '.' &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static bool room(int dir, const char *key)
{
    if (faccessat(dir, key, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        erabi_closep(&fd);
        return false;
    }
    unsigned n = 0;
    for (const struct dirent *e; (e = readdir(list));)
        n += e->d_name[0] != '.';
    closedir(list);
    return n < KEYS_MAX;
}

static int write_new(int dir, const void *value, size_t size)
{
    _close_ int fd = openat(dir, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = erabi_write_all(fd, value, size);
    return r == 0 && fsync(fd) ? -errno : r;
}

int runner_store_put(erab_self *self, const char *key, const void *value, size_t size)
{
    if (!key || !key_valid(key) || (size && !value))
        return -EINVAL;
    if (size > VALUE_MAX || !room(self->store, key))
        return -ENOSPC;
    int r = write_new(self->store, value, size);
    if (!r && renameat(self->store, TEMPORARY, self->store, key))
        r = -errno;
    if (!r && fsync(self->store))
        r = -errno;
    if (r)
        unlinkat(self->store, TEMPORARY, 0);
    return r;
}

int runner_store_get(erab_self *self, const char *key, void *value, size_t *size)
{
    if (!key || !key_valid(key))
        return -EINVAL;
    _close_ int fd = openat(self->store, key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > VALUE_MAX)
        return -EBADMSG;
    size_t have = *size, want = (size_t)st.st_size, used = 0;
    *size = want;
    if (have < want)
        return -ENOSPC;
    while (used < want) {
        ssize_t n = read(fd, (char *)value + used, want - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        used += (size_t)n;
    }
    return (int)used;
}
