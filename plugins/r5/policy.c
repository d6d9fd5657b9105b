/* Guideline 3.6.5: gateway or controller and device. Legacy devices cannot protect themselves, so every
 * command must come signed from a party and carry an end. */
#include "plugins.h"
#include "rules.h"

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    if (request->interface != ERAB_IF_R5)
        return;
    if (rule_category(request, verdict, ERAB_CATEGORY(ERAB_OPERATION) | ERAB_CATEGORY(ERAB_SENSOR_GROUP) | ERAB_CATEGORY(ERAB_SECURITY) | ERAB_CATEGORY(ERAB_SENSOR_HOME),
                      "R5 carries no personal data but measured values"))
        return;
    if (request->header->type == ERAB_DEVICE_COMMAND && !request->is_signed) {
        rule_vote(verdict, ERAB_DENY, ERAB_REASON_SIGNATURE_MISSING, "3.6.5", "a device command is signed");
        return;
    }
    rule_vote(verdict, ERAB_ALLOW, ERAB_REASON_NONE, "3.6.5", "");
}

const struct erab_policy erab_policy_r5 = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "r5",
    .version = "1",
    .vendor = "erab-broker",
    .flags = ERAB_POLICY_CACHEABLE,
    .stages = ERAB_STAGE_INGRESS,
    .decide = decide,
};
