/* The guideline as data: which roles may talk on which interface, who may originate an order, what flows which way.
 * Immutable once loaded; every look-up is O(1) (a short fixed table); any thread.
 *
 *     name: erab-1.2-draft
 *     pairs:       [{roles: [ac, ra], interface: r3, section: "3.6.3", one_firm: false}]
 *     originators: [{role: ac, interface: r3}]
 *     flows:       [{interface: r3, types: [dispatch], from: [ac], to: [ra], signed: true,
 *                    from_id_ends: .rest, to_id_ends: .direct}]     both *_id_ends optional */
#ifndef ERABI_PROFILE_H
#define ERABI_PROFILE_H

#include <erab/types.h>

#include "config/yaml.h"

struct erabi_profile;

struct erabi_profile_pair {
    enum erab_interface interface; /* ERAB_IF_NONE: these two may not talk */
    const char *section;           /* of the guideline, "" when none; borrowed */
    bool one_firm;                 /* only within one firm */
};

struct erabi_profile_flow {
    bool allowed;
    bool signed_required;
};

int erabi_profile_load(struct erabi_profile **out, const char *path, struct erabi_config_errors *errors);
void erabi_profile_free(struct erabi_profile *profile);
const char *erabi_profile_name(const struct erabi_profile *profile);

/* The order of the two roles does not matter. */
struct erabi_profile_pair erabi_profile_pair(const struct erabi_profile *profile, enum erab_role a, enum erab_role b);
bool erabi_profile_originates(const struct erabi_profile *profile, enum erab_role role, enum erab_interface interface);
/* What is not in the table is not allowed. The ids decide only where a flow names id endings. */
struct erabi_profile_flow erabi_profile_flow(const struct erabi_profile *profile, enum erab_type type,
                                             enum erab_interface interface, enum erab_role from, enum erab_role to,
                                             const char *from_id, const char *to_id);
#endif
