/* The messages that this broker has accepted and that still matter: against replay, as live parents, and to
 * answer a retry with the same receipt. Receipts are not among them: one that comes again says nothing new; nor is
 * telemetry, which is not answered (marks.h). Loop thread. */
#ifndef ERABI_ROUTE_KNOWN_H
#define ERABI_ROUTE_KNOWN_H

#include <erab/message.h>

#include "base/id_table.h"

#define ERABI_KNOWN_MAX 1000000u
/* What one party's control messages may take of it, and all parties' together: the rest is for commands, which nothing
 * else can displace. */
#define ERABI_KNOWN_PARTY_MAX 400000u
#define ERABI_KNOWN_OTHER_MAX 800000u

/* Ended orders stay one hour longer, here and in the journal, for a cancel or a restore may still name them. */
#define ERABI_KNOWN_AFTER_END_MS 3600000u

struct erabi_known {
    struct erabi_id_entry entry;
    uint8_t hash[ERAB_HASH_SIZE];
    uint64_t expires_at_ms; /* of the message */
    uint64_t ends_at_ms;    /* of the order; 0 for what is no order */
    enum erab_type type;
    enum erab_receipt_state state; /* QUEUED until the commit */
    enum erab_reason reason;
    bool cancelled;
    bool exercise;
    char from[ERAB_PARTY_MAX + 1];
    char to[ERAB_ADDRESSEE_MAX + 1];
    uint8_t order[ERAB_ID_SIZE]; /* of a Dispatch: which order it is a version of */
    bool has_order;
    uint32_t modification;
    uint32_t source; /* index of the local application that sent it; UINT32_MAX: nobody local */
    uint32_t party;  /* index of the sender, charged for it; UINT32_MAX: nobody */
};

struct erabi_known_table {
    struct erabi_id_table ids;
    size_t cursor;
    struct erabi_id_table orders; /* the newest modification of each order that still matters */
    size_t orders_cursor;
    uint32_t *charged; /* by party index: entries that are no commands; the caller's, NULL: not counted */
    size_t others;     /* all that are no commands */
};

struct erabi_known *erabi_known_find(const struct erabi_known_table *table, const uint8_t id[ERAB_ID_SIZE]);
/* A new entry from a header, state QUEUED. NULL: the table is full or memory is out. */
struct erabi_known *erabi_known_add(struct erabi_known_table *table, const struct erab_header *header,
                                    const uint8_t hash[ERAB_HASH_SIZE]);
/* May this party have one more of this lane remembered? Then erabi_known_charge counts it. */
bool erabi_known_room(const struct erabi_known_table *table, enum erab_lane lane, uint32_t party);
void erabi_known_charge(struct erabi_known_table *table, struct erabi_known *known, uint32_t party);
/* Forgets an entry that was not accepted in the end. */
void erabi_known_forget(struct erabi_known_table *table, struct erabi_known *known);
/* Fills what orders add: end, order, modification. `body` is of the header's type, or NULL. */
void erabi_known_order(struct erabi_known *known, const ProtobufCMessage *body);

/* Has this order (Dispatch, DeviceCommand; other types pass) an end after its start, and is it still to come? */
enum erab_reason erabi_order_window(enum erab_type type, const ProtobufCMessage *body, uint64_t now_ms);

/* Is this the live (or for `ended_too` the ended) parent that a message of `child` may follow? */
enum erab_reason erabi_known_parent(const struct erabi_known *parent, const struct erab_header *child,
                                    bool ended_too, uint64_t now_ms);

/* Of a Dispatch: SUPERSEDED when a higher modification of the same order (from, to, order) was accepted. */
enum erab_reason erabi_known_modification(const struct erabi_known_table *table, const struct erab_header *header,
                                          const ProtobufCMessage *body);
/* An accepted Dispatch takes the place of the older version of its order: that one is cancelled and returned (it may be
 * `known` itself, when a higher one was accepted first). NULL: there was none. Out of memory: the older one lives on
 * to its own end. */
struct erabi_known *erabi_known_supersede(struct erabi_known_table *table, struct erabi_known *known);

/* Nothing can refer to it any more. */
bool erabi_known_over(const struct erabi_known *known, uint64_t now_ms);
/* Called once a second: forgets what is over, one sixtieth of the table a call, and short-lived telemetry as it ends. */
void erabi_known_tick(struct erabi_known_table *table, uint64_t now_ms);
void erabi_known_deinit(struct erabi_known_table *table);

#endif
