/* Both parts of a coordinator do the same with different neighbours: take an order from above, divide it among
 * the members below by weight, pass cancels on, and report the members' sum upward. `direct` has one member,
 * `rest`; that one has the aggregators. */
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "orders.h"

/* A member's value older than so many report intervals is not counted. */
#define STALE_REPORTS 10

struct coordinator {
    struct story_orders orders;
    struct {
        uint64_t at_ms; /* when it came, own clock; 0: nothing yet */
        double kw;
        uint32_t members;
        bool partial;
    } measured[STORY_MEMBERS_MAX];
    uint64_t next_report_ms;
};

static int check(const struct story_options *o)
{
    if (o->up && o->n_members > 0)
        return 0;
    fprintf(stderr, "erab-story: a coordinator needs --up and at least one --member (or --ra) PARTY=WEIGHT\n");
    return -1;
}

static size_t member_of(const struct story_options *o, const char *party)
{
    size_t i = 0;
    while (i < o->n_members && strcmp(o->members[i].party, party) != 0)
        i++;
    return i;
}

static int shares_of(const struct story_options *o, int64_t watts, int64_t shares[STORY_MEMBERS_MAX])
{
    uint64_t weights[STORY_MEMBERS_MAX];
    for (size_t i = 0; i < o->n_members; i++)
        weights[i] = o->members[i].weight;
    return story_split(watts, weights, o->n_members, shares);
}

/* Peak of the order's slots: what is named when a member is lost. */
static int64_t peak(const struct story_order *order)
{
    int64_t most = 0;
    for (size_t i = 0; i < order->n_slots; i++) {
        int64_t w = order->slots[i].watts;
        if ((w < 0 ? -w : w) > (most < 0 ? -most : most))
            most = w;
    }
    return most;
}

static void lose(struct story_party *party, struct story_order *order, size_t member, enum erab_reason reason)
{
    int64_t shares[STORY_MEMBERS_MAX], left = 0;
    if (order->children[member].lost || shares_of(party->options, peak(order), shares))
        return;
    for (size_t i = 0; i < party->options->n_members; i++)
        if (i != member && !order->children[i].lost)
            left += shares[i];
    story_order_lost(party, order, &order->children[member], shares[member], left, reason);
}

static void tell_split(const struct story_party *party, const struct story_order *order, size_t member, int64_t watts)
{
    event_begin("split", party->name);
    event_text("order", order->name);
    event_count("modification", order->modification);
    event_text("member", party->options->members[member].party);
    event_number("kw", (double)watts / 1000.0);
    event_number("of_kw", (double)peak(order) / 1000.0);
    event_end();
}

static void pass_to(struct story_party *party, struct story_order *order, const Erab__V1__Dispatch *from, size_t member)
{
    Erab__V1__Dispatch d = ERAB__V1__DISPATCH__INIT;
    Erab__V1__DispatchSlot slots[STORY_SLOTS_MAX], *list[STORY_SLOTS_MAX];
    int64_t shares[STORY_MEMBERS_MAX];
    struct story_child *child = &order->children[member];
    for (size_t i = 0; i < order->n_slots; i++) {
        erab__v1__dispatch_slot__init(&slots[i]);
        slots[i].start_ms = order->slots[i].start_ms;
        slots[i].end_ms = order->slots[i].end_ms;
        slots[i].has_level = order->slots[i].has_level;
        slots[i].level = order->slots[i].level;
        slots[i].has_target_kw = !order->slots[i].has_level;
        if (slots[i].has_target_kw && shares_of(party->options, order->slots[i].watts, shares) == 0)
            slots[i].target_kw = (double)shares[member] / 1000.0;
        list[i] = &slots[i];
    }
    d.order = order->name;
    d.modification = order->modification;
    d.mode = order->mode;
    d.start_ms = order->start_ms;
    d.end_ms = order->end_ms;
    d.n_slot = order->n_slots;
    d.slot = list;
    d.product = from->product;
    d.market_context = from->market_context;
    d.has_priority = from->has_priority;
    d.priority = from->priority;
    if (shares_of(party->options, peak(order), shares) == 0)
        tell_split(party, order, member, shares[member]);
    uint64_t expires = story_now_ms() + 60000;
    int e = story_send(party, party->client, party->options->members[member].party, ERAB_DISPATCH, ERAB_OPERATION,
                       expires < order->end_ms ? expires : order->end_ms, &order->header, order->hash, &d.base,
                       child->id);
    child->sent = e == 0;
    if (e) {
        child->final = true;
        child->reason = ERAB_REASON_QUEUE_FULL;
        lose(party, order, member, ERAB_REASON_QUEUE_FULL);
    }
}

static int on_dispatch(struct story_party *party, const struct erab_message *message, const Erab__V1__Dispatch *d)
{
    struct coordinator *c = party->state;
    struct story_order *order;
    int64_t shares[STORY_MEMBERS_MAX];
    if (shares_of(party->options, 0, shares))
        return ERAB_REASON_NOT_READY; /* all weights are zero */
    int reason = story_orders_take(party, &c->orders, message, d, &order);
    if (reason)
        return reason;
    story_order_opt_in(party, order);
    for (size_t i = 0; i < party->options->n_members; i++)
        pass_to(party, order, d, i);
    story_order_settle(party, order, party->options->n_members);
    return 0;
}

static int on_cancel(struct story_party *party, const struct erab_message *message,
                     const Erab__V1__DispatchCancel *cancel)
{
    struct coordinator *c = party->state;
    struct story_order *order;
    int reason = story_orders_cancel(&c->orders, message, cancel, &order);
    if (reason)
        return reason;
    for (size_t i = 0; i < party->options->n_members; i++) {
        if (!order->children[i].sent)
            continue;
        Erab__V1__DispatchCancel down = ERAB__V1__DISPATCH_CANCEL__INIT;
        down.order = order->name;
        down.dispatch_id = (ProtobufCBinaryData){.len = ERAB_ID_SIZE, .data = order->children[i].id};
        down.modification = order->modification;
        down.reason = cancel->reason;
        story_send(party, party->client, party->options->members[i].party, ERAB_DISPATCH_CANCEL, ERAB_OPERATION, 0,
                   message->header, message->hash, &down.base, NULL);
    }
    return erab_client_answer(party->client, message, ERAB_APPLIED, ERAB_REASON_NONE, NULL) ? ERAB_REASON_BUSY : 0;
}

/* The newest power value of a member's message; sums of other resources of it do not count twice. */
static void on_telemetry(struct story_party *party, size_t member, const Erab__V1__Telemetry *t)
{
    struct coordinator *c = party->state;
    for (size_t i = 0; i < t->n_point; i++) {
        const Erab__V1__TelemetryPoint *p = t->point[i];
        if (p->quantity != ERAB__V1__QUANTITY__POWER_KW)
            continue;
        if (p->has_quality && p->quality == ERAB__V1__QUALITY__NO_DATA)
            continue;
        c->measured[member].at_ms = story_now_ms();
        c->measured[member].kw = p->value;
        c->measured[member].members = p->has_members ? p->members : 1;
        c->measured[member].partial = p->has_quality && p->quality == ERAB__V1__QUALITY__PARTIAL;
        return;
    }
}

static void on_result(struct story_party *party, const Erab__V1__Result *r)
{
    struct coordinator *c = party->state;
    struct story_order *order;
    struct story_child *child = r->about.len == ERAB_ID_SIZE ? story_orders_child(&c->orders, r->about.data, &order) : NULL;
    if (!child || child->has_result)
        return;
    child->has_result = true;
    child->outcome = r->outcome;
    child->achieved_kw = r->has_achieved_kw ? r->achieved_kw : 0;
}

/* An aggregator opts out of an order, or its link was opened: its share is lost. */
static void member_out(struct story_party *party, const char *order_name, const char *member, enum erab_reason reason)
{
    struct coordinator *c = party->state;
    size_t at = member_of(party->options, member);
    for (size_t i = 0; i < STORY_ORDERS_MAX && at < party->options->n_members; i++) {
        struct story_order *order = &c->orders.order[i];
        if (story_order_live(order, story_now_ms()) && (!order_name || strcmp(order->name, order_name) == 0))
            lose(party, order, at, reason);
    }
}

static void pass_capability(struct story_party *party, const Erab__V1__Capability *from)
{
    Erab__V1__Capability up = *from;
    const char *resource = party->options->resource;
    up.resource = (char *)(uintptr_t)(resource ? resource : party->name);
    story_send(party, party->client, party->options->up, ERAB_CAPABILITY, ERAB_OPERATION, 0, NULL, NULL, &up.base, NULL);
}

static int from_below(struct story_party *party, const struct erab_message *message, const ProtobufCMessage *body)
{
    size_t member = member_of(party->options, message->header->from);
    if (member == party->options->n_members)
        return ERAB_REASON_DECLINED;
    switch (message->header->type) {
    case ERAB_TELEMETRY:
        on_telemetry(party, member, (const Erab__V1__Telemetry *)body);
        return 0;
    case ERAB_RESULT:
        on_result(party, (const Erab__V1__Result *)body);
        return 0;
    case ERAB_CAPABILITY:
        pass_capability(party, (const Erab__V1__Capability *)body);
        return 0;
    case ERAB_OPT:
        if (((const Erab__V1__Opt *)body)->decision == ERAB__V1__OPT_DECISION__OPT_OUT)
            member_out(party, ((const Erab__V1__Opt *)body)->order, message->header->from, ERAB_REASON_DECLINED);
        return 0;
    case ERAB_PLAN:
    case ERAB_BASELINE:
    case ERAB_REGISTRATION:
        return 0; /* noted by the event on standard output */
    default:
        return ERAB_REASON_NOT_SUPPORTED;
    }
}

static int on_message(struct story_party *party, struct erab_client *client, const struct erab_message *message,
                      const ProtobufCMessage *body)
{
    const struct erab_header *h = message->header;
    (void)client;
    if (h->type == ERAB_BREAKER_NOTICE) {
        const Erab__V1__BreakerNotice *n = (const Erab__V1__BreakerNotice *)body;
        if (n->state == ERAB__V1__BREAKER_STATE__BREAKER_OPEN)
            member_out(party, NULL, n->peer, ERAB_REASON_BREAKER_OPEN);
        return 0;
    }
    if (h->type == ERAB_PLAN)
        return 0; /* of a retailer, who is neither above nor below */
    if (strcmp(h->from, party->options->up) != 0)
        return from_below(party, message, body);
    if (h->type == ERAB_DISPATCH)
        return on_dispatch(party, message, (const Erab__V1__Dispatch *)body);
    if (h->type == ERAB_DISPATCH_CANCEL)
        return on_cancel(party, message, (const Erab__V1__DispatchCancel *)body);
    return ERAB_REASON_NOT_SUPPORTED;
}

static void on_receipt(struct story_party *party, struct erab_client *client, const struct erab_receipt *receipt)
{
    struct coordinator *c = party->state;
    struct story_order *order;
    struct story_child *child = story_orders_child(&c->orders, receipt->about, &order);
    (void)client;
    if (!child || !story_child_receipt(child, receipt))
        return;
    if (!child->applied && story_order_live(order, story_now_ms()))
        lose(party, order, (size_t)(child - order->children), child->reason);
    story_order_settle(party, order, party->options->n_members);
}

static void report(struct story_party *party, uint64_t now)
{
    struct coordinator *c = party->state;
    const struct story_options *o = party->options;
    Erab__V1__TelemetryPoint point = ERAB__V1__TELEMETRY_POINT__INIT, *list[] = {&point};
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    size_t fresh = 0;
    bool partial = false;
    point.has_members = true;
    for (size_t i = 0; i < o->n_members; i++) {
        if (c->measured[i].at_ms == 0 || now - c->measured[i].at_ms > STALE_REPORTS * o->report_ms)
            continue;
        fresh++;
        point.value += c->measured[i].kw;
        point.members += c->measured[i].members;
        partial = partial || c->measured[i].partial;
    }
    if (fresh == 0)
        return;
    point.resource = (char *)(uintptr_t)(o->resource ? o->resource : party->name);
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.at_ms = now;
    point.has_quality = partial || fresh < o->n_members;
    point.quality = ERAB__V1__QUALITY__PARTIAL;
    t.n_point = 1;
    t.point = list;
    if (story_send(party, party->client, o->up, ERAB_TELEMETRY, ERAB_SENSOR_GROUP, 0, NULL, NULL, &t.base, NULL))
        return;
    event_begin("telemetry", party->name);
    event_text("to", o->up);
    event_number("kw", point.value);
    event_count("members", point.members);
    event_flag("partial", point.has_quality);
    event_end();
}

/* All members have told their result, or the time for it is over. */
static void conclude(struct story_party *party, struct story_order *order, uint64_t now)
{
    double achieved = 0;
    if (!order->used || order->cancelled || order->result_sent || now < order->end_ms)
        return;
    for (size_t i = 0; i < party->options->n_members; i++) {
        const struct story_child *child = &order->children[i];
        if (!child->lost && !child->has_result && now < order->end_ms + STORY_GRACE_MS)
            return;
        achieved += child->has_result ? child->achieved_kw : 0;
    }
    story_order_result(party, order, achieved, party->options->n_members);
}

static void on_tick(struct story_party *party, uint64_t now)
{
    struct coordinator *c = party->state;
    for (size_t i = 0; i < STORY_ORDERS_MAX; i++)
        conclude(party, &c->orders.order[i], now);
    story_orders_sweep(&c->orders, now);
    if (now < c->next_report_ms)
        return;
    c->next_report_ms = now + party->options->report_ms;
    report(party, now);
}

const struct story_role story_coordinator_direct = {
    .name = "coordinator-direct",
    .state_size = sizeof(struct coordinator),
    .check = check,
    .on_message = on_message,
    .on_receipt = on_receipt,
    .on_tick = on_tick,
};

const struct story_role story_coordinator_rest = {
    .name = "coordinator-rest",
    .state_size = sizeof(struct coordinator),
    .check = check,
    .on_message = on_message,
    .on_receipt = on_receipt,
    .on_tick = on_tick,
};
