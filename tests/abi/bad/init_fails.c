/* init refuses, with a text that a terminal would obey. */
#define BAD_INIT                                                                                             \
    snprintf(error->text, sizeof error->text, "no licence\033[2J\nINFO other: all is well");                 \
    return -22;
#include "good.h"
