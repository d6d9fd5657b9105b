#include "route/target_parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t room_bytes[ERABI_QUEUE_COUNT] = {
    [ERABI_QUEUE_COMMAND] = ERABI_TARGET_COMMAND_BYTES,
    [ERABI_QUEUE_CONTROL] = ERABI_TARGET_CONTROL_BYTES,
    [ERABI_QUEUE_RECEIPT] = ERABI_TARGET_RECEIPT_BYTES,
    [ERABI_QUEUE_TELEMETRY] = ERABI_TARGET_TELEMETRY_BYTES,
};

enum erabi_queue_name erabi_target_queue(enum erab_type type)
{
    if (type == ERAB_RECEIPT)
        return ERABI_QUEUE_RECEIPT;
    switch (erab_type_lane(type)) {
    case ERAB_LANE_COMMAND:
        return ERABI_QUEUE_COMMAND;
    case ERAB_LANE_CONTROL:
        return ERABI_QUEUE_CONTROL;
    default:
        return ERABI_QUEUE_TELEMETRY;
    }
}

enum erabi_queue_name erabi_delivery_queue(const struct erabi_delivery *delivery)
{
    return erabi_target_queue(delivery->parcel->header.type);
}

/* Only what is answered is looked for by id. */
static bool answered(enum erabi_queue_name name)
{
    return name == ERABI_QUEUE_COMMAND || name == ERABI_QUEUE_CONTROL;
}

/* One message may go to several parties behind one target: the party is mixed into the key. */
static void key_of(const uint8_t id[ERAB_ID_SIZE], uint32_t party, uint8_t key[ERAB_ID_SIZE])
{
    erabi_copy_bytes(key, id, ERAB_ID_SIZE);
    for (int i = 0; i < 4; i++)
        key[ERAB_ID_SIZE - 1 - i] ^= (uint8_t)(party >> (8 * i));
}

static void charge(struct erabi_queue *queue, const struct erabi_delivery *delivery)
{
    queue->bytes += erabi_parcel_size(delivery->parcel);
    queue->n++;
}

void erabi_target_take_out(struct erabi_target *target, struct erabi_deliveries *list, struct erabi_delivery *delivery)
{
    enum erabi_queue_name name = erabi_delivery_queue(delivery);
    TAILQ_REMOVE(list, delivery, place);
    delivery->list = NULL;
    if (answered(name))
        erabi_id_table_remove(&target->ids, &delivery->entry);
    target->queues[name].bytes -= erabi_parcel_size(delivery->parcel);
    target->queues[name].n--;
}

static void wait_for(struct erabi_delivery *delivery, struct erabi_link *link)
{
    delivery->link = erabi_link_ref(link);
    if (!link)
        return;
    delivery->link_next = link->waiting;
    delivery->link_back = &link->waiting;
    if (link->waiting)
        link->waiting->link_back = &delivery->link_next;
    link->waiting = delivery;
}

static void wait_no_more(struct erabi_delivery *delivery)
{
    if (!delivery->link)
        return;
    *delivery->link_back = delivery->link_next;
    if (delivery->link_next)
        delivery->link_next->link_back = delivery->link_back;
    erabi_link_unref(delivery->link);
}

void erabi_delivery_free(struct erabi_delivery *delivery)
{
    erabi_parcel_unref(delivery->parcel);
    wait_no_more(delivery);
    free(delivery->refusal);
    erabi_pool_give(delivery->pool, delivery);
}

void erabi_target_leave(struct erabi_target *target, struct erabi_deliveries *list, struct erabi_delivery *delivery,
                        enum erab_reason reason)
{
    erabi_target_take_out(target, list, delivery);
    if (target->left)
        target->left(target->user, delivery, reason);
    erabi_delivery_free(delivery);
}

void erabi_target_init(struct erabi_target *target, const void *attachment, enum erab_interface interface,
                       erabi_left_fn left, void *user)
{
    *target = (struct erabi_target){.attachment = attachment, .interface = interface, .left = left, .user = user};
    for (int i = 0; i < ERABI_QUEUE_COUNT; i++)
        TAILQ_INIT(&target->queues[i].list);
    TAILQ_INIT(&target->told);
}

static void free_list(struct erabi_target *target, struct erabi_deliveries *list)
{
    struct erabi_delivery *d;
    while ((d = TAILQ_FIRST(list))) {
        erabi_target_take_out(target, list, d);
        erabi_delivery_free(d);
    }
}

void erabi_target_deinit(struct erabi_target *target)
{
    for (int i = 0; i < ERABI_QUEUE_COUNT; i++)
        free_list(target, &target->queues[i].list);
    free_list(target, &target->told);
    erabi_id_table_deinit(&target->ids, NULL);
}

void erabi_target_tell_left(struct erabi_target *target, struct erabi_deliveries *dead, enum erab_reason reason)
{
    struct erabi_delivery *d;
    while ((d = TAILQ_FIRST(dead))) {
        TAILQ_REMOVE(dead, d, place);
        if (target->left)
            target->left(target->user, d, reason);
        erabi_delivery_free(d);
    }
}

void erabi_target_drop(struct erabi_target *target, bool (*which)(void *user, const struct erabi_delivery *delivery),
                       void *user, enum erab_reason reason)
{
    struct erabi_deliveries dead = TAILQ_HEAD_INITIALIZER(dead);
    for (int i = 0; i <= ERABI_QUEUE_COUNT; i++) {
        struct erabi_deliveries *list = i < ERABI_QUEUE_COUNT ? &target->queues[i].list : &target->told;
        for (struct erabi_delivery *d = TAILQ_FIRST(list), *next; d; d = next) {
            next = TAILQ_NEXT(d, place);
            if (which && !which(user, d))
                continue;
            erabi_target_take_out(target, list, d);
            TAILQ_INSERT_TAIL(&dead, d, place);
        }
    }
    erabi_target_tell_left(target, &dead, reason);
}

static bool move(struct erabi_target *from, struct erabi_target *to, struct erabi_delivery *d)
{
    enum erabi_queue_name name = erabi_delivery_queue(d);
    erabi_target_take_out(from, d->list, d);
    bool good = !answered(name) || erabi_id_table_add(&to->ids, &d->entry) == 0;
    if (!good) {
        to = from;
        erabi_id_table_add(&from->ids, &d->entry); /* it has just left this table: there is room */
    }
    d->target = to;
    d->sent_ms = 0;
    d->list = &to->queues[name].list;
    TAILQ_INSERT_TAIL(d->list, d, place);
    charge(&to->queues[name], d);
    return good;
}

size_t erabi_target_move(struct erabi_target *target,
                         struct erabi_target *(*whither)(void *user, const struct erabi_delivery *delivery), void *user)
{
    size_t n = 0;
    for (int i = 0; i < ERABI_QUEUE_COUNT; i++) {
        size_t left = target->queues[i].n; /* one that could not go stands behind the others, and is not tried again */
        for (struct erabi_delivery *d = TAILQ_FIRST(&target->queues[i].list), *next; d && left; d = next, left--) {
            next = TAILQ_NEXT(d, place);
            struct erabi_target *to = whither(user, d);
            n += to && to != target && move(target, to, d);
        }
    }
    return n;
}

struct erabi_connection *erabi_target_bind(struct erabi_target *target, enum erab_lane_group group,
                                           struct erabi_connection *connection)
{
    struct erabi_connection *older = target->connection[group];
    struct erabi_delivery *d;
    target->connection[group] = connection;
    if (group == ERAB_LANES_COMMAND) {
        for (int i = ERABI_QUEUE_COMMAND; i <= ERABI_QUEUE_CONTROL; i++)
            TAILQ_FOREACH(d, &target->queues[i].list, place)
                d->sent_ms = d->tries = 0;
        while ((d = TAILQ_LAST(&target->told, erabi_deliveries))) {
            TAILQ_REMOVE(&target->told, d, place);
            d->sent_ms = 0;
            d->list = &target->queues[ERABI_QUEUE_RECEIPT].list;
            TAILQ_INSERT_HEAD(&target->queues[ERABI_QUEUE_RECEIPT].list, d, place);
        }
    }
    return older == connection ? NULL : older;
}

void erabi_target_unbind(struct erabi_target *target, const struct erabi_connection *connection)
{
    for (int group = 1; group <= 2; group++)
        if (target->connection[group] == connection)
            target->connection[group] = NULL;
}

static bool has_room(const struct erabi_queue *queue, enum erabi_queue_name name, size_t size)
{
    return queue->bytes + queue->held_bytes + size <= room_bytes[name] &&
           queue->n + queue->held_n < ERABI_TARGET_MESSAGES;
}

int erabi_target_hold(struct erabi_target *target, enum erab_type type, size_t size)
{
    enum erabi_queue_name name = erabi_target_queue(type);
    struct erabi_queue *queue = &target->queues[name];
    if (!answered(name))
        return 0;
    if (!has_room(queue, name, size))
        return -EAGAIN;
    queue->held_bytes += size;
    queue->held_n++;
    return 0;
}

void erabi_target_unhold(struct erabi_target *target, enum erab_type type, size_t size)
{
    struct erabi_queue *queue = &target->queues[erabi_target_queue(type)];
    if (!answered(erabi_target_queue(type)))
        return;
    assert(queue->held_n > 0 && queue->held_bytes >= size);
    queue->held_bytes -= size;
    queue->held_n--;
}

/* Room for one more by sending away what matters least; false when there is none. */
static bool make_room(struct erabi_target *target, enum erabi_queue_name name, size_t size)
{
    struct erabi_queue *queue = &target->queues[name];
    struct erabi_deliveries *list = name == ERABI_QUEUE_RECEIPT ? &target->told : &queue->list;
    enum erab_reason reason = name == ERABI_QUEUE_RECEIPT ? ERAB_REASON_NONE : ERAB_REASON_QUEUE_FULL;
    while (!answered(name) && !has_room(queue, name, size) && !TAILQ_EMPTY(list))
        erabi_target_leave(target, list, TAILQ_FIRST(list), reason);
    return has_room(queue, name, size);
}

int erabi_target_push(struct erabi_target *target, struct erabi_parcel *parcel, uint32_t party, int64_t row,
                      enum erabi_push how)
{
    return erabi_target_push_link(target, parcel, party, row, how, NULL);
}

int erabi_target_push_link(struct erabi_target *target, struct erabi_parcel *parcel, uint32_t party, int64_t row,
                           enum erabi_push how, struct erabi_link *link)
{
    enum erabi_queue_name name = erabi_target_queue(parcel->header.type);
    size_t size = erabi_parcel_size(parcel);
    if (how == ERABI_PUSH_HELD)
        erabi_target_unhold(target, parcel->header.type, size);
    bool free_of_room = how == ERABI_PUSH_RESTORED || (how == ERABI_PUSH_HELD && answered(name));
    if (!free_of_room && !make_room(target, name, size))
        return -EAGAIN;
    struct erabi_delivery *delivery = erabi_pool_take(target->pool, sizeof(*delivery));
    if (!delivery)
        return -ENOMEM;
    *delivery = (struct erabi_delivery){.pool = target->pool};
    key_of(parcel->header.id, party, delivery->entry.id);
    if (answered(name) && erabi_id_table_add(&target->ids, &delivery->entry) < 0) {
        erabi_pool_give(delivery->pool, delivery);
        return -ENOMEM;
    }
    delivery->parcel = erabi_parcel_ref(parcel);
    delivery->party = party;
    delivery->row = row;
    delivery->target = target;
    delivery->written = how == ERABI_PUSH_RESTORED;
    delivery->list = &target->queues[name].list;
    wait_for(delivery, link);
    TAILQ_INSERT_TAIL(delivery->list, delivery, place);
    charge(&target->queues[name], delivery);
    return 0;
}

static struct erabi_delivery *find(const struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE], uint32_t party)
{
    uint8_t key[ERAB_ID_SIZE];
    key_of(id, party, key);
    for (struct erabi_id_entry *e = erabi_id_table_find(&target->ids, key); e; e = e->next) {
        struct erabi_delivery *d = (struct erabi_delivery *)e; /* entry is the first member */
        if (d->party == party && memcmp(d->parcel->header.id, id, ERAB_ID_SIZE) == 0)
            return d;
    }
    return NULL;
}

int erabi_target_ack(struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE], uint32_t party, const uint8_t *hash,
                     int64_t *row)
{
    struct erabi_delivery *d = find(target, id, party);
    if (!d || (hash && memcmp(d->parcel->hash, hash, ERAB_HASH_SIZE) != 0))
        return 0;
    *row = d->row;
    erabi_target_take_out(target, d->list, d);
    if (target->gate)
        target->gate->answered(target->gate->user, d);
    erabi_delivery_free(d);
    return 1;
}

int erabi_target_supersede(struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE], uint32_t party)
{
    struct erabi_delivery *d = find(target, id, party);
    if (!d || d->written)
        return 0;
    erabi_target_leave(target, d->list, d, ERAB_REASON_SUPERSEDED);
    return 1;
}

void erabi_target_take_link(struct erabi_link *link, struct erabi_deliveries *taken)
{
    for (struct erabi_delivery *d = link->waiting; d; d = d->link_next) {
        if (!d->list) /* somebody is being told of it right now */
            continue;
        erabi_target_take_out(d->target, d->list, d);
        TAILQ_INSERT_TAIL(taken, d, place);
    }
}

/* Whoever is told may push to and pump any target. */
void erabi_target_tell(struct erabi_deliveries *taken, void (*each)(void *user, struct erabi_delivery *delivery),
                       void *user)
{
    struct erabi_delivery *d;
    while ((d = TAILQ_FIRST(taken))) {
        TAILQ_REMOVE(taken, d, place);
        if (each)
            each(user, d);
        erabi_delivery_free(d);
    }
}
