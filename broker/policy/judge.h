/* Judging by the current chain, with votes that may come later. A judgement in which a policy answers PENDING
 * takes one of a bounded number of slots; its vote is given by the call's token, before the policy's deadline.
 * No vote in time, no slot, a token twice: a DENY, never a pass. Loop thread. */
#ifndef ERABI_POLICY_JUDGE_H
#define ERABI_POLICY_JUDGE_H

#include "policy/chain.h"

#define ERABI_PENDING_MAX 4096u

typedef void (*erabi_policy_done)(void *user, const struct erabi_policy_answer *answer);

struct erabi_policy_slot;

struct erabi_policy_engine {
    struct erabi_policy_chain *chain; /* the snapshot; swapped as a whole */
    struct erabi_policy_slot *slots;
    uint16_t free_head;  /* index + 1, 0: none */
    uint16_t ready_head, ready_tail;
    unsigned n_pending;
    unsigned depth; /* inside decide() of a policy */
    bool draining, stopped;
    uint64_t mono_ms, now_ms; /* last told */
    uint64_t next_ms;         /* earliest deadline, monotonic; UINT64_MAX: none */
    /* A vote for the call that is being asked right now. */
    erab_call asked;
    const struct erabi_policy_instance *asked_of;
    bool early;
    struct erab_verdict early_verdict;
    char early_section[16], early_detail[128];
    /* A line of an instance for the operator; may be NULL. */
    void (*on_log)(void *user, const char *instance, const char *text);
    /* Tells that erabi_policy_tick is wanted at `at_ms` (monotonic); may be NULL. */
    void (*on_deadline)(void *user, uint64_t at_ms);
    void *user;
};

/* 0 or -ENOMEM. */
int erabi_policy_engine_init(struct erabi_policy_engine *engine, void (*on_deadline)(void *user, uint64_t at_ms),
                             void *user);
void erabi_policy_engine_deinit(struct erabi_policy_engine *engine);
/* From now on messages are judged by this chain, whose reference is taken over; judgements that wait end by the
 * one they began with. Nothing else of the broker notices: no connection is touched. */
void erabi_policy_engine_swap(struct erabi_policy_engine *engine, struct erabi_policy_chain *chain);
/* Denies everything that waits (`shutdown`) and whatever would have to wait from now on. */
void erabi_policy_engine_stop(struct erabi_policy_engine *engine);

/* 0: *answer holds the verdict. 1: it waits, `done` is called later, exactly once; until then everything that
 * `request` points to must stay. `done` may be called before another judgement returns, never before this one. */
int erabi_policy_judge(struct erabi_policy_engine *engine, const struct erab_policy_request *request, uint64_t mono_ms,
                       erabi_policy_done done, void *user, struct erabi_policy_answer *answer);
/* stages.c. The stages that have no wait (EGRESS, CONNECT, ADMIN): silence permits, PENDING is a DENY. The answer, whose
 * texts last until the next call, is filled when it is denied. */
static inline bool erabi_policy_has(const struct erabi_policy_engine *engine, uint32_t stage)
{
    return engine->chain->stages & stage;
}
bool erabi_policy_permits(struct erabi_policy_engine *engine, const struct erab_policy_request *request,
                          uint64_t mono_ms, struct erabi_policy_answer *answer);
/* Does a policy that will be asked about this message want its body? `request` is without it. */
bool erabi_policy_wants_body(struct erabi_policy_engine *engine, const struct erab_policy_request *request);
/* Tells the policies of an order of before the restart. */
void erabi_policy_recall(struct erabi_policy_engine *engine, const struct erab_policy_request *request);
/* A vote that comes later. What is no valid token any more is ignored. `by` (may be NULL): only calls to this
 * instance. */
void erabi_policy_vote(struct erabi_policy_engine *engine, erab_call call, const struct erab_verdict *verdict,
                       const struct erabi_policy_instance *by);
/* What waits for this instance is denied: it can give no vote any more. */
void erabi_policy_lost(struct erabi_policy_engine *engine, const struct erabi_policy_instance *instance,
                       const char *detail);
/* Ends what is over its deadline. */
void erabi_policy_tick(struct erabi_policy_engine *engine, uint64_t mono_ms, uint64_t now_ms);

/* The services of policies inside the broker: the clocks, the log and decide; all others refuse. */
extern const struct erab_host erabi_policy_host;

#endif
