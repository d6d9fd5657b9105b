#include "orders.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "event.h"

static bool same_id(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, ERAB_ID_SIZE) == 0;
}

static struct story_order *find(struct story_orders *orders, const char *from, const char *name)
{
    for (size_t i = 0; i < STORY_ORDERS_MAX; i++) {
        struct story_order *o = &orders->order[i];
        if (o->used && strcmp(o->name, name) == 0 && strcmp(o->header.from, from) == 0)
            return o;
    }
    return NULL;
}

static int read_slots(struct story_order *order, const Erab__V1__Dispatch *d)
{
    if (d->n_slot == 0 || d->n_slot > STORY_SLOTS_MAX)
        return ERAB_REASON_OUT_OF_RANGE;
    uint64_t at = d->start_ms;
    for (size_t i = 0; i < d->n_slot; i++) {
        const Erab__V1__DispatchSlot *from = d->slot[i];
        struct story_slot *to = &order->slots[i];
        bool level = d->mode == ERAB__V1__DISPATCH_MODE__LEVEL;
        if (from->start_ms != at || from->end_ms <= from->start_ms)
            return ERAB_REASON_OUT_OF_RANGE;
        if (level ? !from->has_level || from->level > 3 : !from->has_target_kw)
            return ERAB_REASON_OUT_OF_RANGE;
        if (!level && story_watts(from->target_kw, &to->watts))
            return ERAB_REASON_OUT_OF_RANGE;
        to->start_ms = from->start_ms;
        to->end_ms = from->end_ms;
        to->has_level = level;
        to->level = level ? from->level : 0;
        at = from->end_ms;
    }
    order->n_slots = d->n_slot;
    return at == d->end_ms ? 0 : ERAB_REASON_OUT_OF_RANGE;
}

static int read_order(struct story_order *order, const struct erab_message *message, const Erab__V1__Dispatch *d)
{
    int n = snprintf(order->name, sizeof(order->name), "%s", d->order);
    if (n <= 0 || (size_t)n >= sizeof(order->name))
        return ERAB_REASON_OUT_OF_RANGE;
    order->used = true;
    order->modification = d->modification;
    order->mode = d->mode;
    order->start_ms = d->start_ms;
    order->end_ms = d->end_ms;
    order->header = *message->header;
    for (size_t i = 0; i < ERAB_HASH_SIZE; i++)
        order->hash[i] = message->hash[i];
    return d->end_ms <= story_now_ms() ? ERAB_REASON_WINDOW_PAST : read_slots(order, d);
}

int story_orders_take(struct story_party *party, struct story_orders *orders, const struct erab_message *message,
                      const Erab__V1__Dispatch *dispatch, struct story_order **out)
{
    struct story_order fresh = {0};
    int reason = read_order(&fresh, message, dispatch);
    if (reason)
        return reason;
    struct story_order *order = find(orders, message->header->from, fresh.name);
    if (order) {
        if (fresh.modification <= order->modification)
            return ERAB_REASON_SUPERSEDED;
        if (!order->answered && !order->cancelled)
            erab_client_answer_later(party->client, &order->header, order->hash, ERAB_REFUSED,
                                     ERAB_REASON_SUPERSEDED, "a newer version of this order came");
    }
    for (size_t i = 0; i < STORY_ORDERS_MAX && !order; i++)
        if (!orders->order[i].used)
            order = &orders->order[i];
    if (!order)
        return ERAB_REASON_BUSY;
    *order = fresh;
    *out = order;
    return 0;
}

int story_orders_cancel(struct story_orders *orders, const struct erab_message *message,
                        const Erab__V1__DispatchCancel *cancel, struct story_order **out)
{
    struct story_order *order = find(orders, message->header->from, cancel->order);
    if (!order)
        return ERAB_REASON_PARENT_UNKNOWN;
    if (order->cancelled)
        return ERAB_REASON_CANCELLED;
    if (cancel->dispatch_id.len != ERAB_ID_SIZE || !same_id(cancel->dispatch_id.data, order->header.id))
        return ERAB_REASON_SUPERSEDED;
    order->cancelled = true;
    *out = order;
    return 0;
}

bool story_order_live(const struct story_order *order, uint64_t now_ms)
{
    return order->used && !order->cancelled && now_ms < order->end_ms;
}

void story_orders_sweep(struct story_orders *orders, uint64_t now_ms)
{
    for (size_t i = 0; i < STORY_ORDERS_MAX; i++) {
        struct story_order *o = &orders->order[i];
        if (o->used && now_ms > o->end_ms + 2 * STORY_GRACE_MS)
            *o = (struct story_order){0};
    }
}

struct story_child *story_orders_child(struct story_orders *orders, const uint8_t id[ERAB_ID_SIZE],
                                       struct story_order **order)
{
    for (size_t i = 0; i < STORY_ORDERS_MAX; i++) {
        struct story_order *o = &orders->order[i];
        for (size_t c = 0; o->used && c < STORY_MEMBERS_MAX; c++) {
            if (!o->children[c].sent || !same_id(o->children[c].id, id))
                continue;
            *order = o;
            return &o->children[c];
        }
    }
    return NULL;
}

bool story_child_receipt(struct story_child *child, const struct erab_receipt *receipt)
{
    if (child->final || receipt->state < ERAB_APPLIED)
        return false;
    child->final = true;
    child->applied = receipt->state == ERAB_APPLIED;
    child->reason = receipt->state == ERAB_EXPIRED ? ERAB_REASON_EXPIRED : receipt->reason;
    if (child->reason >= ERAB_REASON_COUNT)
        child->reason = ERAB_REASON_INTERNAL;
    return true;
}

void story_order_settle(struct story_party *party, struct story_order *order, size_t n)
{
    size_t applied = 0;
    enum erab_reason reason = ERAB_REASON_NONE;
    for (size_t i = 0; i < n; i++) {
        if (!order->children[i].final)
            return;
        applied += order->children[i].applied;
        if (!order->children[i].applied && !reason)
            reason = order->children[i].reason;
    }
    if (order->answered || order->cancelled)
        return;
    char detail[64];
    snprintf(detail, sizeof(detail), "%zu of %zu members", applied, n);
    bool ok = applied > 0 || n == 0;
    order->answered = true;
    erab_client_answer_later(party->client, &order->header, order->hash, ok ? ERAB_APPLIED : ERAB_REFUSED,
                             ok ? ERAB_REASON_NONE : reason, n ? detail : NULL);
}

int64_t story_order_watts(const struct story_order *order, uint64_t now_ms)
{
    for (size_t i = 0; i < order->n_slots; i++)
        if (now_ms >= order->slots[i].start_ms && now_ms < order->slots[i].end_ms)
            return order->slots[i].watts;
    return 0;
}

double story_order_mean_kw(const struct story_order *order)
{
    double sum = 0;
    for (size_t i = 0; i < order->n_slots; i++)
        sum += (double)order->slots[i].watts * (double)(order->slots[i].end_ms - order->slots[i].start_ms);
    return sum / 1000.0 / (double)(order->end_ms - order->start_ms);
}

void story_order_opt_in(struct story_party *party, const struct story_order *order)
{
    uint8_t id[ERAB_ID_SIZE];
    Erab__V1__Opt opt = ERAB__V1__OPT__INIT;
    for (size_t i = 0; i < ERAB_ID_SIZE; i++)
        id[i] = order->header.id[i];
    opt.decision = ERAB__V1__OPT_DECISION__OPT_IN;
    opt.order = (char *)(uintptr_t)order->name;
    opt.has_modification = true;
    opt.modification = order->modification;
    opt.has_dispatch_id = true;
    opt.dispatch_id = (ProtobufCBinaryData){.len = ERAB_ID_SIZE, .data = id};
    story_send(party, party->client, order->header.from, ERAB_OPT, ERAB_OPERATION, 0, &order->header, order->hash,
               &opt.base, NULL);
}

void story_order_result(struct story_party *party, struct story_order *order, double achieved_kw, size_t n)
{
    uint32_t done = 0, failed = 0;
    enum erab_reason reason = ERAB_REASON_NONE;
    bool partly = false;
    for (size_t i = 0; i < n; i++) {
        const struct story_child *c = &order->children[i];
        bool good = !c->lost && c->has_result && c->outcome == ERAB__V1__OUTCOME__DONE;
        partly = partly || (!c->lost && c->has_result && c->outcome == ERAB__V1__OUTCOME__PARTLY);
        done += good;
        failed += !good;
        if (!good && !reason)
            reason = c->reason ? c->reason : c->has_result ? ERAB_REASON_DEVICE_DEVIATES : ERAB_REASON_DEVICE_SILENT;
    }
    Erab__V1__Result r = ERAB__V1__RESULT__INIT;
    r.about = (ProtobufCBinaryData){.len = ERAB_ID_SIZE, .data = order->header.id};
    r.outcome = failed == 0          ? ERAB__V1__OUTCOME__DONE
                : done > 0 || partly ? ERAB__V1__OUTCOME__PARTLY
                                     : ERAB__V1__OUTCOME__FAILED;
    r.reason = (char *)(uintptr_t)erab_reason_code(reason);
    r.has_expected_kw = r.has_achieved_kw = order->mode != ERAB__V1__DISPATCH_MODE__LEVEL;
    r.expected_kw = story_order_mean_kw(order);
    r.achieved_kw = achieved_kw;
    r.has_from_ms = r.has_until_ms = true;
    r.from_ms = order->start_ms;
    r.until_ms = order->end_ms;
    r.has_members_done = r.has_members_failed = true;
    r.members_done = done;
    r.members_failed = failed;
    order->result_sent = true;
    static const char *const outcomes[] = {"", "done", "partly", "failed"};
    event_begin("result", party->name);
    event_text("order", order->name);
    event_text("outcome", outcomes[r.outcome]);
    event_text("reason", r.reason);
    event_number("expected_kw", r.expected_kw);
    event_number("achieved_kw", r.achieved_kw);
    event_end();
    story_send(party, party->client, order->header.from, ERAB_RESULT, ERAB_OPERATION, 0, &order->header, order->hash,
               &r.base, NULL);
}

void story_order_lost(struct story_party *party, struct story_order *order, struct story_child *child,
                      int64_t share, int64_t left, enum erab_reason reason)
{
    if (child->lost)
        return;
    child->lost = true;
    if (!child->reason)
        child->reason = reason;
    Erab__V1__Capability c = ERAB__V1__CAPABILITY__INIT;
    const char *resource = party->options->resource;
    c.resource = (char *)(uintptr_t)(resource ? resource : party->name);
    c.up_kw = left > 0 ? (double)left / 1000.0 : 0;
    c.down_kw = left < 0 ? (double)-left / 1000.0 : 0;
    c.from_ms = story_now_ms();
    c.has_until_ms = true;
    c.until_ms = order->end_ms;
    c.has_lost_kw = true;
    c.lost_kw = fabs((double)share) / 1000.0;
    c.reason = (char *)(uintptr_t)erab_reason_code(reason);
    event_begin("lost", party->name);
    event_text("order", order->name);
    event_number("lost_kw", c.lost_kw);
    event_text("reason", c.reason);
    event_end();
    if (c.until_ms > c.from_ms)
        story_send(party, party->client, order->header.from, ERAB_CAPABILITY, ERAB_OPERATION, 0, &order->header,
                   order->hash, &c.base, NULL);
}
