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
static enum erab_interface interface_of(const struct erabi_pipeline *pipeline, const struct erabi_registry_party *p,
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
            enum erab_interface has = interface_of(pipeline, p, q);
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

static void changed(struct erabi_pipeline *pipeline, struct erabi_link *link, enum erabi_breaker_change change,
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
    changed(pipeline, link, erabi_links_fact(pipeline->breakers.links, link, fact, mono(pipeline)), "broker");
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
    enum erab_interface interface = to ? interface_of(pipeline, from, to) : ERAB_IF_NONE;
    if (interface == ERAB_IF_NONE) {
        to = owner;
        interface = interface_of(pipeline, from, owner);
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
    if (!known) /* a receipt */
        return true;
    if (erab_type_lane(known->type) == ERAB_LANE_TELEMETRY) {
        erabi_known_forget(&pipeline->known, known);
        return true;
    }
    known->state = ERAB_REFUSED;
    known->reason = ERAB_REASON_BREAKER_OPEN;
    erabi_journal_answer(pipeline->journal, known->entry.id, ERAB_REFUSED, ERAB_REASON_BREAKER_OPEN);
    return true;
}

/* ---- time ---- */

static void on_change(void *user, struct erabi_link *link, enum erabi_breaker_change change)
{
    changed(user, link, change, "broker");
}

void erabi_breakers_tick(struct erabi_pipeline *pipeline)
{
    erabi_links_tick(pipeline->breakers.links, mono(pipeline), on_change, pipeline);
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

/* ---- operators ---- */

#define KEY_MAX (sizeof(ERABI_BREAKER_STATE) + 16 + 2 * (ERAB_PARTY_MAX + 1))

static int keep(struct erabi_pipeline *pipeline, const struct erabi_link *link, bool tripped)
{
    char key[KEY_MAX];
    uint8_t bytes[8 + ERABI_NOTE_MAX];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, erabi_now_ms(pipeline->loop));
    erabi_write_bytes(&w, link->note, strlen(link->note));
    snprintf(key, sizeof(key), ERABI_BREAKER_STATE "%s:%s:%s", erab_interface_name(link->interface), link->a, link->b);
    return erabi_journal_state(pipeline->journal, key, erabi_slice(bytes, tripped ? w.used : 0), NULL, NULL) < 0
               ? -EIO
               : 0;
}

int erabi_breakers_trip(struct erabi_pipeline *pipeline, const char *party, enum erab_interface interface,
                        const char *peer, const char *note)
{
    const struct erabi_registry_party *p = erabi_registry_party(pipeline->registry, party);
    const struct erabi_registry_party *q = erabi_registry_party(pipeline->registry, peer);
    if (!p || !q || interface == ERAB_IF_NONE || interface_of(pipeline, p, q) != interface)
        return -EINVAL;
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, party, interface, peer, mono(pipeline));
    if (!link)
        return -ENOSPC;
    enum erabi_breaker_change change = erabi_links_trip(pipeline->breakers.links, link, mono(pipeline));
    if (change || note[0])
        erabi_copy_text(link->note, sizeof(link->note), note);
    changed(pipeline, link, change, "operator");
    int r = keep(pipeline, link, true);
    return r < 0 ? r : !change;
}

int erabi_breakers_close(struct erabi_pipeline *pipeline, const char *party, enum erab_interface interface,
                         const char *peer)
{
    struct erabi_link *link = erabi_links_find(pipeline->breakers.links, party, interface, peer);
    if (!link)
        return 1;
    enum erabi_breaker_change change = erabi_links_close(pipeline->breakers.links, link, mono(pipeline));
    changed(pipeline, link, change, "operator");
    int r = keep(pipeline, link, false);
    return r < 0 ? r : !change;
}

int erabi_breakers_restore(struct erabi_pipeline *pipeline, const char *key, struct erabi_slice value)
{
    char text[KEY_MAX];
    struct erabi_reader r = erabi_reader(value.data, value.size);
    erabi_read_u64(&r);
    if (r.bad || r.left > ERABI_NOTE_MAX || !erabi_copy_text(text, sizeof(text), key + strlen(ERABI_BREAKER_STATE)))
        return -EBADMSG;
    char *rest = text;
    const char *words[3];
    for (size_t i = 0; i < 3; i++)
        words[i] = strsep(&rest, ":");
    enum erab_interface interface = words[2] ? erab_interface_from_name(words[0]) : ERAB_IF_NONE;
    if (interface == ERAB_IF_NONE || !erab_party_valid(words[1]) || !erab_party_valid(words[2]))
        return -EBADMSG;
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, words[1], interface, words[2], mono(pipeline));
    if (!link)
        return -ENOSPC;
    enum erabi_breaker_change change = erabi_links_trip(pipeline->breakers.links, link, mono(pipeline));
    size_t n = r.left;
    erabi_copy_bytes(link->note, erabi_read_slice(&r, n).data, n);
    link->note[n] = 0;
    changed(pipeline, link, change, "restored");
    return 0;
}
