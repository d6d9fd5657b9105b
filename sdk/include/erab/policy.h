/* A policy: judges messages on their links. It sees, it votes, it changes nothing.
 *
 * Combination is the host's and fixed: the first DENY ends it, at least one ALLOW is needed, and silence of
 * all, an error or a missed deadline is a DENY. Functions of an instance run on one thread and are never
 * re-entered. decide() of a policy inside the broker must not block: it may answer PENDING and give its vote
 * later through host->decide(), once, before the deadline of the configuration. A PENDING vote is not
 * waited for when too many wait already (it counts as DENY). What `request` points to is there until decide()
 * returns; a policy that votes later copies what it needs.
 *
 * ERAB_POLICY_CACHEABLE: the vote depends on nothing but link, type, category, is_signed, is_local and the
 * exercise mark; the host asks once and remembers. With ERAB_NEEDS_BODY the flag has no effect. */
#ifndef ERAB_POLICY_H
#define ERAB_POLICY_H

#include <erab/host.h>
#include <erab/message.h>
#include <erab/module.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ERAB_STAGE_CONNECT = 1, ERAB_STAGE_INGRESS = 2, ERAB_STAGE_EGRESS = 4, ERAB_STAGE_ADMIN = 8 };
enum { ERAB_NEEDS_BODY = 1 };
enum { ERAB_POLICY_CACHEABLE = 1 }; /* see above */
enum erab_vote { ERAB_ABSTAIN, ERAB_ALLOW, ERAB_DENY, ERAB_PENDING };

struct erab_policy_request {
    uint32_t size;
    uint32_t stage;
    enum erab_interface interface;
    enum erab_role from_role;
    enum erab_role to_role;
    const char *from;             /* party ids of the link */
    const char *to;
    bool is_signed;               /* carries a signature that was verified */
    bool is_local;                /* came by the local listener */
    const struct erab_header *header;
    const ProtobufCMessage *body; /* only with ERAB_NEEDS_BODY, else NULL */
    uint64_t now_ms;
    uint32_t body_size;           /* bytes of the body as sent */
};

struct erab_verdict {
    uint32_t size;
    enum erab_vote vote; /* ABSTAIN at call */
    enum erab_reason reason;
    const char *section; /* of the guideline; static text */
    const char *detail;  /* static text; of a policy that is not cacheable also one that lasts until its next call */
};

struct erab_policy {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    const char *name;
    const char *version;
    const char *vendor;
    uint32_t flags;
    uint32_t stages;
    uint32_t needs;
    const struct erab_option *options;
    size_t instance_size;
    int (*check)(const struct erab_config *config, struct erab_error *error); /* or NULL */
    int (*init)(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error); /* or NULL */
    void (*decide)(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict);
    void (*fini)(void *instance); /* or NULL */
    /* The deadline of a PENDING call has passed, or its message is gone: it counts as denied, and a later
     * host->decide() of it is ignored. NULL, or not there in a shorter struct. */
    void (*cancel)(void *instance, erab_call call);
};

#ifdef __cplusplus
}
#endif

#endif
