/* Policies at the other end of the way: a message about to leave, and orders that a restart brought back. */
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"
#include "record.h"

struct refusal {
    enum erab_reason reason;
    char section[16], detail[128];
};

bool erabi_egress_asks(void *user)
{
    const struct erabi_pipeline *pipeline = user;
    return erabi_policy_has(pipeline->policies, ERAB_STAGE_EGRESS);
}

/* Is what this party sends taken in by the local listener? */
static bool is_local(const struct erabi_pipeline *pipeline, const struct erabi_registry_party *from)
{
    const struct erabi_attachment *a = erabi_registry_attachment_of(pipeline->registry, from->index);
    return from == erabi_registry_owner(pipeline->registry) ||
           (a && (a->kind == ERABI_ATTACH_LOCAL || a->kind == ERABI_ATTACH_ADAPTER));
}

static struct erab_policy_request request_of(const struct erabi_pipeline *pipeline, uint32_t stage,
                                             const struct erab_header *header, const struct erabi_registry_party *from,
                                             const struct erabi_registry_party *to)
{
    return (struct erab_policy_request){
        .size = sizeof(struct erab_policy_request),
        .stage = stage,
        .interface = erabi_profile_pair(pipeline->profile, from->role, to->role).interface,
        .from_role = from->role,
        .to_role = to->role,
        .from = from->id,
        .to = to->id,
        .is_local = is_local(pipeline, from),
        .header = header,
        .now_ms = erabi_now_ms(pipeline->loop)};
}

/* Its texts may not last until the sender is told. Without memory for them the reason alone is told. */
static bool refuse(struct erabi_pipeline *pipeline, struct erabi_delivery *d, const struct erabi_policy_answer *answer,
                   const char *to)
{
    const struct erab_verdict *v = &answer->verdict;
    const struct erabi_attachment *a = d->target->attachment;
    struct refusal *r = d->refusal = malloc(sizeof(*r));
    if (r) {
        r->reason = v->reason;
        erabi_policy_text(r->section, sizeof(r->section), v->section);
        erabi_policy_text(r->detail, sizeof(r->detail), v->detail);
    }
    if (erab_type_lane(d->parcel->header.type) != ERAB_LANE_TELEMETRY)
        erabi_record_verdict(pipeline->audit, &d->parcel->header, to, answer->policy, v->reason, r ? r->section : "",
                             r ? r->detail : "", a->name);
    return false;
}

bool erabi_egress_leaves(void *user, struct erabi_delivery *d)
{
    struct erabi_pipeline *pipeline = user;
    const struct erab_header *header = &d->parcel->header;
    const struct erabi_envelope *e = &d->parcel->envelope;
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, header->from);
    const struct erabi_registry_party *to = erabi_registry_party_at(pipeline->registry, d->party);
    struct erabi_policy_answer answer = {
        .verdict = {.reason = ERAB_REASON_NOT_READY, .section = "", .detail = "out of memory"}, .policy = ""};
    if (!from || !to)
        return refuse(pipeline, d, &answer, to ? to->id : "");
    struct erab_policy_request request = request_of(pipeline, ERAB_STAGE_EGRESS, header, from, to);
    request.is_signed = e->signature.size > 0; /* it would not be here if it had been wrong */
    request.body_size = (uint32_t)e->body.size;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason;
    struct erab_bytes bytes = {e->body.data, e->body.size};
    bool needed = !header->sealed && erabi_policy_wants_body(pipeline->policies, &request);
    if (needed && erab_body_unpack(header->type, bytes, &body, &reason) != 0) /* it was read before */
        return refuse(pipeline, d, &answer, to->id);
    request.body = body;
    bool good = erabi_policy_permits(pipeline->policies, &request, pipeline->loop->mono_ms, &answer) ||
                refuse(pipeline, d, &answer, to->id);
    erab_body_free(body);
    return good;
}

void erabi_egress_refused(void *user, struct erabi_delivery *delivery)
{
    const struct refusal *r = delivery->refusal;
    erabi_followup_denied(user, delivery, r ? r->reason : ERAB_REASON_POLICY_DENIED, r ? r->section : "",
                          r ? r->detail : "");
}

static void recall(struct erabi_pipeline *pipeline, struct erab_policy_request *request,
                   const struct erabi_registry_party *from, const struct erabi_registry_party *to)
{
    struct erab_policy_request one = request_of(pipeline, ERAB_STAGE_INGRESS, request->header, from, to);
    one.is_signed = request->is_signed;
    one.body = request->body;
    one.body_size = request->body_size;
    erabi_policy_recall(pipeline->policies, &one);
}

/* All that it may have gone to: who stands in the configuration, and who was approved into it. */
static void recall_group(struct erabi_pipeline *pipeline, struct erab_policy_request *request,
                         const struct erabi_registry_party *from, const struct erabi_config_group *group)
{
    const struct erabi_registry_party *to;
    for (size_t i = 0; i < group->n_members; i++)
        if ((to = erabi_registry_party(pipeline->registry, group->members[i])))
            recall(pipeline, request, from, to);
    size_t most = erabi_registry_grouped(pipeline->registry);
    const struct erabi_registry_party **approved = calloc(most + 1, sizeof(*approved));
    size_t n = approved ? erabi_registry_group(pipeline->registry, group->id, approved, most) : 0;
    for (size_t i = 0; i < n; i++)
        recall(pipeline, request, from, approved[i]);
    free(approved);
}

void erabi_pipeline_recall(struct erabi_pipeline *pipeline, const struct erab_header *header,
                           const struct erabi_journal_mark *row, const ProtobufCMessage *body)
{
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, row->from);
    struct erab_policy_request request = {.header = header,
                                          .is_signed = row->signature.size > 0,
                                          .body = body,
                                          .body_size = (uint32_t)row->body.size};
    if (!from || row->state == ERAB_REFUSED ||
        (header->type != ERAB_DISPATCH && header->type != ERAB_DEVICE_COMMAND))
        return;
    if (header->to[0] != '@') {
        const struct erabi_registry_party *to = erabi_registry_party(pipeline->registry, header->to);
        if (to)
            recall(pipeline, &request, from, to);
        return;
    }
    const struct erabi_config_group *group = erabi_pipeline_group(pipeline, header->to + 1);
    if (group)
        recall_group(pipeline, &request, from, group);
}
