/* Writes fifty thousand log lines, some of them of many lines. */
#define BAD_START                                                                                            \
    for (int i = 0; i < 50000; i++)                                                                          \
        b->host->log(b->self, ERAB_LOG_ERROR, "line\nline\nline");                                           \
    return 0;
#include "good.h"
