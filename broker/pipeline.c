#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "passage.h"
#include "receipts.h"
#include "record.h"
#include "takers.h"

static enum step refuse(struct passage *p, enum erab_reason reason, const char *section, const char *detail)
{
    p->reason = reason;
    p->section = section;
    p->detail = detail;
    return REFUSE;
}

static enum erab_lane lane(const struct passage *p)
{
    return erab_type_lane(p->header.type);
}

/* ---- the steps, in order ---- */

static enum step step_decode(struct passage *p)
{
    enum erab_reason reason = ERAB_REASON_MALFORMED;
    if (p->header.version != 1)
        return refuse(p, ERAB_REASON_UNKNOWN_VERSION, "", "only version 1 of this type is known");
    if (p->header.sealed && (lane(p) == ERAB_LANE_COMMAND || p->header.type == ERAB_RECEIPT ||
                             p->header.type == ERAB_AUDIT_HEAD))
        return refuse(p, ERAB_REASON_NOT_SUPPORTED, "", "what this broker itself must read may not be sealed");
    if (p->header.sealed)
        return NEXT;
    if (erabi_body_scan(p->header.type, p->envelope.body, &p->seen, &reason))
        return refuse(p, reason, "", "a body that cannot be read");
    if (lane(p) == ERAB_LANE_TELEMETRY)
        return NEXT; /* only a policy may need its fields: step_judge asks them */
    reason = erabi_passage_unpack(p);
    return reason ? refuse(p, reason, "", "a body that cannot be read now") : NEXT;
}

static enum step step_from(struct passage *p)
{
    p->from = erabi_registry_party(p->pipeline->registry, p->header.from);
    if (!p->from || !erabi_attachment_speaks_for(p->attachment, p->from->index))
        return refuse(p, ERAB_REASON_FROM_NOT_YOURS, "3.6", "this key does not speak for the party named in from");
    if (p->from->revoked || p->attachment->revoked)
        return refuse(p, ERAB_REASON_REVOKED, "3.6", "the party is revoked");
    if (p->from->waiting)
        return refuse(p, ERAB_REASON_NOT_APPROVED, "3.6", "the party is not approved");
    if (!(p->attachment->types >> p->header.type & 1))
        return refuse(p, ERAB_REASON_TYPE_NOT_YOURS, "", "this attachment may not send the type");
    return NEXT;
}

static enum step step_deadline(struct passage *p)
{
    const struct erab_header *h = &p->header;
    uint64_t now = erabi_now_ms(p->pipeline->loop);
    if (h->expires_at_ms <= now || erabi_pipeline_voided(p->pipeline, h))
        return refuse(p, ERAB_REASON_EXPIRED, "", "");
    if (h->issued_at_ms > now + ERAB_CLOCK_AHEAD_MS)
        return refuse(p, ERAB_REASON_NOT_YET, "", "issued in the future: compare the clocks");
    if (h->issued_at_ms <= p->pipeline->issued_after_ms && lane(p) != ERAB_LANE_TELEMETRY && h->type != ERAB_RECEIPT)
        return refuse(p, ERAB_REASON_EXPIRED, "", "sent before the broker's journal was restored: send it anew");
    uint64_t life = lane(p) == ERAB_LANE_COMMAND ? ERABI_COMMAND_LIFE_MS : ERABI_OTHER_LIFE_MS;
    if (h->expires_at_ms <= h->issued_at_ms || h->expires_at_ms - h->issued_at_ms > life)
        return refuse(p, ERAB_REASON_LIFETIME, "", "longer than the lane allows");
    if (lane(p) == ERAB_LANE_COMMAND && !erabi_pipeline_ready(p->pipeline))
        return refuse(p, ERAB_REASON_NOT_READY, "", "the broker takes no commands now");
    return NEXT;
}

/* The broker's first receipt; a message to a group has its members' with it. */
static void answer(struct passage *p, enum erab_receipt_state state, enum erab_reason reason)
{
    struct erabi_receipt_why why = {state, reason, reason ? p->section : NULL, reason ? p->detail : NULL};
    const struct erabi_gather *gather =
        p->gather ? p->gather : erabi_gather_find(&p->pipeline->gathers, p->header.id);
    erabi_receipts_first(p->pipeline, p->source, &p->header, p->hash, gather, &why);
}

static enum step step_replay(struct passage *p)
{
    const struct erabi_marks_row *mark = erabi_marks_find(&p->pipeline->marks, p->header.id);
    if (mark) /* telemetry that was taken: it has no answer, the first time or again */
        return erabi_marks_is(mark, p->hash, p->from->index)
                   ? END
                   : refuse(p, ERAB_REASON_REPLAY, "3.6", "another message with this id was taken");
    struct erabi_known *known = erabi_known_find(&p->pipeline->known, p->header.id);
    if (!known)
        return erabi_passage_was_refused(p) ? REFUSE : NEXT;
    if (memcmp(known->hash, p->hash, ERAB_HASH_SIZE) != 0 || strcmp(known->from, p->header.from) != 0)
        return refuse(p, ERAB_REASON_REPLAY, "3.6", "another message with this id was taken");
    if (known->state == ERAB_REFUSED && erab_reason_retry(known->reason)) {
        erabi_known_forget(&p->pipeline->known, known); /* its recipient could not take it then: judged anew */
        return NEXT;
    }
    if (known->state != ERAB_QUEUED && p->header.type != ERAB_RECEIPT) /* QUEUED: the commit will answer */
        answer(p, known->state, known->reason);
    return END;
}

static enum step step_signature(struct passage *p)
{
    struct erabi_pipeline *pipeline = p->pipeline;
    if (p->envelope.signature.size) {
        size_t n;
        const erabi_key_bytes *keys = erabi_registry_sign_keys(pipeline->registry, p->header.from, &n);
        if (n == 0)
            return refuse(p, ERAB_REASON_SIGNER_UNKNOWN, "3.6", "no signature key of the sender is known");
        for (size_t i = 0; i < n && !p->is_signed; i++)
            p->is_signed = erabi_envelope_verify(p->envelope.header, p->envelope.body, p->envelope.signature, keys[i]);
        return p->is_signed ? NEXT : refuse(p, ERAB_REASON_SIGNATURE_BAD, "3.6", "");
    }
    /* Only this broker holds its owner's signature key: it signs for the owner's own applications. */
    if (p->attachment->kind == ERABI_ATTACH_LOCAL && p->from == erabi_registry_owner(pipeline->registry) &&
        lane(p) != ERAB_LANE_TELEMETRY && p->header.type != ERAB_RECEIPT) {
        erabi_envelope_sign(p->envelope.header, p->envelope.body, pipeline->owner->sign_secret, p->signature);
        p->envelope.signature = erabi_slice(p->signature, sizeof(p->signature));
        p->is_signed = true;
    }
    return NEXT;
}

static enum step route_group(struct passage *p)
{
    const struct erabi_config_group *group = erabi_pipeline_group(p->pipeline, p->header.to + 1);
    if (!group)
        return refuse(p, ERAB_REASON_GROUP_UNKNOWN, "", "");
    if (strcmp(group->owner, p->header.from) != 0)
        return refuse(p, ERAB_REASON_GROUP_NOT_YOURS, "", "only the group's owner may write to it");
    return erabi_passage_members(p, group) ? NEXT : refuse(p, ERAB_REASON_NOT_READY, "", "out of memory");
}

static enum step step_route(struct passage *p)
{
    if (p->header.to[0] == '@' && !erabi_passage_to_owner(p))
        return route_group(p);
    p->links = &p->one;
    p->links[0].to = erabi_passage_to_owner(p) ? erabi_registry_owner(p->pipeline->registry)
                                               : erabi_registry_party(p->pipeline->registry, p->header.to);
    p->n_links = 1;
    return p->links[0].to ? NEXT : refuse(p, ERAB_REASON_RECIPIENT_UNKNOWN, "", "");
}

/* The interface that the pair of parties makes; sets the link's reason when there is none for it here. */
static void link_interface(struct passage *p, struct link *link)
{
    struct erabi_profile_pair pair = erabi_profile_pair(p->pipeline->profile, p->from->role, link->to->role);
    bool one_firm = p->from->firm[0] && strcmp(p->from->firm, link->to->firm) == 0;
    link->interface = pair.interface;
    if (pair.interface == ERAB_IF_NONE || (pair.one_firm && !one_firm))
        link->reason = ERAB_REASON_NO_INTERFACE;
    else if (p->source->interface != ERAB_IF_NONE && p->source->interface != pair.interface)
        link->reason = ERAB_REASON_WRONG_INTERFACE;
}

/* What the broker takes itself, not an application of its owner. */
static bool taken_here(const struct passage *p)
{
    return (p->header.type == ERAB_AUDIT_HEAD || p->header.type == ERAB_PARTY_CARD) &&
           strcmp(p->header.to, p->pipeline->owner->party) == 0;
}

static void judge_link(struct passage *p, struct link *link)
{
    const char *from = p->header.from;
    if (!link->to || link->to->waiting) {
        link->reason = ERAB_REASON_RECIPIENT_UNKNOWN;
        return;
    }
    link_interface(p, link);
    if (!link->reason && p->pipeline->isolated >> link->interface & 1)
        link->reason = ERAB_REASON_BREAKER_OPEN;
    if (link->reason)
        return;
    struct erabi_profile_flow flow = erabi_profile_flow(p->pipeline->profile, p->header.type, link->interface,
                                                        p->from->role, link->to->role, from, link->to->id);
    if (!flow.allowed)
        link->reason = ERAB_REASON_FLOW_REFUSED;
    else if (flow.signed_required && !p->is_signed)
        link->reason = ERAB_REASON_SIGNATURE_MISSING;
    else if (link->to->revoked)
        link->reason = ERAB_REASON_BREAKER_OPEN;
    else if (erabi_passage_must_seal(p, link)) {
        link->reason = ERAB_REASON_CATEGORY_REFUSED;
        p->section = "3.7.2";
        p->detail = "what tells of a person is sealed to its recipient where this broker is neither end";
    } else
        erabi_passage_ask(p, link);
}

static void link_target(struct passage *p, struct link *link)
{
    if (link->reason)
        return;
    if ((p->waited && link->to->revoked) ||
        !erabi_breakers_pass(p->pipeline, p->from, link->to, link->interface, &p->header))
        link->reason = ERAB_REASON_BREAKER_OPEN;
    if (link->reason)
        return;
    if (taken_here(p)) {
        if (p->header.type == ERAB_PARTY_CARD)
            link->reason = p->body ? p->pipeline->check_card(p->pipeline->card_user, p->attachment, &p->header,
                                                             (const void *)p->body)
                                   : ERAB_REASON_NOT_SUPPORTED;
        return;
    }
    link->target = erabi_pipeline_target(p->pipeline, link->to->index, link->interface, p->header.type);
    if (!link->target) {
        link->reason = ERAB_REASON_RECIPIENT_UNKNOWN;
    } else if (erabi_target_hold(link->target, p->header.type, erabi_passage_size(p)) < 0) {
        link->reason = ERAB_REASON_QUEUE_FULL;
        p->detail = "the recipient's queue of this lane is full";
        erabi_breakers_full(p->pipeline, p->from, link->to, link->interface);
    } else {
        link->held = true;
    }
}

static enum step step_judge(struct passage *p)
{
    p->section = p->detail = "";
    p->judging = true;
    for (size_t i = 0; i < p->n_links; i++)
        judge_link(p, &p->links[i]);
    p->judging = false;
    if (p->n_waiting == 0)
        return NEXT;
    p->waited = true;
    erabi_passage_hold(p); /* when it fails, the votes are waited for all the same, and step_judged refuses */
    return WAIT;
}

static enum step step_judged(struct passage *p)
{
    enum erab_reason reason = p->waited ? erabi_passage_look_again(p) : ERAB_REASON_NONE;
    if (reason)
        return refuse(p, reason, reason == ERAB_REASON_REVOKED ? "3.6" : "", "while a policy thought about it");
    for (size_t i = 0; i < p->n_links; i++) {
        link_target(p, &p->links[i]);
        p->n_passed += p->links[i].reason == ERAB_REASON_NONE;
    }
    if (p->header.to[0] == '@' && !erabi_passage_gather(p))
        return refuse(p, ERAB_REASON_QUEUE_FULL, "", "too many members of groups are being waited for");
    if (p->n_passed)
        return NEXT;
    p->reason = p->n_links ? p->links[0].reason : ERAB_REASON_GROUP_UNKNOWN;
    return REFUSE;
}

/* An order without a parent comes from an originator; every other names a live one (a cancel or a restore
 * may name an ended one). What a party with a broker of its own received there is taken as reported. */
static enum step step_parent(struct passage *p)
{
    if (lane(p) != ERAB_LANE_COMMAND)
        return NEXT;
    enum erab_reason reason = erabi_order_window(p->header.type, p->body, erabi_now_ms(p->pipeline->loop));
    if (reason)
        return refuse(p, reason, "3.6.4", "an order has a start and, after it, an end that is still to come");
    reason = erabi_known_modification(&p->pipeline->known, &p->header, p->body);
    if (reason)
        return refuse(p, reason, "", "a higher modification of this order was accepted");
    enum erab_interface interface = ERAB_IF_NONE;
    for (size_t i = 0; i < p->n_links && interface == ERAB_IF_NONE; i++)
        interface = p->links[i].reason ? ERAB_IF_NONE : p->links[i].interface;
    bool may_originate = erabi_profile_originates(p->pipeline->profile, p->from->role, interface);
    bool restore = p->header.type == ERAB_DISPATCH_CANCEL ||
                   (p->header.type == ERAB_DEVICE_COMMAND &&
                    ((const Erab__V1__DeviceCommand *)(const void *)p->body)->action == ERAB__V1__DEVICE_ACTION__RESTORE);
    if (!p->header.has_parent)
        return may_originate ? NEXT : refuse(p, ERAB_REASON_PARENT_MISSING, "3.6", "this role passes orders on, it makes none");
    const struct erabi_known *parent = erabi_known_find(&p->pipeline->known, p->header.parent_id);
    if (!parent)
        return p->attachment->kind == ERABI_ATTACH_UPLINK
                   ? NEXT
                   : refuse(p, ERAB_REASON_PARENT_UNKNOWN, "3.6", "this broker never took the parent");
    reason = erabi_known_parent(parent, &p->header, restore, erabi_now_ms(p->pipeline->loop));
    return reason ? refuse(p, reason, "3.6", "the parent does not carry this order") : NEXT;
}

static void finish(struct passage *p);

static void on_committed(void *user, int result)
{
    struct passage *p = user;
    erabi_loop_read(p->pipeline->loop);
    p->pipeline->passages--;
    if (result < 0) {
        refuse(p, ERAB_REASON_STORAGE, "", "the journal could not keep it");
        p->cursor = SIZE_MAX;
    }
    erabi_passage_run(p);
}

/* A receipt is not waited for and leaves no mark: it may come again. */
static enum step store_receipt(struct passage *p)
{
    struct erabi_pipeline *pipeline = p->pipeline;
    const Erab__V1__Receipt *receipt = (const void *)p->body;
    if (!erabi_passage_hold(p))
        return refuse(p, ERAB_REASON_NOT_READY, "", "out of memory");
    if (erabi_passage_to_owner(p))
        p->links[0].target = erabi_receipts_way(pipeline, receipt, p->links[0].target);
    p->gathered = erabi_receipts_gathered(pipeline, &p->header, receipt);
    if (!p->gathered)
        erabi_passage_put(p, NULL); /* when the journal takes nothing it is passed on all the same */
    return NEXT;
}

static enum step step_store(struct passage *p)
{
    struct erabi_pipeline *pipeline = p->pipeline;
    if (p->header.type == ERAB_RECEIPT)
        return store_receipt(p);
    if (!p->known && !p->marked && !erabi_passage_hold(p))
        return refuse(p, ERAB_REASON_QUEUE_FULL, "", "too many messages are remembered");
    if (lane(p) == ERAB_LANE_TELEMETRY)
        return NEXT;
    erabi_known_order(p->known, p->body);
    if (p->attachment->kind == ERABI_ATTACH_LOCAL)
        p->known->source = p->attachment->party;
    if (pipeline->passages >= ERABI_PASSAGES_MAX)
        return refuse(p, ERAB_REASON_QUEUE_FULL, "", "too many messages wait for the journal");
    if (erabi_passage_put(p, on_committed) < 0)
        return refuse(p, ERAB_REASON_STORAGE, "", "the journal takes nothing now");
    p->stored = true;
    pipeline->passages++;
    return WAIT;
}

/* The commit was waited for: what opened meanwhile takes nothing more, and half-open takes one command. */
static void ask_breakers_again(struct passage *p)
{
    for (struct link *l = p->links; l < p->links + p->n_links; l++)
        if (!l->reason && !erabi_breakers_claim(p->pipeline, p->from, l->to, l->interface, &p->header, l->row)) {
            l->reason = ERAB_REASON_BREAKER_OPEN;
            p->n_passed--;
            if (p->gather)
                erabi_receipts_member(p->pipeline, p->gather, l->to->index, ERAB_REFUSED, ERAB_REASON_BREAKER_OPEN);
        }
}

static enum step step_accept(struct passage *p)
{
    struct erabi_pipeline *pipeline = p->pipeline;
    ask_breakers_again(p);
    if (p->n_passed == 0 && erabi_breakers_too_late(pipeline, &p->known))
        return refuse(p, ERAB_REASON_BREAKER_OPEN, "", "opened while the message was stored");
    bool here = erabi_passage_to_owner(p);
    enum erab_receipt_state state = here ? ERAB_DELIVERED : ERAB_ACCEPTED;
    p->reason = ERAB_REASON_NONE;
    if (p->known)
        p->known->state = state;
    if (lane(p) == ERAB_LANE_TELEMETRY)
        return NEXT;
    erabi_record_message(pipeline->audit, "message", &p->header, p->hash, erab_receipt_state_name(state),
                         ERAB_REASON_NONE, "", p->attachment->name);
    for (size_t i = 0; i < p->n_links; i++)
        if (p->links[i].reason && p->n_links > 1)
            erabi_record_link(pipeline->audit, &p->header, p->links[i].to ? p->links[i].to->id : "",
                              p->links[i].reason, p->attachment->name);
    if (p->header.type == ERAB_RECEIPT)
        return NEXT;
    erabi_followup_order(pipeline, p->known);
    answer(p, state, ERAB_REASON_NONE);
    if (p->gather) {
        p->gather->accepted = true;
        p->gather = NULL;
    }
    return NEXT;
}

/* The link was closed while the message waited for its commit: its sender is told. */
static bool late(struct passage *p, struct link *link)
{
    const struct erabi_attachment *a = link->target->attachment;
    if (!a->revoked && !(p->pipeline->isolated >> link->interface & 1))
        return false;
    struct erabi_delivery delivery = {.parcel = p->parcel, .party = link->to->index, .row = link->row};
    if (link->held)
        erabi_target_unhold(link->target, p->header.type, erabi_passage_size(p));
    link->held = false;
    erabi_followup_left(p->pipeline, &delivery, ERAB_REASON_BREAKER_OPEN);
    return true;
}

static enum step step_deliver(struct passage *p)
{
    struct erabi_pipeline *pipeline = p->pipeline;
    if (p->header.type == ERAB_DISPATCH_CANCEL)
        erabi_followup_cancel(pipeline, &p->header, (const void *)p->body);
    if (p->header.type == ERAB_RECEIPT && p->body)
        erabi_followup_receipt(pipeline, p->source, p->from, &p->header, (const void *)p->body);
    if (taken_here(p) && p->body) {
        if (p->header.type == ERAB_PARTY_CARD)
            pipeline->take_card(pipeline->card_user, p->attachment, &p->header, (const void *)p->body);
        else
            erabi_heads_take(pipeline, &p->header, (const void *)p->body);
        erabi_journal_outbox_done(pipeline->journal, p->links[0].row);
    }
    for (size_t i = 0; i < p->n_links; i++) {
        struct link *link = &p->links[i];
        if (link->reason || link->target == NULL || p->gathered)
            continue;
        erabi_takers_follow(pipeline, link->to->index, p->header.type, erabi_passage_size(p), &link->target);
        if (late(p, link))
            continue;
        link->held = false;
        if (erabi_breakers_push(pipeline, link->target, p->parcel, link->row, link->to, link->interface,
                                ERABI_PUSH_HELD) < 0) {
            erabi_record_link(pipeline->audit, &p->header, link->to->id, ERAB_REASON_QUEUE_FULL,
                              p->attachment->name);
            continue; /* what is stored stays so: told to the sender after a restart */
        }
        erabi_pipeline_pump(pipeline, link->target);
    }
    return END;
}

static enum step (*const steps[])(struct passage *p) = {
    step_decode, step_from,   step_deadline, step_replay, step_signature, step_route,
    step_judge,  step_judged, step_parent,   step_store,  step_accept,    step_deliver,
};

/* ---- the machinery around them ---- */

void erabi_passage_run(struct passage *p)
{
    enum step step = p->cursor == SIZE_MAX ? REFUSE : NEXT;
    while (step == NEXT && p->cursor < sizeof(steps) / sizeof(steps[0]))
        step = steps[p->cursor++](p);
    if (step == WAIT)
        return;
    if (step == REFUSE) {
        erabi_passage_forget(p);
        erabi_record_message(p->pipeline->audit, "refused", &p->header, p->hash, "refused", p->reason, p->section,
                             p->attachment->name);
        erabi_passage_keep_refusal(p);
        if (lane(p) == ERAB_LANE_TELEMETRY)
            erabi_receipts_shed(p->source, p->from, p->reason);
        else if (p->header.type != ERAB_RECEIPT)
            answer(p, ERAB_REFUSED, p->reason);
    }
    finish(p);
}

static void finish(struct passage *p)
{
    for (size_t i = 0; i < p->n_links; i++)
        if (p->links[i].held)
            erabi_target_unhold(p->links[i].target, p->header.type, erabi_passage_size(p));
    if (p->gather && p->stored) /* refused after its commit: told at once */
        erabi_journal_members_done(p->pipeline->journal, p->header.id);
    erabi_gather_free(&p->pipeline->gathers, p->gather);
    erab_body_free(p->body);
    erabi_parcel_unref(p->parcel);
    if (p->links != &p->one)
        free(p->links);
    erabi_snapshot_unref(p->snapshot);
    erabi_pool_give(&p->pipeline->passage_pool, p);
}

static void begin(struct erabi_pipeline *pipeline, struct erabi_target *source, const struct erab_header *header,
                  const struct erabi_envelope *envelope)
{
    struct passage *p = erabi_pool_take(&pipeline->passage_pool, sizeof(*p));
    if (!p)
        return; /* nothing was promised yet: the sender sends it again */
    *p = (struct passage){.pipeline = pipeline};
    p->snapshot = erabi_snapshot_ref(pipeline->snapshot);
    p->source = source;
    p->attachment = source->attachment;
    p->header = *header;
    p->envelope = *envelope;
    p->section = p->detail = "";
    erabi_envelope_hash(envelope->header, envelope->body, p->hash);
    erabi_passage_run(p);
}

void erabi_pipeline_receive(struct erabi_pipeline *pipeline, struct erabi_session *session,
                            const struct erab_header *header, const struct erabi_envelope *envelope)
{
    if (erabi_breakers_take(pipeline, session->target, header))
        begin(pipeline, session->target, header, envelope);
}

void erabi_pipeline_originate(struct erabi_pipeline *pipeline, const struct erab_header *header,
                              const struct erabi_envelope *envelope)
{
    struct erabi_target *self = erabi_pipeline_outlet(pipeline, &pipeline->self, ERAB_IF_NONE);
    if (self)
        begin(pipeline, self, header, envelope);
}
