/* Makes threads until it may not. */
#include <pthread.h>

#include "shell.h"

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return NULL;
}

static void began(struct bad *b)
{
    pthread_attr_t small;
    pthread_t thread;
    int r = 0;
    if (!first_time(b))
        return;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (b->n < 1000 && (r = pthread_create(&thread, &small, wait_for_ever, NULL)) == 0)
        b->n++;
    say(b, "%u threads: %s", b->n, r ? strerror(r) : "all worked");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
