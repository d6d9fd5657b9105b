/* init writes to where nothing is. */
#define BAD_INIT                                                                                             \
    volatile uintptr_t nowhere = 16;                                                                         \
    *(volatile int *)nowhere = 1;                                                                            \
    return 0;
#include "good.h"
