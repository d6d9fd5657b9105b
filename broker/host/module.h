/* Judges a module before a process is started for it, by what its runner will judge it once more: file, ABI,
 * signature. Runs nothing of the module. Loop thread; reads a file of at most 16 MiB. */
#ifndef ERABI_HOST_MODULE_H
#define ERABI_HOST_MODULE_H

#include <jansson.h>

#include <erab/module.h>
#include <erab/reason.h>

#include "config/config.h"

/* ERAB_REASON_NONE when it may be loaded, else why not, with `error` filled. */
enum erab_reason erabi_host_module_judge(const struct erabi_config *config, const char *path, struct erab_error *error);
/* For the document of a runner. The options of its instance: an object of texts and lists of texts. */
json_t *erabi_host_module_options(const struct erabi_option_pair *options, size_t n);
/* The signers of the configuration: a list of keys in hex. */
json_t *erabi_host_module_signers(const struct erabi_config *config);
/* The document in a memory file, at its start; the text holds secrets and is wiped. Takes `document` over (NULL: no
 * memory). The descriptor is the caller's. */
int erabi_host_module_document(json_t *document);

#endif
