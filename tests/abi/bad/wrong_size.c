/* An adapter's table that is cut short. */
#define BAD_SIZE 16
#include "good.h"
