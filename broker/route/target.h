/* A target: where messages leave to. One attachment (or uplink) on one interface, with its two connections
 * and its queues. Commands never wait behind telemetry: own queue, own connection. Loop thread. */
#ifndef ERABI_ROUTE_TARGET_H
#define ERABI_ROUTE_TARGET_H

#include "breaker/links.h"
#include "route/parcel.h"
#include "transport/transport.h"

/* Room of one target: command and control together, and telemetry. */
#define ERABI_TARGET_COMMAND_BYTES   (4u << 20)
#define ERABI_TARGET_TELEMETRY_BYTES (1u << 20)
/* Commands and control messages sent and not yet answered. */
#define ERABI_TARGET_WINDOW 256u
/* An answer that does not come within this time makes us send the same bytes again. */
#define ERABI_TARGET_RETRY_MS 5000u

struct erabi_delivery {
    struct erabi_delivery *next, **back; /* in its queue; back: what points here */
    struct erabi_queue *queue; /* NULL while somebody is told of it for the last time */
    struct erabi_delivery *link_next, **link_back; /* among all that waits for its link */
    struct erabi_parcel *parcel;
    struct erabi_link *link; /* that it goes over; NULL for the broker's own answers */
    int64_t row;      /* of the journal's outbox, 0 for what is not stored */
    uint64_t sent_ms; /* monotonic, 0 = not on this connection yet */
    bool acked_by_send; /* receipts: leave the queue once written */
};

struct erabi_queue {
    struct erabi_delivery *first, **last;
    size_t bytes;
    size_t n;
};
void erabi_queue_init(struct erabi_queue *queue);

/* Who hears what became of deliveries at their link's breaker. */
struct erabi_target_gate {
    void *user;
    void (*denied)(void *user, struct erabi_delivery *delivery);   /* its link is open: it is not sent, but freed */
    void (*answered)(void *user, struct erabi_delivery *delivery); /* the recipient has answered */
};

struct erabi_target {
    const struct erabi_target_gate *gate; /* may be NULL */
    const void *attachment; /* the registry row of who is behind it; the caller's */
    enum erab_interface interface;
    struct erabi_connection *connection[3]; /* by lane group; NULL while not bound */
    struct erabi_queue command, control, telemetry;
    uint64_t shed; /* telemetry thrown away since the last report */
};

void erabi_target_init(struct erabi_target *target, const void *attachment, enum erab_interface interface);
/* Drops everything; `each` (may be NULL) hears of every stored row dropped. */
void erabi_target_deinit(struct erabi_target *target, void (*each)(void *user, struct erabi_delivery *delivery),
                         void *user);

/* A connection for this lane group is there: what was sent on an older one is sent again. The older one is
 * returned (to be cut as replaced) or NULL. */
struct erabi_connection *erabi_target_bind(struct erabi_target *target, enum erab_lane_group group,
                                           struct erabi_connection *connection);
void erabi_target_unbind(struct erabi_target *target, const struct erabi_connection *connection);

/* Queues a message (takes a reference of its own). -EAGAIN: full (telemetry instead sheds its oldest). */
int erabi_target_push(struct erabi_target *target, struct erabi_parcel *parcel, int64_t row);
/* The same over a link: while that is open nothing of it is sent but what its breaker itself says. */
int erabi_target_push_link(struct erabi_target *target, struct erabi_parcel *parcel, int64_t row,
                           struct erabi_link *link);
/* Takes everything that waits for this link out of all targets, in no time that depends on what else waits. */
void erabi_target_take_link(struct erabi_link *link, struct erabi_queue *taken);
/* Tells `each` of all that was taken, and frees it. */
void erabi_target_tell(struct erabi_queue *taken, void (*each)(void *user, struct erabi_delivery *delivery), void *user);
/* The recipient has answered for this id: forgets it. Its row, 0 when it had none, -1 when it is not here. */
int64_t erabi_target_ack(struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE]);
/* Fills packets while the connections take them. */
void erabi_target_pump(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms);
/* Once a second: what has expired leaves (told to `expired` first), what was not answered is due again. */
void erabi_target_tick(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms,
                       void (*expired)(void *user, struct erabi_delivery *delivery), void *user);

#endif
