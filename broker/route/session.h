/* A session: one connection from its opening on. It is bound to a lane group by the first Ping; from then on
 * its envelopes are handed up one by one. Liveness: a peer that says nothing at all for
 * ERABI_SESSION_SILENCE_MS is cut, for a stopped application may still have a libzmq that answers PING. */
#ifndef ERABI_ROUTE_SESSION_H
#define ERABI_ROUTE_SESSION_H

#include "route/target.h"

#define ERABI_SESSION_BIND_MS    10000u
#define ERABI_SESSION_SILENCE_MS 60000u
#define ERABI_SESSION_PING_MS    10000u
#define ERABI_SESSION_DETAIL     160

struct erabi_session {
    struct erabi_session *next;
    struct erabi_connection *connection;
    struct erabi_target *target;
    enum erab_lane_group group;   /* 0 until bound */
    bool dialled;                 /* we are the client here: we Ping first, the peer answers */
    enum erab_lane_group wanted;  /* dialled: the group to bind */
    uint64_t opened_ms, heard_ms; /* monotonic */
    uint64_t pinged_ms;
    bool enrolling; /* by an invitation's seed */
    unsigned refusals; /* while enrolling */
    enum erab_reason takes_refused; /* what its last Ping asked for to take; told in the audit once */
    bool cut; /* on its way out: nothing of it is processed any more */
};

/* What a session needs of the one above. */
struct erabi_session_host {
    void *user;
    const char *owner; /* party id of this broker's owner */
    uint64_t (*now_ms)(void *user);
    uint64_t (*mono_ms)(void *user);
    bool (*ready)(void *user);
    uint64_t (*next_seq)(void *user, const char *to);
    /* A Ping of the command connection names the types that its application takes (bits; 0: it names none). `first`: it
     * binds the connection. NONE, or why they are not given to it. */
    enum erab_reason (*on_takes)(void *user, struct erabi_session *session, uint64_t types, bool first,
                                 char detail[ERABI_SESSION_DETAIL]);
    /* One envelope that is not a Ping, borrowed. */
    void (*on_envelope)(void *user, struct erabi_session *session, const struct erab_header *header,
                        const struct erabi_envelope *envelope);
    /* The session is to be cut: say so in the audit, then cut the connection. */
    void (*on_offence)(void *user, struct erabi_session *session, enum erab_reason reason, const char *detail);
    void (*on_bound)(void *user, struct erabi_session *session);
    /* The party that a dialled session talks to. */
    const char *(*peer_party)(void *user, const struct erabi_session *session);
};

struct erabi_session *erabi_session_new(const struct erabi_session_host *host, struct erabi_connection *connection,
                                        struct erabi_target *target, enum erab_lane_group dial_group);
/* Unbinds and frees; the connection is gone or going. */
void erabi_session_free(struct erabi_session *session);
/* May end in on_offence. */
void erabi_session_packet(const struct erabi_session_host *host, struct erabi_session *session,
                          struct erabi_slice packet);
/* Once a second: Ping where we are the client, silence on both sides. */
void erabi_session_tick(const struct erabi_session_host *host, struct erabi_session *session);

#endif
