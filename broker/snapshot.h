/* What the data plane reads: made whole on the side, then put in the place of the one before, between two messages.
 * A passage that waits (for a commit, for a policy) holds a reference to the one that it began with; what it points to
 * stays until then. References are counted on the loop thread alone. */
#ifndef ERABI_SNAPSHOT_H
#define ERABI_SNAPSHOT_H

#include "config/profile.h"
#include "identity/registry.h"

struct erabi_snapshot {
    size_t refs;
    struct erabi_config *config;
    struct erabi_profile *profile;
    struct erabi_registry *registry;
};

/* Takes over what it is given, also when it fails; one reference. NULL: no memory. */
struct erabi_snapshot *erabi_snapshot_new(struct erabi_config *config, struct erabi_profile *profile,
                                          struct erabi_registry *registry);
struct erabi_snapshot *erabi_snapshot_ref(struct erabi_snapshot *snapshot);
void erabi_snapshot_unref(struct erabi_snapshot *snapshot);

#endif
