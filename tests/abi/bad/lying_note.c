/* The note says 0.1, the table says 7.3. */
#define BAD_OWN_MODULE
#include "good.h"
ERAB_MODULE_NOTE(0, 1);

ERAB_API const struct erab_module *erab_module(void);

const struct erab_module *erab_module(void)
{
    static const struct erab_module module = {
        .size = sizeof module, .abi_major = 7, .abi_minor = 3, .build = "bad", .adapters = adapters};
    return &module;
}
