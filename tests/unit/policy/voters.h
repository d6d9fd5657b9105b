/* Policies for tests: what they vote is told by the test, and it counts how often they were asked. */
#ifndef ERAB_TEST_VOTERS_H
#define ERAB_TEST_VOTERS_H

#include "policy/judge.h"

struct voter {
    enum erab_vote vote;
    enum erab_reason reason;
    unsigned asked, cancelled, gone;
    erab_call call;
};

extern struct voter voters[4]; /* of the policies voter0 to voter3; voter3 is cacheable */
extern const struct erab_policy voter_policies[4];

struct erabi_policy_chain *chain_of(const struct erab_policy *const *policies, size_t n,
                                    struct erabi_policy_engine *engine);

#endif
