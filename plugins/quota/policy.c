/* Guideline 3.3: hijacked devices may flood the servers until the whole service stops. So each party has a budget
 * of messages and bytes, in both directions, by type or lane; it fills up again with time (a token bucket). A vote
 * of this policy is a DENY or none. */
#include <string.h>

#include <errno.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "plugins.h"
#include "words.h"

#define PROBES 16u

struct rule {
    char peer[WORDS_MAX + 1];
    uint64_t types; /* bits; 0: all but receipts */
    enum erab_interface interface; /* NONE: any */
    enum direction { IN, OUT, LEAVING } direction; /* what the party sends; what is sent to it; what leaves to it */
    double rate, burst, bytes, bytes_burst; /* a second; 0: no limit */
};

struct bucket {
    bool used;
    uint32_t rule;
    char party[ERAB_PARTY_MAX + 1];
    uint64_t at_ms;
    double messages, bytes;
};

struct quota {
    struct rule *rules;
    uint32_t n_rules;
    struct bucket *buckets;
    uint32_t n_buckets;
    uint8_t last_id[ERAB_ID_SIZE]; /* a message to a group is asked about once a member, and sent once */
    char last_to[ERAB_PARTY_MAX + 1]; /* the same first member again: the message itself came again */
    bool has_last, last_denied;
};

static const struct erab_option options[] = {
    {.name = "rules",
     .type = ERAB_OPTION_LIST,
     .flags = ERAB_OPTION_REQUIRED,
     .min = 1,
     .max = 256,
     .help = "entries as 'peer=* lane=telemetry rate=50 burst=100 bytes=200000'"},
    {.name = "entries", .type = ERAB_OPTION_INTEGER, .default_value = "8192", .min = 16, .max = 262144,
     .help = "budgets that are kept at once, one for each party and rule"},
    {.name = NULL},
};

static uint64_t types_of_lane(const char *name)
{
    uint64_t types = 0;
    for (int t = 1; t <= ERAB_TYPE_MAX; t++)
        if (erab_body_descriptor((enum erab_type)t) && t != ERAB_RECEIPT &&
            strcmp(erab_lane_name(erab_type_lane((enum erab_type)t)), name) == 0)
            types |= UINT64_C(1) << t;
    return types;
}

static const char *take(void *user, const char *name, const char *value)
{
    struct rule *r = user;
    double *numbers[] = {&r->rate, &r->burst, &r->bytes, &r->bytes_burst};
    static const char *const names[] = {"rate", "burst", "bytes", "bytes_burst"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return words_number(value, 0.001, 1e12, numbers[i]) ? NULL : "must be a number above 0";
    if (strcmp(name, "peer") == 0)
        return erabi_copy_text(r->peer, sizeof(r->peer), value) ? NULL : "too long";
    if (strcmp(name, "type") == 0) {
        enum erab_type type = erab_type_from_name(value);
        r->types |= UINT64_C(1) << type;
        return type ? NULL : "no message type";
    }
    if (strcmp(name, "lane") == 0) {
        r->types |= types_of_lane(value);
        return types_of_lane(value) ? NULL : "must be command, control or telemetry";
    }
    if (strcmp(name, "interface") == 0) {
        r->interface = erab_interface_from_name(value);
        return r->interface ? NULL : "no interface";
    }
    if (strcmp(name, "direction") == 0) {
        r->direction = strcmp(value, "out") == 0 ? OUT : strcmp(value, "leaving") == 0 ? LEAVING : IN;
        return r->direction != IN || strcmp(value, "in") == 0 ? NULL : "must be in, out or leaving";
    }
    return "known are peer type lane interface direction rate burst bytes bytes_burst";
}

static int read_rule(const char *text, uint32_t item, void *rule, struct erab_error *error)
{
    struct rule *r = rule;
    *r = (struct rule){.peer = "*"};
    int fault = words_read("rules", item, text, take, r, error);
    if (fault < 0)
        return fault;
    if (r->rate == 0 && r->bytes == 0)
        return words_fail(error, "rules", item, "needs rate= (messages a second) or bytes= (a second)");
    if ((r->burst > 0 && r->rate == 0) || (r->bytes_burst > 0 && r->bytes == 0))
        return words_fail(error, "rules", item, "a burst needs its rate");
    if (r->burst > 0 && r->burst < 1)
        return words_fail(error, "rules", item, "burst must be 1 or more, or nothing would ever pass");
    if (r->burst == 0)
        r->burst = r->rate < 1 ? 1 : r->rate;
    if (r->bytes_burst == 0)
        r->bytes_burst = r->bytes < ERAB_BODY_MAX ? ERAB_BODY_MAX : r->bytes;
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
    struct quota *q = instance;
    int fault;
    q->rules = words_rules(config, sizeof(*q->rules), read_rule, &q->n_rules, error, &fault);
    if (fault)
        return fault;
    q->n_buckets = (uint32_t)words_option(config, "entries")->integer;
    q->buckets = calloc(q->n_buckets, sizeof(*q->buckets));
    return q->buckets ? 0 : -ENOMEM;
}

static void refill(struct bucket *b, const struct rule *r, uint64_t now_ms)
{
    double seconds = now_ms > b->at_ms ? (double)(now_ms - b->at_ms) / 1000.0 : 0;
    if (now_ms > b->at_ms)
        b->at_ms = now_ms; /* a clock that goes back gives nothing twice */
    b->messages = b->messages + seconds * r->rate < r->burst ? b->messages + seconds * r->rate : r->burst;
    b->bytes = b->bytes + seconds * r->bytes < r->bytes_burst ? b->bytes + seconds * r->bytes : r->bytes_burst;
}

/* NULL: the table holds no room near its place. A full bucket is as good as none and makes room. */
static struct bucket *bucket_of(struct quota *q, uint32_t rule, const char *party, uint64_t now_ms)
{
    uint32_t hash = 2166136261u ^ rule, at = 0;
    for (const char *c = party; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    struct bucket *room = NULL;
    for (uint32_t i = 0; i < PROBES && i < q->n_buckets; i++) {
        at = (uint32_t)(((uint64_t)hash + i) % q->n_buckets);
        struct bucket *b = &q->buckets[at];
        if (b->used && b->rule == rule && strcmp(b->party, party) == 0)
            return b;
        if (b->used && !room) {
            refill(b, &q->rules[b->rule], now_ms);
            if (b->messages >= q->rules[b->rule].burst && b->bytes >= q->rules[b->rule].bytes_burst)
                room = b;
        }
        if (!b->used && !room)
            room = b;
    }
    if (!room)
        return NULL;
    *room = (struct bucket){.used = true,
                            .rule = rule,
                            .at_ms = now_ms,
                            .messages = q->rules[rule].burst,
                            .bytes = q->rules[rule].bytes_burst};
    erabi_copy_text(room->party, sizeof(room->party), party);
    return room;
}

static bool applies(const struct rule *r, const struct erab_policy_request *request, const char *party)
{
    uint64_t type = UINT64_C(1) << request->header->type;
    if (r->types ? !(r->types & type) : request->header->type == ERAB_RECEIPT)
        return false;
    return (r->interface == ERAB_IF_NONE || r->interface == request->interface) && words_match(r->peer, party);
}

/* Takes it out of the budget of rule i, unless that is spent. */
static bool spend(struct quota *q, uint32_t i, const struct erab_policy_request *request, const char *party)
{
    const struct rule *r = &q->rules[i];
    struct bucket *b = bucket_of(q, i, party, request->now_ms);
    if (b)
        refill(b, r, request->now_ms);
    if (!b || (r->rate > 0 && b->messages < 1) || (r->bytes > 0 && b->bytes < request->body_size))
        return false;
    b->messages -= r->rate > 0 ? 1 : 0;
    b->bytes -= r->bytes > 0 ? request->body_size : 0;
    return true;
}

static void deny(struct erab_verdict *verdict)
{
    verdict->vote = ERAB_DENY;
    verdict->reason = ERAB_REASON_QUOTA;
    verdict->section = "3.3";
    verdict->detail = "over the budget of messages or bytes";
}

/* Each message comes by here once for each recipient. */
static void decide_leaving(struct quota *q, const struct erab_policy_request *request, struct erab_verdict *verdict)
{
    for (uint32_t i = 0; i < q->n_rules; i++) {
        if (q->rules[i].direction != LEAVING || !applies(&q->rules[i], request, request->to))
            continue;
        if (!spend(q, i, request, request->to)) {
            deny(verdict);
            return;
        }
    }
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    struct quota *q = instance;
    if (request->stage == ERAB_STAGE_EGRESS) {
        decide_leaving(q, request, verdict);
        return;
    }
    struct erabi_slice id = {request->header->id, ERAB_ID_SIZE}, last = {q->last_id, ERAB_ID_SIZE};
    bool again = q->has_last && erabi_slice_equal(id, last) && strcmp(q->last_to, request->to) != 0;
    bool denied = again && q->last_denied;
    for (uint32_t i = 0; i < q->n_rules && !denied; i++) {
        const struct rule *r = &q->rules[i];
        const char *party = r->direction == OUT ? request->to : request->from;
        if (r->direction == LEAVING || (again && r->direction == IN) || !applies(r, request, party))
            continue;
        if (!spend(q, i, request, party)) {
            denied = true;
            q->last_denied = r->direction == IN; /* one full member is no reason to refuse the others */
        }
    }
    if (!again) {
        erabi_copy_bytes(q->last_id, request->header->id, ERAB_ID_SIZE);
        erabi_copy_text(q->last_to, sizeof(q->last_to), request->to);
        q->last_denied = q->last_denied && denied;
    }
    q->has_last = true;
    if (denied)
        deny(verdict);
}

static void fini(void *instance)
{
    struct quota *q = instance;
    free(q->rules);
    free(q->buckets);
}

const struct erab_policy erab_policy_quota = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "quota",
    .version = "1",
    .vendor = "erab-broker",
    .stages = ERAB_STAGE_INGRESS | ERAB_STAGE_EGRESS,
    .options = options,
    .instance_size = sizeof(struct quota),
    .check = check,
    .init = init,
    .decide = decide,
    .fini = fini,
};
