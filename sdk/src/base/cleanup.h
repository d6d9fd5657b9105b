/* Scope cleanup for locals: `_cleanup_(foo_freep) struct foo *x = NULL;`.
 * Ownership leaves a scope with take(): the local becomes NULL and nothing is freed. */
#ifndef ERABI_CLEANUP_H
#define ERABI_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void erabi_freep(void *p)
{
    free(*(void **)p);
}

static inline void erabi_closep(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void erabi_fclosep(FILE **f)
{
    if (*f)
        fclose(*f);
}

#define _free_   _cleanup_(erabi_freep)
#define _close_  _cleanup_(erabi_closep)
#define _fclose_ _cleanup_(erabi_fclosep)

#define erabi_take(p)                                                                                        \
    ({                                                                                                       \
        __typeof__(p) _taken = (p);                                                                          \
        (p) = NULL;                                                                                          \
        _taken;                                                                                              \
    })

#define erabi_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
