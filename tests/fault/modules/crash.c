/* Runs into what it may not, at its first command. */
#include "shell.h"

static void began(struct bad *b)
{
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    if (first_time(b))
        __builtin_trap();
    return apply(b, call);
}
