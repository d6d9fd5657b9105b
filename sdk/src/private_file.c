#include "private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/write_all.h"

int erabi_fail(char *error, size_t size, int code, const char *format, ...)
{
    if (error && size) {
        va_list args;
        va_start(args, format);
        vsnprintf(error, size, format, args);
        va_end(args);
    }
    return code;
}

ssize_t erabi_private_read_fd(int fd, const char *path, const char *what, char *out, size_t size, char *error,
                              size_t error_size)
{
    size_t used = 0;
    int r = 0;
    char more;
    while (r == 0) {
        ssize_t n = used < size ? read(fd, out + used, size - used) : read(fd, &more, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = erabi_fail(error, error_size, -errno, "%s: cannot be read: %s", path, strerror(errno));
        else if (n > 0 && used == size)
            r = erabi_fail(error, error_size, -EFBIG, "%s: larger than %zu bytes; this is no %s", path, size, what);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    if (r < 0)
        sodium_memzero(out, size);
    return r < 0 ? r : (ssize_t)used;
}

static int check(int fd, const char *path, const char *what, char *error, size_t error_size)
{
    struct stat st;
    if (fstat(fd, &st))
        return erabi_fail(error, error_size, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return erabi_fail(error, error_size, -EINVAL, "%s: is not a regular file; name the %s itself", path, what);
    if (st.st_uid != geteuid())
        return erabi_fail(error, error_size, -EPERM, "%s: belongs to user %lu, this process runs as %lu; chown %lu it",
                          path, (unsigned long)st.st_uid, (unsigned long)geteuid(), (unsigned long)geteuid());
    if (st.st_mode & 07177)
        return erabi_fail(error, error_size, -EPERM, "%s: has mode %04o, a %s must be 0600 or less; chmod 600 it", path,
                          (unsigned)(st.st_mode & 07777), what);
    return 0;
}

ssize_t erabi_private_read(const char *path, const char *what, const char *make, char *out, size_t size, char *error,
                           size_t error_size)
{
    /* O_NONBLOCK: a FIFO put in the file's place must not hold the process. */
    _close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int e = errno;
        if (e == ELOOP)
            return erabi_fail(error, error_size, -e, "%s: is a symbolic link; name the file itself", path);
        if (e == ENOENT)
            return erabi_fail(error, error_size, -e, "%s: there is no such %s; %s", path, what, make);
        return erabi_fail(error, error_size, -e, "%s: cannot be opened: %s", path, strerror(e));
    }
    int r = check(fd, path, what, error, error_size);
    return r < 0 ? r : erabi_private_read_fd(fd, path, what, out, size, error, error_size);
}

/* The directory too, or the new name may be gone after a power cut. */
int erabi_sync_folder(const char *path)
{
    char dir[PATH_MAX];
    if (!erabi_copy_text(dir, sizeof dir, path))
        return -ENAMETOOLONG;
    char *slash = strrchr(dir, '/');
    if (!slash)
        erabi_copy_text(dir, sizeof dir, ".");
    else
        slash[slash == dir ? 1 : 0] = '\0';
    _close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) ? -errno : 0;
}

static int write_new(const char *path, const uint8_t *bytes, size_t size)
{
    char new[PATH_MAX];
    if (snprintf(new, sizeof(new), "%s.XXXXXX", path) >= (int)sizeof(new))
        return -ENAMETOOLONG;
    _close_ int fd = mkostemp(new, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, 0600) ? -errno : erabi_write_all(fd, bytes, size);
    if (!r && (fsync(fd) || link(new, path)))
        r = -errno;
    unlink(new);
    return r ? r : erabi_sync_folder(path);
}

int erabi_private_write(const char *path, const uint8_t *bytes, size_t size, char *error, size_t error_size)
{
    int r = write_new(path, bytes, size);
    if (r == -EEXIST)
        return erabi_fail(error, error_size, r, "%s: is there already and is never overwritten; choose another name",
                          path);
    return r ? erabi_fail(error, error_size, r, "%s: cannot be written: %s", path, strerror(-r)) : 0;
}
