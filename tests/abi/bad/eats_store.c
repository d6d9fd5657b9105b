/* Puts more into the store than it may; applies the command when it was stopped at the limit. */
#define BAD_DELIVER                                                                                          \
    if (!call)                                                                                               \
        return 0;                                                                                            \
    static const char value[65537];                                                                          \
    char key[16];                                                                                            \
    int kept = 0, big = b->host->store_put(b->self, "big", value, sizeof value);                             \
    int climbed = b->host->store_put(b->self, "../up", value, 1);                                            \
    for (int i = 0; i < 300; i++) {                                                                          \
        snprintf(key, sizeof key, "k%d", i);                                                                 \
        kept += b->host->store_put(b->self, key, value, 1) == 0;                                             \
    }                                                                                                        \
    bool good = big < 0 && climbed < 0 && kept <= 256;                                                       \
    b->host->complete(b->self, call, good ? ERAB_APPLIED : ERAB_REFUSED,                                     \
                      good ? ERAB_REASON_NONE : ERAB_REASON_INTERNAL, NULL);                                 \
    return 0;
#include "good.h"
