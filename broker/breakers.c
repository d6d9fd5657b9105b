#include "breakers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "pipeline.h"
#include "record.h"

static uint64_t mono(const struct erabi_pipeline *pipeline)
{
    return pipeline->loop->mono_ms;
}

static const char *owner_id(const struct erabi_pipeline *pipeline)
{
    return pipeline->owner->party;
}

/* ---- which links there are ---- */

/* ERAB_IF_NONE: these two have none. */
enum erab_interface erabi_breakers_interface(const struct erabi_pipeline *pipeline, const struct erabi_registry_party *p,
                                             const struct erabi_registry_party *q)
{
    struct erabi_profile_pair pair = erabi_profile_pair(pipeline->profile, p->role, q->role);
    if (pair.interface == ERAB_IF_NONE || p == q || p->local || q->local)
        return ERAB_IF_NONE;
    bool one_firm = p->firm[0] && strcmp(p->firm, q->firm) == 0;
    return pair.one_firm && !one_firm ? ERAB_IF_NONE : pair.interface;
}

static bool reachable(const struct erabi_pipeline *pipeline, const struct erabi_registry_party *q,
                      enum erab_interface interface)
{
    if (q == erabi_registry_owner(pipeline->registry))
        return true;
    const struct erabi_attachment *a =
        q->revoked ? NULL : erabi_registry_attachment_of(pipeline->registry, q->index);
    return a && !a->revoked &&
           (a->kind == ERABI_ATTACH_ADAPTER || !a->interfaces || (a->interfaces >> interface & 1));
}

static bool any_flow(const struct erabi_pipeline *pipeline, const struct erabi_registry_party *p,
                     const struct erabi_registry_party *q, enum erab_interface interface)
{
    for (int t = 1; t <= ERAB_TYPE_MAX; t++) {
        enum erab_type type = (enum erab_type)t;
        if (erabi_profile_flow(pipeline->profile, type, interface, p->role, q->role, p->id, q->id).allowed ||
            erabi_profile_flow(pipeline->profile, type, interface, q->role, p->role, q->id, p->id).allowed)
            return true;
    }
    return false;
}

/* Each link that an attachment serves on an interface, until `each` says false. */
static void each_link(const struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                      enum erab_interface interface,
                      bool (*each)(void *user, const char *p, enum erab_interface interface, const char *q),
                      void *user)
{
    size_t n = erabi_registry_count(pipeline->registry);
    for (size_t i = 0; i < attachment->n_speaks_for; i++) {
        const struct erabi_registry_party *p = erabi_registry_party_at(pipeline->registry, attachment->speaks_for[i]);
        for (uint32_t k = 0; k < n; k++) {
            const struct erabi_registry_party *q = erabi_registry_party_at(pipeline->registry, k);
            enum erab_interface has = erabi_breakers_interface(pipeline, p, q);
            if (has == ERAB_IF_NONE || (interface != ERAB_IF_NONE && has != interface) ||
                !reachable(pipeline, q, has) || !any_flow(pipeline, p, q, has))
                continue;
            if (!each(user, p->id, has, q->id))
                return;
        }
    }
}

struct looking {
    const struct erabi_links *links;
    bool any, closed;
};

static bool is_open(void *user, const char *p, enum erab_interface interface, const char *q)
{
    struct looking *l = user;
    l->any = true;
    l->closed = !erabi_link_is_open(erabi_links_find(l->links, p, interface, q));
    return !l->closed;
}

bool erabi_breakers_all_open(const struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                             enum erab_interface interface)
{
    struct looking l = {.links = pipeline->breakers.links};
    if (erabi_links_open(l.links) == 0 || attachment->kind == ERABI_ATTACH_LOCAL)
        return false;
    each_link(pipeline, attachment, interface, is_open, &l);
    return l.any && !l.closed;
}

/* ---- what happens when one opens, and when it closes ---- */

static void on_denied(void *user, struct erabi_delivery *delivery)
{
    erabi_followup_denied(user, delivery, ERAB_REASON_BREAKER_OPEN, "", "");
}

void erabi_breakers_changed(struct erabi_pipeline *pipeline, struct erabi_link *link, enum erabi_breaker_change change,
                            const char *by)
{
    if (change == ERABI_CHANGE_NONE)
        return;
    erabi_record_breaker(pipeline->audit, link, owner_id(pipeline), by);
    if (change == ERABI_CHANGE_OPENED) {
        struct erabi_deliveries taken = TAILQ_HEAD_INITIALIZER(taken);
        erabi_target_take_link(link, &taken);
        pipeline->breakers.cut(pipeline->breakers.user, link);
        erabi_target_tell(&taken, on_denied, pipeline); /* it takes longest, and nobody waits for it */
    }
    erabi_notices_send(pipeline, link);
}

static void tell(struct erabi_pipeline *pipeline, struct erabi_link *link, enum erabi_breaker_fact fact)
{
    erabi_breakers_changed(pipeline, link, erabi_links_fact(pipeline->breakers.links, link, fact, mono(pipeline)), "broker");
}

/* ---- facts ---- */

/* Was it for the owner? Then its not being taken says nothing about the other end. */
static bool for_owner(const struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery)
{
    const struct erabi_link *link = delivery->link;
    const char *to = strcmp(link->a, delivery->parcel->header.from) == 0 ? link->b : link->a;
    return strcmp(to, owner_id(pipeline)) == 0;
}

static bool is_command(const struct erabi_delivery *delivery)
{
    return erab_type_lane(delivery->parcel->header.type) == ERAB_LANE_COMMAND;
}

static void on_answered(void *user, struct erabi_delivery *delivery)
{
    const struct erabi_link *link = delivery->link;
    if (link && (is_command(delivery) || link->availability.state == ERABI_BREAKER_CLOSED))
        tell(user, delivery->link, ERABI_FACT_ANSWERED);
}

void erabi_breakers_expired(struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery)
{
    if (delivery->link && is_command(delivery) && !for_owner(pipeline, delivery))
        tell(pipeline, delivery->link, ERABI_FACT_TIMED_OUT);
}

int erabi_breakers_push(struct erabi_pipeline *pipeline, struct erabi_target *target, struct erabi_parcel *parcel,
                        int64_t row, const struct erabi_registry_party *to, enum erab_interface interface,
                        enum erabi_push how)
{
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, parcel->header.from, interface, to->id,
                                              mono(pipeline));
    if (link)
        return erabi_target_push_link(target, parcel, to->index, row, how, link);
    if (how == ERABI_PUSH_HELD)
        erabi_target_unhold(target, parcel->header.type, erabi_parcel_size(parcel));
    return -EAGAIN; /* what could not be held back must not wait */
}

void erabi_breakers_full(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                         const struct erabi_registry_party *to, enum erab_interface interface)
{
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, from->id, interface, to->id, mono(pipeline));
    if (link && to != erabi_registry_owner(pipeline->registry))
        tell(pipeline, link, ERABI_FACT_QUEUE_FULL);
}

static bool reconnected(void *user, const char *p, enum erab_interface interface, const char *q)
{
    struct erabi_pipeline *pipeline = user;
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, p, interface, q, mono(pipeline));
    if (link)
        tell(pipeline, link, ERABI_FACT_RECONNECT);
    return true;
}

/* Runners have a back-off of their own, and one of them that starts again says nothing about each of its devices. */
void erabi_breakers_connected(struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                              enum erab_interface interface)
{
    if (attachment->kind == ERABI_ATTACH_SELF || attachment->kind == ERABI_ATTACH_UPLINK)
        each_link(pipeline, attachment, interface, reconnected, pipeline);
}

/* The link that a message counts for: its own where the connection may say so, else that of its key with the owner.
 * The key is proven; nothing else of the message is. */
static struct erabi_link *counted_link(struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                                       const struct erab_header *header)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(pipeline->registry);
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, header->from);
    const struct erabi_registry_party *to = erabi_registry_party(pipeline->registry, header->to);
    if (!from || !erabi_attachment_speaks_for(attachment, from->index)) {
        if (attachment->party == ERABI_PARTY_NONE)
            return NULL;
        from = erabi_registry_party_at(pipeline->registry, attachment->party);
    }
    enum erab_interface interface = to ? erabi_breakers_interface(pipeline, from, to) : ERAB_IF_NONE;
    if (interface == ERAB_IF_NONE) {
        to = owner;
        interface = erabi_breakers_interface(pipeline, from, owner);
    }
    return interface == ERAB_IF_NONE
               ? NULL
               : erabi_links_get(pipeline->breakers.links, from->id, interface, to->id, mono(pipeline));
}

bool erabi_breakers_take(struct erabi_pipeline *pipeline, const struct erabi_target *source,
                         const struct erab_header *header)
{
    const struct erabi_attachment *attachment = source->attachment;
    if (attachment->kind == ERABI_ATTACH_LOCAL)
        return true;
    struct erabi_link *link = counted_link(pipeline, attachment, header);
    if (!link)
        return true;
    bool was_open = erabi_link_is_open(link);
    tell(pipeline, link, ERABI_FACT_MESSAGE);
    if (!erabi_link_is_open(link))
        return true;
    /* A key that serves other links too stays connected: its flood costs a count, not an answer and a record each. */
    bool flood = link->availability.cause == ERABI_CAUSE_FLOOD &&
                 erabi_availability_floods(&link->availability, erabi_links_limits(pipeline->breakers.links));
    link->denied += was_open && flood;
    return was_open && !flood;
}

/* ---- the two questions of the pipeline ---- */

static bool judge(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                  const struct erabi_registry_party *to, enum erab_interface interface,
                  const struct erab_header *header, bool claim)
{
    struct erabi_link *link = erabi_links_find(pipeline->breakers.links, from->id, interface, to->id);
    if (!link || link->availability.state == ERABI_BREAKER_CLOSED)
        return true;
    if (header->type == ERAB_BREAKER_NOTICE && from == erabi_registry_owner(pipeline->registry))
        return true; /* what the breaker itself says */
    bool command = erab_type_lane(header->type) == ERAB_LANE_COMMAND;
    uint64_t now = erabi_now_ms(pipeline->loop);
    uint64_t life = header->expires_at_ms > now ? header->expires_at_ms - now : 0;
    bool good = claim ? erabi_availability_claim(&link->availability, command, life, mono(pipeline))
                      : erabi_availability_passes(&link->availability, command);
    link->denied += !good;
    return good;
}

bool erabi_breakers_pass(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                         const struct erabi_registry_party *to, enum erab_interface interface,
                         const struct erab_header *header)
{
    return judge(pipeline, from, to, interface, header, false);
}

bool erabi_breakers_claim(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                          const struct erabi_registry_party *to, enum erab_interface interface,
                          const struct erab_header *header, int64_t row)
{
    bool good = judge(pipeline, from, to, interface, header, true);
    if (!good && row)
        erabi_journal_outbox_done(pipeline->journal, row);
    return good;
}

bool erabi_breakers_too_late(struct erabi_pipeline *pipeline, struct erabi_known **taken)
{
    struct erabi_known *known = erabi_take(*taken);
    if (!known) /* a receipt, or telemetry */
        return true;
    known->state = ERAB_REFUSED;
    known->reason = ERAB_REASON_BREAKER_OPEN;
    erabi_journal_answer(pipeline->journal, known->entry.id, ERAB_REFUSED, ERAB_REASON_BREAKER_OPEN);
    return true;
}

/* ---- time ---- */

static void on_change(void *user, struct erabi_link *link, enum erabi_breaker_change change)
{
    erabi_breakers_changed(user, link, change, "broker");
}

void erabi_breakers_tick(struct erabi_pipeline *pipeline)
{
    erabi_links_tick(pipeline->breakers.links, mono(pipeline), on_change, pipeline);
    erabi_breakers_keep_owed(pipeline);
}

int erabi_breakers_init(struct erabi_pipeline *pipeline, void (*cut)(void *user, const struct erabi_link *link),
                        void *user)
{
    struct erabi_availability_limits limits = erabi_availability_usual;
    limits.messages_per_second = (uint32_t)pipeline->config->limits.link_messages_per_second;
    pipeline->breakers = (struct erabi_breakers){
        .gate = {.user = pipeline, .denied = on_denied, .answered = on_answered, .asks = erabi_egress_asks,
                 .leaves = erabi_egress_leaves, .refused = erabi_egress_refused},
        .cut = cut, .user = user};
    return erabi_links_new(&pipeline->breakers.links, &limits, 0);
}
