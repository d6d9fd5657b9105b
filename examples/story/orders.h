/* The orders that a party works on: modification, cancel, who below it got what. A bounded table. */
#ifndef STORY_ORDERS_H
#define STORY_ORDERS_H

#include "party.h"

#define STORY_ORDERS_MAX 16
#define STORY_SLOTS_MAX  96
#define STORY_ORDER_NAME 64
/* How long after its end an order still waits for results and refuses its own older versions. */
#define STORY_GRACE_MS 10000

struct story_child {
    uint8_t id[ERAB_ID_SIZE]; /* of the newest message sent for this order */
    bool sent;
    bool lost;  /* will not take part; told upward */
    bool final; /* APPLIED, REFUSED or EXPIRED */
    bool applied;
    bool has_result;
    enum erab_reason reason;
    Erab__V1__Outcome outcome;
    double achieved_kw;
};

struct story_slot {
    uint64_t start_ms, end_ms;
    int64_t watts;
    bool has_level;
    uint32_t level;
};

struct story_order {
    bool used, cancelled, answered, result_sent;
    char name[STORY_ORDER_NAME + 1];
    uint32_t modification;
    Erab__V1__DispatchMode mode;
    uint64_t start_ms, end_ms;
    struct erab_header header; /* of the newest Dispatch */
    uint8_t hash[ERAB_HASH_SIZE];
    size_t n_slots, slot_sent; /* slot_sent: index + 1 of the slot that the homes were last told of */
    struct story_slot slots[STORY_SLOTS_MAX];
    struct story_child children[STORY_MEMBERS_MAX];
    double sum_kw; /* of what was measured while it ran */
    uint32_t samples;
};

struct story_orders {
    struct story_order order[STORY_ORDERS_MAX];
};

/* A new order or a newer version of one. 0 with *out, or a reason. An older version that was not answered yet
 * is answered REFUSED superseded. */
int story_orders_take(struct story_party *party, struct story_orders *orders, const struct erab_message *message,
                      const Erab__V1__Dispatch *dispatch, struct story_order **out);
/* The order that a cancel ends, marked so. 0 with *out, or a reason. */
int story_orders_cancel(struct story_orders *orders, const struct erab_message *message,
                        const Erab__V1__DispatchCancel *cancel, struct story_order **out);
/* Runs now: not cancelled and not over. */
bool story_order_live(const struct story_order *order, uint64_t now_ms);
/* Frees places of orders that ended more than the grace time ago. */
void story_orders_sweep(struct story_orders *orders, uint64_t now_ms);
/* The child that a receipt or result is about; NULL when none. */
struct story_child *story_orders_child(struct story_orders *orders, const uint8_t id[ERAB_ID_SIZE],
                                       struct story_order **order);
/* Notes a receipt. True when it changed what is known of the child. */
bool story_child_receipt(struct story_child *child, const struct erab_receipt *receipt);
/* Answers the order's sender once all of the n children have come to an end of their own. */
void story_order_settle(struct story_party *party, struct story_order *order, size_t n);
/* The power of the slot that runs at this time; 0 outside. */
int64_t story_order_watts(const struct story_order *order, uint64_t now_ms);
/* Time-weighted mean of the slots, kW. */
double story_order_mean_kw(const struct story_order *order);
/* Tells the order's sender that this party takes part. */
void story_order_opt_in(struct story_party *party, const struct story_order *order);
/* Sends the Result upward, from what the children and the measurements say. */
void story_order_result(struct story_party *party, struct story_order *order, double achieved_kw, size_t n);
/* Tells upward that a child's share is not to be had. */
void story_order_lost(struct story_party *party, struct story_order *order, struct story_child *child,
                      int64_t share, int64_t left, enum erab_reason reason);

#endif
