#include "host/module.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <erab/identity.h>
#include <sodium.h>

#include "base/cleanup.h"
#include "base/write_all.h"
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

json_t *erabi_host_module_signers(const struct erabi_config *config)
{
    json_t *list = json_array();
    for (size_t i = 0; i < config->modules.n_signers; i++) {
        char text[65];
        erab_key_text(config->modules.signers[i], text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

json_t *erabi_host_module_options(const struct erabi_option_pair *options, size_t n)
{
    json_t *object = json_object();
    for (size_t i = 0; i < n; i++) {
        const struct erabi_option_pair *pair = &options[i];
        json_t *value = pair->items ? json_array() : json_string(pair->value);
        for (size_t k = 0; k < pair->n_items; k++)
            json_array_append_new(value, json_string(pair->items[k]));
        json_object_set_new(object, pair->key, value);
    }
    return object;
}

int erabi_host_module_document(json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (!text)
        return -ENOMEM;
    size_t size = strlen(text);
    int fd = memfd_create("erab-runner", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : erabi_write_all(fd, text, size);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    sodium_memzero(text, size);
    free(text);
    if (r == 0)
        return fd;
    erabi_closep(&fd);
    return r;
}
