/* Policies in their order, as one immutable snapshot, and the fixed rule by which their votes combine: the
 * first DENY ends it, one ALLOW is needed, silence of all is a DENY. Waiting for votes is judge.h's. Loop thread. */
#ifndef ERABI_POLICY_CHAIN_H
#define ERABI_POLICY_CHAIN_H

#include <erab/policy.h>

#define ERABI_POLICIES_MAX       64
#define ERABI_POLICY_DEADLINE_MS 1000u

struct erabi_policy_engine;

/* An instance as its policy's host sees it. */
struct erab_self {
    struct erabi_policy_engine *engine;
    char name[ERAB_PARTY_MAX + 1];
};

/* One policy with its options; shared by the snapshots that hold it. */
struct erabi_policy_instance {
    unsigned refs;
    const struct erab_policy *policy;
    void *memory; /* instance_size bytes */
    struct erab_self self;
    struct erab_config config; /* owned, see options.h */
    char *identity;            /* what it was made from; the same text: the same instance may stay */
    uint32_t deadline_ms;
    uint64_t interfaces, types; /* bits; 0 = it is asked about all */
    bool ready;    /* init succeeded: fini follows */
    bool elsewhere; /* runs in erab-runner; asked by nobody offline */
};

/* Copies nothing of `policy`, which is static. NULL: out of memory. One reference, the caller's. -EINVAL in
 * *fault for a descriptor of another ABI, or without name or decide. */
struct erabi_policy_instance *erabi_policy_instance_new(const struct erab_policy *policy, const char *name, int *fault);
struct erabi_policy_instance *erabi_policy_instance_ref(struct erabi_policy_instance *instance);
void erabi_policy_instance_unref(struct erabi_policy_instance *instance);

struct erabi_policy_cache;

struct erabi_policy_chain {
    unsigned refs;
    size_t n;
    struct erabi_policy_instance *at[ERABI_POLICIES_MAX];
    uint32_t stages;                  /* that any of them has */
    uint32_t body_stages;             /* the same of those that need the body */
    uint32_t cached_stages;           /* the same of those whose votes are remembered */
    struct erabi_policy_cache *cache; /* NULL: out of memory; everything is asked each time */
};

/* An empty one, one reference. NULL: out of memory. */
struct erabi_policy_chain *erabi_policy_chain_new(void);
struct erabi_policy_chain *erabi_policy_chain_ref(struct erabi_policy_chain *chain);
void erabi_policy_chain_unref(struct erabi_policy_chain *chain);
/* Takes over the reference, also when it fails: -ENOSPC. Only while nobody judges by the chain. */
int erabi_policy_chain_add(struct erabi_policy_chain *chain, struct erabi_policy_instance *instance);

/* What was decided, and by which instance ("" when all were silent). Texts hold until the next call. */
struct erabi_policy_answer {
    struct erab_verdict verdict; /* ALLOW or DENY */
    const char *policy;
};

/* Where one judgement stands. */
struct erabi_policy_walk {
    size_t next;
    bool allowed;
    struct erabi_policy_answer allow;
};

/* Whether this instance is asked about this message at all. */
bool erabi_policy_concerns(const struct erabi_policy_instance *instance, const struct erab_policy_request *request);
/* Asks one policy. `call` as in decide(). The vote is ABSTAIN, ALLOW, DENY or PENDING, nothing else. */
void erabi_policy_ask(struct erabi_policy_instance *instance, erab_call call,
                      const struct erab_policy_request *request, struct erab_verdict *verdict);
/* Takes the vote of policy i. true: it was a DENY, *out is filled. */
bool erabi_policy_take(struct erabi_policy_walk *walk, const struct erabi_policy_chain *chain, size_t i,
                       const struct erab_verdict *verdict, struct erabi_policy_answer *out);
/* The answer when all were asked. */
void erabi_policy_conclude(const struct erabi_policy_walk *walk, struct erabi_policy_answer *out);
/* Copies a text, cut before a character that does not fit whole. NULL reads as "". */
void erabi_policy_text(char *to, size_t size, const char *from);
/* Whether the votes of this instance are remembered. */
bool erabi_policy_cacheable(const struct erabi_policy_instance *instance);

/* The votes of all cacheable policies of a chain on one kind of message. */
struct erabi_policy_cached {
    size_t allow_at, deny_at; /* first of each; ERABI_POLICIES_MAX: none */
    struct erab_verdict allow, deny;
};

/* cache.c. Never NULL when `chain->cache` is there; made by asking when it is not remembered. */
const struct erabi_policy_cached *erabi_policy_cache_get(struct erabi_policy_chain *chain,
                                                         const struct erab_policy_request *request);
struct erabi_policy_cache *erabi_policy_cache_new(void);
void erabi_policy_cache_free(struct erabi_policy_cache *cache);

#endif
