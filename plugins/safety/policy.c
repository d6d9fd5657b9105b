/* What orders may ask of equipment: power, ramps, lengths, hours, by target and product. The guideline's threat is
 * a wrong order that damages equipment or endangers people (3.3); 3.6 asks that nothing but proper operation
 * gets through. A vote of this policy is a DENY or none. Standby and restore, the way back to the safe state, are
 * never stopped here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "plugins.h"
#include "safety/rule.h"

#define MINUTE_MS 60000u
#define DAY_MIN   1440u
#define PROBES    16u

/* The last order to a party under a rule that looks back. */
struct memory {
    bool used, has_kw;
    uint32_t rule;
    char party[ERAB_PARTY_MAX + 1];
    uint64_t start_ms, end_ms;
    double kw;
};

struct safety {
    struct safety_rule *rules;
    uint32_t n_rules;
    struct memory *memories;
    uint32_t n_memories;
    int64_t utc_offset_min;
    bool deny_unmatched;
    char said[128];
};

/* An order as the rules see it. */
struct order {
    const struct erab_policy_request *request;
    uint32_t kind;
    uint32_t action; /* of a device command */
    const char *resource, *product;
    uint64_t start_ms, end_ms;
    const Erab__V1__Dispatch *dispatch;
    const Erab__V1__DeviceCommand *command;
};

static const struct erab_option options[] = {
    {.name = "rules",
     .type = ERAB_OPTION_LIST,
     .flags = ERAB_OPTION_REQUIRED,
     .min = 1,
     .max = 1024,
     .help = "entries as 'target=battery-* type=device-command max_kw=5 max_duration_s=7200'"},
    {.name = "unmatched",
     .type = ERAB_OPTION_TEXT,
     .default_value = "abstain",
     .choices = (const char *const[]){"abstain", "deny", NULL},
     .help = "an order that no rule is about"},
    {.name = "utc_offset_min", .type = ERAB_OPTION_INTEGER, .default_value = "540", .min = -720, .max = 840,
     .help = "of the clock that `hours` are meant in; usually Japan's"},
    {.name = "entries", .type = ERAB_OPTION_INTEGER, .default_value = "8192", .min = 16, .max = 262144,
     .help = "last orders that are kept at once, for ramps and intervals"},
    {.name = NULL},
};

static int check(const struct erab_config *config, struct erab_error *error)
{
    uint32_t n;
    int fault;
    free(words_rules(config, sizeof(struct safety_rule), safety_rule_read, &n, error, &fault));
    return fault;
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct safety *s = instance;
    int fault;
    const char *unmatched = words_option(config, "unmatched")->text;
    s->rules = words_rules(config, sizeof(*s->rules), safety_rule_read, &s->n_rules, error, &fault);
    if (fault)
        return fault;
    s->n_memories = (uint32_t)words_option(config, "entries")->integer;
    s->utc_offset_min = words_option(config, "utc_offset_min")->integer;
    s->deny_unmatched = unmatched && strcmp(unmatched, "deny") == 0;
    s->memories = calloc(s->n_memories, sizeof(*s->memories));
    return s->memories ? 0 : -ENOMEM;
}

static bool read_order(const struct erab_policy_request *request, struct order *o)
{
    *o = (struct order){.request = request, .resource = "", .product = ""};
    if (request->header->type == ERAB_DISPATCH && request->body) {
        o->kind = SAFETY_DISPATCH;
        o->dispatch = (const void *)request->body;
        o->start_ms = o->dispatch->start_ms;
        o->end_ms = o->dispatch->end_ms;
        o->resource = o->dispatch->resource ? o->dispatch->resource : "";
        o->product = o->dispatch->product ? o->dispatch->product : "";
        return true;
    }
    if (request->header->type == ERAB_DEVICE_COMMAND && request->body) {
        o->kind = SAFETY_COMMAND;
        o->command = (const void *)request->body;
        o->start_ms = o->command->start_ms;
        o->end_ms = o->command->end_ms;
        o->action = (uint32_t)o->command->action;
        return o->command->action != ERAB__V1__DEVICE_ACTION__RESTORE &&
               o->command->action != ERAB__V1__DEVICE_ACTION__STANDBY;
    }
    return false;
}

static bool about(const struct safety_rule *r, const struct order *o)
{
    return (!r->kinds || r->kinds & o->kind) && (!r->actions || r->actions & 1u << o->action) &&
           (r->interface == ERAB_IF_NONE || r->interface == o->request->interface) &&
           words_match(r->target, o->request->to) && words_match(r->resource, o->resource) &&
           words_match(r->product, o->product);
}

/* The power of a command, positive into the resource; false: it names none. */
static bool command_kw(const Erab__V1__DeviceCommand *c, double *kw)
{
    bool out = c->action == ERAB__V1__DEVICE_ACTION__DISCHARGE || c->action == ERAB__V1__DEVICE_ACTION__EV_DISCHARGE;
    *kw = (out ? -c->power_w : c->power_w) / 1000.0;
    return c->has_power_w;
}

static bool moves_power(const Erab__V1__DeviceCommand *c)
{
    switch (c->action) {
    case ERAB__V1__DEVICE_ACTION__CHARGE:
    case ERAB__V1__DEVICE_ACTION__DISCHARGE:
    case ERAB__V1__DEVICE_ACTION__PV_LIMIT_W:
    case ERAB__V1__DEVICE_ACTION__EV_CHARGE:
    case ERAB__V1__DEVICE_ACTION__EV_DISCHARGE:
    case ERAB__V1__DEVICE_ACTION__POWER_LIMIT:
        return true;
    default:
        return false;
    }
}

static const char *check_power(const struct safety_rule *r, const struct order *o)
{
    double kw;
    if (o->command) {
        if (r->has_value && o->command->has_value && (o->command->value < r->min_value || o->command->value > r->max_value))
            return "a value outside the range";
        if (!r->has_kw || !moves_power(o->command))
            return NULL;
        if (!command_kw(o->command, &kw))
            return "no power is given, and the range needs one";
        return kw < r->min_kw || kw > r->max_kw ? "power outside the range" : NULL;
    }
    for (size_t i = 0; i < o->dispatch->n_slot; i++) {
        const Erab__V1__DispatchSlot *slot = o->dispatch->slot[i];
        if (r->has_level && slot->has_level && slot->level > r->max_level)
            return "a level above the highest";
        if (!r->has_kw || o->dispatch->mode == ERAB__V1__DISPATCH_MODE__LEVEL)
            continue;
        if (!slot->has_target_kw)
            return "no power is given, and the range needs one";
        if (slot->target_kw < r->min_kw || slot->target_kw > r->max_kw)
            return "power outside the range";
    }
    return NULL;
}

static bool within_hours(const struct safety_rule *r, const struct order *o, int64_t offset_min)
{
    uint64_t length = (o->end_ms - o->start_ms + MINUTE_MS - 1) / MINUTE_MS;
    uint64_t day = (uint64_t)((int64_t)(o->start_ms / MINUTE_MS % DAY_MIN) + offset_min + 2 * DAY_MIN) % DAY_MIN;
    for (uint32_t i = 0; i < r->n_hours; i++) {
        uint64_t from = r->hours[i].from, to = r->hours[i].to;
        uint64_t room = to > from ? to - from : to + DAY_MIN - from, after = (day + DAY_MIN - from) % DAY_MIN;
        if (after < room && after + length <= room)
            return true;
    }
    return r->n_hours == 0;
}

static const char *check_times(const struct safety_rule *r, const struct order *o, int64_t offset_min)
{
    uint64_t now = o->request->now_ms;
    if (o->end_ms <= o->start_ms)
        return "an end that is not after the start";
    double seconds = (double)(o->end_ms - o->start_ms) / 1000.0;
    double ahead = o->start_ms > now ? (double)(o->start_ms - now) / 1000.0 : 0;
    if (r->max_duration_s > 0 && seconds > r->max_duration_s)
        return "longer than allowed";
    if (r->min_notice_s > 0 && ahead < r->min_notice_s)
        return "begins too soon";
    if (r->max_ahead_s > 0 && ahead > r->max_ahead_s)
        return "begins too far ahead";
    return within_hours(r, o, offset_min) ? NULL : "outside the allowed hours";
}

/* May power go from one value to the other, with so much time between the two starts? */
static bool ramp_holds(const struct safety_rule *r, double from_kw, double to_kw, uint64_t from_ms, uint64_t to_ms)
{
    double minutes = to_ms > from_ms ? (double)(to_ms - from_ms) / (double)MINUTE_MS : 0;
    double step = to_kw > from_kw ? to_kw - from_kw : from_kw - to_kw;
    return step <= r->ramp_kw_per_min * (minutes < 1 ? 1 : minutes);
}

static const char *check_ramp(const struct safety_rule *r, const struct order *o, const struct memory *last)
{
    static const char too_steep[] = "power would change faster than allowed";
    double kw;
    if (!r->has_ramp)
        return NULL;
    if (o->command) {
        if (!moves_power(o->command) || !command_kw(o->command, &kw))
            return NULL;
        return last && last->has_kw && !ramp_holds(r, last->kw, kw, last->start_ms, o->start_ms) ? too_steep : NULL;
    }
    for (size_t i = 0; i < o->dispatch->n_slot; i++) {
        const Erab__V1__DispatchSlot *slot = o->dispatch->slot[i], *before = i ? o->dispatch->slot[i - 1] : NULL;
        if (before && !ramp_holds(r, before->target_kw, slot->target_kw, before->start_ms, slot->start_ms))
            return too_steep;
        if (!before && last && last->has_kw && !ramp_holds(r, last->kw, slot->target_kw, last->start_ms, slot->start_ms))
            return too_steep;
    }
    return NULL;
}

static bool looks_back(const struct safety_rule *r)
{
    return r->has_ramp || r->min_interval_s > 0;
}

/* The memory of this rule and party, or room for it (not `used`); NULL: no room near its place. */
static struct memory *memory_of(struct safety *s, uint32_t rule, const char *party, uint64_t now_ms)
{
    uint32_t hash = 2166136261u ^ rule;
    for (const char *c = party; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    struct memory *room = NULL;
    for (uint32_t i = 0; i < PROBES && i < s->n_memories; i++) {
        struct memory *m = &s->memories[((uint64_t)hash + i) % s->n_memories];
        if (m->used && m->rule == rule && strcmp(m->party, party) == 0)
            return m;
        if (!room && (!m->used || m->end_ms < now_ms))
            room = m;
    }
    if (room)
        *room = (struct memory){.rule = rule};
    return room;
}

static const char *check_past(struct safety *s, uint32_t i, const struct order *o)
{
    const struct safety_rule *r = &s->rules[i];
    if (!looks_back(r))
        return NULL;
    const struct memory *last = memory_of(s, i, o->request->to, o->request->now_ms);
    if (!last)
        return "too many orders are remembered to judge its ramp";
    if (!last->used)
        return check_ramp(r, o, NULL);
    uint64_t apart = o->start_ms > last->start_ms ? o->start_ms - last->start_ms : last->start_ms - o->start_ms;
    if (r->min_interval_s > 0 && (double)apart / 1000.0 < r->min_interval_s)
        return "too soon after the last order";
    return check_ramp(r, o, last);
}

static void remember(struct safety *s, uint32_t i, const struct order *o)
{
    struct memory *m = memory_of(s, i, o->request->to, o->request->now_ms);
    if (!m)
        return;
    m->used = true;
    erabi_copy_text(m->party, sizeof(m->party), o->request->to);
    m->start_ms = o->start_ms;
    m->end_ms = o->end_ms;
    m->has_kw = false;
    if (o->command && moves_power(o->command)) {
        m->has_kw = command_kw(o->command, &m->kw);
    } else if (o->dispatch && o->dispatch->n_slot) {
        const Erab__V1__DispatchSlot *slot = o->dispatch->slot[o->dispatch->n_slot - 1];
        m->has_kw = slot->has_target_kw;
        m->kw = slot->target_kw;
        m->start_ms = slot->start_ms;
    }
}

static void deny(struct safety *s, struct erab_verdict *verdict, uint32_t rule, const char *what)
{
    if (rule)
        snprintf(s->said, sizeof(s->said), "rule %u: %s", rule, what);
    else
        snprintf(s->said, sizeof(s->said), "%s", what);
    verdict->vote = ERAB_DENY;
    verdict->reason = ERAB_REASON_OUT_OF_RANGE;
    verdict->section = "3.3";
    verdict->detail = s->said;
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    struct safety *s = instance;
    struct order o;
    bool matched = false;
    if (!read_order(request, &o))
        return;
    for (uint32_t i = 0; i < s->n_rules; i++) {
        const struct safety_rule *r = &s->rules[i];
        if (!about(r, &o))
            continue;
        matched = true;
        const char *wrong = r->deny ? "not for this target" : check_times(r, &o, s->utc_offset_min);
        if (!wrong)
            wrong = check_power(r, &o);
        if (!wrong)
            wrong = check_past(s, i, &o);
        if (wrong) {
            deny(s, verdict, i + 1, wrong);
            return;
        }
    }
    if (!matched && s->deny_unmatched) {
        deny(s, verdict, 0, "no rule is about this order");
        return;
    }
    for (uint32_t i = 0; i < s->n_rules && !request->header->exercise; i++)
        if (looks_back(&s->rules[i]) && about(&s->rules[i], &o))
            remember(s, i, &o);
}

static bool wants_body(void *instance, const struct erab_policy_request *request)
{
    return request->header->type == ERAB_DISPATCH || request->header->type == ERAB_DEVICE_COMMAND;
}

/* After a restart: without it the first order could jump its ramp. */
static void recall(void *instance, const struct erab_policy_request *request)
{
    struct safety *s = instance;
    struct order o;
    if (!read_order(request, &o) || request->header->exercise)
        return;
    for (uint32_t i = 0; i < s->n_rules; i++)
        if (looks_back(&s->rules[i]) && about(&s->rules[i], &o))
            remember(s, i, &o);
}

static void fini(void *instance)
{
    struct safety *s = instance;
    free(s->rules);
    free(s->memories);
}

const struct erab_policy erab_policy_safety = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "safety",
    .version = "1",
    .vendor = "erab-broker",
    .stages = ERAB_STAGE_INGRESS,
    .needs = ERAB_NEEDS_BODY,
    .options = options,
    .instance_size = sizeof(struct safety),
    .check = check,
    .init = init,
    .decide = decide,
    .fini = fini,
    .recall = recall,
    .wants_body = wants_body,
};
