/* A configuration as `erabd -c` reads it: YAML, the option table, the checks between keys; and a profile. Whatever it
 * says, each complaint is one plain line. */
#include "config/config.h"
#include "config/profile.h"
#include "fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct erabi_config_errors errors;
    char path[64];
    struct erabi_config *config = NULL;
    struct erabi_profile *profile = NULL;
    int fd = fuzz_file(data, size, path);
    errors.n = errors.more = 0;
    int r = erabi_config_load(&config, path, &errors);
    if ((r < 0) != (errors.n > 0) || (r < 0) != (config == NULL))
        abort();
    erabi_config_free(config);
    if (erabi_profile_load(&profile, path, &errors) == 0)
        erabi_profile_free(profile);
    for (size_t i = 0; i < errors.n; i++)
        for (const char *c = errors.text[i]; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127)
                abort();
    close(fd);
    return 0;
}
