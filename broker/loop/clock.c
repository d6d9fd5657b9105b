#include "loop/clock.h"

void erabi_clock_init(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms)
{
    *clock = (struct erabi_clock){.wall_ms = system_ms, .boot_ms = boot_ms, .system_ms = system_ms};
}

void erabi_clock_restore(struct erabi_clock *clock, uint64_t wall_ms, uint64_t boot_ms, uint64_t rejected_ms, bool same_boot)
{
    uint64_t now_boot = clock->boot_ms;
    if (same_boot && boot_ms <= now_boot) {
        clock->wall_ms = wall_ms;
        clock->boot_ms = boot_ms;
        clock->rejected_ms = rejected_ms;
        erabi_clock_step(clock, clock->system_ms, now_boot);
    } else if (wall_ms > clock->wall_ms) {
        clock->wall_ms = wall_ms;
    }
}

/* Still as wrong as it was when it was rejected? */
static bool rejected(const struct erabi_clock *clock, uint64_t ahead_ms)
{
    return clock->rejected_ms && ahead_ms + ERABI_CLOCK_JUMP_MS >= clock->rejected_ms &&
           ahead_ms <= clock->rejected_ms + ERABI_CLOCK_JUMP_MS;
}

void erabi_clock_step(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms)
{
    uint64_t elapsed = boot_ms > clock->boot_ms ? boot_ms - clock->boot_ms : 0;
    uint64_t expected = clock->wall_ms + elapsed;
    uint64_t ahead = system_ms > expected ? system_ms - expected : 0;
    clock->boot_ms = boot_ms;
    clock->system_ms = system_ms;
    if (ahead <= ERABI_CLOCK_JUMP_MS)
        clock->rejected_ms = 0;
    clock->jumped = ahead > ERABI_CLOCK_JUMP_MS && !rejected(clock, ahead);
    clock->wall_ms = ahead > ERABI_CLOCK_JUMP_MS || system_ms < expected ? expected : system_ms;
}

void erabi_clock_accept(struct erabi_clock *clock)
{
    clock->wall_ms = clock->system_ms;
    clock->rejected_ms = 0;
    clock->jumped = false;
}

void erabi_clock_reject(struct erabi_clock *clock)
{
    clock->rejected_ms = clock->system_ms > clock->wall_ms ? clock->system_ms - clock->wall_ms : 0;
    clock->jumped = false;
}

const char *erabi_clock_state(const struct erabi_clock *clock)
{
    return clock->jumped                                                ? "ahead"
           : clock->rejected_ms                                         ? "rejected"
           : clock->system_ms + ERABI_CLOCK_BEHIND_MS < clock->wall_ms ? "behind"
                                                                        : "right";
}
