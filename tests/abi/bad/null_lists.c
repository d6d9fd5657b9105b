/* Neither adapters nor policies. */
#define BAD_OWN_MODULE
#include "good.h"
static const struct erab_adapter *const none[] = {NULL};
static const void *keep[] __attribute__((used)) = {adapters};
ERAB_MODULE(0, 1, "bad", none, NULL);
