/* Its check refuses, and names the option in bytes that are no text. */
#define BAD_OWN_MODULE
#include "good.h"
static int check(const struct erab_config *config, struct erab_error *error)
{
    (void)config;
    error->option[0] = (char)0xff;
    error->option[1] = '\0';
    strcpy(error->text, "nobody may have this");
    return -1;
}
static const struct erab_adapter odd = {.size = sizeof odd, .abi_major = 0, .abi_minor = 1, .name = "bad",
                                        .version = "1", .instance_size = 1, .check = check, .init = init,
                                        .start = start, .deliver = deliver, .cancel = cancel, .stop = stop,
                                        .fini = fini};
static const struct erab_adapter *const odds[] = {&odd, NULL};
static const void *keep[] __attribute__((used)) = {adapters};
ERAB_MODULE(0, 1, "bad", odds, NULL);
