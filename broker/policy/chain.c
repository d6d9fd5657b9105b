#include "policy/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "module/module.h"

struct erabi_policy_instance *erabi_policy_instance_new(const struct erab_policy *policy, const char *name, int *fault)
{
    *fault = -EINVAL;
    if (policy->size < offsetof(struct erab_policy, cancel) || policy->abi_major != ERAB_ABI_MAJOR ||
        policy->abi_minor > ERAB_ABI_MINOR || !policy->decide || !policy->name)
        return NULL;
    *fault = -ENOMEM;
    struct erabi_policy_instance *instance = calloc(1, sizeof(*instance));
    if (!instance)
        return NULL;
    instance->memory = calloc(1, policy->instance_size ? policy->instance_size : 1);
    if (!instance->memory) {
        free(instance);
        return NULL;
    }
    instance->refs = 1;
    instance->policy = policy;
    instance->deadline_ms = ERABI_POLICY_DEADLINE_MS;
    erabi_copy_text(instance->self.name, sizeof(instance->self.name), name);
    return instance;
}

struct erabi_policy_instance *erabi_policy_instance_ref(struct erabi_policy_instance *instance)
{
    instance->refs++;
    return instance;
}

void erabi_policy_instance_unref(struct erabi_policy_instance *instance)
{
    if (!instance || --instance->refs > 0)
        return;
    if (instance->ready && instance->policy->fini)
        instance->policy->fini(instance->memory);
    erabi_module_options_deinit(&instance->config, instance->policy->options);
    free(instance->identity);
    free(instance->memory);
    free(instance);
}

struct erabi_policy_chain *erabi_policy_chain_new(void)
{
    struct erabi_policy_chain *chain = calloc(1, sizeof(*chain));
    if (!chain)
        return NULL;
    chain->refs = 1;
    chain->cache = erabi_policy_cache_new();
    return chain;
}

struct erabi_policy_chain *erabi_policy_chain_ref(struct erabi_policy_chain *chain)
{
    chain->refs++;
    return chain;
}

void erabi_policy_chain_unref(struct erabi_policy_chain *chain)
{
    if (!chain || --chain->refs > 0)
        return;
    for (size_t i = 0; i < chain->n; i++)
        erabi_policy_instance_unref(chain->at[i]);
    erabi_policy_cache_free(chain->cache);
    free(chain);
}

int erabi_policy_chain_add(struct erabi_policy_chain *chain, struct erabi_policy_instance *instance)
{
    if (chain->n == ERABI_POLICIES_MAX) {
        erabi_policy_instance_unref(instance);
        return -ENOSPC;
    }
    chain->at[chain->n++] = instance;
    chain->stages |= instance->policy->stages;
    if (instance->policy->needs & ERAB_NEEDS_BODY)
        chain->body_stages |= instance->policy->stages;
    if (erabi_policy_cacheable(instance))
        chain->cached_stages |= instance->policy->stages;
    return 0;
}

void erabi_policy_text(char *to, size_t size, const char *from)
{
    size_t n = from ? strlen(from) : 0;
    if (n >= size)
        for (n = size - 1; n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80; n--)
            ; /* back to where this character begins */
    erabi_copy_bytes(to, from, n);
    to[n] = '\0';
    erabi_plain_text(to, n);
}

bool erabi_policy_cacheable(const struct erabi_policy_instance *instance)
{
    return instance->policy->flags & ERAB_POLICY_CACHEABLE && !(instance->policy->needs & ERAB_NEEDS_BODY);
}

bool erabi_policy_concerns(const struct erabi_policy_instance *instance, const struct erab_policy_request *request)
{
    bool message = request->stage & (ERAB_STAGE_INGRESS | ERAB_STAGE_EGRESS);
    bool there = instance->interfaces == 0 || instance->interfaces >> request->interface & 1;
    return instance->policy->stages & request->stage && (there || request->stage == ERAB_STAGE_ADMIN) &&
           (!message || instance->types == 0 || instance->types >> request->header->type & 1);
}

void erabi_policy_ask(struct erabi_policy_instance *instance, erab_call call,
                      const struct erab_policy_request *request, struct erab_verdict *verdict)
{
    *verdict = (struct erab_verdict){
        .size = sizeof(*verdict), .reason = ERAB_REASON_NONE, .section = "", .detail = ""};
    if (instance->policy->needs & ERAB_NEEDS_BODY) {
        instance->policy->decide(instance->memory, call, request, verdict);
    } else {
        struct erab_policy_request bare = *request;
        bare.body = NULL;
        instance->policy->decide(instance->memory, call, &bare, verdict);
    }
    if (!verdict->section)
        verdict->section = "";
    if (!verdict->detail)
        verdict->detail = "";
    if ((unsigned)verdict->vote > ERAB_PENDING) {
        verdict->vote = ERAB_DENY;
        verdict->reason = ERAB_REASON_POLICY_DENIED;
        verdict->detail = "the policy gave no valid vote";
    }
}

bool erabi_policy_take(struct erabi_policy_walk *walk, const struct erabi_policy_chain *chain, size_t i,
                       const struct erab_verdict *verdict, struct erabi_policy_answer *out)
{
    if (verdict->vote == ERAB_ABSTAIN)
        return false;
    if (verdict->vote == ERAB_ALLOW) {
        if (!walk->allowed)
            walk->allow = (struct erabi_policy_answer){*verdict, chain->at[i]->self.name};
        walk->allowed = true;
        return false;
    }
    *out = (struct erabi_policy_answer){*verdict, chain->at[i]->self.name};
    if (verdict->vote != ERAB_DENY || (unsigned)verdict->reason >= ERAB_REASON_COUNT ||
        verdict->reason == ERAB_REASON_NONE)
        out->verdict.reason = ERAB_REASON_POLICY_DENIED;
    out->verdict.vote = ERAB_DENY;
    return true;
}

void erabi_policy_conclude(const struct erabi_policy_walk *walk, struct erabi_policy_answer *out)
{
    if (walk->allowed) {
        *out = walk->allow;
        return;
    }
    *out = (struct erabi_policy_answer){.verdict = {.size = sizeof(out->verdict),
                                                    .vote = ERAB_DENY,
                                                    .reason = ERAB_REASON_POLICY_SILENT,
                                                    .section = "",
                                                    .detail = "no policy allows it"},
                                        .policy = ""};
}
