/* erab_module() gives NULL. */
#define BAD_OWN_MODULE
#include "good.h"
ERAB_MODULE_NOTE(0, 1);

static const void *keep[] __attribute__((used)) = {adapters};
ERAB_API const struct erab_module *erab_module(void);

const struct erab_module *erab_module(void)
{
    return NULL;
}
