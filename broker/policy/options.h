/* The options of one policy of the configuration, by the table that the policy declares: checked, with defaults,
 * in the form that the policy reads. Every fault with its line. Any thread. */
#ifndef ERABI_POLICY_OPTIONS_H
#define ERABI_POLICY_OPTIONS_H

#include <erab/policy.h>

#include "config/config.h"

/* false: a fault, told in `errors`. In either case *out is released with erabi_policy_options_deinit. */
bool erabi_policy_options_fill(struct erab_config *out, const struct erab_policy *policy,
                               const struct erabi_config_policy *entry, const char *file,
                               struct erabi_config_errors *errors);
void erabi_policy_options_deinit(struct erab_config *config);
/* What a policy's own check or init says, at the line of the option that it names. */
void erabi_policy_options_fault(const struct erabi_config_policy *entry, const struct erab_error *error,
                                const char *file, struct erabi_config_errors *errors);
/* Everything of an entry as one text; NULL: out of memory. Freed with free(). */
char *erabi_policy_identity(const struct erabi_config_policy *entry);

#endif
