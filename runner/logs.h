/* What the sandboxed half prints, passed on to our standard error: whole lines, nothing that a terminal would
 * obey, the instance's name before each, and not more than a reader can use. */
#ifndef ERABI_RUNNER_LOGS_H
#define ERABI_RUNNER_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logs {
    int fd;
    const char *name;
    size_t used;
    bool cut; /* the rest of a line that is too long */
    unsigned lines, dropped;
    uint64_t since_ms;
    char line[1000];
};

void logs_init(struct logs *logs, int fd, const char *name);
/* Some of what waits. 0, or a negative errno when the other end is closed. */
int logs_read(struct logs *logs, uint64_t now_ms);
/* The last of it, after the process is gone. */
void logs_drain(struct logs *logs, uint64_t now_ms);
/* A line of ours that the sandboxed half can bring about: counted with its own. */
void logs_line(struct logs *logs, const char *text);
void logs_tick(struct logs *logs, uint64_t now_ms);

#endif
