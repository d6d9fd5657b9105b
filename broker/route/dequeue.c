/* How messages leave a target: packets, the last questions, repetition, the end of their time. */
#include "route/target_parts.h"

/* Bytes in a connection's own queue above which packets wait here, where they can still be dropped. */
#define CONNECTION_BUSY 65536u

static bool denied(const struct erabi_delivery *delivery)
{
    return erabi_link_is_open(delivery->link) && delivery->parcel->header.type != ERAB_BREAKER_NOTICE;
}

struct packet {
    struct erabi_deliveries dead;    /* what an open link holds back */
    struct erabi_deliveries refused; /* what may not leave */
    bool asks;                       /* before each one leaves */
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

/* Is there room for one more? A full packet is sent first; then not, when the connection is busy with it. */
static bool packet_room(struct packet *packet, enum erab_lane_group group, struct erabi_connection *connection,
                        const struct erabi_parcel *parcel)
{
    if (packet->n == 0 || (packet->n < ERABI_ENVELOPES_MAX &&
                           packet->w.used + erabi_parcel_size(parcel) <= sizeof(packet->bytes)))
        return true;
    return packet_flush(packet, group, connection) && erabi_connection_queued(connection) < CONNECTION_BUSY;
}

static bool packet_take(struct packet *packet, const struct erabi_parcel *parcel)
{
    if (erabi_packet_add_counted(&packet->w, &parcel->envelope) < 0) /* packet_room counts */
        return false;
    packet->n++;
    return true;
}

/* The last question before a message leaves. What was written before may have arrived: to refuse it would be untrue. Of
 * what a restart brought back nobody knows whether it was asked about: it is asked about anew. */
static bool may_leave(const struct erabi_target *target, const struct packet *packet, struct erabi_delivery *d)
{
    return !packet->asks || d->leaving || !d->link || d->parcel->header.type == ERAB_RECEIPT ||
           target->gate->leaves(target->gate->user, d);
}

/* What becomes of a message that was just written: commands and control messages wait for their answer. */
static void written(struct erabi_target *target, struct erabi_delivery *d, uint64_t mono_ms)
{
    enum erabi_queue_name name = erabi_delivery_queue(d);
    d->sent_ms = mono_ms ? mono_ms : 1;
    d->tries++;
    d->written = d->leaving = true;
    if (name == ERABI_QUEUE_RECEIPT) {
        TAILQ_REMOVE(&target->queues[name].list, d, place);
        TAILQ_INSERT_TAIL(&target->told, d, place);
        d->list = &target->told;
    } else if (name == ERABI_QUEUE_TELEMETRY || (d->parcel->header.type == ERAB_PARTY_CARD && d->row == 0)) {
        erabi_target_take_out(target, &target->queues[name].list, d);
        erabi_delivery_free(d);
    }
}

/* Fills packets from one queue, with at most `window` of it sent and unanswered. */
static void fill(struct erabi_target *target, enum erabi_queue_name name, enum erab_lane_group group,
                 struct packet *packet, size_t window, uint64_t mono_ms, uint64_t now_ms)
{
    struct erabi_connection *connection = target->connection[group];
    size_t flying = 0;
    for (struct erabi_delivery *d = TAILQ_FIRST(&target->queues[name].list), *next; d && flying < window; d = next) {
        next = TAILQ_NEXT(d, place);
        if (denied(d)) {
            erabi_target_take_out(target, d->list, d);
            TAILQ_INSERT_TAIL(&packet->dead, d, place);
            continue;
        }
        bool due = d->sent_ms == 0 && d->parcel->header.expires_at_ms > now_ms;
        if (due && !packet_room(packet, group, connection, d->parcel))
            break;
        if (due && !may_leave(target, packet, d)) {
            erabi_target_take_out(target, d->list, d);
            TAILQ_INSERT_TAIL(&packet->refused, d, place);
            continue;
        }
        if (due && !packet_take(packet, d->parcel))
            break;
        flying += d->sent_ms != 0 || due;
        if (due)
            written(target, d, mono_ms);
    }
}

void erabi_target_pump(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms)
{
    struct packet packet;
    TAILQ_INIT(&packet.dead);
    TAILQ_INIT(&packet.refused);
    const struct erabi_target_gate *gate = target->gate;
    packet.asks = gate && gate->asks && gate->asks(gate->user);
    const struct erabi_queue *queues = target->queues;
    struct erabi_connection *command = target->connection[ERAB_LANES_COMMAND];
    if (command &&
        (queues[ERABI_QUEUE_COMMAND].n || queues[ERABI_QUEUE_CONTROL].n || queues[ERABI_QUEUE_RECEIPT].n) &&
        erabi_connection_queued(command) < CONNECTION_BUSY) {
        enum erab_lane_group group = ERAB_LANES_COMMAND;
        packet_begin(&packet, group);
        fill(target, ERABI_QUEUE_COMMAND, group, &packet, ERABI_TARGET_COMMAND_WINDOW, mono_ms, now_ms);
        fill(target, ERABI_QUEUE_RECEIPT, group, &packet, ERABI_ENVELOPES_MAX * 16, mono_ms, now_ms);
        fill(target, ERABI_QUEUE_CONTROL, group, &packet, ERABI_TARGET_CONTROL_WINDOW, mono_ms, now_ms);
        packet_flush(&packet, group, command);
    }
    struct erabi_connection *telemetry = target->connection[ERAB_LANES_TELEMETRY];
    if (telemetry && queues[ERABI_QUEUE_TELEMETRY].n && erabi_connection_queued(telemetry) < CONNECTION_BUSY) {
        packet_begin(&packet, ERAB_LANES_TELEMETRY);
        fill(target, ERABI_QUEUE_TELEMETRY, ERAB_LANES_TELEMETRY, &packet, ERABI_ENVELOPES_MAX * 16, mono_ms, now_ms);
        packet_flush(&packet, ERAB_LANES_TELEMETRY, telemetry);
    }
    erabi_target_tell(&packet.dead, gate ? gate->denied : NULL, gate ? gate->user : NULL);
    erabi_target_tell(&packet.refused, gate ? gate->refused : NULL, gate ? gate->user : NULL);
}

static bool unanswered(const struct erabi_delivery *d, uint64_t mono_ms)
{
    uint64_t wait = ERABI_TARGET_RETRY_MS;
    for (unsigned i = 1; i < d->tries && wait < ERABI_TARGET_RETRY_MAX_MS; i++)
        wait *= 2;
    return d->sent_ms && mono_ms - d->sent_ms > (wait < ERABI_TARGET_RETRY_MAX_MS ? wait : ERABI_TARGET_RETRY_MAX_MS);
}

static void tick_queue(struct erabi_target *target, enum erabi_queue_name name, struct erabi_deliveries *dead,
                       uint64_t mono_ms, uint64_t now_ms)
{
    struct erabi_deliveries *list = &target->queues[name].list;
    for (struct erabi_delivery *d = TAILQ_FIRST(list), *next; d; d = next) {
        next = TAILQ_NEXT(d, place);
        if (d->parcel->header.expires_at_ms <= now_ms) {
            erabi_target_take_out(target, list, d);
            TAILQ_INSERT_TAIL(dead, d, place);
        } else if (unanswered(d, mono_ms)) {
            d->sent_ms = 0;
        }
    }
}

void erabi_target_tick(struct erabi_target *target, uint64_t mono_ms, uint64_t now_ms)
{
    struct erabi_deliveries dead = TAILQ_HEAD_INITIALIZER(dead);
    for (int i = 0; i < ERABI_QUEUE_COUNT; i++)
        tick_queue(target, (enum erabi_queue_name)i, &dead, mono_ms, now_ms);
    erabi_target_tell_left(target, &dead, ERAB_REASON_EXPIRED);
    /* Oldest first; on a dead connection they wait here for the next one. */
    struct erabi_delivery *d;
    while ((d = TAILQ_FIRST(&target->told)) && mono_ms - d->sent_ms > ERABI_TARGET_RECEIPT_KEEP_MS &&
           (target->connection[ERAB_LANES_COMMAND] || d->parcel->header.expires_at_ms <= now_ms))
        erabi_target_leave(target, &target->told, d, ERAB_REASON_NONE);
    erabi_target_pump(target, mono_ms, now_ms);
}
