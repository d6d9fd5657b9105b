/* A chain from the configuration's `policies`. Loop thread (checking alone: any). */
#ifndef ERABI_POLICY_BUILD_H
#define ERABI_POLICY_BUILD_H

#include "config/config.h"
#include "policy/chain.h"

/* Where policies come from. */
struct erabi_policy_source {
    const struct erab_policy *const *shipped; /* NULL-ended */
    struct erabi_policy_engine *engine;       /* for late votes; NULL: none */
    /* An instance that asks the module of `entry` in erab-runner; NULL with *fault on failure. When NULL itself
     * (a check, a test without processes), a placeholder that abstains takes its place. */
    struct erabi_policy_instance *(*open)(void *user, const struct erabi_config_policy *entry, int *fault);
    void *user;
};

/* All or nothing. Instances of `previous` (may be NULL) that would be made from the same text are taken over with
 * what they remember. 0 and one reference in *out, or a negative errno with every fault in `errors`. */
int erabi_policy_build(struct erabi_policy_chain **out, const struct erabi_config *config, const char *file,
                       const struct erabi_policy_source *source, const struct erabi_policy_chain *previous,
                       struct erabi_config_errors *errors);

#endif
