/* What happens later to what was accepted: it expires, it is dropped, its sender is told. */
#include <string.h>

#include "pipeline.h"
#include "record.h"

void erabi_pipeline_answer(struct erabi_pipeline *pipeline, struct erabi_target *target,
                           const struct erabi_answer *a)
{
    struct erabi_parcel *parcel = erabi_answer_receipt(a);
    if (parcel && erabi_target_push(target, parcel, 0) == 0)
        erabi_target_pump(target, pipeline->loop->mono_ms, erabi_now_ms(pipeline->loop));
    erabi_parcel_unref(parcel);
}

static void tell_sender(struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery,
                        enum erab_receipt_state state, enum erab_reason reason)
{
    const struct erab_header *h = &delivery->parcel->header;
    if (delivery->row > 0)
        erabi_journal_outbox_done(pipeline->journal, delivery->row);
    if (h->type == ERAB_RECEIPT || erab_type_lane(h->type) == ERAB_LANE_TELEMETRY)
        return;
    erabi_record_message(pipeline->audit, "outbox", h, delivery->parcel->hash, erab_receipt_state_name(state), reason,
                         "", "");
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, h->from);
    struct erabi_target *back = NULL;
    for (int i = ERAB_IF_R1; from && i < ERAB_IF_COUNT && !back; i++)
        back = erabi_pipeline_target(pipeline, from->index, (enum erab_interface)i, ERAB_RECEIPT);
    if (!back)
        return;
    struct erabi_answer a = {.owner = pipeline->owner->party,
                             .to = h->from,
                             .seq = erabi_pipeline_next_seq(pipeline, h->from),
                             .now_ms = erabi_now_ms(pipeline->loop),
                             .about = h->id,
                             .about_hash = delivery->parcel->hash,
                             .state = state,
                             .reason = reason,
                             .section = "",
                             .detail = ""};
    erabi_pipeline_answer(pipeline, back, &a);
}

void erabi_followup_denied(struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery)
{
    struct erabi_known *known = erabi_known_find(&pipeline->known, delivery->parcel->header.id);
    if (known && delivery->parcel->header.to[0] != '@') { /* the same bytes again get the same answer */
        known->state = ERAB_REFUSED;
        known->reason = ERAB_REASON_BREAKER_OPEN;
        erabi_journal_answer(pipeline->journal, delivery->parcel->header.id, ERAB_REFUSED, ERAB_REASON_BREAKER_OPEN);
    }
    tell_sender(pipeline, delivery, ERAB_REFUSED, ERAB_REASON_BREAKER_OPEN);
}

static void on_expired(void *user, struct erabi_delivery *delivery)
{
    erabi_breakers_expired(user, delivery);
    tell_sender(user, delivery, ERAB_EXPIRED, ERAB_REASON_EXPIRED);
}

struct dropping {
    struct erabi_pipeline *pipeline;
    enum erab_reason reason;
};

static void on_dropped(void *user, struct erabi_delivery *delivery)
{
    struct dropping *dropping = user;
    tell_sender(dropping->pipeline, delivery, ERAB_REFUSED, dropping->reason);
}

void erabi_pipeline_drop(struct erabi_pipeline *pipeline, struct erabi_target *target, enum erab_reason reason)
{
    struct dropping dropping = {pipeline, reason};
    erabi_target_deinit(target, on_dropped, &dropping);
}

void erabi_pipeline_tick(struct erabi_pipeline *pipeline)
{
    uint64_t now = erabi_now_ms(pipeline->loop);
    for (size_t i = 0; i < pipeline->n_targets; i++) {
        struct erabi_target *target = pipeline->targets[i];
        const struct erabi_attachment *attachment = target->attachment;
        erabi_target_tick(target, pipeline->loop->mono_ms, now, on_expired, pipeline);
        if (target->shed && attachment->n_speaks_for) {
            const char *to = erabi_registry_party_at(pipeline->registry, attachment->speaks_for[0])->id;
            struct erabi_answer a = {.owner = pipeline->owner->party,
                                     .to = to,
                                     .seq = erabi_pipeline_next_seq(pipeline, to),
                                     .now_ms = now,
                                     .state = ERAB_REFUSED,
                                     .reason = ERAB_REASON_QUEUE_FULL,
                                     .section = "",
                                     .detail = "telemetry shed or refused in the last second",
                                     .shed = (uint32_t)target->shed};
            target->shed = 0;
            erabi_pipeline_answer(pipeline, target, &a);
        }
    }
    erabi_known_tick(&pipeline->known, now);
    erabi_journal_tick(pipeline->journal, now);
}

void erabi_followup_cancel(struct erabi_pipeline *pipeline, const struct erab_header *header,
                           const Erab__V1__DispatchCancel *cancel)
{
    if (cancel->dispatch_id.len != ERAB_ID_SIZE)
        return;
    struct erabi_known *order = erabi_known_find(&pipeline->known, cancel->dispatch_id.data);
    if (order && strcmp(order->from, header->from) == 0) {
        order->cancelled = true;
        erabi_journal_cancelled(pipeline->journal, cancel->dispatch_id.data);
    }
}

void erabi_followup_receipt(struct erabi_pipeline *pipeline, struct erabi_target *source,
                            const Erab__V1__Receipt *receipt)
{
    if (!receipt->has_about || receipt->about.len != ERAB_ID_SIZE || receipt->state == ERAB__V1__RECEIPT_STATE__QUEUED)
        return;
    int64_t row = erabi_target_ack(source, receipt->about.data);
    if (row > 0)
        erabi_journal_outbox_done(pipeline->journal, row);
}
