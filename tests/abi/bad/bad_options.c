/* An option table with a default that is outside of its own range. */
#define BAD_OWN_MODULE
#include "good.h"
static const struct erab_option options[] = {
    {.name = "level", .type = ERAB_OPTION_INTEGER, .default_value = "11", .min = 1, .max = 10, .help = "a level"},
    {.name = NULL}};
static const struct erab_adapter odd = {.size = sizeof odd, .abi_major = 0, .abi_minor = 1, .name = "bad",
                                        .version = "1", .options = options, .instance_size = 1, .init = init,
                                        .start = start, .deliver = deliver, .cancel = cancel, .stop = stop,
                                        .fini = fini};
static const struct erab_adapter *const odds[] = {&odd, NULL};
static const void *keep[] __attribute__((used)) = {adapters};
ERAB_MODULE(0, 1, "bad", odds, NULL);
