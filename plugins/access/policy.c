/* Guideline 3.6: only whom, when and what is meant to be there. This policy judges where no message comes in: who may be
 * connected (CONNECT), what may leave to whom (EGRESS), and which acts of operators are taken (ADMIN). An entry denies
 * what it is about, or, with hours, what it is about outside of them. Its vote is a DENY or none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "plugins.h"
#include "words.h"

#define HOURS_MAX 4
#define DAY_MIN   1440u

struct rule {
    uint32_t stage;
    char peer[WORDS_MAX + 1]; /* who connects, or is sent to */
    char act[WORDS_MAX + 1], object[WORDS_MAX + 1], by[WORDS_MAX + 1];
    uint64_t types; /* bits; 0: all */
    enum erab_interface interface;
    bool has_peer, has_act;
    uint32_t n_hours;
    struct {
        uint32_t from, to;
    } hours[HOURS_MAX];
};

struct access {
    struct rule *rules;
    uint32_t n_rules;
    int64_t utc_offset_min;
    char said[64];
};

static const struct erab_option options[] = {
    {.name = "rules",
     .type = ERAB_OPTION_LIST,
     .flags = ERAB_OPTION_REQUIRED,
     .min = 1,
     .max = 256,
     .help = "entries as 'stage=connect peer=maker-* hours=09:00-17:00' or 'stage=admin act=party-approve by=night-*'"},
    {.name = "utc_offset_min", .type = ERAB_OPTION_INTEGER, .default_value = "540", .min = -720, .max = 840,
     .help = "of the clock that `hours` are meant in; usually Japan's"},
    {.name = NULL},
};

static const char *take_text(char *to, const char *value)
{
    return erabi_copy_text(to, WORDS_MAX + 1, value) ? NULL : "too long";
}

static const char *take_stage(struct rule *r, const char *value)
{
    static const struct {
        const char *name;
        uint32_t stage;
    } stages[] = {{"connect", ERAB_STAGE_CONNECT}, {"egress", ERAB_STAGE_EGRESS}, {"admin", ERAB_STAGE_ADMIN}};
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
        if (strcmp(value, stages[i].name) == 0)
            r->stage = stages[i].stage;
    return r->stage ? NULL : "must be connect, egress or admin";
}

static const struct {
    const char *name;
    bool is_signed, has_interface;
} acts[] = {{"party-invite", true, true},
            {"party-approve", true, true},
            {"breaker-close", true, true},
            {"join", false, true},
            {"config-reload", false, false}};

static const char *take_act(struct rule *r, const char *value)
{
    r->has_act = true;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        if (words_match(value, acts[i].name))
            return take_text(r->act, value);
    return "matches none of party-invite party-approve breaker-close join config-reload; nothing else is asked about";
}

/* A rule about an operator or an interface needs an act that has one. */
static const char *never(const struct rule *r)
{
    bool is_signed = words_match(r->by, ""), has_interface = r->interface == ERAB_IF_NONE;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        if (!words_match(r->act, acts[i].name))
            continue;
        is_signed |= acts[i].is_signed;
        has_interface |= acts[i].has_interface;
    }
    return !is_signed       ? "by= would never match: join and config-reload are signed by nobody"
           : !has_interface ? "config-reload is about no interface"
                            : NULL;
}

static const char *take(void *user, const char *name, const char *value)
{
    struct rule *r = user;
    if (strcmp(name, "stage") == 0)
        return take_stage(r, value);
    if (strcmp(name, "peer") == 0) {
        r->has_peer = true;
        return take_text(r->peer, value);
    }
    if (strcmp(name, "act") == 0)
        return take_act(r, value);
    if (strcmp(name, "object") == 0 || strcmp(name, "by") == 0) {
        r->has_act = true;
        return take_text(name[0] == 'o' ? r->object : r->by, value);
    }
    if (strcmp(name, "type") == 0) {
        enum erab_type type = erab_type_from_name(value);
        r->types |= UINT64_C(1) << type;
        return !type ? "no message type" : type == ERAB_RECEIPT ? "receipts are never asked about" : NULL;
    }
    if (strcmp(name, "interface") == 0) {
        r->interface = erab_interface_from_name(value);
        return r->interface ? NULL : "no interface";
    }
    if (strcmp(name, "hours") == 0) {
        if (r->n_hours == HOURS_MAX)
            return "at most four of them";
        bool good = words_hours(value, &r->hours[r->n_hours].from, &r->hours[r->n_hours].to);
        r->n_hours++;
        return good ? NULL : "must be as 06:00-22:30";
    }
    return "known are stage peer interface type act object by hours";
}

static int read_rule(const char *text, uint32_t item, void *rule, struct erab_error *error)
{
    struct rule *r = rule;
    *r = (struct rule){.peer = "*", .act = "*", .object = "*", .by = "*"};
    int fault = words_read("rules", item, text, take, r, error);
    if (fault < 0)
        return fault;
    if (!r->stage)
        return words_fail(error, "rules", item, "needs stage=connect, stage=egress or stage=admin");
    if (r->stage == ERAB_STAGE_ADMIN && (r->has_peer || r->types))
        return words_fail(error, "rules", item, "an act has no peer and no type; give act= object= by=");
    if (r->stage != ERAB_STAGE_ADMIN && r->has_act)
        return words_fail(error, "rules", item, "act= object= by= belong to stage=admin");
    const char *wrong = r->stage == ERAB_STAGE_ADMIN ? never(r) : NULL;
    if (wrong)
        return words_fail(error, "rules", item, wrong);
    if (r->stage == ERAB_STAGE_CONNECT && r->types)
        return words_fail(error, "rules", item, "a connection has no type");
    return 0;
}

static int check(const struct erab_config *config, struct erab_error *error)
{
    uint32_t n;
    int fault;
    free(words_rules(config, sizeof(struct rule), read_rule, &n, error, &fault));
    return fault;
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct access *a = instance;
    int fault;
    a->utc_offset_min = words_option(config, "utc_offset_min")->integer;
    a->rules = words_rules(config, sizeof(*a->rules), read_rule, &a->n_rules, error, &fault);
    return fault;
}

static bool within_hours(const struct rule *r, uint64_t now_ms, int64_t offset_min)
{
    uint64_t day = (uint64_t)((int64_t)(now_ms / 60000 % DAY_MIN) + offset_min + 2 * DAY_MIN) % DAY_MIN;
    for (uint32_t i = 0; i < r->n_hours; i++) {
        uint64_t from = r->hours[i].from, to = r->hours[i].to;
        uint64_t room = to > from ? to - from : to + DAY_MIN - from;
        if ((day + DAY_MIN - from) % DAY_MIN < room)
            return true;
    }
    return false;
}

static bool about(const struct rule *r, const struct erab_policy_request *request)
{
    if (r->stage != request->stage || (r->interface != ERAB_IF_NONE && r->interface != request->interface))
        return false;
    if (r->stage == ERAB_STAGE_ADMIN)
        return words_match(r->act, request->act) && words_match(r->object, request->object) &&
               words_match(r->by, request->by);
    if (r->stage == ERAB_STAGE_CONNECT)
        return words_match(r->peer, request->from);
    return words_match(r->peer, request->to) && (!r->types || r->types >> request->header->type & 1);
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    struct access *a = instance;
    for (uint32_t i = 0; i < a->n_rules; i++) {
        const struct rule *r = &a->rules[i];
        if (!about(r, request) || within_hours(r, request->now_ms, a->utc_offset_min))
            continue;
        snprintf(a->said, sizeof(a->said), "rule %u%s", i + 1, r->n_hours ? ": outside the allowed hours" : "");
        verdict->vote = ERAB_DENY;
        verdict->reason = ERAB_REASON_POLICY_DENIED;
        verdict->section = "3.6";
        verdict->detail = a->said;
        return;
    }
}

static void fini(void *instance)
{
    struct access *a = instance;
    free(a->rules);
}

const struct erab_policy erab_policy_access = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "access",
    .version = "1",
    .vendor = "erab-broker",
    .stages = ERAB_STAGE_CONNECT | ERAB_STAGE_EGRESS | ERAB_STAGE_ADMIN,
    .options = options,
    .instance_size = sizeof(struct access),
    .check = check,
    .init = init,
    .decide = decide,
    .fini = fini,
};
