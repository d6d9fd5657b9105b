/* An adapter without deliver. */
#define BAD_OWN_MODULE
#include "good.h"
static const struct erab_adapter half = {.size = sizeof half, .abi_major = 0, .abi_minor = 1, .name = "bad",
                                         .version = "1", .instance_size = 1, .init = init, .start = start,
                                         .cancel = cancel, .stop = stop, .fini = fini};
static const struct erab_adapter *const halves[] = {&half, NULL};
static const void *keep[] __attribute__((used)) = {adapters};
ERAB_MODULE(0, 1, "bad", halves, NULL);
