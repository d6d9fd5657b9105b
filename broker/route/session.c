#include "route/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "route/answer.h"

static void send_alone(struct erabi_session *session, enum erab_lane_group group, struct erabi_parcel *parcel)
{
    uint8_t bytes[1024];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    if (parcel && erabi_packet_begin(&w, group) == 0 && erabi_packet_add(&w, &parcel->envelope) == 0)
        erabi_connection_send(session->connection, bytes, w.used);
    erabi_parcel_unref(parcel);
}

static void send_ping(const struct erabi_session_host *host, struct erabi_session *session)
{
    const char *to = host->peer_party(host->user, session);
    session->pinged_ms = host->mono_ms(host->user);
    send_alone(session, session->wanted,
               erabi_answer_ping(host->owner, to, host->next_seq(host->user, to), host->now_ms(host->user),
                                 ERABI_PING_ASKS, host->ready(host->user), 0));
}

struct erabi_session *erabi_session_new(const struct erabi_session_host *host, struct erabi_connection *connection,
                                        struct erabi_target *target, enum erab_lane_group dial_group)
{
    struct erabi_session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->connection = connection;
    session->target = target;
    session->dialled = dial_group != 0;
    session->wanted = dial_group;
    session->opened_ms = session->heard_ms = host->mono_ms(host->user);
    erabi_connection_set_user(connection, session);
    if (session->dialled)
        send_ping(host, session);
    return session;
}

void erabi_session_free(struct erabi_session *session)
{
    if (!session)
        return;
    erabi_target_unbind(session->target, session->connection);
    free(session);
}

static void bind_session(const struct erabi_session_host *host, struct erabi_session *session,
                         enum erab_lane_group group)
{
    session->group = group;
    struct erabi_connection *older = erabi_target_bind(session->target, group, session->connection);
    if (older)
        erabi_connection_cut(older, ERAB_REASON_REPLACED);
    host->on_bound(host->user, session);
}

/* The types that a Ping names; bits. */
static uint64_t types_of(const Erab__V1__Ping *ping)
{
    uint64_t types = 0;
    for (size_t i = 0; i < ping->n_takes; i++)
        types |= UINT64_C(1) << ping->takes[i];
    return types;
}

static void refuse_takes(const struct erabi_session_host *host, struct erabi_session *session,
                         const struct erab_header *header, const struct erabi_envelope *envelope,
                         enum erab_reason reason, const char *detail)
{
    uint8_t hash[ERAB_HASH_SIZE];
    erabi_envelope_hash(envelope->header, envelope->body, hash);
    struct erabi_answer a = {.owner = host->owner,
                             .to = header->from,
                             .seq = host->next_seq(host->user, header->from),
                             .now_ms = host->now_ms(host->user),
                             .about = header->id,
                             .about_hash = hash,
                             .state = ERAB_REFUSED,
                             .reason = reason,
                             .section = "",
                             .detail = detail};
    send_alone(session, ERAB_LANES_COMMAND, erabi_answer_receipt(&a));
}

/* What a Ping brings: the answer to it, and what its application takes. */
static void answer_ping(const struct erabi_session_host *host, struct erabi_session *session,
                        enum erab_lane_group group, uint64_t types, const struct erab_header *header,
                        const struct erabi_envelope *envelope)
{
    char detail[ERABI_SESSION_DETAIL] = "";
    enum erab_reason reason = ERAB_REASON_NONE;
    types = group == ERAB_LANES_COMMAND ? types : 0;
    if (group == ERAB_LANES_COMMAND && (types || !session->group))
        reason = host->on_takes(host->user, session, types, !session->group, detail);
    send_alone(session, group,
               erabi_answer_ping(host->owner, header->from, host->next_seq(host->user, header->from),
                                 host->now_ms(host->user), ERABI_PING_ANSWERS, host->ready(host->user),
                                 reason ? 0 : types));
    if (reason)
        refuse_takes(host, session, header, envelope, reason, detail);
}

/* True when the Ping is good; binds on the first one. */
static bool take_ping(const struct erabi_session_host *host, struct erabi_session *session,
                      enum erab_lane_group group, const struct erab_header *header,
                      const struct erabi_envelope *envelope)
{
    enum erab_reason reason;
    ProtobufCMessage *body = NULL;
    struct erab_bytes bytes = {envelope->body.data, envelope->body.size};
    if (erab_body_unpack(ERAB_PING, bytes, &body, &reason) != 0)
        return false;
    const Erab__V1__Ping *ping = (const void *)body;
    bool reply = ping->has_reply && ping->reply;
    bool good = ping->protocol == 1 && reply == session->dialled;
    uint64_t types = types_of(ping);
    erab_body_free(body);
    if (!good)
        return false;
    if (!session->dialled)
        answer_ping(host, session, group, types, header, envelope);
    if (!session->group)
        bind_session(host, session, group);
    return true;
}

static const char *take_envelope(const struct erabi_session_host *host, struct erabi_session *session,
                                 enum erab_lane_group group, const struct erabi_envelope *envelope,
                                 enum erab_reason *reason)
{
    struct erab_header header;
    *reason = ERAB_REASON_MALFORMED;
    if (erabi_header_decode(envelope->header, &header, reason) < 0)
        return "a header that cannot be read";
    if (header.type == ERAB_PING)
        return take_ping(host, session, group, &header, envelope) ? NULL : "a Ping that cannot be taken";
    if (!session->group) {
        *reason = ERAB_REASON_NOT_BOUND;
        return "the first message is not a Ping";
    }
    bool telemetry = erab_type_lane(header.type) == ERAB_LANE_TELEMETRY;
    if (header.type != ERAB_RECEIPT && telemetry != (group == ERAB_LANES_TELEMETRY)) {
        *reason = ERAB_REASON_WRONG_LANE;
        return "a type of the other lane group";
    }
    host->on_envelope(host->user, session, &header, envelope);
    return NULL;
}

void erabi_session_packet(const struct erabi_session_host *host, struct erabi_session *session,
                          struct erabi_slice packet)
{
    static _Thread_local struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    enum erab_lane_group group;
    size_t n;
    struct erabi_connection *connection = session->connection;
    session->heard_ms = host->mono_ms(host->user);
    if (erabi_packet_read(packet, &group, envelopes, &n) < 0) {
        host->on_offence(host->user, session, ERAB_REASON_MALFORMED, "a packet that cannot be read");
        return;
    }
    if ((session->group && group != session->group) || (session->dialled && group != session->wanted)) {
        host->on_offence(host->user, session, ERAB_REASON_WRONG_LANE, "another lane group than this connection's");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        enum erab_reason reason;
        const char *offence = take_envelope(host, session, group, &envelopes[i], &reason);
        if (offence)
            host->on_offence(host->user, session, reason, offence);
        /* A message may have had its own connection cut: nothing after it is processed. */
        if (offence || erabi_connection_user(connection) != session || session->cut)
            return;
    }
}

void erabi_session_tick(const struct erabi_session_host *host, struct erabi_session *session)
{
    uint64_t now = host->mono_ms(host->user);
    if (!session->group && now - session->opened_ms > ERABI_SESSION_BIND_MS)
        host->on_offence(host->user, session, ERAB_REASON_NOT_BOUND, "no Ping in time");
    else if (now - session->heard_ms > ERABI_SESSION_SILENCE_MS)
        host->on_offence(host->user, session, ERAB_REASON_HEARTBEAT_LOST, "nothing heard");
    else if (session->dialled && now - session->pinged_ms > ERABI_SESSION_PING_MS)
        send_ping(host, session);
}
