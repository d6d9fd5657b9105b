#include "route/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes in a connection's own queue above which packets wait here, where they can still be dropped. */
#define CONNECTION_BUSY 65536u

void erabi_queue_init(struct erabi_queue *queue)
{
    *queue = (struct erabi_queue){.last = &queue->first};
}

static void queue_add(struct erabi_queue *queue, struct erabi_delivery *delivery)
{
    delivery->next = NULL;
    delivery->back = queue->last;
    delivery->queue = queue;
    *queue->last = delivery;
    queue->last = &delivery->next;
    queue->bytes += erabi_parcel_size(delivery->parcel);
    queue->n++;
}

/* Removes the delivery that *at points to and returns it. */
static struct erabi_delivery *queue_remove(struct erabi_queue *queue, struct erabi_delivery **at)
{
    struct erabi_delivery *delivery = *at;
    *at = delivery->next;
    if (delivery->next)
        delivery->next->back = at;
    else
        queue->last = at;
    queue->bytes -= erabi_parcel_size(delivery->parcel);
    queue->n--;
    delivery->queue = NULL;
    return delivery;
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

static void delivery_free(struct erabi_delivery *delivery)
{
    erabi_parcel_unref(delivery->parcel);
    wait_no_more(delivery);
    free(delivery);
}

/* Tells and frees all that was taken out of the queues. Whoever is told may push to and pump any target. */
void erabi_target_tell(struct erabi_queue *dead, void (*each)(void *user, struct erabi_delivery *delivery), void *user)
{
    while (dead->first) {
        struct erabi_delivery *delivery = queue_remove(dead, &dead->first);
        if (each)
            each(user, delivery);
        delivery_free(delivery);
    }
}

static bool denied(const struct erabi_delivery *delivery)
{
    return erabi_link_is_open(delivery->link) && delivery->parcel->header.type != ERAB_BREAKER_NOTICE;
}

void erabi_target_init(struct erabi_target *target, const void *attachment, enum erab_interface interface)
{
    *target = (struct erabi_target){.attachment = attachment, .interface = interface};
    erabi_queue_init(&target->command);
    erabi_queue_init(&target->control);
    erabi_queue_init(&target->telemetry);
}

void erabi_target_deinit(struct erabi_target *target, void (*each)(void *user, struct erabi_delivery *delivery),
                         void *user)
{
    struct erabi_queue *queues[] = {&target->command, &target->control, &target->telemetry};
    for (size_t i = 0; i < 3; i++) {
        while (queues[i]->first) {
            struct erabi_delivery *delivery = queue_remove(queues[i], &queues[i]->first);
            if (each)
                each(user, delivery);
            delivery_free(delivery);
        }
    }
}

struct erabi_connection *erabi_target_bind(struct erabi_target *target, enum erab_lane_group group,
                                           struct erabi_connection *connection)
{
    struct erabi_connection *older = target->connection[group];
    target->connection[group] = connection;
    if (group == ERAB_LANES_COMMAND) {
        for (struct erabi_delivery *d = target->command.first; d; d = d->next)
            d->sent_ms = 0;
        for (struct erabi_delivery *d = target->control.first; d; d = d->next)
            d->sent_ms = 0;
    }
    return older == connection ? NULL : older;
}

void erabi_target_unbind(struct erabi_target *target, const struct erabi_connection *connection)
{
    for (int group = 1; group <= 2; group++)
        if (target->connection[group] == connection)
            target->connection[group] = NULL;
}

int erabi_target_push(struct erabi_target *target, struct erabi_parcel *parcel, int64_t row)
{
    return erabi_target_push_link(target, parcel, row, NULL);
}

int erabi_target_push_link(struct erabi_target *target, struct erabi_parcel *parcel, int64_t row,
                           struct erabi_link *link)
{
    enum erab_lane lane = erab_type_lane(parcel->header.type);
    size_t size = erabi_parcel_size(parcel);
    if (lane != ERAB_LANE_TELEMETRY &&
        target->command.bytes + target->control.bytes + size > ERABI_TARGET_COMMAND_BYTES)
        return -EAGAIN;
    struct erabi_delivery *delivery = calloc(1, sizeof(*delivery));
    if (!delivery)
        return -EAGAIN;
    delivery->parcel = erabi_parcel_ref(parcel);
    wait_for(delivery, link);
    delivery->row = row;
    delivery->acked_by_send = lane == ERAB_LANE_TELEMETRY || parcel->header.type == ERAB_RECEIPT;
    if (lane == ERAB_LANE_TELEMETRY) {
        while (target->telemetry.first && target->telemetry.bytes + size > ERABI_TARGET_TELEMETRY_BYTES) {
            delivery_free(queue_remove(&target->telemetry, &target->telemetry.first));
            target->shed++;
        }
        queue_add(&target->telemetry, delivery);
    } else {
        queue_add(lane == ERAB_LANE_COMMAND ? &target->command : &target->control, delivery);
    }
    return 0;
}

int64_t erabi_target_ack(struct erabi_target *target, const uint8_t id[ERAB_ID_SIZE])
{
    struct erabi_queue *queues[] = {&target->command, &target->control};
    for (size_t i = 0; i < 2; i++) {
        for (struct erabi_delivery **at = &queues[i]->first; *at; at = &(*at)->next) {
            if (memcmp((*at)->parcel->header.id, id, ERAB_ID_SIZE) != 0)
                continue;
            struct erabi_delivery *delivery = queue_remove(queues[i], at);
            int64_t row = delivery->row;
            if (target->gate)
                target->gate->answered(target->gate->user, delivery);
            delivery_free(delivery);
            return row;
        }
    }
    return -1;
}

void erabi_target_take_link(struct erabi_link *link, struct erabi_queue *taken)
{
    for (struct erabi_delivery *d = link->waiting; d; d = d->link_next)
        if (d->queue && d->queue != taken) /* in none: somebody is being told of it right now */
            queue_add(taken, queue_remove(d->queue, d->back));
}

struct packet {
    struct erabi_queue dead; /* what an open link holds back */
    struct erabi_writer w;
    uint8_t bytes[ERABI_PACKET_MAX];
    size_t n;
};

static void packet_begin(struct packet *packet, enum erab_lane_group group)
{
    packet->w = erabi_writer(packet->bytes, sizeof(packet->bytes));
    packet->n = 0;
    erabi_packet_begin(&packet->w, group);
}

/* Sends what is in the packet and begins a new one; false when the connection takes no more. */
static bool packet_flush(struct packet *packet, enum erab_lane_group group, struct erabi_connection *connection)
{
    if (packet->n == 0)
        return true;
    if (erabi_connection_send(connection, packet->bytes, packet->w.used) < 0)
        return false;
    packet_begin(packet, group);
    return true;
}

static bool packet_take(struct packet *packet, enum erab_lane_group group, struct erabi_connection *connection,
                        const struct erabi_parcel *parcel)
{
    if (packet->n < ERABI_ENVELOPES_MAX && erabi_packet_add(&packet->w, &parcel->envelope) == 0) {
        packet->n++;
        return true;
    }
    if (!packet_flush(packet, group, connection) || erabi_packet_add(&packet->w, &parcel->envelope) < 0)
        return false;
    packet->n = 1;
    return erabi_connection_queued(connection) < CONNECTION_BUSY;
}

/* Fills packets from one queue; returns how many of it are sent and unanswered. */
static size_t fill(struct erabi_target *target, struct erabi_queue *queue, enum erab_lane_group group,
                   struct packet *packet, size_t window, uint64_t mono_ms, uint64_t now_ms)
{
    struct erabi_connection *connection = target->connection[group];
    size_t flying = 0;
    for (struct erabi_delivery **at = &queue->first; *at && flying < window;) {
        struct erabi_delivery *d = *at;
        if (denied(d)) {
            queue_add(&packet->dead, queue_remove(queue, at));
            continue;
        }
        bool due = d->sent_ms == 0 && d->parcel->header.expires_at_ms > now_ms;
        if (due && !packet_take(packet, group, connection, d->parcel))
            break;
        if (due)
            d->sent_ms = mono_ms ? mono_ms : 1;
        if (due && d->acked_by_send) {
            delivery_free(queue_remove(queue, at));
            continue;
        }
        flying += d->sent_ms != 0;
        at = &d->next;
    }
    return flying;
}

void erabi_target_pump(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms)
{
    struct packet packet;
    erabi_queue_init(&packet.dead);
    struct erabi_connection *command = target->connection[ERAB_LANES_COMMAND];
    if (command && (target->command.n || target->control.n) && erabi_connection_queued(command) < CONNECTION_BUSY) {
        packet_begin(&packet, ERAB_LANES_COMMAND);
        size_t flying = fill(target, &target->command, ERAB_LANES_COMMAND, &packet, ERABI_TARGET_WINDOW, mono_ms,
                             now_ms);
        fill(target, &target->control, ERAB_LANES_COMMAND, &packet, ERABI_TARGET_WINDOW - flying + 1, mono_ms,
             now_ms);
        packet_flush(&packet, ERAB_LANES_COMMAND, command);
    }
    struct erabi_connection *telemetry = target->connection[ERAB_LANES_TELEMETRY];
    if (telemetry && target->telemetry.n && erabi_connection_queued(telemetry) < CONNECTION_BUSY) {
        packet_begin(&packet, ERAB_LANES_TELEMETRY);
        fill(target, &target->telemetry, ERAB_LANES_TELEMETRY, &packet, ERABI_ENVELOPES_MAX * 16, mono_ms, now_ms);
        packet_flush(&packet, ERAB_LANES_TELEMETRY, telemetry);
    }
    erabi_target_tell(&packet.dead, target->gate ? target->gate->denied : NULL, target->gate ? target->gate->user : NULL);
}

/* Moves what has expired to `dead`: who is told of it may pump this very target, so nothing is told while its
 * queues are walked. */
static void tick_queue(struct erabi_queue *queue, struct erabi_queue *dead, uint64_t mono_ms, uint64_t now_ms)
{
    for (struct erabi_delivery **at = &queue->first; *at;) {
        struct erabi_delivery *d = *at;
        if (d->parcel->header.expires_at_ms <= now_ms) {
            queue_add(dead, queue_remove(queue, at));
            continue;
        }
        if (d->sent_ms && mono_ms - d->sent_ms > ERABI_TARGET_RETRY_MS)
            d->sent_ms = 0;
        at = &d->next;
    }
}

void erabi_target_tick(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms,
                       void (*expired)(void *user, struct erabi_delivery *delivery), void *user)
{
    struct erabi_queue dead;
    erabi_queue_init(&dead);
    tick_queue(&target->command, &dead, mono_ms, now_ms);
    tick_queue(&target->control, &dead, mono_ms, now_ms);
    tick_queue(&target->telemetry, &dead, mono_ms, now_ms);
    erabi_target_tell(&dead, expired, user);
    erabi_target_pump(target, mono_ms, now_ms);
}
