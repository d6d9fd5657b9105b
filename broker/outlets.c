/* Where messages leave the broker, and what of them comes back from the journal after a restart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

struct erabi_target *erabi_pipeline_outlet(struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                                           enum erab_interface interface)
{
    for (size_t i = 0; i < pipeline->n_targets; i++)
        if (pipeline->targets[i]->attachment == attachment && pipeline->targets[i]->interface == interface)
            return pipeline->targets[i];
    struct erabi_target **more = realloc(pipeline->targets, (pipeline->n_targets + 1) * sizeof(struct erabi_target *));
    if (!more)
        return NULL;
    pipeline->targets = more;
    struct erabi_target *target = malloc(sizeof(*target));
    if (!target)
        return NULL;
    erabi_target_init(target, attachment, interface);
    target->gate = &pipeline->breakers.gate;
    pipeline->targets[pipeline->n_targets++] = target;
    return target;
}

/* The local application of the owner that takes this type: the first one in the configuration. */
static const struct erabi_attachment *local_taker(const struct erabi_pipeline *pipeline, enum erab_type type)
{
    const struct erabi_config *config = pipeline->config;
    for (size_t i = 0; i < config->n_parties; i++) {
        const struct erabi_config_party *party = &config->parties[i];
        if (party->attachment.kind != ERABI_ATTACH_LOCAL || party->n_curve_keys == 0)
            continue;
        const struct erabi_attachment *a = erabi_registry_key(pipeline->registry, party->curve_keys[0]);
        if (a && !a->revoked && (a->types >> type & 1))
            return a;
    }
    return NULL;
}

struct erabi_target *erabi_pipeline_target(struct erabi_pipeline *pipeline, uint32_t party,
                                           enum erab_interface interface, enum erab_type type)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(pipeline->registry);
    if (party == owner->index) {
        const struct erabi_attachment *taker = local_taker(pipeline, type);
        return taker ? erabi_pipeline_outlet(pipeline, taker, ERAB_IF_NONE) : NULL;
    }
    struct erabi_target **slot = &pipeline->outlets[party * ERAB_IF_COUNT + interface];
    if (*slot)
        return *slot;
    const uint8_t *key = erabi_registry_key_of(pipeline->registry, party);
    const struct erabi_attachment *a = key ? erabi_registry_key(pipeline->registry, key) : NULL;
    if (!a)
        return NULL;
    bool local = a->kind == ERABI_ATTACH_ADAPTER || a->kind == ERABI_ATTACH_LOCAL;
    if (!local && a->interfaces && !(a->interfaces >> interface & 1))
        return NULL;
    *slot = erabi_pipeline_outlet(pipeline, a, local ? ERAB_IF_NONE : interface);
    return *slot;
}

uint64_t erabi_pipeline_next_seq(struct erabi_pipeline *pipeline, const char *to)
{
    const struct erabi_registry_party *party = erabi_registry_party(pipeline->registry, to);
    return party ? ++pipeline->seqs[party->index] : 1;
}

bool erabi_pipeline_ready(const struct erabi_pipeline *pipeline)
{
    return erabi_journal_writable(pipeline->journal) && !erabi_audit_failed(pipeline->audit) &&
           !pipeline->loop->clock.jumped;
}

int erabi_pipeline_restore_mark(struct erabi_pipeline *pipeline, const struct erabi_journal_mark *row)
{
    struct erab_header header = {.type = row->type, .expires_at_ms = row->expires_at_ms};
    enum erab_reason reason;
    if (row->header.size && erabi_header_decode(row->header, &header, &reason) < 0)
        return -EBADMSG;
    erabi_copy_bytes(header.id, row->id, ERAB_ID_SIZE);
    erabi_copy_text(header.from, sizeof(header.from), row->from);
    struct erabi_known *known = erabi_known_add(&pipeline->known, &header, row->hash);
    if (!known)
        return -ENOMEM;
    known->state = row->state;
    known->reason = row->reason;
    known->cancelled = row->cancelled;
    ProtobufCMessage *body = NULL;
    struct erab_bytes bytes = {row->body.data, row->body.size};
    if (erab_type_lane(row->type) == ERAB_LANE_COMMAND && row->body.size &&
        erab_body_unpack(row->type, bytes, &body, &reason) == 0)
        erabi_known_order(known, body);
    erab_body_free(body);
    return 0;
}

int erabi_pipeline_restore(struct erabi_pipeline *pipeline, const struct erabi_journal_pending *row)
{
    struct erabi_envelope envelope = {row->header, row->body, row->signature};
    struct erab_header header;
    enum erab_reason reason;
    if (erabi_header_decode(row->header, &header, &reason) < 0)
        return -EBADMSG;
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, header.from);
    const struct erabi_registry_party *to = erabi_registry_party(pipeline->registry, row->to);
    struct erabi_target *target = NULL;
    if (from && to && !from->revoked && !to->revoked) {
        struct erabi_profile_pair pair = erabi_profile_pair(pipeline->profile, from->role, to->role);
        if (pair.interface != ERAB_IF_NONE)
            target = erabi_pipeline_target(pipeline, to->index, pair.interface, header.type);
    }
    if (!target) /* the configuration has changed: what no link carries any more is not sent */
        return erabi_journal_outbox_done(pipeline->journal, row->row);
    struct erabi_parcel *parcel = erabi_parcel_new(&header, &envelope, row->hash);
    if (!parcel)
        return -ENOMEM;
    enum erab_interface interface = erabi_profile_pair(pipeline->profile, from->role, to->role).interface;
    int r = erabi_breakers_push(pipeline, target, parcel, row->row, to, interface);
    erabi_parcel_unref(parcel);
    return r;
}

void erabi_pipeline_deinit(struct erabi_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->n_targets; i++) {
        erabi_target_deinit(pipeline->targets[i], NULL, NULL);
        free(pipeline->targets[i]);
    }
    free(pipeline->targets);
    free(pipeline->outlets);
    free(pipeline->seqs);
    erabi_known_deinit(&pipeline->known);
    erabi_links_free(pipeline->breakers.links);
}
