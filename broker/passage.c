#include "passage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool erabi_passage_to_owner(const struct passage *p)
{
    return strcmp(p->header.to, p->pipeline->owner->party) == 0 ||
           (p->header.to[0] == '@' && p->attachment->kind == ERABI_ATTACH_UPLINK);
}

bool erabi_passage_must_seal(const struct passage *p, const struct link *link)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(p->pipeline->registry);
    bool personal = p->header.category == ERAB_PERSONAL || p->header.category == ERAB_SENSOR_HOME;
    return personal && !p->header.sealed && p->from != owner && link->to != owner;
}

size_t erabi_passage_size(const struct passage *p)
{
    const struct erabi_envelope *e = &p->envelope;
    return e->header.size + e->body.size + e->signature.size + ERABI_ENVELOPE_OVERHEAD;
}

bool erabi_passage_gather(struct passage *p)
{
    p->gather = erabi_gather_new(&p->pipeline->gathers, &p->header, p->hash, p->n_links);
    for (size_t i = 0; p->gather && i < p->n_links; i++)
        if (p->links[i].to)
            erabi_gather_add(p->gather, p->links[i].to->index, p->links[i].reason ? ERAB_REFUSED : ERAB_ACCEPTED,
                             p->links[i].reason);
    return p->gather != NULL;
}

bool erabi_passage_was_refused(struct passage *p)
{
    p->reason = erabi_refused_find(&p->pipeline->refused, p->header.id, p->hash);
    return p->reason != ERAB_REASON_NONE;
}

void erabi_passage_keep_refusal(const struct passage *p)
{
    if (p->reason == ERAB_REASON_BREAKER_OPEN && erab_type_lane(p->header.type) != ERAB_LANE_TELEMETRY)
        erabi_refused_add(&p->pipeline->refused, p->header.id, p->hash, p->reason);
}

/* The order that this message cancels, if it is the sender's. */
static const uint8_t *ended_by(const struct passage *p)
{
    const Erab__V1__DispatchCancel *cancel = (const void *)p->body;
    if (p->header.type != ERAB_DISPATCH_CANCEL || !cancel || cancel->dispatch_id.len != ERAB_ID_SIZE)
        return NULL;
    const struct erabi_known *order = erabi_known_find(&p->pipeline->known, cancel->dispatch_id.data);
    return order && strcmp(order->from, p->header.from) == 0 ? order->entry.id : NULL;
}

/* Until when the body stays: as long as an order may be referred to, and what its category adds; 0: nothing keeps it. */
static uint64_t keep_until(const struct passage *p)
{
    const struct erabi_config_retention *r = &p->pipeline->config->retention;
    const uint64_t seconds[] = {[ERAB_OPERATION] = r->operation, [ERAB_SENSOR_GROUP] = r->sensor_group,
                                [ERAB_SENSOR_HOME] = r->sensor_home, [ERAB_PERSONAL] = r->personal,
                                [ERAB_SECURITY] = r->security};
    uint64_t ends = p->known && p->known->ends_at_ms ? p->known->ends_at_ms + ERABI_KNOWN_AFTER_END_MS : 0;
    uint64_t more = (size_t)p->header.category < sizeof(seconds) / sizeof(seconds[0]) ? seconds[p->header.category] : 0;
    if (more == 0 || p->header.type == ERAB_RECEIPT)
        return ends;
    return (ends > p->header.expires_at_ms ? ends : p->header.expires_at_ms) + more * 1000;
}

int erabi_passage_put(struct passage *p, erabi_journal_done_fn done)
{
    struct erabi_pipeline *pipeline = p->pipeline;
    bool here = erabi_passage_to_owner(p);
    struct erabi_journal_recipient *recipients = calloc(p->n_links, sizeof(*recipients));
    if (!recipients)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < p->n_links; i++)
        if (p->links[i].to && (p->gather || !p->links[i].reason))
            recipients[n++] = (struct erabi_journal_recipient){
                .to = p->links[i].to->id,
                .state = p->links[i].reason ? ERAB_REFUSED : ERAB_ACCEPTED,
                .reason = p->links[i].reason};
    struct erabi_journal_entry entry = {.id = p->header.id,
                                        .hash = p->hash,
                                        .header = p->envelope.header,
                                        .body = p->envelope.body,
                                        .signature = p->envelope.signature,
                                        .from = p->header.from,
                                        .type = p->header.type,
                                        .state = here ? ERAB_DELIVERED : ERAB_ACCEPTED,
                                        .reason = ERAB_REASON_NONE,
                                        .expires_at_ms = p->header.expires_at_ms,
                                        .keep_until_ms = keep_until(p),
                                        .ended = ended_by(p),
                                        .recipients = recipients,
                                        .n_recipients = n,
                                        .group = p->gather != NULL};
    int r = erabi_journal_put(pipeline->journal, &entry, done, p);
    for (size_t i = 0, k = 0; i < p->n_links && r == 0; i++)
        if (p->links[i].to && (p->gather || !p->links[i].reason))
            p->links[i].row = recipients[k++].row;
    free(recipients);
    return r;
}
