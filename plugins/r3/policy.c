/* Guideline 3.6.3: coordinator and aggregator. */
#include "plugins.h"
#include "rules.h"

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    if (request->interface != ERAB_IF_R3)
        return;
    if (rule_category(request, verdict, ERAB_CATEGORY(ERAB_OPERATION) | ERAB_CATEGORY(ERAB_SENSOR_GROUP) | ERAB_CATEGORY(ERAB_SECURITY),
                      "R3 carries groups, not single homes or persons"))
        return;
    rule_vote(verdict, ERAB_ALLOW, ERAB_REASON_NONE, "3.6.3", "");
}

const struct erab_policy erab_policy_r3 = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "r3",
    .version = "1",
    .vendor = "erab-broker",
    .flags = ERAB_POLICY_CACHEABLE,
    .stages = ERAB_STAGE_INGRESS,
    .decide = decide,
};
