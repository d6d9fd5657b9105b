/* Ends the process, with the exit code of success. */
#define BAD_DELIVER _exit(0);
#include "good.h"
