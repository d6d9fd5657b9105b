#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cursor.h"

#define WINDOW_MS    10000u
#define LINES_MAX    300u /* in a window */
#define DRAIN_READS  16

void logs_init(struct logs *logs, int fd, const char *name)
{
    *logs = (struct logs){.fd = fd, .name = name};
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

void logs_tick(struct logs *logs, uint64_t now_ms)
{
    if (now_ms - logs->since_ms < WINDOW_MS)
        return;
    if (logs->dropped)
        fprintf(stderr, "%s| %u lines were too many and are not shown\n", logs->name, logs->dropped);
    logs->since_ms = now_ms;
    logs->lines = logs->dropped = 0;
}

void logs_line(struct logs *logs, const char *text)
{
    if (logs->lines < LINES_MAX) {
        logs->lines++;
        fprintf(stderr, "erab-runner: %s: %s\n", logs->name, text);
    } else {
        logs->dropped++;
    }
}

static void end_line(struct logs *logs)
{
    if (logs->lines < LINES_MAX) {
        logs->lines++;
        erabi_plain_text(logs->line, logs->used);
        fprintf(stderr, "%s| %.*s\n", logs->name, (int)logs->used, logs->line);
    } else {
        logs->dropped++;
    }
    logs->used = 0;
}

static void take(struct logs *logs, char c)
{
    if (c == '\n') {
        if (!logs->cut)
            end_line(logs);
        logs->cut = false;
    } else if (!logs->cut) {
        logs->line[logs->used++] = c;
        if (logs->used == sizeof logs->line) {
            end_line(logs);
            logs->cut = true;
        }
    }
}

int logs_read(struct logs *logs, uint64_t now_ms)
{
    char bytes[8192];
    ssize_t n = read(logs->fd, bytes, sizeof bytes);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    logs_tick(logs, now_ms);
    for (ssize_t i = 0; i < n; i++)
        take(logs, bytes[i]);
    return n == 0 ? -EPIPE : 0;
}

void logs_drain(struct logs *logs, uint64_t now_ms)
{
    for (int i = 0; i < DRAIN_READS && logs_read(logs, now_ms) == 0; i++)
        ;
    if (logs->used)
        end_line(logs);
}
