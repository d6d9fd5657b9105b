/* What a breaker says to the other end of its link, when that is connected: the key of an adapter stays while it
 * serves other links, and must learn which of its parties is not to be used. Nobody else is told: which home was
 * stopped is nothing for the interfaces above. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "pipeline.h"

#define NOTICE_LIFE_MS 3600000u

static enum erab_reason reason_of(const struct erabi_availability *a)
{
    static const enum erab_reason reasons[ERABI_CAUSE_COUNT] = {
        [ERABI_CAUSE_TIME_OUTS] = ERAB_REASON_EXPIRED,
        [ERABI_CAUSE_OVERLOAD] = ERAB_REASON_QUEUE_FULL,
        [ERABI_CAUSE_FLOOD] = ERAB_REASON_QUOTA,
        [ERABI_CAUSE_FLAPPING] = ERAB_REASON_REPLACED,
        [ERABI_CAUSE_OPERATOR] = ERAB_REASON_BREAKER_OPEN,
    };
    return a->state == ERABI_BREAKER_CLOSED ? ERAB_REASON_NONE : reasons[a->cause];
}

static bool listens(struct erabi_pipeline *pipeline, const struct erabi_registry_party *peer,
                    const struct erabi_link *link)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(pipeline->registry);
    if (!erabi_profile_flow(pipeline->profile, ERAB_BREAKER_NOTICE, link->interface, owner->role, peer->role,
                            owner->id, peer->id)
             .allowed)
        return false;
    const struct erabi_target *target = erabi_pipeline_target(pipeline, peer->index, link->interface,
                                                              ERAB_BREAKER_NOTICE);
    return target && target->connection[ERAB_LANES_COMMAND];
}

void erabi_notices_send(struct erabi_pipeline *pipeline, const struct erabi_link *link)
{
    static const Erab__V1__BreakerState states[] = {
        [ERABI_BREAKER_CLOSED] = ERAB__V1__BREAKER_STATE__BREAKER_CLOSED,
        [ERABI_BREAKER_OPEN] = ERAB__V1__BREAKER_STATE__BREAKER_OPEN,
        [ERABI_BREAKER_HALF_OPEN] = ERAB__V1__BREAKER_STATE__BREAKER_TRIAL,
    };
    const char *owner = pipeline->owner->party;
    bool first = strcmp(link->a, owner) == 0;
    if (!first && strcmp(link->b, owner) != 0)
        return;
    const struct erabi_registry_party *peer = erabi_registry_party(pipeline->registry, first ? link->b : link->a);
    if (!peer || peer->revoked || !listens(pipeline, peer, link))
        return;
    uint64_t now = erabi_now_ms(pipeline->loop);
    struct erab_header header = {.type = ERAB_BREAKER_NOTICE,
                                 .category = ERAB_SECURITY,
                                 .issued_at_ms = now,
                                 .expires_at_ms = now + NOTICE_LIFE_MS,
                                 .seq = erabi_pipeline_next_seq(pipeline, peer->id),
                                 .version = 1};
    uint8_t bytes[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE];
    erab_id_new(header.id, now);
    erabi_copy_text(header.from, sizeof(header.from), owner);
    erabi_copy_text(header.to, sizeof(header.to), peer->id);
    Erab__V1__BreakerNotice body = ERAB__V1__BREAKER_NOTICE__INIT;
    body.local = (char *)(uintptr_t)owner;
    body.interface = (char *)(uintptr_t)erab_interface_name(link->interface);
    body.peer = (char *)(uintptr_t)peer->id;
    body.kind = ERAB__V1__BREAKER_KIND__AVAILABILITY;
    body.state = states[link->availability.state];
    body.at_ms = now;
    body.reason = (char *)(uintptr_t)erab_reason_code(reason_of(&link->availability));
    _free_ uint8_t *packed = NULL;
    size_t n;
    if (erab_body_pack(&body.base, &packed, &n) < 0)
        return;
    struct erabi_envelope envelope = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                                      .body = erabi_slice(packed, n),
                                      .signature = erabi_slice(signature, sizeof(signature))};
    erabi_envelope_sign(envelope.header, envelope.body, pipeline->owner->sign_secret, signature);
    erabi_pipeline_originate(pipeline, &header, &envelope);
}
