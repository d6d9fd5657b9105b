/* stop does nothing. */
#define BAD_STOP (void)b;
#include "good.h"
