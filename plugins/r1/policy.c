/* Guideline 3.6.1: transmission operator and coordinator. What joins R1 to the outside is authenticated
 * message by message (K14); the internal step between the direct part and the rest of a coordinator keeps
 * the same rule, or the whole coordinator would count as the direct part (footnote 11). */
#include "plugins.h"
#include "rules.h"

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    if (request->interface != ERAB_IF_R1 && request->interface != ERAB_IF_INTERNAL)
        return;
    if (rule_category(request, verdict, ERAB_CATEGORY(ERAB_OPERATION) | ERAB_CATEGORY(ERAB_SENSOR_GROUP) | ERAB_CATEGORY(ERAB_SECURITY),
                      "R1 carries no data of single homes or persons"))
        return;
    if (!request->is_signed && erab_type_lane(request->header->type) == ERAB_LANE_COMMAND) {
        rule_vote(verdict, ERAB_DENY, ERAB_REASON_SIGNATURE_MISSING, "3.6.1", "an order on R1 is signed");
        return;
    }
    rule_vote(verdict, ERAB_ALLOW, ERAB_REASON_NONE, "3.6.1", "");
}

const struct erab_policy erab_policy_r1 = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "r1",
    .version = "1",
    .vendor = "erab-broker",
    .flags = ERAB_POLICY_CACHEABLE,
    .stages = ERAB_STAGE_INGRESS,
    .decide = decide,
};
