/* Built for a minor ABI that this host does not have yet. */
#define BAD_MINOR 99
#include "good.h"
