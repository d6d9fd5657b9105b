/* Never returns from its first command. */
#include "shell.h"

static void began(struct bad *b)
{
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    say(b, "a command");
    for (volatile bool ever = first_time(b); ever;)
        ;
    return apply(b, call);
}
