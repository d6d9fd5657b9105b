/* Completes with a state that is none of the two. */
#define BAD_DELIVER                                                                                          \
    if (call)                                                                                                \
        b->host->complete(b->self, call, ERAB_ACCEPTED, ERAB_REASON_NONE, NULL);                             \
    return 0;
#include "good.h"
