/* An aggregator's application: divides an order over the homes it serves, real ones by their gateways (--home)
 * and simulated ones (--fleet), and reports their sum. A simulated home does exactly what it is told; its share
 * is computed and marked as estimated. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "orders.h"

#define STALE_REPORTS   10
#define RESTORE_LAST_MS 60000

struct aggregator {
    struct story_orders orders;
    struct {
        uint64_t at_ms;
        double kw;
    } home[STORY_MEMBERS_MAX];
    uint64_t next_report_ms;
};

static int check(const struct story_options *o)
{
    if (o->up && (o->n_members > 0 || o->fleet > 0))
        return 0;
    fprintf(stderr, "erab-story: an aggregator needs --up and at least one --home GATEWAY or --fleet NUMBER\n");
    return -1;
}

/* The homes' shares in the order of --home; the fleet's after them. */
static int shares_of(const struct story_options *o, int64_t watts, int64_t shares[STORY_MEMBERS_MAX + 1])
{
    uint64_t weights[STORY_MEMBERS_MAX + 1];
    for (size_t i = 0; i < o->n_members; i++)
        weights[i] = o->members[i].weight;
    weights[o->n_members] = o->fleet;
    return story_split(watts, weights, o->n_members + 1, shares);
}

/* What the fleet's homes draw now, all orders together. A drill moves nothing. */
static double fleet_kw(const struct story_party *party, const struct story_orders *orders, uint64_t now)
{
    int64_t shares[STORY_MEMBERS_MAX + 1], sum = 0;
    for (size_t i = 0; i < STORY_ORDERS_MAX; i++) {
        const struct story_order *o = &orders->order[i];
        if (story_order_live(o, now) && !o->header.exercise &&
            shares_of(party->options, story_order_watts(o, now), shares) == 0)
            sum += shares[party->options->n_members];
    }
    return (double)sum / 1000.0;
}

static void command_home(struct story_party *party, struct story_order *order, const struct story_slot *slot,
                         size_t home, int64_t watts)
{
    struct story_child *child = &order->children[home];
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    c.action = watts > 0   ? ERAB__V1__DEVICE_ACTION__CHARGE
               : watts < 0 ? ERAB__V1__DEVICE_ACTION__DISCHARGE
                           : ERAB__V1__DEVICE_ACTION__STANDBY;
    c.has_power_w = watts != 0;
    c.power_w = fabs((double)watts);
    c.start_ms = slot->start_ms;
    c.end_ms = slot->end_ms;
    c.order = order->name;
    uint64_t expires = story_now_ms() + 60000;
    int e = story_send(party, party->client, party->options->members[home].party, ERAB_DEVICE_COMMAND,
                       ERAB_OPERATION, expires < slot->end_ms ? expires : slot->end_ms, &order->header, order->hash,
                       &c.base, child->id);
    child->sent = child->sent || e == 0;
    child->has_result = false;
    if (e) {
        child->final = true;
        child->reason = ERAB_REASON_QUEUE_FULL;
        return;
    }
    event_begin("home", party->name);
    event_text("order", order->name);
    event_text("gateway", party->options->members[home].party);
    event_number("kw", (double)watts / 1000.0);
    event_count("start_ms", c.start_ms);
    event_count("end_ms", c.end_ms);
    event_end();
}

/* Tells the homes of the slot that runs, or of the first one before it has begun; each slot once. */
static void command_slot(struct story_party *party, struct story_order *order, uint64_t now)
{
    int64_t shares[STORY_MEMBERS_MAX + 1];
    size_t i = 0;
    while (i + 1 < order->n_slots && now >= order->slots[i].end_ms)
        i++;
    if (!story_order_live(order, now) || order->slot_sent == i + 1 ||
        shares_of(party->options, order->slots[i].watts, shares))
        return;
    order->slot_sent = i + 1;
    for (size_t home = 0; home < party->options->n_members; home++)
        command_home(party, order, &order->slots[i], home, shares[home]);
}

static int on_dispatch(struct story_party *party, const struct erab_message *message, const Erab__V1__Dispatch *d)
{
    struct aggregator *a = party->state;
    struct story_order *order;
    int64_t shares[STORY_MEMBERS_MAX + 1];
    if (d->mode == ERAB__V1__DISPATCH_MODE__LEVEL)
        return ERAB_REASON_NOT_SUPPORTED;
    if (shares_of(party->options, 0, shares))
        return ERAB_REASON_NOT_READY;
    int reason = story_orders_take(party, &a->orders, message, d, &order);
    if (reason)
        return reason;
    story_order_opt_in(party, order);
    command_slot(party, order, story_now_ms());
    story_order_settle(party, order, party->options->n_members);
    return 0;
}

static int on_cancel(struct story_party *party, const struct erab_message *message,
                     const Erab__V1__DispatchCancel *cancel)
{
    struct aggregator *a = party->state;
    struct story_order *order;
    int reason = story_orders_cancel(&a->orders, message, cancel, &order);
    if (reason)
        return reason;
    uint64_t now = story_now_ms();
    for (size_t i = 0; i < party->options->n_members; i++) {
        if (!order->children[i].sent)
            continue;
        Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
        c.action = ERAB__V1__DEVICE_ACTION__RESTORE;
        c.start_ms = now;
        c.end_ms = now + RESTORE_LAST_MS;
        c.order = order->name;
        story_send(party, party->client, party->options->members[i].party, ERAB_DEVICE_COMMAND, ERAB_OPERATION, 0,
                   message->header, message->hash, &c.base, NULL);
    }
    return erab_client_answer(party->client, message, ERAB_APPLIED, ERAB_REASON_NONE, NULL) ? ERAB_REASON_BUSY : 0;
}

/* A home's own power value; the last one of several resources counts. */
static void on_telemetry(struct aggregator *a, size_t home, const Erab__V1__Telemetry *t)
{
    for (size_t i = 0; i < t->n_point; i++) {
        const Erab__V1__TelemetryPoint *p = t->point[i];
        if (p->quantity != ERAB__V1__QUANTITY__POWER_KW || (p->has_quality && p->quality == ERAB__V1__QUALITY__NO_DATA))
            continue;
        a->home[home].at_ms = story_now_ms();
        a->home[home].kw = p->value;
    }
}

static void on_result(struct aggregator *a, const Erab__V1__Result *r)
{
    struct story_order *order;
    struct story_child *child = r->about.len == ERAB_ID_SIZE ? story_orders_child(&a->orders, r->about.data, &order) : NULL;
    if (!child)
        return;
    child->has_result = true;
    child->outcome = r->outcome;
    child->achieved_kw = r->has_achieved_kw ? r->achieved_kw : 0;
    enum erab_reason reason = erab_reason_from_code(r->reason);
    if (reason != ERAB_REASON_NONE && reason != ERAB_REASON_COUNT)
        child->reason = reason;
}

static int from_home(struct aggregator *a, size_t home, const struct erab_message *message, const ProtobufCMessage *body)
{
    switch (message->header->type) {
    case ERAB_TELEMETRY:
        on_telemetry(a, home, (const Erab__V1__Telemetry *)body);
        return 0;
    case ERAB_RESULT:
        on_result(a, (const Erab__V1__Result *)body);
        return 0;
    case ERAB_DEVICE_STATE:
    case ERAB_REGISTRATION:
    case ERAB_CAPABILITY:
    case ERAB_OPT:
        return 0; /* noted by the event on standard output */
    default:
        return ERAB_REASON_NOT_SUPPORTED;
    }
}

static int on_message(struct story_party *party, struct erab_client *client, const struct erab_message *message,
                      const ProtobufCMessage *body)
{
    const struct story_options *o = party->options;
    const struct erab_header *h = message->header;
    (void)client;
    for (size_t i = 0; i < o->n_members; i++)
        if (strcmp(h->from, o->members[i].party) == 0)
            return from_home(party->state, i, message, body);
    if (h->type == ERAB_PLAN || h->type == ERAB_BREAKER_NOTICE)
        return 0;
    if (strcmp(h->from, o->up) != 0)
        return ERAB_REASON_DECLINED;
    if (h->type == ERAB_DISPATCH)
        return on_dispatch(party, message, (const Erab__V1__Dispatch *)body);
    if (h->type == ERAB_DISPATCH_CANCEL)
        return on_cancel(party, message, (const Erab__V1__DispatchCancel *)body);
    return ERAB_REASON_NOT_SUPPORTED;
}

/* Homes that refuse show in the order's answer and result; a refused part of one home is no lost group. */
static void on_receipt(struct story_party *party, struct erab_client *client, const struct erab_receipt *receipt)
{
    struct aggregator *a = party->state;
    struct story_order *order;
    struct story_child *child = story_orders_child(&a->orders, receipt->about, &order);
    (void)client;
    if (child && story_child_receipt(child, receipt) && party->options->fleet == 0)
        story_order_settle(party, order, party->options->n_members);
    else if (child && child->final && party->options->fleet > 0 && !order->answered && !order->cancelled) {
        for (size_t i = 0; i < party->options->n_members; i++)
            if (!order->children[i].final)
                return;
        story_order_settle(party, order, 0);
    }
}

/* Sum of homes and fleet. Returns the number of homes that told nothing lately. */
static size_t sum_of(const struct story_party *party, uint64_t now, double *kw, uint64_t *members)
{
    const struct aggregator *a = party->state;
    const struct story_options *o = party->options;
    size_t silent = 0;
    *kw = fleet_kw(party, &a->orders, now);
    *members = o->fleet;
    for (size_t i = 0; i < o->n_members; i++) {
        if (a->home[i].at_ms == 0 || now - a->home[i].at_ms > STALE_REPORTS * o->report_ms) {
            silent++;
            continue;
        }
        *kw += a->home[i].kw;
        (*members)++;
    }
    return silent;
}

static void report(struct story_party *party, double kw, uint64_t members, size_t silent, uint64_t now)
{
    const struct story_options *o = party->options;
    Erab__V1__TelemetryPoint point = ERAB__V1__TELEMETRY_POINT__INIT, *list[] = {&point};
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    if (members == 0)
        return;
    point.resource = (char *)(uintptr_t)(o->resource ? o->resource : party->name);
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.at_ms = now;
    point.value = kw;
    point.has_members = true;
    point.members = (uint32_t)members;
    point.has_quality = silent > 0 || o->fleet > 0;
    point.quality = silent > 0 ? ERAB__V1__QUALITY__PARTIAL : ERAB__V1__QUALITY__ESTIMATED;
    t.n_point = 1;
    t.point = list;
    if (story_send(party, party->client, o->up, ERAB_TELEMETRY, ERAB_SENSOR_GROUP, 0, NULL, NULL, &t.base, NULL))
        return;
    event_begin("telemetry", party->name);
    event_text("to", o->up);
    event_number("kw", kw);
    event_count("members", members);
    event_count("silent", silent);
    event_end();
}

static void conclude(struct story_party *party, struct story_order *order, uint64_t now)
{
    if (!order->used || order->cancelled || order->result_sent || now < order->end_ms)
        return;
    for (size_t i = 0; i < party->options->n_members; i++)
        if (!order->children[i].has_result && !(order->children[i].final && !order->children[i].applied) &&
            now < order->end_ms + STORY_GRACE_MS)
            return;
    story_order_result(party, order, order->samples ? order->sum_kw / order->samples : 0, party->options->n_members);
}

static void on_tick(struct story_party *party, uint64_t now)
{
    struct aggregator *a = party->state;
    double kw;
    uint64_t members;
    bool due = now >= a->next_report_ms;
    size_t silent = sum_of(party, now, &kw, &members);
    for (size_t i = 0; i < STORY_ORDERS_MAX; i++) {
        struct story_order *order = &a->orders.order[i];
        if (!order->used)
            continue;
        command_slot(party, order, now);
        if (due && story_order_live(order, now) && now >= order->start_ms) {
            order->sum_kw += kw;
            order->samples++;
        }
        conclude(party, order, now);
    }
    story_orders_sweep(&a->orders, now);
    if (!due)
        return;
    a->next_report_ms = now + party->options->report_ms;
    report(party, kw, members, silent, now);
}

const struct story_role story_aggregator = {
    .name = "aggregator",
    .state_size = sizeof(struct aggregator),
    .check = check,
    .on_message = on_message,
    .on_receipt = on_receipt,
    .on_tick = on_tick,
};
