/* What the parties do in a run, and what goes wrong around them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { ACTIVE_S = 30 };

static uint64_t now_ms(const struct party *p)
{
    return sim_wall_ms(p->node);
}

/* ---- what is said ---- */

static void send_dispatch(struct party *p, const char *to, uint32_t life, bool bad)
{
    char order[64];
    uint64_t start = now_ms(p);
    snprintf(order, sizeof(order), WORLD_MARK "-%u", ++p->world->orders);
    Erab__V1__DispatchSlot slot = ERAB__V1__DISPATCH_SLOT__INIT, *slots[1] = {&slot};
    Erab__V1__Dispatch d = ERAB__V1__DISPATCH__INIT;
    slot.start_ms = d.start_ms = start;
    slot.end_ms = d.end_ms = start + life + 20000;
    slot.has_target_kw = true;
    slot.target_kw = -100;
    d.order = order;
    d.mode = ERAB__V1__DISPATCH_MODE__SETPOINT;
    d.n_slot = 1;
    d.slot = slots;
    struct sending s = {.type = ERAB_DISPATCH, .to = to, .body = &d.base, .life_ms = life, .bad = bad};
    party_send(p, &s);
}

static void send_cancel(struct party *p, const struct message *of)
{
    Erab__V1__DispatchCancel c = ERAB__V1__DISPATCH_CANCEL__INIT;
    c.order = (char *)(uintptr_t)WORLD_MARK;
    c.dispatch_id = (ProtobufCBinaryData){ERAB_ID_SIZE, (uint8_t *)(uintptr_t)of->id};
    struct sending s = {.type = ERAB_DISPATCH_CANCEL, .to = of->to, .body = &c.base, .life_ms = 20000,
                        .parent_id = of->id, .parent_hash = of->hash};
    party_send(p, &s);
}

static void send_command(struct party *p, const char *to, const uint8_t *parent, const uint8_t *hash, uint32_t life,
                         bool bad)
{
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    c.action = ERAB__V1__DEVICE_ACTION__DISCHARGE;
    c.has_power_w = true;
    c.power_w = 1000;
    c.start_ms = now_ms(p);
    c.end_ms = c.start_ms + life + 5000;
    c.order = (char *)(uintptr_t)WORLD_MARK;
    struct sending s = {.type = ERAB_DEVICE_COMMAND, .to = to, .body = &c.base, .life_ms = life, .parent_id = parent,
                        .parent_hash = hash, .bad = bad};
    party_send(p, &s);
}

static void send_opt(struct party *p, const char *to, const char *from, bool unsigned_too, bool bad)
{
    Erab__V1__Opt o = ERAB__V1__OPT__INIT;
    o.decision = ERAB__V1__OPT_DECISION__OPT_IN;
    o.order = (char *)(uintptr_t)WORLD_MARK;
    struct sending s = {.type = ERAB_OPT, .to = to, .from = from, .body = &o.base, .unsigned_too = unsigned_too,
                        .life_ms = 3000 + sim_random(20000), .bad = bad};
    party_send(p, &s);
}

/* Another message under the id of one that was taken. */
static void send_again_otherwise(struct party *p, const char *to)
{
    struct message *m, *found = NULL;
    STAILQ_FOREACH(m, &p->world->messages, entry)
    {
        if (m->accepted && !m->bad && m->type == ERAB_OPT && strcmp(m->from, p->speaks) == 0 &&
            m->expires_ms > now_ms(p))
            found = m;
    }
    Erab__V1__Opt o = ERAB__V1__OPT__INIT;
    o.decision = ERAB__V1__OPT_DECISION__OPT_OUT;
    o.order = (char *)(uintptr_t)WORLD_MARK;
    struct sending s = {.type = ERAB_OPT, .to = to, .body = &o.base, .life_ms = 10000, .bad = true};
    if (!found)
        return;
    s.id = found->id;
    s.life_ms = (uint32_t)(found->expires_ms - now_ms(p)); /* an id is remembered so long */
    party_send(p, &s);
}

static void send_telemetry(struct party *p, const char *to, const char *from, bool bad)
{
    Erab__V1__TelemetryPoint point = ERAB__V1__TELEMETRY_POINT__INIT, *points[1] = {&point};
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    point.resource = (char *)(uintptr_t)WORLD_MARK;
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.at_ms = now_ms(p);
    point.value = 1.5;
    t.n_point = 1;
    t.point = points;
    struct sending s = {.type = ERAB_TELEMETRY, .to = to, .from = from, .body = &t.base, .life_ms = 20000, .bad = bad};
    party_send(p, &s);
}

/* ---- what is done on what came ---- */

void story_on_message(struct party *p, const struct erab_header *h, const uint8_t hash[ERAB_HASH_SIZE])
{
    uint64_t left = h->expires_at_ms - now_ms(p);
    if (p->world->quiet)
        return;
    if (p->index == ALDER_APP && h->type == ERAB_DISPATCH && !sim_chance(3))
        send_command(p, sim_chance(2) ? "gw1" : "gw2", h->id, hash, 1000 + sim_random((uint32_t)left + 1), false);
    if (p->index == ALDER_APP && h->type == ERAB_DISPATCH_CANCEL && h->has_parent)
        send_command(p, "gw1", h->parent_id, h->parent_hash, 5000, true); /* of an order that is cancelled */
    if (p->index == ALDER_APP && h->type == ERAB_DISPATCH && sim_chance(3))
        send_opt(p, "coordinator.rest", NULL, false, false);
    if (p->index == BIRCH && h->type == ERAB_DISPATCH && sim_chance(2))
        send_opt(p, "coordinator.rest", NULL, false, false);
    if (h->type == ERAB_DEVICE_COMMAND && sim_chance(2))
        send_opt(p, "alder", NULL, false, false);
}

static void cancel_one(struct party *p)
{
    struct message *m, *found = NULL;
    STAILQ_FOREACH(m, &p->world->messages, entry)
    {
        if (m->type == ERAB_DISPATCH && m->accepted && !m->bad && strcmp(m->from, p->speaks) == 0 && sim_chance(4))
            found = m;
    }
    if (found)
        send_cancel(p, found);
}

/* The bytes of somebody else's message under a connection that does not speak for them. */
static void replay_other(struct party *p)
{
    const struct party *other = &p->world->parties[p->index == BIRCH ? REST_APP : GW1];
    const struct item *item = STAILQ_FIRST(&other->items);
    if (item && p->dials[item->group - 1].bound)
        party_replay(p, item);
}

static void act(struct party *p)
{
    static const char *const down[] = {"alder", "birch", "@all-ra", "alder"};
    switch (p->index) {
    case REST_APP:
        if (sim_chance(6))
            cancel_one(p);
        else
            send_dispatch(p, down[sim_random(4)], 2000 + sim_random(20000), false);
        break;
    case BIRCH:
        if (sim_chance(8))
            replay_other(p);
        else if (sim_chance(8))
            send_opt(p, "coordinator.rest", "alder", false, true); /* in another's name */
        else if (sim_chance(8))
            send_opt(p, "coordinator.rest", NULL, true, true); /* unsigned */
        else if (sim_chance(4))
            send_dispatch(p, "coordinator.rest", 5000, true); /* an aggregator orders nobody above it */
        else
            send_telemetry(p, "coordinator.rest", NULL, false);
        break;
    case GW1:
        send_telemetry(p, "alder", NULL, false);
        break;
    case GW2:
        if (sim_chance(6))
            send_telemetry(p, "alder", "gw1", true);
        else if (sim_chance(6))
            send_dispatch(p, "alder", 5000, true);
        else if (sim_chance(6))
            replay_other(p);
        else if (sim_chance(8))
            send_again_otherwise(p, "alder");
        else
            send_opt(p, "alder", NULL, false, false);
        break;
    case ALDER_APP:
        send_telemetry(p, "coordinator.rest", NULL, false);
        break;
    }
}

struct doing {
    struct world *world;
    unsigned what, which;
};

static void do_act(void *arg)
{
    act(arg);
}

static void on_act(void *arg)
{
    struct doing *d = arg;
    struct party *p = &d->world->parties[d->which];
    if (!d->world->quiet && p->transport)
        sim_turn(p->node, do_act, p);
    free(d);
}

/* ---- what goes wrong ---- */

enum fault { BREAK, PARTITION, CRASH, REVIVE, REVOKE, APART, CLOCK, SLOW, TRIP, TRIPPED, CLOSE };

static unsigned any_pair(struct world *w, unsigned *other)
{
    static const struct {
        unsigned party, broker;
    } pairs[] = {{REST_APP, COORDINATOR}, {BIRCH, COORDINATOR}, {ALDER_APP, ALDER}, {GW1, ALDER}, {GW2, ALDER}};
    unsigned i = sim_random(6);
    (void)w;
    *other = i < 5 ? world_node_of_broker(pairs[i].broker) : world_node_of_broker(COORDINATOR);
    return i < 5 ? pairs[i].party : world_node_of_broker(ALDER);
}

static void plan(struct world *w, uint64_t at_us, enum fault what, unsigned which);

static void on_fault(void *arg)
{
    struct doing *d = arg;
    struct world *w = d->world;
    unsigned a, b;
    a = any_pair(w, &b);
    if (w->quiet && d->what != REVIVE && d->what != CLOSE)
        d->what = SLOW;
    switch ((enum fault)d->what) {
    case BREAK:
        w->count.breaks++;
        sim_break(a, b);
        break;
    case PARTITION:
        w->count.breaks++;
        sim_partition(a, b, sim_us() + 100000 + sim_random(20000000));
        break;
    case CRASH:
        world_crash(w, d->which);
        plan(w, sim_us() + 100000 + sim_random(6000000), REVIVE, d->which);
        break;
    case REVIVE:
        world_revive(w, d->which);
        if (w->closed_us && d->which == COORDINATOR) /* its disk may not have had it */
            plan(w, sim_us() + 1000000, CLOSE, 0);
        break;
    case REVOKE:
        if (world_revoke(w, "birch") == 0)
            w->revoked_us = sim_us();
        break;
    case TRIP: /* sometimes while the applications above cannot be reached: then something waits for them */
        if (sim_chance(2)) {
            w->count.breaks++;
            sim_partition(REST_APP, world_node_of_broker(COORDINATOR), sim_us() + 100000 + sim_random(6000000));
        }
        plan(w, sim_us() + sim_random(4000000), TRIPPED, 0);
        break;
    case TRIPPED:
        if (world_trip(w) == 0)
            plan(w, sim_us() + 1000000 + sim_random(15000000), CLOSE, 0);
        break;
    case CLOSE:
        if (world_close(w) < 0) /* the broker is down: the operator asks again */
            plan(w, sim_us() + 1000000, CLOSE, 0);
        break;
    case APART:
        w->count.breaks++;
        sim_break(BIRCH, world_node_of_broker(COORDINATOR));
        sim_partition(BIRCH, world_node_of_broker(COORDINATOR), sim_us() + 5000000);
        break;
    case CLOCK: /* back, or ahead by less than the broker distrusts */
        world_set_clock(w, d->which, (int64_t)sim_random(6001) - 4000);
        break;
    case SLOW:
        sim_set_latency(sim_chance(2) ? 300000 : 5000);
        break;
    }
    free(d);
}

static void plan(struct world *w, uint64_t at_us, enum fault what, unsigned which)
{
    struct doing *d = malloc(sizeof(*d));
    *d = (struct doing){w, what, which};
    sim_at(&w->god, at_us, on_fault, d);
}

void story_plan(struct world *w)
{
    unsigned acts = 20 + sim_random(120);
    for (unsigned i = 0; i < acts; i++) {
        struct doing *d = malloc(sizeof(*d));
        *d = (struct doing){w, 0, sim_chance(2) ? REST_APP : sim_random(GW2 + 1)};
        sim_at(&w->god, 500000 + (uint64_t)sim_random(ACTIVE_S * 1000) * 1000, on_act, d);
    }
    /* A run has some kinds of trouble and not others: what only happens in calm weather is found too. */
    bool broken = sim_chance(2), crashing = sim_chance(3), odd_clock = sim_chance(4), slow = sim_chance(3);
    unsigned n = 1 + sim_random(6);
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = 500000 + (uint64_t)sim_random(ACTIVE_S * 1000) * 1000;
        if (broken)
            plan(w, at, sim_chance(2) ? BREAK : PARTITION, 0);
        if (crashing && i < 3)
            plan(w, at + sim_random(1000000), CRASH, sim_random(BROKERS));
        if (odd_clock)
            plan(w, at, CLOCK, sim_random(BROKERS));
        if (slow)
            plan(w, at, SLOW, 0);
    }
    if (sim_chance(4)) {
        uint64_t at = 5000000 + (uint64_t)sim_random(20000) * 1000;
        if (sim_chance(2)) /* so that something waits for it */
            plan(w, at - 3000000, APART, 0);
        plan(w, at, REVOKE, 0);
    }
    if (sim_chance(3))
        plan(w, 2000000 + (uint64_t)sim_random(22000) * 1000, TRIP, 0);
}
