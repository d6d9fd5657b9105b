/* The clocks. The broker reads them once a loop turn (loop/loop.h) and passes the values on. */
#ifndef ERABI_CLOCK_H
#define ERABI_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t erabi_clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

#endif
