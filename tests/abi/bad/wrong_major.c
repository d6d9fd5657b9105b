/* Built for another major ABI; its constructor would run at dlopen. */
#define BAD_MAJOR 1
#define BAD_MINOR 0
#include "good.h"
