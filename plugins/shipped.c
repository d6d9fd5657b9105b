#include "plugins.h"

#include <stddef.h>

const struct erab_policy *const erab_policies_shipped[] = {
    &erab_policy_r1,    &erab_policy_r2,     &erab_policy_r3,      &erab_policy_r4, &erab_policy_r5, &erab_policy_info,
    &erab_policy_quota, &erab_policy_safety, &erab_policy_privacy, &erab_policy_access,
    NULL,
};
