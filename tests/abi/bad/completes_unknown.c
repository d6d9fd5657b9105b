/* Completes a call that was never made, beside the one that was. */
#define BAD_DELIVER                                                                                          \
    if (!call)                                                                                               \
        return 0;                                                                                            \
    b->host->complete(b->self, call + 1000, ERAB_REFUSED, ERAB_REASON_BUSY, NULL);                           \
    b->host->complete(b->self, call, ERAB_APPLIED, ERAB_REASON_NONE, NULL);                                  \
    return 0;
#include "good.h"
