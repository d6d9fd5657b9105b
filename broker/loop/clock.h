/* Time as the broker believes it: a pure function of what the clocks say and of what operators decided.
 * Wall clock = max(system, last value + CLOCK_BOOTTIME elapsed since): it never goes back by itself. A forward jump of
 * more than 60 s against CLOCK_BOOTTIME is not taken over: the wall clock goes on from BOOTTIME and `jumped` stays set
 * (commands stop) until an operator accepts or rejects it, or the system clock is back within the 60 s. */
#ifndef ERABI_LOOP_CLOCK_H
#define ERABI_LOOP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define ERABI_CLOCK_JUMP_MS   60000u
#define ERABI_CLOCK_BEHIND_MS 1000u /* from then on it is told that the system's clock is behind */

struct erabi_clock {
    uint64_t wall_ms;
    uint64_t boot_ms;
    uint64_t system_ms;   /* as it was read last */
    uint64_t rejected_ms; /* so far ahead of ours the system's clock was when that was rejected; 0: it was not */
    bool jumped;
    bool held; /* a decision that sets it back is on its way to the disk: commands stop, too */
};

void erabi_clock_init(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms);
/* What was persisted before a restart. In the same boot of the machine its CLOCK_BOOTTIME still counts, and a jump
 * meanwhile is found; after another boot the old value is the least that it may be. */
void erabi_clock_restore(struct erabi_clock *clock, uint64_t wall_ms, uint64_t boot_ms, uint64_t rejected_ms,
                         bool same_boot);
void erabi_clock_step(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms);
/* An operator's decision: the system's clock is right, also when ours goes back by that; or it is wrong, and ours goes
 * on as long as it is wrong by so much. */
void erabi_clock_accept(struct erabi_clock *clock);
void erabi_clock_reject(struct erabi_clock *clock);
/* "right", "ahead" (jumped), "rejected", or "behind" (ours goes on by itself). */
const char *erabi_clock_state(const struct erabi_clock *clock);

#endif
