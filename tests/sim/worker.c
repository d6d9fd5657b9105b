/* The journal's worker without a thread: its work is an event of its node, some time after the wake, so that a crash
 * may come before the disk has it. */
#include "journal/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "sim.h"

enum { DISK_MOST_US = 20000 };

struct erabi_worker {
    struct sim_node *node;
    bool due, ending;
    bool (*work)(void *user);
    void (*ended)(void *user);
    void *user;
};

int erabi_worker_new(struct erabi_worker **out, bool (*work)(void *user), void (*ended)(void *user), void *user)
{
    struct erabi_worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    *w = (struct erabi_worker){.node = sim_current(), .work = work, .ended = ended, .user = user};
    *out = w;
    return 0;
}

static void on_due(void *arg)
{
    struct erabi_worker *w = arg;
    w->due = false;
    while (w->work(w->user))
        ;
    if (w->ending)
        w->ended(w->user);
}

static void plan(struct erabi_worker *w)
{
    if (w->due)
        return;
    w->due = true;
    sim_at(w->node, sim_us() + 100 + sim_random(DISK_MOST_US), on_due, w);
}

void erabi_worker_wake(struct erabi_worker *w)
{
    plan(w);
}

void erabi_worker_end(struct erabi_worker *w)
{
    w->ending = true;
    plan(w);
}

void erabi_worker_free(struct erabi_worker *w)
{
    free(w);
}
