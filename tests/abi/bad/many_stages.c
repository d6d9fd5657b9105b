/* A policy that asks for a stage that a policy in a process of its own cannot have. */
#define BAD_OWN_MODULE
#include "good.h"
#include <erab/policy.h>
static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    (void)instance, (void)call, (void)request, (void)verdict;
}
static const struct erab_policy greedy = {.size = sizeof greedy, .abi_major = 0, .abi_minor = 1, .name = "bad",
                                          .version = "1", .vendor = "tests", .instance_size = 1,
                                          .stages = ERAB_STAGE_INGRESS | ERAB_STAGE_CONNECT, .decide = decide};
static const struct erab_policy *const policies[] = {&greedy, NULL};
static const void *keep[] __attribute__((used)) = {adapters};
ERAB_MODULE(0, 1, "bad", NULL, policies);
