#include "breaker/availability.h"

#define EVENT            1000u  /* thousandths */
#define FORGIVEN_A_SECOND 167u  /* thousandths: one event in 6 s */
#define BURST_S          4u
#define MEMORY_MS        600000u /* a link that held this long starts with the shortest back-off again */

const struct erabi_availability_limits erabi_availability_usual = {
    .time_outs = 5,
    .full = 20,
    .reconnects = 20,
    .messages_per_second = 5000,
    .backoff_min_ms = 10000,
    .backoff_max_ms = 900000,
    .quiet_ms = 30000,
};

static uint64_t passed(uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

/* Pours one event in; true when the bucket is over. `rate` is in thousandths a second. */
static bool pour(struct erabi_bucket *b, uint64_t rate, uint64_t room, uint64_t now_ms)
{
    uint64_t leaked = passed(b->at_ms, now_ms) * rate / 1000;
    if (leaked || b->level == 0) { /* else the time is kept until it makes a whole thousandth */
        b->level = leaked < b->level ? b->level - leaked : 0;
        b->at_ms = now_ms;
    }
    if (b->level <= room)
        b->level += EVENT;
    return b->level > room;
}

static bool pour_message(struct erabi_availability *a, const struct erabi_availability_limits *limits, uint64_t now_ms)
{
    uint64_t rate = (uint64_t)limits->messages_per_second * EVENT;
    return rate && pour(&a->messages, rate, rate * BURST_S, now_ms);
}

bool erabi_availability_floods(const struct erabi_availability *a, const struct erabi_availability_limits *limits)
{
    uint64_t rate = (uint64_t)limits->messages_per_second * EVENT;
    return rate && a->messages.level > rate * BURST_S;
}

void erabi_availability_init(struct erabi_availability *a, uint64_t now_ms)
{
    *a = (struct erabi_availability){.since_ms = now_ms, .touched_ms = now_ms};
}

static enum erabi_breaker_change enter(struct erabi_availability *a, enum erabi_breaker_state state, uint64_t now_ms)
{
    static const enum erabi_breaker_change changes[] = {ERABI_CHANGE_CLOSED, ERABI_CHANGE_OPENED,
                                                        ERABI_CHANGE_HALF_OPENED};
    a->state = state;
    a->since_ms = a->touched_ms = now_ms;
    a->probing = false;
    a->time_outs = 0;
    a->full = a->reconnects = (struct erabi_bucket){0};
    if (state != ERABI_BREAKER_OPEN) /* while open it tells whether the flood goes on */
        a->messages = (struct erabi_bucket){0};
    if (state == ERABI_BREAKER_CLOSED)
        a->latched = false;
    return changes[state];
}

static enum erabi_breaker_change open_now(struct erabi_availability *a, const struct erabi_availability_limits *limits,
                                          enum erabi_breaker_cause cause, uint64_t now_ms)
{
    bool steady = a->state == ERABI_BREAKER_CLOSED && passed(a->since_ms, now_ms) >= MEMORY_MS;
    if (a->backoff_ms == 0 || steady)
        a->backoff_ms = limits->backoff_min_ms;
    else
        a->backoff_ms = a->backoff_ms < limits->backoff_max_ms / 2 ? a->backoff_ms * 2 : limits->backoff_max_ms;
    a->cause = cause;
    a->retry_ms = now_ms + a->backoff_ms;
    return enter(a, ERABI_BREAKER_OPEN, now_ms);
}

bool erabi_availability_passes(const struct erabi_availability *a, bool command)
{
    if (a->state == ERABI_BREAKER_HALF_OPEN)
        return !command || !a->probing;
    return a->state == ERABI_BREAKER_CLOSED;
}

bool erabi_availability_claim(struct erabi_availability *a, bool command, uint64_t life_ms, uint64_t now_ms)
{
    if (!erabi_availability_passes(a, command))
        return false;
    if (a->state == ERABI_BREAKER_HALF_OPEN && command) {
        a->probing = true;
        a->probe_ms = now_ms + life_ms;
        a->touched_ms = now_ms;
    }
    return true;
}

/* A link that timed out is proven good by an answer only; the others also by staying quiet. */
static enum erabi_breaker_change answered(struct erabi_availability *a, uint64_t now_ms)
{
    bool proof = a->cause == ERABI_CAUSE_TIME_OUTS || a->cause == ERABI_CAUSE_OVERLOAD;
    bool probe = a->probing;
    a->time_outs = 0;
    a->probing = false;
    a->full = (struct erabi_bucket){0}; /* slow is not stuck */
    return a->state == ERABI_BREAKER_HALF_OPEN && probe && proof ? enter(a, ERABI_BREAKER_CLOSED, now_ms)
                                                                 : ERABI_CHANGE_NONE;
}

enum erabi_breaker_change erabi_availability_fact(struct erabi_availability *a,
                                                  const struct erabi_availability_limits *limits,
                                                  enum erabi_breaker_fact fact, uint64_t now_ms)
{
    enum erabi_breaker_cause cause = ERABI_CAUSE_NONE;
    if (fact != ERABI_FACT_MESSAGE && fact != ERABI_FACT_ANSWERED)
        a->touched_ms = now_ms;
    if (fact == ERABI_FACT_ANSWERED)
        return answered(a, now_ms);
    if (fact == ERABI_FACT_MESSAGE && pour_message(a, limits, now_ms))
        cause = ERABI_CAUSE_FLOOD;
    if (a->state == ERABI_BREAKER_OPEN)
        return ERABI_CHANGE_NONE;
    bool trial = a->state == ERABI_BREAKER_HALF_OPEN;
    if (fact == ERABI_FACT_TIMED_OUT && (trial || ++a->time_outs >= limits->time_outs))
        cause = ERABI_CAUSE_TIME_OUTS;
    if (fact == ERABI_FACT_QUEUE_FULL &&
        (pour(&a->full, FORGIVEN_A_SECOND, (uint64_t)limits->full * EVENT, now_ms) || trial))
        cause = ERABI_CAUSE_OVERLOAD;
    if (fact == ERABI_FACT_RECONNECT &&
        pour(&a->reconnects, FORGIVEN_A_SECOND, (uint64_t)limits->reconnects * EVENT, now_ms))
        cause = ERABI_CAUSE_FLAPPING;
    return cause ? open_now(a, limits, cause, now_ms) : ERABI_CHANGE_NONE;
}

enum erabi_breaker_change erabi_availability_tick(struct erabi_availability *a,
                                                  const struct erabi_availability_limits *limits, uint64_t now_ms)
{
    if (a->state == ERABI_BREAKER_OPEN && !a->latched && now_ms >= a->retry_ms)
        return enter(a, ERABI_BREAKER_HALF_OPEN, now_ms);
    if (a->state != ERABI_BREAKER_HALF_OPEN)
        return ERABI_CHANGE_NONE;
    if (a->probing && now_ms >= a->probe_ms) /* its end was never told: the next one may try */
        a->probing = false;
    if (a->cause != ERABI_CAUSE_TIME_OUTS && passed(a->since_ms, now_ms) >= limits->quiet_ms)
        return enter(a, ERABI_BREAKER_CLOSED, now_ms);
    return ERABI_CHANGE_NONE;
}

enum erabi_breaker_change erabi_availability_trip(struct erabi_availability *a, uint64_t now_ms)
{
    if (a->state == ERABI_BREAKER_OPEN && a->latched)
        return ERABI_CHANGE_NONE;
    a->latched = true;
    a->cause = ERABI_CAUSE_OPERATOR;
    return enter(a, ERABI_BREAKER_OPEN, now_ms);
}

enum erabi_breaker_change erabi_availability_close(struct erabi_availability *a, uint64_t now_ms)
{
    if (a->state == ERABI_BREAKER_CLOSED)
        return ERABI_CHANGE_NONE;
    a->backoff_ms = 0;
    return enter(a, ERABI_BREAKER_CLOSED, now_ms);
}

bool erabi_availability_forgettable(const struct erabi_availability *a, uint64_t now_ms)
{
    return a->state == ERABI_BREAKER_CLOSED && passed(a->touched_ms, now_ms) >= MEMORY_MS &&
           passed(a->messages.at_ms, now_ms) >= MEMORY_MS;
}

const char *erabi_breaker_state_name(enum erabi_breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half-open"};
    return names[state];
}

const char *erabi_breaker_cause_name(enum erabi_breaker_cause cause)
{
    static const char *const names[ERABI_CAUSE_COUNT] = {"none", "time-outs", "overload", "flood", "flapping",
                                                         "operator"};
    return names[cause];
}
