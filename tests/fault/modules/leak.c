/* Takes memory until there is none. */
#include <stdlib.h>

#include "shell.h"

static void more(void *arg)
{
    struct bad *b = arg;
    b->host->timer_free(b->self, b->timer);
    b->timer = NULL;
    for (int i = 0; i < 16; i++) {
        char *p = malloc(1u << 20);
        if (!p) {
            say(b, "no more memory after %u MiB", b->n);
            return;
        }
        memset(p, 1, 1u << 20);
        b->n++;
    }
    if (b->n < 1024)
        b->timer = b->host->timer(b->self, 0, more, b);
    else
        say(b, "nobody stopped it");
}

static void began(struct bad *b)
{
    more(b);
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
