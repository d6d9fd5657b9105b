/* The fake host's part in votes that come later. */
#ifndef ERABI_FAKE_VOTE_H
#define ERABI_FAKE_VOTE_H

#include <erab/policy.h>

struct fake_vote {
    erab_call asked; /* the call whose vote may come, 0: none */
    bool voted;
    struct erab_verdict verdict;
    char section[65], detail[257];
};

void fake_vote_ask(struct fake_vote *vote, erab_call call);
/* The vote of the call that is asked, once; others are ignored. Texts are copied with one byte more than is allowed,
 * so that the check sees it. */
void fake_vote_take(struct fake_vote *vote, erab_call call, const struct erab_verdict *verdict);

#endif
