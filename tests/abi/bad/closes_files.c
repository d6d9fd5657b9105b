/* Closes every descriptor of the process, its host's too. */
#define BAD_DELIVER                                                                                          \
    (void)b;                                                                                                 \
    (void)call;                                                                                              \
    for (int fd = 3; fd < 1024; fd++)                                                                        \
        close(fd);                                                                                           \
    return 0;
#include "good.h"
