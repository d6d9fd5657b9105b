/* The test kit for modules: a host without a broker, and the checks that `erab plugin check` makes with it.
 *
 * The fake host has a clock of its own: when nothing else is to do, it jumps to the next timer, so that an adapter
 * with timers of minutes is tested in no time. Descriptors are watched for real. One thread, but for post. */
#ifndef ERABI_TESTKIT_H
#define ERABI_TESTKIT_H

#include <jansson.h>

#include <erab/adapter.h>
#include <erab/policy.h>

#include "module/module.h"

#define FAKE_STOP_MS 12000u /* what a real host gives after stop */
#define FAKE_VOTE_MS 30000u /* the longest deadline of a vote */

enum fake_phase { FAKE_INIT, FAKE_RUNNING, FAKE_QUIET };

/* A host for one instance. */
erab_self *fake_host_new(const char *const *parties);
void fake_host_free(erab_self *self);
extern const struct erab_host fake_host;

void fake_host_phase(erab_self *self, enum fake_phase phase);
/* A token for a delivery. */
erab_call fake_host_call(erab_self *self);
/* How often it was completed. */
unsigned fake_host_completed(const erab_self *self, erab_call call);
/* The call that a policy is asked now (0: none any more), and its vote by decide(), or NULL. */
void fake_host_ask(erab_self *self, erab_call call);
const struct erab_verdict *fake_host_vote(const erab_self *self);
bool fake_host_is_quiet(const erab_self *self);
uint64_t fake_host_now(const erab_self *self);
/* Works off what is to do until done() or until so much of its time is over. */
void fake_host_run(erab_self *self, uint64_t for_ms, bool (*done)(const erab_self *self, void *arg), void *arg);
/* Timers and watches that are left. */
unsigned fake_host_handles(const erab_self *self);
/* The first rule that the instance broke, or "". */
const char *fake_host_fault(const erab_self *self);

enum testkit_result { TESTKIT_PASS, TESTKIT_FAIL, TESTKIT_SKIP };

/* Told before each check and after it, so that a crash is known by the check in which it came. `what` is the
 * adapter's or policy's name. */
struct testkit_report {
    void (*begin)(void *user, const char *what, const char *check);
    void (*end)(void *user, const char *what, const char *check, enum testkit_result result, const char *detail);
    void *user;
};

/* `options` is a JSON object that all instances get, or NULL. */
void testkit_adapter(const struct erab_adapter *adapter, const json_t *options, const struct testkit_report *report);
void testkit_policy(const struct erab_policy *policy, const json_t *options, const struct testkit_report *report);
/* What both kinds share: who made it, whether each option is explained. NULL or what is missing. */
const char *testkit_undescribed(const char *version, const char *vendor, const struct erab_option *options);
/* Fills a configuration; false when it was told to `report` why not. */
bool testkit_options(struct erab_config *out, const char *what, const struct erab_option *table,
                     int (*check)(const struct erab_config *config, struct erab_error *error), const json_t *options,
                     const struct testkit_report *report);
void testkit_end(const struct testkit_report *report, const char *what, const char *check, const char *fault);

#endif
