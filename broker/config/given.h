/* The options of an adapter or policy as they stand in the configuration, and the module's own table: what is wrong is
 * told at its line. The table is filled by module/module.h, here as in the runner. Any thread. */
#ifndef ERABI_GIVEN_H
#define ERABI_GIVEN_H

#include "config/config.h"
#include "module/module.h"

/* One entry of `adapters` or `policies`. */
struct erabi_given_entry {
    const char *kind; /* "adapter", "policy" */
    const char *instance;
    struct erabi_mark mark;
    const struct erabi_option_pair *options;
    size_t n_options;
    const char *file;
    struct erabi_config_errors *errors;
};

/* For an entry that runs in the broker itself. false: a fault, told. In either case *out is released with
 * erabi_module_options_deinit. */
bool erabi_given_fill(struct erab_config *out, const struct erab_option *table, const struct erabi_given_entry *entry);
/* A fault that this or another process found, at the place of the option that it names. */
void erabi_given_fault(const struct erabi_given_entry *entry, const struct erabi_option_fault *fault);
/* The same for what the module's own check or init says. */
void erabi_given_error(const struct erabi_given_entry *entry, const struct erab_error *error);

#endif
