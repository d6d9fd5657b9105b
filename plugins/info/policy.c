/* Guideline 3.2: advisories and incidents between coordinating bodies, makers and everybody else. */
#include "plugins.h"
#include "rules.h"

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    if (request->interface != ERAB_IF_INFO)
        return;
    if (rule_category(request, verdict, ERAB_CATEGORY(ERAB_OPERATION) | ERAB_CATEGORY(ERAB_SECURITY),
                      "advisories and incidents tell nothing about homes or persons"))
        return;
    rule_vote(verdict, ERAB_ALLOW, ERAB_REASON_NONE, "3.2", "");
}

const struct erab_policy erab_policy_info = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "info",
    .version = "1",
    .vendor = "erab-broker",
    .flags = ERAB_POLICY_CACHEABLE,
    .stages = ERAB_STAGE_INGRESS,
    .decide = decide,
};
