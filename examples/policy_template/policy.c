/* A template for a policy: orders on R3 only within the hours that the operator allows. It sees a request, it votes,
 * it changes nothing. What it does not know it leaves to the others: it abstains.
 *
 * What to keep when you make it yours: no I/O, no clock but the request's, no globals; every DENY has a reason and the
 * section of the guideline, so that whoever is refused can look it up. */
#include <stddef.h>

#include <erab/policy.h>

struct template {
    int64_t from_hour, to_hour;
};

static const struct erab_option options[] = {
    {"from_hour", ERAB_OPTION_INTEGER, 0, "6", 0, 23, NULL, "first hour of the day (UTC) with orders"},
    {"to_hour", ERAB_OPTION_INTEGER, 0, "22", 1, 24, NULL, "hour of the day (UTC) that is the first without"},
    {NULL, ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL},
};

enum { FROM_HOUR, TO_HOUR };

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct template *t = instance;
    (void)self;
    (void)host;
    (void)error;
    t->from_hour = config->values[FROM_HOUR].integer;
    t->to_hour = config->values[TO_HOUR].integer;
    return 0;
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    const struct template *t = instance;
    (void)call;
    if (request->interface != ERAB_IF_R3 || erab_type_lane(request->header->type) != ERAB_LANE_COMMAND)
        return;
    int64_t hour = (int64_t)(request->now_ms / 3600000u % 24u);
    if (hour >= t->from_hour && hour < t->to_hour)
        return; /* allowing is left to the interface's own policy */
    verdict->vote = ERAB_DENY;
    verdict->reason = ERAB_REASON_POLICY_DENIED;
    verdict->section = "3.6.3";
    verdict->detail = "no orders at this hour";
}

static const struct erab_policy policy = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "hours",
    .version = "0.1.0",
    .vendor = "your name",
    .stages = ERAB_STAGE_INGRESS,
    .options = options,
    .instance_size = sizeof(struct template),
    .init = init,
    .decide = decide,
};

static const struct erab_policy *const policies[] = {&policy, NULL};

ERAB_MODULE(0, 1, "policy template 0.1.0", NULL, policies);
