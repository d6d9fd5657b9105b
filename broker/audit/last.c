#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "audit/last.h"
#include "base/cleanup.h"
#include "base/cursor.h"

#define BACK_MOST (64u << 20)

static int search(const char *map, size_t size, const char *what, char *line, size_t room)
{
    char wanted[64];
    size_t stop = size > BACK_MOST ? size - BACK_MOST : 0;
    snprintf(wanted, sizeof(wanted), "\"what\":\"%s\"", what);
    for (size_t end = size; end > stop;) {
        const char *before = memrchr(map, '\n', end - 1);
        const char *start = before ? before + 1 : map;
        size_t n = (size_t)(map + end - start);
        if (memmem(start, n, wanted, strlen(wanted))) {
            if (n >= room)
                return -EMSGSIZE;
            erabi_copy_bytes(line, start, n);
            line[n] = '\0';
            return 0;
        }
        end = (size_t)(start - map);
    }
    return 1;
}

int erabi_audit_last(const char *path, const char *what, char *line, size_t size)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 1 : -errno;
    if (st.st_size == 0)
        return 1;
    char *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    int r = search(map, (size_t)st.st_size, what, line, size);
    munmap(map, (size_t)st.st_size);
    return r;
}
