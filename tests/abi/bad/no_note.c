/* Written without ERAB_MODULE: nobody can know its ABI before it is mapped. */
#define BAD_OWN_MODULE
#include "good.h"

ERAB_API const struct erab_module *erab_module(void);

const struct erab_module *erab_module(void)
{
    static const struct erab_module module = {
        .size = sizeof module, .abi_major = 0, .abi_minor = 1, .build = "bad", .adapters = adapters};
    return &module;
}
