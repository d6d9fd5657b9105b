/* Preloaded: counts the real system calls that change a file whose path has ERAB_FAULT_PATH in it, and fails, shortens or
 * kills at the one that the control file says. The control file is mapped, so that a test may change it meanwhile. */
#undef _FILE_OFFSET_BITS /* both names of each call are wanted */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC visibility push(default)

enum what { PASS, FAIL, SHORT, KILL_BEFORE, KILL_TORN };

struct control {
    _Atomic uint64_t calls; /* so far */
    _Atomic uint64_t at;    /* the call that is hit; 0: none */
    _Atomic uint64_t until; /* the last one that is hit */
    _Atomic uint64_t what, error;
    _Atomic uint64_t hits;
};

static struct control *control;
static const char *wanted;

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("ERAB_FAULT_CONTROL");
    wanted = getenv("ERAB_FAULT_PATH");
    int fd = file && wanted ? open(file, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    control = map == MAP_FAILED ? NULL : map;
}

static int counts(int fd)
{
    char link[64], path[4096];
    int before = errno;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = control ? readlink(link, path, sizeof(path) - 1) : -1;
    errno = before;
    path[n < 0 ? 0 : n] = '\0';
    return n > 0 && strstr(path, wanted) != NULL;
}

/* What happens to this call. */
static enum what judge(void)
{
    uint64_t n = atomic_fetch_add(&control->calls, 1) + 1, at = atomic_load(&control->at);
    if (!at || n < at || n > atomic_load(&control->until))
        return PASS;
    atomic_fetch_add(&control->hits, 1);
    enum what what = (enum what)atomic_load(&control->what);
    if (what == KILL_BEFORE)
        kill(getpid(), SIGKILL);
    errno = (int)atomic_load(&control->error);
    return what;
}

static ssize_t written(int fd, const void *data, size_t size, off_t at)
{
    return at < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, at);
}

static ssize_t hit_write(int fd, const void *data, size_t size, off_t at)
{
    enum what what = counts(fd) ? judge() : PASS;
    if (what == FAIL)
        return -1;
    if (what == SHORT || what == KILL_TORN)
        size /= 2;
    ssize_t n = size ? written(fd, data, size, at) : 0;
    if (what == KILL_TORN)
        kill(getpid(), SIGKILL);
    return n;
}

ssize_t write(int fd, const void *data, size_t size);
ssize_t write(int fd, const void *data, size_t size)
{
    return hit_write(fd, data, size, -1);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return hit_write(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return hit_write(fd, data, size, at);
}

/* Of a call that is whole or not at all, half means: not at all. */
static int hit(int fd)
{
    enum what what = counts(fd) ? judge() : PASS;
    if (what == KILL_TORN)
        kill(getpid(), SIGKILL);
    return what == PASS ? 0 : -1;
}

int fsync(int fd)
{
    return hit(fd) < 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return hit(fd) < 0 ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    return hit(fd) < 0 ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return hit(fd) < 0 ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}
