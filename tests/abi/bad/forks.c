/* Starts a process; applies the command when that was not allowed. */
#define BAD_DELIVER                                                                                          \
    if (!call)                                                                                               \
        return 0;                                                                                            \
    pid_t pid = fork();                                                                                      \
    if (pid == 0)                                                                                            \
        for (;;)                                                                                             \
            pause();                                                                                         \
    b->host->complete(b->self, call, pid < 0 ? ERAB_APPLIED : ERAB_REFUSED,                                  \
                      pid < 0 ? ERAB_REASON_NONE : ERAB_REASON_INTERNAL, NULL);                              \
    return 0;
#include "good.h"
