/* Closes what is not its own, and writes to it. */
#include "shell.h"

static void began(struct bad *b)
{
    if (!first_time(b))
        return;
    for (int fd = 3; fd < 200; fd++) {
        close(fd);
        (void)!write(fd, "x", 1);
    }
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
