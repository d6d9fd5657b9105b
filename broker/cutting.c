/* A link has opened: which connections may not stay. */
#include "broker.h"

static bool serves(const struct erabi_broker *broker, const struct erabi_target *target, const struct erabi_link *link)
{
    const struct erabi_attachment *attachment = target->attachment;
    const struct erabi_registry_party *a = erabi_registry_party(broker->registry, link->a);
    const struct erabi_registry_party *b = erabi_registry_party(broker->registry, link->b);
    if (attachment->kind == ERABI_ATTACH_LOCAL ||
        (target->interface != ERAB_IF_NONE && target->interface != link->interface))
        return false;
    return (a && erabi_attachment_speaks_for(attachment, a->index)) ||
           (b && erabi_attachment_speaks_for(attachment, b->index));
}

void erabi_network_trip(void *user, const struct erabi_link *link)
{
    struct erabi_broker *broker = user;
    const struct erabi_target *judged = NULL; /* a key has two connections, one verdict */
    bool cut = false;
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        if (s->cut || !serves(broker, s->target, link))
            continue;
        if (s->target != judged)
            cut = erabi_breakers_all_open(&broker->pipeline, s->target->attachment, s->target->interface);
        judged = s->target;
        if (cut)
            erabi_network_cut_session(broker, s, ERAB_REASON_BREAKER_OPEN, "no closed link is left on this key");
    }
}
