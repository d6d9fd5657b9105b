/* What the five interface policies share: a vote, and the rule about data categories. */
#ifndef ERAB_PLUGINS_RULES_H
#define ERAB_PLUGINS_RULES_H

#include <erab/policy.h>

#define ERAB_CATEGORY(c) (1u << (c))

static inline void rule_vote(struct erab_verdict *verdict, enum erab_vote vote, enum erab_reason reason,
                             const char *section, const char *detail)
{
    verdict->vote = vote;
    verdict->reason = reason;
    verdict->section = section;
    verdict->detail = detail;
}

/* Denies a category that the interface may not carry; true when it voted. */
static inline bool rule_category(const struct erab_policy_request *request, struct erab_verdict *verdict,
                                 uint32_t allowed, const char *detail)
{
    if (allowed & ERAB_CATEGORY(request->header->category))
        return false;
    rule_vote(verdict, ERAB_DENY, ERAB_REASON_CATEGORY_REFUSED, "3.7.2", detail);
    return true;
}

#endif
