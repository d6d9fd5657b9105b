#include "policy/chain.h"

#include <errno.h>
#include <stdlib.h>

int erabi_policy_add(struct erabi_policy_chain *chain, const struct erab_policy *policy)
{
    if (policy->size < sizeof(*policy) || policy->abi_major != ERAB_ABI_MAJOR ||
        policy->abi_minor > ERAB_ABI_MINOR || !policy->decide)
        return -EINVAL;
    if (chain->n == ERABI_POLICIES_MAX)
        return -ENOSPC;
    void *instance = calloc(1, policy->instance_size ? policy->instance_size : 1);
    if (!instance)
        return -ENOMEM;
    chain->at[chain->n].policy = policy;
    chain->at[chain->n].instance = instance;
    chain->n++;
    return 0;
}

void erabi_policy_deinit(struct erabi_policy_chain *chain)
{
    for (size_t i = 0; i < chain->n; i++) {
        if (chain->at[i].policy->fini)
            chain->at[i].policy->fini(chain->at[i].instance);
        free(chain->at[i].instance);
    }
    chain->n = 0;
}

void erabi_policy_judge(const struct erabi_policy_chain *chain, const struct erab_policy_request *request,
                        struct erab_verdict *verdict, const char **policy)
{
    struct erab_verdict allowed = {.size = sizeof(allowed),
                                   .vote = ERAB_DENY,
                                   .reason = ERAB_REASON_POLICY_SILENT,
                                   .section = "",
                                   .detail = "no policy allows it"};
    *policy = "";
    for (size_t i = 0; i < chain->n; i++) {
        const struct erab_policy *p = chain->at[i].policy;
        if (!(p->stages & request->stage))
            continue;
        struct erab_verdict v = {.size = sizeof(v), .reason = ERAB_REASON_NONE, .section = "", .detail = ""};
        p->decide(chain->at[i].instance, 0, request, &v);
        if (v.vote == ERAB_ABSTAIN)
            continue;
        if (v.vote == ERAB_ALLOW) {
            if (allowed.vote != ERAB_ALLOW)
                *policy = p->name;
            allowed = v;
            continue;
        }
        *verdict = v;
        verdict->vote = ERAB_DENY;
        if (v.vote != ERAB_DENY || v.reason == ERAB_REASON_NONE)
            verdict->reason = ERAB_REASON_POLICY_DENIED;
        *policy = p->name;
        return;
    }
    *verdict = allowed;
}
