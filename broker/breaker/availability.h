/* The availability breaker of one link, as a pure state machine: facts and the time go in, changes come out. No I/O, no
 * clock, no memory of its own; any thread.
 *
 *     closed -- too many facts, or an operator --> open -- back-off over --> half-open -- it holds --> closed
 *                                                   ^                            |
 *                                                   +------- it fails again -----+   (the back-off doubles)
 *
 * An operator's trip is latched: only an operator closes it. The compliance breaker is another record of the link,
 * with its own rules; neither reads or closes the other. */
#ifndef ERABI_BREAKER_AVAILABILITY_H
#define ERABI_BREAKER_AVAILABILITY_H

#include <stdbool.h>
#include <stdint.h>

enum erabi_breaker_state { ERABI_BREAKER_CLOSED, ERABI_BREAKER_OPEN, ERABI_BREAKER_HALF_OPEN };

enum erabi_breaker_cause {
    ERABI_CAUSE_NONE,
    ERABI_CAUSE_TIME_OUTS, /* commands that nobody answered by their deadline, in a row */
    ERABI_CAUSE_OVERLOAD,  /* the queue to the recipient was full, again and again, and nothing was answered */
    ERABI_CAUSE_FLOOD,     /* more messages than one link may carry */
    ERABI_CAUSE_FLAPPING,  /* connected anew again and again */
    ERABI_CAUSE_OPERATOR,
    ERABI_CAUSE_COUNT
};

/* What may be told of a link; only about parties whose key has been proven. */
enum erabi_breaker_fact {
    ERABI_FACT_ANSWERED,   /* the recipient answered; while half-open: a command */
    ERABI_FACT_TIMED_OUT,  /* a command was not answered by its deadline */
    ERABI_FACT_QUEUE_FULL, /* the recipient's queue took no more */
    ERABI_FACT_MESSAGE,    /* a message came over it */
    ERABI_FACT_RECONNECT,  /* one of its ends connected */
};

enum erabi_breaker_change {
    ERABI_CHANGE_NONE,
    ERABI_CHANGE_OPENED,
    ERABI_CHANGE_HALF_OPENED,
    ERABI_CHANGE_CLOSED,
};

struct erabi_availability_limits {
    uint32_t time_outs;           /* in a row */
    uint32_t full;                /* at once; one is forgiven every 6 s */
    uint32_t reconnects;          /* at once; one is forgiven every 6 s */
    uint32_t messages_per_second; /* with a burst of 4 s; 0: no limit */
    uint32_t backoff_min_ms, backoff_max_ms;
    uint32_t quiet_ms; /* half-open this long without a new fact: closed */
};
extern const struct erabi_availability_limits erabi_availability_usual;

/* A leaky bucket, in thousandths of an event. */
struct erabi_bucket {
    uint64_t level, at_ms;
};

struct erabi_availability {
    enum erabi_breaker_state state;
    enum erabi_breaker_cause cause; /* of the last opening */
    bool latched;                   /* an operator's: it does not recover by itself */
    bool probing;                   /* half-open: the one command is on its way */
    uint32_t backoff_ms;            /* of the last opening, 0 = none yet */
    uint32_t time_outs;
    uint64_t since_ms;  /* of this state; all times monotonic */
    uint64_t retry_ms;  /* open: half-open from then on */
    uint64_t probe_ms;  /* probing: given up then */
    uint64_t touched_ms; /* the last fact that counts */
    struct erabi_bucket full, messages, reconnects;
};

void erabi_availability_init(struct erabi_availability *a, uint64_t now_ms);
/* May a message pass? While half-open a command passes only when no other is on its way. */
bool erabi_availability_passes(const struct erabi_availability *a, bool command);
/* The same, and takes the place of the one command; `life_ms` is the time to its deadline. */
bool erabi_availability_claim(struct erabi_availability *a, bool command, uint64_t life_ms, uint64_t now_ms);
enum erabi_breaker_change erabi_availability_fact(struct erabi_availability *a,
                                                  const struct erabi_availability_limits *limits,
                                                  enum erabi_breaker_fact fact, uint64_t now_ms);
/* Is the sender still over its rate? For what is open because of a flood. */
bool erabi_availability_floods(const struct erabi_availability *a, const struct erabi_availability_limits *limits);
/* Once a second. */
enum erabi_breaker_change erabi_availability_tick(struct erabi_availability *a,
                                                  const struct erabi_availability_limits *limits, uint64_t now_ms);
/* An operator's decisions. A trip of what was open already latches it and is a change too. */
enum erabi_breaker_change erabi_availability_trip(struct erabi_availability *a, uint64_t now_ms);
enum erabi_breaker_change erabi_availability_close(struct erabi_availability *a, uint64_t now_ms);
/* Nothing stands here that would be missed. */
bool erabi_availability_forgettable(const struct erabi_availability *a, uint64_t now_ms);

/* "closed", "open", "half-open"; "none", "time-outs", ... Static text. */
const char *erabi_breaker_state_name(enum erabi_breaker_state state);
const char *erabi_breaker_cause_name(enum erabi_breaker_cause cause);
#endif
