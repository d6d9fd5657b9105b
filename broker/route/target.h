/* A target: where messages leave to. One attachment (or uplink) on one interface, with its two connections
 * and its queues. Each lane has a queue and a budget of its own, so that nothing of one lane can take the room
 * of another; receipts have one too. Commands never wait behind telemetry: own queue, own connection. Loop
 * thread. */
#ifndef ERABI_ROUTE_TARGET_H
#define ERABI_ROUTE_TARGET_H

#include <sys/queue.h>

#include "base/id_table.h"
#include "breaker/links.h"
#include "route/parcel.h"
#include "transport/transport.h"

/* Room of one target by queue, in bytes and in messages. */
#define ERABI_TARGET_COMMAND_BYTES   (4u << 20)
#define ERABI_TARGET_CONTROL_BYTES   (2u << 20)
#define ERABI_TARGET_RECEIPT_BYTES   (2u << 20)
#define ERABI_TARGET_TELEMETRY_BYTES (1u << 20)
#define ERABI_TARGET_MESSAGES        8192u
/* Sent and not yet answered. */
#define ERABI_TARGET_COMMAND_WINDOW 256u
#define ERABI_TARGET_CONTROL_WINDOW 64u
/* An answer that does not come within this time makes us send the same bytes again, and once more after twice the time
 * each, up to the longest. A new connection begins anew. */
#define ERABI_TARGET_RETRY_MS     5000u
#define ERABI_TARGET_RETRY_MAX_MS 60000u
/* Receipts are never answered: they are kept this long after they were written, and written again when the
 * connection is replaced meanwhile. Longer than a heartbeat needs to find a dead connection. */
#define ERABI_TARGET_RECEIPT_KEEP_MS 20000u

enum erabi_queue_name {
    ERABI_QUEUE_COMMAND,
    ERABI_QUEUE_CONTROL,
    ERABI_QUEUE_RECEIPT,
    ERABI_QUEUE_TELEMETRY,
    ERABI_QUEUE_COUNT
};

TAILQ_HEAD(erabi_deliveries, erabi_delivery);
struct erabi_target;

struct erabi_delivery {
    struct erabi_id_entry entry; /* first; of commands and control messages: by message and party */
    TAILQ_ENTRY(erabi_delivery) place;
    struct erabi_deliveries *list; /* where it stands; NULL while somebody is told of it for the last time */
    struct erabi_target *target;
    struct erabi_delivery *link_next, **link_back; /* among all that waits for its link */
    struct erabi_link *link; /* that it goes over; NULL for the broker's own answers */
    struct erabi_parcel *parcel;
    uint32_t party;   /* index: to whom */
    int64_t row;      /* of the journal's outbox, 0 for what is not stored */
    uint64_t sent_ms; /* monotonic, 0 = not on this connection yet */
    unsigned tries;   /* on this connection */
    bool written;     /* on any connection, or perhaps before a restart: the recipient may have it */
    bool leaving;     /* since the start it was asked about, and written */
    struct erabi_pool *pool; /* that it came from */
    void *refusal;    /* of the gate, heap; freed with the delivery */
};

struct erabi_queue {
    struct erabi_deliveries list;
    size_t bytes, n;
    size_t held_bytes, held_n; /* room promised to messages that wait for the journal */
};

/* A delivery leaves without an answer; `delivery` is freed afterwards. `reason` says why: NONE (a receipt that
 * was told), EXPIRED, QUEUE_FULL (telemetry shed for newer), or what erabi_target_drop was given. */
typedef void (*erabi_left_fn)(void *user, struct erabi_delivery *delivery, enum erab_reason reason);

/* Who hears what became of deliveries at their link's breaker, and says whether they may leave. */
struct erabi_target_gate {
    void *user;
    void (*denied)(void *user, struct erabi_delivery *delivery);   /* its link is open: it is not sent, but freed */
    void (*answered)(void *user, struct erabi_delivery *delivery); /* the recipient has answered */
    /* Whether anybody asks before deliveries leave (NULL: nobody); then `leaves` is called for each that is about to,
     * the first time, receipts and what has no link excepted. False: it does not, `refused` is told, it is freed. */
    bool (*asks)(void *user);
    bool (*leaves)(void *user, struct erabi_delivery *delivery);
    void (*refused)(void *user, struct erabi_delivery *delivery);
};

struct erabi_target {
    struct erabi_id_entry entry; /* first; the pipeline's table of targets */
    const void *attachment;      /* the registry row of who is behind it; the caller's */
    enum erab_interface interface;
    struct erabi_connection *connection[3]; /* by lane group; NULL while not bound */
    struct erabi_queue queues[ERABI_QUEUE_COUNT];
    struct erabi_deliveries told; /* receipts written, counted in their queue's room */
    struct erabi_id_table ids;
    erabi_left_fn left;
    void *user;
    const struct erabi_target_gate *gate; /* may be NULL */
    /* What came from here and was not taken or not delivered, telemetry only, since the last summary. */
    uint64_t shed;
    enum erab_reason shed_reason;
    uint32_t shed_party; /* whose it was */
    bool says;           /* its application has said what it takes (takers.c) ... */
    uint64_t takes;      /* ... and was given this: bits 1 << enum erab_type */
    struct erabi_pool *pool; /* of its deliveries, the caller's; NULL: they are allocated */
    struct erabi_target *turn_next; /* among the pipeline's targets that are pumped at the end of the turn */
    bool in_turn;
    void *gone;          /* the caller's, for a target whose attachment has ended; NULL at first */
};

void erabi_target_init(struct erabi_target *target, const void *attachment, enum erab_interface interface,
                       erabi_left_fn left, void *user);
/* Frees what it holds and tells nobody. */
void erabi_target_deinit(struct erabi_target *target);
/* What `which` chooses of all that waits here (NULL: everything) leaves, told with `reason`. */
void erabi_target_drop(struct erabi_target *target, bool (*which)(void *user, const struct erabi_delivery *delivery),
                       void *user, enum erab_reason reason);

/* A connection for this lane group is there: what was sent on an older one is sent again. The older one is
 * returned (to be cut as replaced) or NULL. */
struct erabi_connection *erabi_target_bind(struct erabi_target *target, enum erab_lane_group group,
                                           struct erabi_connection *connection);
void erabi_target_unbind(struct erabi_target *target, const struct erabi_connection *connection);

enum erabi_queue_name erabi_target_queue(enum erab_type type);
/* Promises room for a command or control message of this size: 0, or -EAGAIN when the queue has none. The promise
 * is kept by erabi_target_push with ERABI_PUSH_HELD, or given back. Telemetry and receipts need none: 0. */
int erabi_target_hold(struct erabi_target *target, enum erab_type type, size_t size);
void erabi_target_unhold(struct erabi_target *target, enum erab_type type, size_t size);

enum erabi_push {
    ERABI_PUSH_CHECKED,  /* -EAGAIN when there is no room */
    ERABI_PUSH_HELD,     /* room was promised */
    ERABI_PUSH_RESTORED, /* was accepted before a restart: goes in whatever the room */
};
/* Queues a message for a party behind this target (takes a reference of its own). 0, -EAGAIN or -ENOMEM. Telemetry
 * instead sheds its oldest; a receipt first pushes out those already written. */
int erabi_target_push(struct erabi_target *target, struct erabi_parcel *parcel, uint32_t party, int64_t row,
                      enum erabi_push how);
/* The same over a link: while that is open nothing of it is sent but what its breaker itself says. */
int erabi_target_push_link(struct erabi_target *target, struct erabi_parcel *parcel, uint32_t party, int64_t row,
                           enum erabi_push how, struct erabi_link *link);
/* Takes everything that waits for this link out of all targets, in no time that depends on what else waits. */
void erabi_target_take_link(struct erabi_link *link, struct erabi_deliveries *taken);
/* Tells `each` of all that was taken, and frees it. */
void erabi_target_tell(struct erabi_deliveries *taken, void (*each)(void *user, struct erabi_delivery *delivery),
                       void *user);
/* This party has answered for this id: forgets it. 1 and its row (0 when it had none); 0 when it is not here, or when
 * `hash` (may be NULL) is that of other bytes. */
int erabi_target_ack(struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE], uint32_t party, const uint8_t *hash,
                     int64_t *row);
/* What waits here goes over to the target that `whither` names for it (NULL: it stays), in its order and
 * whatever the room there: it was accepted. How many went. */
size_t erabi_target_move(struct erabi_target *target,
                         struct erabi_target *(*whither)(void *user, const struct erabi_delivery *delivery), void *user);
/* Something newer has taken its place: when it was never written for this party, it leaves with SUPERSEDED and 1 is
 * returned. 0: it is not here, or the recipient may have it already and is waited for. */
int erabi_target_supersede(struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE], uint32_t party);
/* Fills packets while the connections take them. */
void erabi_target_pump(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms);
/* Once a second: what has expired leaves, what was not answered is due again. */
void erabi_target_tick(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms);

#endif
