/* A policy: judges messages on their links. It sees, it votes, it changes nothing.
 *
 * Combination is the host's and fixed: the first DENY ends it, at least one ALLOW is needed, and silence of
 * all, an error or a missed deadline is a DENY. That is INGRESS, where a message comes in. The other stages follow
 * what was allowed already: there the first DENY ends it too, but silence is none, and PENDING counts as DENY, for
 * only INGRESS has a wait (`call` is 0 there).
 *
 *   INGRESS  a message that has come in, on each link that it would take; before it is accepted.
 *   EGRESS   an accepted message just before it leaves its outbox over a link for the first time; not again when the
 *            same bytes are repeated for want of an answer, for they may have arrived. Never a receipt, nor what the
 *            broker itself says beside links (cards, answers). DENY: it is taken out, its sender gets REFUSED.
 *   CONNECT  a peer whose key was proven has bound a connection. `from` is its party (an adapter's process with
 *            several: its instance), `to` the broker's owner; no message: `header` holds only from and to, its type
 *            is 0. DENY: the connection is closed; the peer may come back and is asked about again.
 *   ADMIN    an operator's act on the admin socket that opens or changes something: party-invite, party-approve,
 *            breaker-close, join, config-reload. `act`, `object` and `by` say what; `from` and `to` are the broker's
 *            owner. DENY: the act is refused. What makes things safer (deny, revoke, trip, isolate) is never asked
 *            about: no policy stops it; nor is what the host's own administrator does beside the socket (SIGHUP).
 *
 * A policy in erab-runner judges at INGRESS only: it is refused when it asks for more. Functions of an instance run on one thread and are never
 * re-entered. decide() of a policy inside the broker must not block: it may answer PENDING and give its vote
 * later through host->decide(), once, before the deadline of the configuration. A PENDING vote is not
 * waited for when too many wait already (it counts as DENY). What `request` points to is there until decide()
 * returns; a policy that votes later copies what it needs.
 *
 * ERAB_POLICY_CACHEABLE: the vote depends on nothing but link, type, category, is_signed, is_local and the
 * exercise mark, and on the stage; the host asks once and remembers. With ERAB_NEEDS_BODY, and at ADMIN, the flag
 * has no effect. */
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
    /* ADMIN only, else NULL. */
    const char *act;    /* "join" */
    const char *object; /* what it is about: a party, an interface, a link as "alder r3 coordinator"; or "" */
    const char *by;     /* the operator whose signed statement it is; "": whoever may use the socket */
    /* What is known of a body that is not there because nobody wanted it (wants_body): the categories of its fields
     * (ERAB_CATEGORY_BIT of <erab/privacy.h>), sums believed, and whether some field `members` says how large a sum is.
     * 0: nothing is known. */
    uint32_t categories;
    bool has_members;
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
    /* Between init and the first decide() after a restart of the broker, in the order in which they were accepted: the
     * orders (Dispatch, DeviceCommand) of before that still count or ended within the last hour, on each of their
     * links as INGRESS had shown them, body included where needed. No vote. For policies with INGRESS in the broker;
     * never in erab-runner. NULL, or not there in a shorter struct: what it remembered ends with the process. */
    void (*recall)(void *instance, const struct erab_policy_request *request);
    /* With ERAB_NEEDS_BODY: does it want the body of this message? `request` is as decide() would have it, with body
     * NULL. The host unpacks a body only when some policy says yes; decide() has it when it was unpacked, else NULL, so a
     * policy that said no must be able to vote without. No vote. NULL, or not there in a shorter struct: always. */
    bool (*wants_body)(void *instance, const struct erab_policy_request *request);
};

#ifdef __cplusplus
}
#endif

#endif
