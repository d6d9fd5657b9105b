/* Time as the broker believes it: a pure function of what the clocks say.
 * Wall clock = max(system, last value + CLOCK_BOOTTIME elapsed since): it never goes back. A forward jump of
 * more than 60 s against CLOCK_BOOTTIME is not taken over: the wall clock goes on from BOOTTIME and `jumped`
 * stays set (commands stop) until the system clock is back within the 60 s. */
#ifndef ERABI_LOOP_CLOCK_H
#define ERABI_LOOP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define ERABI_CLOCK_JUMP_MS 60000u

struct erabi_clock {
    uint64_t wall_ms;
    uint64_t boot_ms;
    bool jumped;
};

/* `floor_ms` is the last wall clock persisted, 0 when there is none. */
void erabi_clock_init(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms, uint64_t floor_ms);
void erabi_clock_step(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms);

#endif
