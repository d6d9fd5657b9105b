/* Policies of others: each runs in an erab-runner process of its own and is asked over a socket pair (frames
 * below). Whatever that process does, what waits for it is denied at the latest at the policy's deadline, and
 * nothing else notices: one that ends is started again after 1 s, doubling to 60 s, one that breaks the form of
 * the frames or lets three deadlines pass in a row is killed first. Loop thread. */
#ifndef ERABI_HOST_POLICY_H
#define ERABI_HOST_POLICY_H

#include <uv.h>

#include "base/cursor.h"
#include "config/config.h"
#include "policy/judge.h"

/* Frames, each one datagram of an AF_UNIX SOCK_SEQPACKET pair; integers big-endian, a text is its length (1 byte)
 * and its bytes.
 *   first, to the policy: a JSON document {instance, module, policy, options, signers}
 *   to the policy:   1, call (8), stage (4), interface (1), from role (1), to role (1), marks (1: signed 1, local 2,
 *                    body 4), now_ms (8), body_size (4), from (text), to (text), header (2 + bytes), body (the rest)
 *   from the policy: 2, call (8), vote (1), reason code (text), section (text), detail (text) */
#define ERABI_POLICY_FRAME_MAX  (ERAB_BODY_MAX + ERAB_HEADER_MAX + 512u)
#define ERABI_POLICY_ANSWER_MAX 512u

struct erabi_policy_remote;

/* A frame from a policy, in full. false: it is none, or holds what no receipt or terminal should see. */
struct erabi_policy_reply {
    erab_call call;
    struct erab_verdict verdict; /* texts point into this struct */
    char section[16], detail[128];
};
bool erabi_policy_reply_read(struct erabi_policy_reply *out, struct erabi_slice frame);

struct erabi_policy_host {
    uv_loop_t *loop;
    struct erabi_policy_engine *engine;
    const struct erabi_config *config; /* its `modules` say whose count; of the chain that is loaded or being built */
    const char *runner; /* path of erab-runner; NULL: beside the program */
    void (*on_event)(void *user, const char *instance, const char *what); /* for the audit */
    /* Its module may not be loaded; told once for each reason, and tried again later. */
    void (*on_refused)(void *user, const char *instance, const char *path, enum erab_reason reason);
    void (*say)(void *user, const char *format, ...) __attribute__((format(printf, 2, 3))); /* for the operator */
    void *user;
    struct erabi_policy_remote *first;
    void (*done)(void *user);
    void *done_user;
};

/* As `open` of struct erabi_policy_source, `host` being a struct erabi_policy_host. */
struct erabi_policy_instance *erabi_policy_host_open(void *host, const struct erabi_config_policy *entry, int *fault);
/* Calls `each` for every policy that is in use, with whether its process runs. */
void erabi_policy_host_each(const struct erabi_policy_host *host,
                            void (*each)(void *user, const char *instance, bool running), void *user);
/* Ends all processes; `done` when the last is gone, also when there is none. */
void erabi_policy_host_stop(struct erabi_policy_host *host, void (*done)(void *user), void *user);

#endif
