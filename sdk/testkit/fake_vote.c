#include "testkit/fake_vote.h"

#include <stdio.h>

void fake_vote_ask(struct fake_vote *vote, erab_call call)
{
    vote->asked = call;
    vote->voted = false;
}

void fake_vote_take(struct fake_vote *vote, erab_call call, const struct erab_verdict *verdict)
{
    if (!call || call != vote->asked || vote->voted)
        return;
    snprintf(vote->section, sizeof vote->section, "%.64s", verdict->section ? verdict->section : "");
    snprintf(vote->detail, sizeof vote->detail, "%.256s", verdict->detail ? verdict->detail : "");
    vote->verdict = *verdict;
    vote->verdict.section = vote->section;
    vote->verdict.detail = vote->detail;
    vote->voted = true;
}
