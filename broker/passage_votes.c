/* The passage asks the policies, and waits where one of them votes later. */
#include "passage.h"
#include "privacy_seen.h"
#include "record.h"

static void take_vote(struct passage *p, struct link *link, const struct erabi_policy_answer *vote)
{
    if (vote->verdict.vote == ERAB_ALLOW)
        return;
    link->reason = vote->verdict.reason;
    erabi_policy_text(p->kept_section, sizeof(p->kept_section), vote->verdict.section);
    erabi_policy_text(p->kept_detail, sizeof(p->kept_detail), vote->verdict.detail);
    p->section = p->kept_section;
    p->detail = p->kept_detail;
    if (erab_type_lane(p->header.type) != ERAB_LANE_TELEMETRY)
        erabi_record_verdict(p->pipeline->audit, &p->header, link->to->id, vote->policy, link->reason, p->section,
                             p->detail, p->attachment->name);
}

static void on_vote(void *user, const struct erabi_policy_answer *vote)
{
    struct link *link = user;
    struct passage *p = link->passage;
    erabi_loop_read(p->pipeline->loop);
    take_vote(p, link, vote);
    p->n_waiting--;
    if (p->n_waiting == 0 && !p->judging)
        erabi_passage_run(p);
}

enum erab_reason erabi_passage_unpack(struct passage *p)
{
    enum erab_reason reason = ERAB_REASON_NONE;
    int r = erabi_body_unpack_scanned(p->header.type, p->envelope.body, &p->body, &reason);
    return r < 0 ? ERAB_REASON_NOT_READY : r ? reason : ERAB_REASON_NONE;
}

/* The body, unless nobody wants it: then what is in it. */
static enum erab_reason show_body(struct passage *p, struct erab_policy_request *request)
{
    if (!p->body && !p->header.sealed) {
        request->categories = erabi_privacy_seen(&p->seen, p->header.category, &request->has_members);
        enum erab_reason reason = erabi_policy_wants_body(p->pipeline->policies, request) ? erabi_passage_unpack(p)
                                                                                          : ERAB_REASON_NONE;
        if (reason)
            return reason;
    }
    request->body = p->body;
    return ERAB_REASON_NONE;
}

void erabi_passage_ask(struct passage *p, struct link *link)
{
    struct erab_policy_request request = {.size = sizeof(request),
                                          .stage = ERAB_STAGE_INGRESS,
                                          .interface = link->interface,
                                          .from_role = p->from->role,
                                          .to_role = link->to->role,
                                          .from = p->from->id,
                                          .to = link->to->id,
                                          .is_signed = p->is_signed,
                                          .is_local = p->source->interface == ERAB_IF_NONE,
                                          .header = &p->header,
                                          .now_ms = erabi_now_ms(p->pipeline->loop),
                                          .body_size = (uint32_t)p->envelope.body.size};
    struct erabi_policy_answer vote;
    link->passage = p;
    link->reason = show_body(p, &request);
    if (link->reason)
        return;
    if (erabi_policy_judge(p->pipeline->policies, &request, p->pipeline->loop->mono_ms, on_vote, link, &vote))
        p->n_waiting++;
    else
        take_vote(p, link, &vote);
}

bool erabi_passage_hold(struct passage *p)
{
    struct erabi_known_table *table = &p->pipeline->known;
    if (!p->parcel)
        p->parcel = erabi_parcel_from(&p->pipeline->parcel_pool, &p->header, &p->envelope, p->hash);
    if (!p->parcel)
        return false;
    p->envelope = p->parcel->envelope;
    if (p->header.type == ERAB_RECEIPT)
        return true;
    if (erab_type_lane(p->header.type) == ERAB_LANE_TELEMETRY) {
        p->marked = p->marked || erabi_marks_add(&p->pipeline->marks, &p->header, p->hash, p->from->index);
        return p->marked;
    }
    if (erabi_known_room(table, erab_type_lane(p->header.type), p->from->index))
        p->known = erabi_known_add(table, &p->header, p->hash);
    if (p->known)
        erabi_known_charge(table, p->known, p->from->index);
    return p->known;
}

void erabi_passage_forget(struct passage *p)
{
    if (p->known)
        erabi_known_forget(&p->pipeline->known, p->known);
    if (p->marked)
        erabi_marks_forget(&p->pipeline->marks, p->header.id, p->hash);
    p->known = NULL;
    p->marked = false;
}

enum erab_reason erabi_passage_look_again(const struct passage *p)
{
    if (!p->parcel || (!p->known && !p->marked && p->header.type != ERAB_RECEIPT))
        return ERAB_REASON_QUEUE_FULL; /* too many messages are remembered */
    if (p->header.expires_at_ms <= erabi_now_ms(p->pipeline->loop))
        return ERAB_REASON_EXPIRED;
    if (p->from->revoked || p->attachment->revoked)
        return ERAB_REASON_REVOKED;
    return p->known && p->known->cancelled ? ERAB_REASON_CANCELLED : ERAB_REASON_NONE;
}
