/* The checks that `erab plugin check` makes, with the fake host of <erab/testkit.h>. */
#ifndef ERABI_TESTKIT_H
#define ERABI_TESTKIT_H

#include <jansson.h>

#include <erab/adapter.h>
#include <erab/policy.h>
#include <erab/testkit.h>

#include "module/module.h"

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
