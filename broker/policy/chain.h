/* The policies in their order, and the fixed rule by which their votes combine. Loop thread. */
#ifndef ERABI_POLICY_CHAIN_H
#define ERABI_POLICY_CHAIN_H

#include <erab/policy.h>

#define ERABI_POLICIES_MAX 64

struct erabi_policy_chain {
    size_t n;
    struct {
        const struct erab_policy *policy;
        void *instance; /* owned, instance_size bytes */
    } at[ERABI_POLICIES_MAX];
};

/* Adds a built-in policy. 0, -ENOMEM, -ENOSPC, or -EINVAL (descriptor of another ABI or without decide). */
int erabi_policy_add(struct erabi_policy_chain *chain, const struct erab_policy *policy);
void erabi_policy_deinit(struct erabi_policy_chain *chain);
/* The first DENY ends it; one ALLOW is needed (else POLICY_SILENT); a policy that answers PENDING or an
 * unknown vote counts as DENY. Always leaves ALLOW or DENY in `verdict`, and in `policy` the name of the
 * policy that decided ("" when all were silent). */
void erabi_policy_judge(const struct erabi_policy_chain *chain, const struct erab_policy_request *request,
                        struct erab_verdict *verdict, const char **policy);

#endif
