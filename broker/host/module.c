#include "host/module.h"

#include "module/module.h"

enum erab_reason erabi_host_module_judge(const struct erabi_config *config, const char *path, struct erab_error *error)
{
    struct erabi_module_file file;
    int r = erabi_module_open(&file, path, error);
    if (r == 0) {
        r = erabi_module_verify(&file, (const uint8_t(*)[ERAB_KEY_SIZE])config->modules.signers,
                                config->modules.n_signers, NULL, error);
        erabi_module_close(&file);
    }
    return r < 0 ? ERAB_REASON_INTERNAL : (enum erab_reason)r;
}
