/* Several brokers' configurations looked at together: do their ends fit? For tools; any thread. */
#ifndef ERABI_TOPOLOGY_H
#define ERABI_TOPOLOGY_H

#include "config/config.h"
#include "config/profile.h"

/* One broker. Public keys come from the configuration (curve_key, sign_key) or else from the key files. */
struct erabi_topology_end {
    const char *file; /* borrowed */
    struct erabi_config *config;
    struct erabi_profile *profile;
    erabi_key_bytes curve_key, sign_key; /* of the owner */
    bool has_keys;
    erabi_key_bytes *listener_keys;
    bool *has_listener_key;
};

/* Loads and checks one file. 0 or a negative errno with every fault in `errors`; deinit in either case. */
int erabi_topology_end_load(struct erabi_topology_end *end, const char *file, struct erabi_config_errors *errors);
void erabi_topology_end_deinit(struct erabi_topology_end *end);
/* Adds what does not fit to `errors`, with file and line of both ends; false when there was something. A check that
 * cannot be made (a key that cannot be read here) counts as failed. */
bool erabi_topology_check(const struct erabi_topology_end *ends, size_t n, struct erabi_config_errors *errors);
#endif
