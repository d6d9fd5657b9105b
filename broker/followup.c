/* What happens later to what was accepted: it is answered, it expires, it is dropped, a newer order takes its place. */
#include <string.h>

#include "receipts.h"
#include "record.h"

static void left(struct erabi_pipeline *pipeline, struct erabi_delivery *delivery, enum erab_reason reason,
                 const char *section, const char *detail)
{
    const struct erab_header *h = &delivery->parcel->header;
    if (reason == ERAB_REASON_EXPIRED && !pipeline->voiding) /* else nobody failed to answer */
        erabi_breakers_expired(pipeline, delivery);
    if (erab_type_lane(h->type) == ERAB_LANE_TELEMETRY) {
        struct erabi_target *source = erabi_receipts_back(pipeline, h->from, delivery->party);
        if (source)
            erabi_receipts_shed(source, erabi_registry_party(pipeline->registry, h->from), reason);
    } else if (h->type != ERAB_RECEIPT) {
        struct erabi_receipt_why why = {reason == ERAB_REASON_EXPIRED ? ERAB_EXPIRED : ERAB_REFUSED, reason, section,
                                        detail};
        erabi_record_message(pipeline->audit, "outbox", h, delivery->parcel->hash, erab_receipt_state_name(why.state),
                             reason, section, "");
        erabi_receipts_later(pipeline, delivery, &why);
    }
    /* After the receipt in the journal's order: a crash between the two tells it twice and not never. */
    if (delivery->row > 0)
        erabi_journal_outbox_done(pipeline->journal, delivery->row);
}

void erabi_followup_left(void *user, struct erabi_delivery *delivery, enum erab_reason reason)
{
    left(user, delivery, reason, "", "");
}

void erabi_followup_denied(struct erabi_pipeline *pipeline, struct erabi_delivery *delivery, enum erab_reason reason,
                           const char *section, const char *detail)
{
    struct erabi_known *known = erabi_known_find(&pipeline->known, delivery->parcel->header.id);
    if (known && delivery->parcel->header.to[0] != '@') { /* the same bytes again get the same answer */
        known->state = ERAB_REFUSED;
        known->reason = reason;
        erabi_journal_answer(pipeline->journal, delivery->parcel->header.id, ERAB_REFUSED, reason);
    }
    if (delivery->parcel->header.to[0] != '@' && erab_reason_retry(reason)) /* telemetry: it may come again */
        erabi_marks_forget(&pipeline->marks, delivery->parcel->header.id, delivery->parcel->hash);
    left(pipeline, delivery, reason, section, detail);
}

void erabi_pipeline_drop(struct erabi_pipeline *pipeline, struct erabi_target *target, enum erab_reason reason)
{
    erabi_target_drop(target, NULL, NULL, reason);
}

void erabi_pipeline_tick(struct erabi_pipeline *pipeline)
{
    uint64_t now = erabi_now_ms(pipeline->loop);
    for (size_t i = 0; i < pipeline->n_targets; i++)
        erabi_target_tick(pipeline->targets[i], pipeline->loop->mono_ms, now);
    erabi_receipts_tick(pipeline, now);
    for (size_t i = 0; i < pipeline->n_targets; i++)
        erabi_receipts_summary(pipeline, pipeline->targets[i]);
    erabi_known_tick(&pipeline->known, now);
    erabi_marks_tick(&pipeline->marks, now);
    erabi_journal_tick(pipeline->journal, now);
}

void erabi_followup_cancel(struct erabi_pipeline *pipeline, const struct erab_header *header,
                           const Erab__V1__DispatchCancel *cancel)
{
    if (cancel->dispatch_id.len != ERAB_ID_SIZE)
        return;
    struct erabi_known *order = erabi_known_find(&pipeline->known, cancel->dispatch_id.data);
    if (order && strcmp(order->from, header->from) == 0)
        order->cancelled = true; /* the journal has it since the cancel's commit */
}

/* What was never written to this party is not sent any more. */
static bool recall(struct erabi_pipeline *pipeline, const struct erabi_known *older, uint32_t party)
{
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, older->from);
    const struct erabi_registry_party *to = erabi_registry_party_at(pipeline->registry, party);
    if (!from || !to)
        return false;
    enum erab_interface interface = erabi_profile_pair(pipeline->profile, from->role, to->role).interface;
    struct erabi_target *target = erabi_pipeline_target(pipeline, party, interface, older->type);
    return target && erabi_target_supersede(target, older->entry.id, party);
}

void erabi_followup_order(struct erabi_pipeline *pipeline, struct erabi_known *known)
{
    struct erabi_known *older = erabi_known_supersede(&pipeline->known, known);
    if (!older)
        return;
    erabi_journal_cancelled(pipeline->journal, older->entry.id);
    const struct erabi_gather *gather = erabi_gather_find(&pipeline->gathers, older->entry.id);
    for (size_t i = 0; gather && i < gather->n; i++)
        recall(pipeline, older, gather->members[i].party);
    const struct erabi_registry_party *to = erabi_registry_party(pipeline->registry, older->to);
    if (!gather && to && recall(pipeline, older, to->index)) { /* the same bytes again get the same answer */
        older->state = ERAB_REFUSED;
        older->reason = ERAB_REASON_SUPERSEDED;
        erabi_journal_answer(pipeline->journal, older->entry.id, ERAB_REFUSED, ERAB_REASON_SUPERSEDED);
    }
}

/* The recipient could not take it now, and its sender is told to try again: then it is no repetition. */
static void may_come_again(struct erabi_pipeline *pipeline, const struct erab_header *header,
                           const Erab__V1__Receipt *receipt, enum erab_reason reason)
{
    struct erabi_known *known = erabi_known_find(&pipeline->known, receipt->about.data);
    if (receipt->state != ERAB__V1__RECEIPT_STATE__REFUSED || !erab_reason_retry(reason) || !known ||
        known->state == ERAB_QUEUED || known->to[0] == '@' || strcmp(known->from, header->to) != 0)
        return;
    known->state = ERAB_REFUSED;
    known->reason = reason;
    erabi_journal_answer(pipeline->journal, receipt->about.data, ERAB_REFUSED, reason);
}

void erabi_followup_receipt(struct erabi_pipeline *pipeline, struct erabi_target *source,
                            const struct erabi_registry_party *from, const struct erab_header *header,
                            const Erab__V1__Receipt *receipt)
{
    if (!receipt->has_about || receipt->about.len != ERAB_ID_SIZE || receipt->state == ERAB__V1__RECEIPT_STATE__QUEUED)
        return;
    const uint8_t *hash =
        receipt->has_about_hash && receipt->about_hash.len == ERAB_HASH_SIZE ? receipt->about_hash.data : NULL;
    const struct erabi_attachment *attachment = source->attachment;
    int64_t row = 0;
    int found = erabi_target_ack(source, receipt->about.data, from->index, hash, &row);
    /* The owner of another broker answers for the parties behind it. */
    for (size_t i = 0; !found && i < attachment->n_speaks_for; i++)
        found = erabi_target_ack(source, receipt->about.data, attachment->speaks_for[i], hash, &row);
    struct erabi_gather *gather = erabi_gather_find(&pipeline->gathers, receipt->about.data);
    enum erab_reason reason = erab_reason_from_code(receipt->reason);
    if (reason == ERAB_REASON_COUNT)
        reason = ERAB_REASON_INTERNAL;
    if (found)
        may_come_again(pipeline, header, receipt, reason);
    if (gather && strcmp(gather->from, header->to) == 0 &&
        (!hash || memcmp(hash, gather->hash, ERAB_HASH_SIZE) == 0))
        erabi_receipts_member(pipeline, gather, from->index, (enum erab_receipt_state)receipt->state, reason);
    if (row > 0)
        erabi_journal_outbox_done(pipeline->journal, row);
}
