#include "loop/clock.h"

void erabi_clock_init(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms, uint64_t floor_ms)
{
    *clock = (struct erabi_clock){.wall_ms = system_ms > floor_ms ? system_ms : floor_ms, .boot_ms = boot_ms};
}

void erabi_clock_step(struct erabi_clock *clock, uint64_t system_ms, uint64_t boot_ms)
{
    uint64_t elapsed = boot_ms > clock->boot_ms ? boot_ms - clock->boot_ms : 0;
    uint64_t expected = clock->wall_ms + elapsed;
    clock->boot_ms = boot_ms;
    clock->jumped = system_ms > expected + ERABI_CLOCK_JUMP_MS;
    clock->wall_ms = clock->jumped || system_ms < expected ? expected : system_ms;
}
