#include "voters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct voter voters[4];

static void vote(struct voter *v, erab_call call, struct erab_verdict *verdict)
{
    v->asked++;
    v->call = call;
    verdict->vote = v->vote;
    verdict->reason = v->reason;
}

#define VOTER(i)                                                                                             \
    static void decide##i(void *instance, erab_call call, const struct erab_policy_request *request,          \
                          struct erab_verdict *verdict)                                                      \
    {                                                                                                        \
        vote(&voters[i], call, verdict);                                                                     \
    }                                                                                                        \
    static void cancel##i(void *instance, erab_call call)                                                    \
    {                                                                                                        \
        voters[i].cancelled++;                                                                               \
    }                                                                                                        \
    static void fini##i(void *instance)                                                                      \
    {                                                                                                        \
        voters[i].gone++;                                                                                    \
    }
VOTER(0)
VOTER(1)
VOTER(2)
VOTER(3)

#define DESCRIPTOR(i, set)                                                                                   \
    {.size = sizeof(struct erab_policy), .abi_major = ERAB_ABI_MAJOR, .abi_minor = ERAB_ABI_MINOR,            \
     .name = "voter" #i, .flags = set, .stages = ERAB_STAGE_INGRESS, .decide = decide##i, .fini = fini##i,    \
     .cancel = cancel##i}

const struct erab_policy voter_policies[4] = {DESCRIPTOR(0, 0), DESCRIPTOR(1, 0), DESCRIPTOR(2, 0),
                                              DESCRIPTOR(3, ERAB_POLICY_CACHEABLE)};

struct erabi_policy_chain *chain_of(const struct erab_policy *const *policies, size_t n,
                                    struct erabi_policy_engine *engine)
{
    int fault;
    struct erabi_policy_chain *chain = erabi_policy_chain_new();
    for (size_t i = 0; i < n; i++) {
        struct erabi_policy_instance *instance = erabi_policy_instance_new(policies[i], policies[i]->name, &fault);
        assert_non_null(instance);
        instance->ready = true;
        instance->self.engine = engine;
        assert_int_equal(erabi_policy_chain_add(chain, instance), 0);
    }
    return chain;
}
