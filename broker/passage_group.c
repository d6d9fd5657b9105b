/* Whom a message to a group goes to: the members that the configuration names, there or not, and the parties that were
 * approved into it. Each once. */
#include <stdlib.h>

#include "passage.h"

static void add(struct passage *p, uint8_t *seen, const struct erabi_registry_party *member)
{
    uint8_t bit = (uint8_t)(1u << (member->index % 8));
    if (seen[member->index / 8] & bit)
        return;
    seen[member->index / 8] |= bit;
    p->links[p->n_links++].to = member;
}

bool erabi_passage_members(struct passage *p, const struct erabi_config_group *group)
{
    const struct erabi_registry *registry = p->pipeline->registry;
    size_t most = erabi_registry_grouped(registry);
    uint8_t *seen = calloc(erabi_registry_count(registry) / 8 + 1, 1);
    const struct erabi_registry_party **approved = calloc(most + 1, sizeof(*approved));
    p->links = calloc(group->n_members + most + 1, sizeof(*p->links));
    if (seen && approved && p->links) {
        for (size_t i = 0; i < group->n_members; i++) {
            const struct erabi_registry_party *member = erabi_registry_member(registry, group->members[i]);
            if (member)
                add(p, seen, member);
        }
        size_t n = erabi_registry_group(registry, group->id, approved, most);
        for (size_t i = 0; i < n; i++)
            add(p, seen, approved[i]);
    }
    bool good = seen && approved && p->links;
    free(approved);
    free(seen);
    return good;
}
