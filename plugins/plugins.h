/* The policies that are part of the broker, as descriptors of the public ABI. */
#ifndef ERAB_PLUGINS_H
#define ERAB_PLUGINS_H

#include <erab/policy.h>

extern const struct erab_policy erab_policy_r1; /* 3.6.1, and the coordinator's internal step */
extern const struct erab_policy erab_policy_r2; /* 3.6.2 */
extern const struct erab_policy erab_policy_r3; /* 3.6.3 */
extern const struct erab_policy erab_policy_r4; /* 3.6.4 */
extern const struct erab_policy erab_policy_r5; /* 3.6.5 */
extern const struct erab_policy erab_policy_info; /* 3.2 */
extern const struct erab_policy erab_policy_quota;   /* rates and bytes of each party */
extern const struct erab_policy erab_policy_safety;  /* what orders may ask of equipment */
extern const struct erab_policy erab_policy_privacy; /* what data tells about people, 3.7 */
extern const struct erab_policy erab_policy_access;  /* who may connect, what may leave, which acts are taken */

/* All of them, NULL-ended. */
extern const struct erab_policy *const erab_policies_shipped[];

#endif
