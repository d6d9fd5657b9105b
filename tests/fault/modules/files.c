/* Opens what belongs to the broker, and what belongs to nobody. */
#include <fcntl.h>
#include <stdlib.h>

#include "shell.h"

static void try_open(struct bad *b, const char *what, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    say(b, "%s: %s", what, fd < 0 ? strerror(errno) : "worked");
    if (fd >= 0)
        close(fd);
}

static void began(struct bad *b)
{
    char state[256] = "", path[512];
    /* Its own folder is among its descriptors: the way to the broker's leads from there. */
    for (int fd = 3; fd < 64 && !strstr(state, "adapter-bad"); fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, state, sizeof state - 1);
        state[n < 0 ? 0 : n] = '\0';
    }
    try_open(b, "/etc/passwd", "/etc/passwd", O_RDONLY);
    snprintf(path, sizeof path, "%s/../../keys", state);
    try_open(b, "keys", path, O_RDONLY | O_DIRECTORY);
    snprintf(path, sizeof path, "%s/../journal.db", state);
    try_open(b, "journal", path, O_RDWR);
    snprintf(path, sizeof path, "%s/../new", state);
    try_open(b, "write", path, O_WRONLY | O_CREAT);
    try_open(b, "link", "/proc/self/root/etc/passwd", O_RDONLY);
    int r = b->host->store_put(b->self, "own", "x", 1);
    say(b, "its own: %s", r ? strerror(-r) : "worked");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
