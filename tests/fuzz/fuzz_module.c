/* The bytes of a module's file, judged before anything of it is mapped. */
#include <stddef.h>
#include <stdint.h>

#include "module/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct erab_error error = {.size = sizeof error};
    struct erabi_module_facts facts;
    erabi_module_read(erabi_slice(data, size), &facts, &error);
    return 0;
}
