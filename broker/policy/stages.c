/* The stages that have no wait, and what a restart would have forgotten. */
#include "policy/judge.h"

#include <stddef.h>

static void ask(struct erabi_policy_engine *engine, struct erabi_policy_instance *instance,
                const struct erab_policy_request *request, struct erab_verdict *verdict)
{
    engine->depth++; /* a late vote that comes meanwhile waits */
    erabi_policy_ask(instance, 0, request, verdict);
    engine->depth--;
    if (verdict->vote != ERAB_PENDING)
        return;
    *verdict = (struct erab_verdict){.size = sizeof(*verdict),
                                     .vote = ERAB_DENY,
                                     .reason = ERAB_REASON_POLICY_DEADLINE,
                                     .section = "",
                                     .detail = "a vote cannot be waited for here"};
}

bool erabi_policy_permits(struct erabi_policy_engine *engine, const struct erab_policy_request *request,
                          uint64_t mono_ms, struct erabi_policy_answer *answer)
{
    struct erabi_policy_chain *chain = engine->chain;
    struct erabi_policy_walk walk = {0};
    if (!erabi_policy_has(engine, request->stage))
        return true;
    engine->mono_ms = mono_ms;
    engine->now_ms = request->now_ms;
    /* An act is more than its link: it is judged each time. */
    uint32_t remembered = chain->cached_stages & ~(uint32_t)ERAB_STAGE_ADMIN;
    const struct erabi_policy_cached *cached =
        remembered & request->stage ? erabi_policy_cache_get(chain, request) : NULL;
    for (size_t i = 0; i < chain->n; i++) {
        struct erab_verdict verdict = {.size = sizeof(verdict)};
        if (!erabi_policy_concerns(chain->at[i], request))
            continue;
        if (!cached || !erabi_policy_cacheable(chain->at[i]))
            ask(engine, chain->at[i], request, &verdict);
        else if (i == cached->deny_at)
            verdict = cached->deny;
        if (erabi_policy_take(&walk, chain, i, &verdict, answer))
            return false;
    }
    return true;
}

void erabi_policy_recall(struct erabi_policy_engine *engine, const struct erab_policy_request *request)
{
    const struct erabi_policy_chain *chain = engine->chain;
    engine->now_ms = request->now_ms;
    for (size_t i = 0; i < chain->n; i++) {
        const struct erabi_policy_instance *instance = chain->at[i];
        const struct erab_policy *policy = instance->policy;
        if (policy->size < offsetof(struct erab_policy, wants_body) || !policy->recall || !erabi_policy_concerns(instance, request))
            continue;
        struct erab_policy_request seen = *request;
        if (!(policy->needs & ERAB_NEEDS_BODY))
            seen.body = NULL;
        engine->depth++;
        policy->recall(instance->memory, &seen);
        engine->depth--;
    }
}

static bool wants_body(const struct erabi_policy_instance *instance, const struct erab_policy_request *request)
{
    const struct erab_policy *policy = instance->policy;
    if (!(policy->needs & ERAB_NEEDS_BODY) || !erabi_policy_concerns(instance, request))
        return false;
    return policy->size < sizeof(*policy) || !policy->wants_body || policy->wants_body(instance->memory, request);
}

bool erabi_policy_wants_body(struct erabi_policy_engine *engine, const struct erab_policy_request *request)
{
    const struct erabi_policy_chain *chain = engine->chain;
    bool wanted = false;
    engine->depth++;
    for (size_t i = 0; i < chain->n && !wanted && chain->body_stages & request->stage; i++)
        wanted = wants_body(chain->at[i], request);
    engine->depth--;
    return wanted;
}
