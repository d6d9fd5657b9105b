/* Asks for timers and posts without end; applies the command when it was stopped at a limit. */
static void nothing(void *arg)
{
    (void)arg;
}
#define BAD_DELIVER                                                                                          \
    if (!call)                                                                                               \
        return 0;                                                                                            \
    int timers = 0, posts = 0;                                                                               \
    while (timers < 20000 && b->host->timer(b->self, 3600000, nothing, NULL))                                \
        timers++;                                                                                            \
    while (posts < 20000 && b->host->post(b->self, nothing, NULL) == 0)                                      \
        posts++;                                                                                             \
    bool good = timers < 20000 && posts < 20000;                                                             \
    b->host->complete(b->self, call, good ? ERAB_APPLIED : ERAB_REFUSED,                                     \
                      good ? ERAB_REASON_NONE : ERAB_REASON_INTERNAL, NULL);                                 \
    return 0;
#include "good.h"
