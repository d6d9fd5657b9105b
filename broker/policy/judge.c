#include "policy/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"

enum slot_state { FREE, WAITING, READY };

struct erabi_policy_slot {
    enum slot_state state;
    uint16_t next; /* in the list of free or ready ones */
    uint64_t generation;
    struct erabi_policy_chain *chain;
    struct erab_policy_request request;
    struct erabi_policy_walk walk;
    size_t at; /* the policy that is waited for */
    uint64_t deadline_ms;
    erabi_policy_done done;
    void *user;
    struct erab_verdict verdict;
    char section[16], detail[128];
};

static erab_call token(const struct erabi_policy_engine *engine, const struct erabi_policy_slot *slot)
{
    return slot->generation << 16 | ((uint64_t)(slot - engine->slots) + 1);
}

static struct erabi_policy_slot *slot_of(const struct erabi_policy_engine *engine, erab_call call)
{
    uint64_t i = call & 0xffff;
    if (i == 0 || i > ERABI_PENDING_MAX)
        return NULL;
    struct erabi_policy_slot *slot = &engine->slots[i - 1];
    return slot->state == WAITING && slot->generation == call >> 16 ? slot : NULL;
}

int erabi_policy_engine_init(struct erabi_policy_engine *engine, void (*on_deadline)(void *user, uint64_t at_ms),
                             void *user)
{
    *engine = (struct erabi_policy_engine){.on_deadline = on_deadline, .user = user, .next_ms = UINT64_MAX};
    engine->slots = calloc(ERABI_PENDING_MAX, sizeof(*engine->slots));
    engine->chain = erabi_policy_chain_new();
    if (!engine->slots || !engine->chain) {
        erabi_policy_engine_deinit(engine);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < ERABI_PENDING_MAX; i++) {
        engine->slots[i].generation = 1;
        engine->slots[i].next = (uint16_t)(i + 1 < ERABI_PENDING_MAX ? i + 2 : 0);
    }
    engine->free_head = 1;
    return 0;
}

void erabi_policy_engine_deinit(struct erabi_policy_engine *engine)
{
    if (engine->slots)
        erabi_policy_engine_stop(engine);
    erabi_policy_chain_unref(engine->chain);
    free(engine->slots);
    engine->chain = NULL;
    engine->slots = NULL;
}

void erabi_policy_engine_swap(struct erabi_policy_engine *engine, struct erabi_policy_chain *chain)
{
    struct erabi_policy_chain *old = engine->chain;
    engine->chain = chain;
    erabi_policy_chain_unref(old);
}

static void deny(struct erab_verdict *verdict, enum erab_reason reason, const char *detail)
{
    *verdict = (struct erab_verdict){
        .size = sizeof(*verdict), .vote = ERAB_DENY, .reason = reason, .section = "", .detail = detail};
}

/* Keeps a verdict beyond the life of its texts. */
static void keep(struct erab_verdict *to, char section[16], char detail[128], const struct erab_verdict *from)
{
    *to = *from;
    erabi_policy_text(section, 16, from->section);
    erabi_policy_text(detail, 128, from->detail);
    to->section = section;
    to->detail = detail;
}

static void want_tick(struct erabi_policy_engine *engine, uint64_t at_ms)
{
    if (at_ms >= engine->next_ms)
        return;
    engine->next_ms = at_ms;
    if (engine->on_deadline)
        engine->on_deadline(engine->user, at_ms);
}

static void free_slot(struct erabi_policy_engine *engine, struct erabi_policy_slot *slot)
{
    struct erabi_policy_chain *chain = slot->chain;
    slot->chain = NULL;
    slot->state = FREE;
    slot->generation++;
    slot->next = engine->free_head;
    engine->free_head = (uint16_t)(slot - engine->slots + 1);
    engine->n_pending--;
    erabi_policy_chain_unref(chain);
}

static struct erabi_policy_slot *take_slot(struct erabi_policy_engine *engine)
{
    struct erabi_policy_slot *slot = &engine->slots[engine->free_head - 1];
    engine->free_head = slot->next;
    slot->next = 0;
    slot->state = WAITING;
    engine->n_pending++;
    return slot;
}

/* Asks a policy that may answer later. PENDING stays in the verdict only if a slot can be waited in. */
static void ask_live(struct erabi_policy_engine *engine, struct erabi_policy_instance *instance, erab_call call,
                     const struct erab_policy_request *request, struct erab_verdict *verdict)
{
    engine->asked = call;
    engine->asked_of = instance;
    engine->early = false;
    engine->depth++;
    erabi_policy_ask(instance, call, request, verdict);
    engine->depth--;
    engine->asked = 0;
    engine->asked_of = NULL;
    if (verdict->vote != ERAB_PENDING)
        return;
    if (engine->stopped)
        deny(verdict, ERAB_REASON_SHUTDOWN, "the broker stops and waits for no votes");
    else if (call == 0)
        deny(verdict, ERAB_REASON_QUEUE_FULL, "too many messages wait for policies");
    else if (engine->early)
        *verdict = engine->early_verdict;
}

/* Goes on from walk->next. 0: *answer; else the policy that is waited for, index + 1. */
static size_t walk_on(struct erabi_policy_engine *engine, struct erabi_policy_chain *chain,
                      const struct erab_policy_request *request, struct erabi_policy_walk *walk, erab_call call,
                      struct erabi_policy_answer *answer)
{
    const struct erabi_policy_cached *cached = erabi_policy_cache_get(chain, request);
    while (walk->next < chain->n) {
        size_t i = walk->next++;
        struct erabi_policy_instance *instance = chain->at[i];
        struct erab_verdict verdict = {.size = sizeof(verdict)};
        if (!erabi_policy_concerns(instance, request))
            continue;
        if (cached && erabi_policy_cacheable(instance)) {
            if (i == cached->deny_at)
                verdict = cached->deny;
            else if (i == cached->allow_at)
                verdict = cached->allow;
        } else {
            ask_live(engine, instance, call, request, &verdict);
            if (verdict.vote == ERAB_PENDING)
                return i + 1;
        }
        if (erabi_policy_take(walk, chain, i, &verdict, answer))
            return 0;
    }
    erabi_policy_conclude(walk, answer);
    return 0;
}

static void wait_in(struct erabi_policy_engine *engine, struct erabi_policy_slot *slot, size_t at)
{
    slot->at = at;
    slot->deadline_ms = engine->mono_ms + slot->chain->at[at]->deadline_ms;
    want_tick(engine, slot->deadline_ms);
}

static void push_ready(struct erabi_policy_engine *engine, struct erabi_policy_slot *slot)
{
    uint16_t i = (uint16_t)(slot - engine->slots + 1);
    slot->state = READY;
    slot->next = 0;
    if (engine->ready_tail)
        engine->slots[engine->ready_tail - 1].next = i;
    else
        engine->ready_head = i;
    engine->ready_tail = i;
}

/* A slot whose vote has come: on to the next policies, or to its end. */
static void resume(struct erabi_policy_engine *engine, struct erabi_policy_slot *slot)
{
    struct erabi_policy_answer answer;
    slot->state = WAITING;
    slot->generation++; /* the token of the policy that voted is spent */
    slot->request.now_ms = engine->now_ms;
    if (!erabi_policy_take(&slot->walk, slot->chain, slot->at, &slot->verdict, &answer)) {
        if (slot->verdict.vote == ERAB_ALLOW && slot->walk.allow.policy == slot->chain->at[slot->at]->self.name) {
            slot->walk.allow.verdict.section = ""; /* the slot's texts are written again by the next vote */
            slot->walk.allow.verdict.detail = "";
        }
        size_t at = walk_on(engine, slot->chain, &slot->request, &slot->walk, token(engine, slot), &answer);
        if (at) {
            wait_in(engine, slot, at - 1);
            return;
        }
    }
    erabi_policy_done done = slot->done;
    void *user = slot->user;
    char section[16], detail[128];
    keep(&answer.verdict, section, detail, &answer.verdict);
    struct erabi_policy_chain *chain = erabi_policy_chain_ref(slot->chain); /* holds the policy's name */
    free_slot(engine, slot);
    done(user, &answer);
    erabi_policy_chain_unref(chain);
}

/* Bounded: a slot is ready once a vote. Not from inside a policy, which must never be re-entered. */
static void drain(struct erabi_policy_engine *engine)
{
    if (engine->draining || engine->depth)
        return;
    engine->draining = true;
    while (engine->ready_head) {
        struct erabi_policy_slot *slot = &engine->slots[engine->ready_head - 1];
        engine->ready_head = slot->next;
        if (!engine->ready_head)
            engine->ready_tail = 0;
        resume(engine, slot);
    }
    engine->draining = false;
}

int erabi_policy_judge(struct erabi_policy_engine *engine, const struct erab_policy_request *request, uint64_t mono_ms,
                       erabi_policy_done done, void *user, struct erabi_policy_answer *answer)
{
    struct erabi_policy_walk walk = {0};
    engine->mono_ms = mono_ms;
    engine->now_ms = request->now_ms;
    erab_call call = engine->free_head ? token(engine, &engine->slots[engine->free_head - 1]) : 0;
    size_t at = walk_on(engine, engine->chain, request, &walk, call, answer);
    if (at) {
        struct erabi_policy_slot *slot = take_slot(engine);
        slot->chain = erabi_policy_chain_ref(engine->chain);
        slot->request = *request;
        slot->walk = walk;
        slot->done = done;
        slot->user = user;
        wait_in(engine, slot, at - 1);
    }
    return at ? 1 : 0;
}

void erabi_policy_vote(struct erabi_policy_engine *engine, erab_call call, const struct erab_verdict *verdict,
                       const struct erabi_policy_instance *by)
{
    struct erab_verdict copy = {.size = sizeof(copy)};
    if (!verdict || verdict->size < sizeof(copy) || (unsigned)verdict->vote >= ERAB_PENDING)
        deny(&copy, ERAB_REASON_POLICY_DENIED, "the policy gave no valid vote");
    else
        copy = *verdict;
    if (call && call == engine->asked && (!by || by == engine->asked_of)) {
        if (!engine->early)
            keep(&engine->early_verdict, engine->early_section, engine->early_detail, &copy);
        engine->early = true;
        return;
    }
    struct erabi_policy_slot *slot = slot_of(engine, call);
    if (!slot || (by && slot->chain->at[slot->at] != by))
        return;
    keep(&slot->verdict, slot->section, slot->detail, &copy);
    push_ready(engine, slot);
    if (engine->depth)
        want_tick(engine, engine->mono_ms); /* from inside a policy: as soon as it has returned */
    else
        drain(engine);
}

static void give_up(struct erabi_policy_engine *engine, struct erabi_policy_slot *slot, enum erab_reason reason,
                    const char *detail)
{
    const struct erabi_policy_instance *instance = slot->chain->at[slot->at];
    const struct erab_policy *policy = instance->policy;
    struct erab_verdict verdict;
    deny(&verdict, reason, detail);
    erab_call call = token(engine, slot);
    keep(&slot->verdict, slot->section, slot->detail, &verdict);
    push_ready(engine, slot);
    if (policy->size >= offsetof(struct erab_policy, recall) && policy->cancel) {
        engine->depth++;
        policy->cancel(instance->memory, call);
        engine->depth--;
    }
}

void erabi_policy_lost(struct erabi_policy_engine *engine, const struct erabi_policy_instance *instance,
                       const char *detail)
{
    for (unsigned i = 0; i < ERABI_PENDING_MAX && engine->n_pending; i++) {
        struct erabi_policy_slot *slot = &engine->slots[i];
        if (slot->state == WAITING && slot->chain->at[slot->at] == instance)
            give_up(engine, slot, ERAB_REASON_POLICY_DEADLINE, detail);
    }
    drain(engine);
}

void erabi_policy_tick(struct erabi_policy_engine *engine, uint64_t mono_ms, uint64_t now_ms)
{
    engine->mono_ms = mono_ms;
    engine->now_ms = now_ms;
    drain(engine);
    if (mono_ms < engine->next_ms) {
        if (engine->next_ms != UINT64_MAX && engine->on_deadline)
            engine->on_deadline(engine->user, engine->next_ms); /* the caller was early */
        return;
    }
    uint64_t next = UINT64_MAX;
    engine->next_ms = UINT64_MAX;
    for (unsigned i = 0; i < ERABI_PENDING_MAX && engine->n_pending; i++) {
        struct erabi_policy_slot *slot = &engine->slots[i];
        if (slot->state != WAITING)
            continue;
        if (slot->deadline_ms <= mono_ms)
            give_up(engine, slot, ERAB_REASON_POLICY_DEADLINE, "the policy did not vote in its time");
        else if (slot->deadline_ms < next)
            next = slot->deadline_ms;
    }
    want_tick(engine, next);
    drain(engine);
}

void erabi_policy_engine_stop(struct erabi_policy_engine *engine)
{
    engine->stopped = true;
    for (unsigned i = 0; i < ERABI_PENDING_MAX && engine->n_pending; i++)
        if (engine->slots[i].state == WAITING)
            give_up(engine, &engine->slots[i], ERAB_REASON_SHUTDOWN, "the broker stops");
    drain(engine);
}

/* ---- the host table ---- */

static void host_log(erab_self *self, enum erab_log_level level, const char *text)
{
    if (self->engine->on_log)
        self->engine->on_log(self->engine->user, self->name, text);
}

static uint64_t host_now(erab_self *self)
{
    return self->engine ? self->engine->now_ms : 0;
}

static uint64_t host_monotonic(erab_self *self)
{
    return self->engine ? self->engine->mono_ms : 0;
}

static int host_publish(erab_self *self, const struct erab_outgoing_message *message, uint8_t id[ERAB_ID_SIZE])
{
    return -EACCES;
}

static void host_complete(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                          const char *detail)
{
}

static erab_timer *host_timer(erab_self *self, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    return NULL;
}

static void host_timer_free(erab_self *self, erab_timer *timer)
{
}

static erab_watch *host_watch(erab_self *self, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events),
                              void *arg)
{
    return NULL;
}

static void host_watch_set(erab_self *self, erab_watch *watch, uint32_t events)
{
}

static void host_watch_free(erab_self *self, erab_watch *watch)
{
}

static int host_post(erab_self *self, void (*fn)(void *arg), void *arg)
{
    return -ENOMEM;
}

static int host_put(erab_self *self, const char *key, const void *value, size_t size)
{
    return -EACCES;
}

static int host_get(erab_self *self, const char *key, void *value, size_t *size)
{
    return -ENOENT;
}

static const char *const *host_parties(erab_self *self)
{
    static const char *const none[] = {NULL};
    return none;
}

static void host_quiesced(erab_self *self)
{
}

static void host_decide(erab_self *self, erab_call call, const struct erab_verdict *verdict)
{
    if (self->engine)
        erabi_policy_vote(self->engine, call, verdict, erabi_container_of(self, struct erabi_policy_instance, self));
}

const struct erab_host erabi_policy_host = {
    .size = sizeof(erabi_policy_host),
    .abi_major = ERAB_ABI_MAJOR,
    .abi_minor = ERAB_ABI_MINOR,
    .log = host_log,
    .now_ms = host_now,
    .monotonic_ms = host_monotonic,
    .publish = host_publish,
    .complete = host_complete,
    .timer = host_timer,
    .timer_free = host_timer_free,
    .watch = host_watch,
    .watch_set = host_watch_set,
    .watch_free = host_watch_free,
    .post = host_post,
    .store_put = host_put,
    .store_get = host_get,
    .parties = host_parties,
    .quiesced = host_quiesced,
    .decide = host_decide,
};
