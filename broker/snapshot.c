#include "snapshot.h"

#include <assert.h>
#include <stdlib.h>

struct erabi_snapshot *erabi_snapshot_new(struct erabi_config *config, struct erabi_profile *profile,
                                          struct erabi_registry *registry)
{
    struct erabi_snapshot *s = calloc(1, sizeof(*s));
    if (!s) {
        erabi_registry_free(registry);
        erabi_profile_free(profile);
        erabi_config_free(config);
        return NULL;
    }
    s->refs = 1;
    s->config = config;
    s->profile = profile;
    s->registry = registry;
    return s;
}

struct erabi_snapshot *erabi_snapshot_ref(struct erabi_snapshot *snapshot)
{
    snapshot->refs++;
    return snapshot;
}

void erabi_snapshot_unref(struct erabi_snapshot *s)
{
    if (!s)
        return;
    assert(s->refs);
    if (--s->refs)
        return;
    erabi_registry_free(s->registry);
    erabi_profile_free(s->profile);
    erabi_config_free(s->config);
    free(s);
}
