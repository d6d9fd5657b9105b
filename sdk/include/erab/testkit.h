/* The test kit for modules: a host without a broker. `erab plugin check` makes its checks with it; your own tests of what
 * an adapter does with its devices can do so too. Link erab-testkit (pkg-config).
 *
 * The fake host keeps the rules of <erab/host.h> and says which one the instance broke. Its clock is its own: when nothing
 * else is to do, it jumps to the next timer, so that an adapter with timers of minutes is tested in no time. With
 * `real_time` it runs by the machine's clock instead, for tests beside real devices. Descriptors are watched for real.
 * One thread, but for post. A test goes
 *
 *     self = erab_fake_new(parties), adapter->init(instance, self, &erab_fake_host, ...), erab_fake_enter(RUNNING),
 *     adapter->start(instance), adapter->deliver(instance, erab_fake_call(self), message),
 *     erab_fake_run(self, ...) until erab_fake_completed(self, call), adapter->stop(instance),
 *     erab_fake_run(self, ERAB_FAKE_STOP_MS, ...) until erab_fake_is_quiet(self), adapter->fini(instance),
 *     *erab_fake_fault(self) == 0, erab_fake_free(self). */
#ifndef ERAB_TESTKIT_H
#define ERAB_TESTKIT_H

#include <erab/adapter.h>
#include <erab/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ERAB_FAKE_STOP_MS 12000u /* what a real host gives after stop */
#define ERAB_FAKE_VOTE_MS 30000u /* the longest deadline of a vote */

enum erab_fake_phase { ERAB_FAKE_INIT, ERAB_FAKE_RUNNING, ERAB_FAKE_QUIET };

/* A host for one instance. `parties` is NULL-ended and stays the caller's. NULL: no memory. */
ERAB_API erab_self *erab_fake_new(const char *const *parties);
ERAB_API void erab_fake_free(erab_self *self);
ERAB_API extern const struct erab_host erab_fake_host;

/* How this host differs from the usual one; all may be 0. Before init of the instance. */
struct erab_fake_ways {
    uint32_t size;
    bool real_time;    /* its clock is the machine's, and waits are real */
    const char *store; /* an existing folder in which store_put keeps its values; NULL: kept in memory */
    void *user;        /* of all below */
    void (*on_log)(void *user, enum erab_log_level level, const char *text);
    /* What the instance did, when it was right. */
    void (*on_publish)(void *user, const struct erab_outgoing_message *message, const uint8_t id[ERAB_ID_SIZE]);
    void (*on_complete)(void *user, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                        const char *detail);
    /* The network, as in <erab/host.h>. NULL: a stream whose other end has hung up, silence, and
     * a listener to which nobody comes. */
    int (*connect_stream)(void *user, const char *option);
    int (*open_datagram)(void *user, const struct erab_datagram_options *options, struct erab_datagram_info *info);
    int (*listen_streams)(void *user, const char *option);
    int (*accept_stream)(void *user, int listener, struct erab_accepted *from);
    /* An event loop of the test, in real time: turn() is called before each wait, and says how many milliseconds that
     * may last at most (-1: as long as nothing comes). `fd` becomes readable when it has something to do. */
    int (*turn)(void *user);
    int fd;
};
ERAB_API void erab_fake_use(erab_self *self, const struct erab_fake_ways *ways);

ERAB_API void erab_fake_enter(erab_self *self, enum erab_fake_phase phase);
/* A token for a delivery. 0: there were too many. */
ERAB_API erab_call erab_fake_call(erab_self *self);
/* How often it was completed. */
ERAB_API unsigned erab_fake_completed(const erab_self *self, erab_call call);
/* The call that a policy is asked now (0: none any more), and its vote by decide(), or NULL. */
ERAB_API void erab_fake_ask(erab_self *self, erab_call call);
ERAB_API const struct erab_verdict *erab_fake_vote(const erab_self *self);
ERAB_API bool erab_fake_is_quiet(const erab_self *self);
ERAB_API uint64_t erab_fake_now(const erab_self *self);
/* Works off what is to do until done() or until so much of its time is over. */
ERAB_API void erab_fake_run(erab_self *self, uint64_t for_ms, bool (*done)(const erab_self *self, void *arg), void *arg);
/* Timers and watches that are left. */
ERAB_API unsigned erab_fake_handles(const erab_self *self);
/* The first rule that the instance broke, or "". */
ERAB_API const char *erab_fake_fault(const erab_self *self);

#ifdef __cplusplus
}
#endif

#endif
