/* A link has opened: which connections may not stay. */
#include "broker.h"

#define NO_LINK_LEFT "no closed link is left on this key"

/* Does this key speak for one of the link's ends, there where the link is? */
static bool serves(const struct erabi_target *target, enum erab_interface interface,
                   const struct erabi_registry_party *const ends[2])
{
    const struct erabi_attachment *attachment = target->attachment;
    if (attachment->kind == ERABI_ATTACH_LOCAL ||
        (target->interface != ERAB_IF_NONE && target->interface != interface))
        return false;
    return (ends[0] && erabi_attachment_speaks_for(attachment, ends[0]->index)) ||
           (ends[1] && erabi_attachment_speaks_for(attachment, ends[1]->index));
}

/* Where a party is reached is nearly always all that there is to cut: it goes before all others are looked through. */
static void cut_outlet(struct erabi_broker *broker, const struct erabi_link *link,
                       const struct erabi_registry_party *const ends[2], const struct erabi_registry_party *end)
{
    struct erabi_target *target =
        end && end != erabi_registry_owner(broker->registry)
            ? erabi_pipeline_target(&broker->pipeline, end->index, link->interface, ERAB_BREAKER_NOTICE)
            : NULL;
    if (!target || (!target->connection[ERAB_LANES_COMMAND] && !target->connection[ERAB_LANES_TELEMETRY]) ||
        !serves(target, link->interface, ends) ||
        !erabi_breakers_all_open(&broker->pipeline, target->attachment, target->interface))
        return;
    for (int group = ERAB_LANES_COMMAND; group <= ERAB_LANES_TELEMETRY; group++) {
        struct erabi_session *s = target->connection[group] ? erabi_connection_user(target->connection[group]) : NULL;
        if (s && !s->cut)
            erabi_network_cut_session(broker, s, ERAB_REASON_BREAKER_OPEN, NO_LINK_LEFT);
    }
}

void erabi_network_trip(void *user, const struct erabi_link *link)
{
    struct erabi_broker *broker = user;
    const struct erabi_registry_party *const ends[2] = {erabi_registry_party(broker->registry, link->a),
                                                        erabi_registry_party(broker->registry, link->b)};
    const struct erabi_target *judged = NULL; /* a key has two connections, one verdict */
    bool cut = false;
    for (int i = 0; i < 2; i++)
        cut_outlet(broker, link, ends, ends[i]);
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        if (s->cut || !serves(s->target, link->interface, ends))
            continue;
        if (s->target != judged)
            cut = erabi_breakers_all_open(&broker->pipeline, s->target->attachment, s->target->interface);
        judged = s->target;
        if (cut)
            erabi_network_cut_session(broker, s, ERAB_REASON_BREAKER_OPEN, NO_LINK_LEFT);
    }
}
