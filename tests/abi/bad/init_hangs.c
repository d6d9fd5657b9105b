/* init never returns. */
#define BAD_INIT                                                                                             \
    b->host->log(b->self, ERAB_LOG_INFO, "hangs now");                                                       \
    for (;;)                                                                                                 \
        pause();                                                                                             \
    return 0;
#include "good.h"
