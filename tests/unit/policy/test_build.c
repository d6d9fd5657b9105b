/* Policies of a configuration: their options with line-exact faults, and what a reload keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins.h"
#include "policy/build.h"
#include "policy/judge.h"

#define HEAD                                                                                                 \
    "owner: {party: alder.rest, role: ac, firm: alder, key_file: /k/own}\n"                                  \
    "profile: /p\nstate_dir: /s\naudit: /a\nadmin_socket: /x\n"                                              \
    "listeners:\n  - {interface: r3, endpoint: \"tcp://127.0.0.1:0\", key_file: /k/r3}\n"                    \
    "parties:\n  - {id: alder.rest, role: ac, firm: alder}\n"                                                \
    "policies:\n"
/* the list begins in line 11 */

static struct erabi_config_errors errors;
static char path[] = "/tmp/erab-policies-XXXXXX";
static const struct erabi_policy_source source = {.shipped = erab_policies_shipped};

static int build(struct erabi_policy_chain **chain, const char *policies, const struct erabi_policy_chain *previous)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%s%s", HEAD, policies);
    fclose(f);
    errors.n = errors.more = 0;
    struct erabi_config *config;
    int r = erabi_config_load(&config, path, &errors);
    if (r == 0)
        r = erabi_policy_build(chain, config, path, &source, previous, &errors);
    erabi_config_free(config);
    return r;
}

static void refused(const char *policies, const char *where, const char *what)
{
    struct erabi_policy_chain *chain;
    char start[128];
    assert_true(build(&chain, policies, NULL) < 0);
    snprintf(start, sizeof(start), "%s:%s: ", path, where);
    for (size_t i = 0; i < errors.n; i++)
        if (strncmp(errors.text[i], start, strlen(start)) == 0 && strstr(errors.text[i], what))
            return;
    for (size_t i = 0; i < errors.n; i++)
        print_message("%s\n", errors.text[i]);
    fail_msg("not told: %s %s", where, what);
}

static void names_and_sections_stand_side_by_side(void **state)
{
    struct erabi_policy_chain *chain;
    assert_int_equal(build(&chain,
                           "  - r3\n  - {name: quota, instance: q2, deadline_ms: 50, options: {rules: [\"rate=5\"]}}\n",
                           NULL),
                     0);
    assert_int_equal(chain->n, 2);
    assert_string_equal(chain->at[0]->self.name, "r3");
    assert_string_equal(chain->at[1]->self.name, "q2");
    assert_int_equal(chain->at[1]->deadline_ms, 50);
    erabi_policy_chain_unref(chain);
}

static void an_unknown_policy_is_told_with_those_there_are(void **state)
{
    refused("  - r3\n  - quoto\n", "12:5", "shipped are r1 r2 r3 r4 r5 info quota safety privacy");
}

static void a_policy_twice_needs_another_instance(void **state)
{
    refused("  - r3\n  - r3\n", "12:5", "stands twice");
}

static void an_unknown_option_is_told_with_the_nearest(void **state)
{
    refused("  - name: quota\n    options:\n      rule: [\"rate=5\"]\n", "13:7", "did you mean 'rules'");
}

static void a_policy_without_options_says_so(void **state)
{
    refused("  - {name: r3, options: {a: b}}\n", "11:26", "there are no options");
}

static void a_needed_option_is_missed(void **state)
{
    refused("  - quota\n", "11:5", "option rules: is required");
}

static void an_option_of_another_type_is_refused_at_its_value(void **state)
{
    refused("  - name: quota\n    options:\n      rules: \"rate=5\"\n", "13:14", "must be a list");
    refused("  - name: quota\n    options:\n      rules: [\"rate=5\"]\n      entries: many\n", "14:16", "whole number");
    refused("  - name: quota\n    options:\n      rules: [\"rate=5\"]\n      entries: 3\n", "14:16", "from 16 to 262144");
    refused("  - name: safety\n    options:\n      rules: [\"max_kw=5\"]\n      unmatched: pass\n", "14:18",
            "must be one of abstain, deny");
}

static void a_wrong_rule_is_told_at_its_own_line(void **state)
{
    refused("  - name: safety\n    options:\n      rules:\n        - max_kw=5\n        - target=x max_kv=5\n", "15:11",
            "max_kv=5: known are target");
    refused("  - name: quota\n    options:\n      rules:\n        - rate=5\n        - peer=x\n", "15:11", "needs rate=");
    refused("  - name: privacy\n    options:\n      r3: [operation, secret]\n", "13:23", "known are operation");
    refused("  - name: privacy\n    options:\n      consents:\n        - subject=a to=b purpose=c until=2027-02-31x\n",
            "14:11", "must be a day");
}

#define SIGNERS "modules: {signers: [0101010101010101010101010101010101010101010101010101010101010101]}\n"

static void a_module_of_others_is_taken_by_its_path(void **state)
{
    struct erabi_policy_chain *chain;
    assert_int_equal(build(&chain, "  - {name: vendor, module: /opt/vendor.so, options: {a: b}}\n" SIGNERS, NULL), 0);
    assert_true(chain->at[0]->elsewhere);
    erabi_policy_chain_unref(chain);
    refused("  - {name: vendor, module: vendor.so}\n" SIGNERS, "11:28", "absolute path");
    refused("  - {name: vendor, module: /opt/vendor.so}\n", "11:5", "modules: {signers: [KEY]}");
}

static void a_reload_keeps_what_did_not_change(void **state)
{
    struct erabi_policy_chain *first, *second;
    assert_int_equal(build(&first, "  - r3\n  - {name: quota, options: {rules: [\"rate=5\"]}}\n", NULL), 0);
    assert_int_equal(build(&second, "  - {name: quota, options: {rules: [\"rate=5\"]}}\n  - r4\n", first), 0);
    assert_ptr_equal(first->at[1], second->at[0]);
    erabi_policy_chain_unref(second);
    assert_int_equal(build(&second, "  - {name: quota, options: {rules: [\"rate=6\"]}}\n", first), 0);
    assert_ptr_not_equal(first->at[1], second->at[0]);
    erabi_policy_chain_unref(second);
    erabi_policy_chain_unref(first);
}

static void a_bad_reload_changes_nothing(void **state)
{
    struct erabi_policy_engine engine;
    struct erabi_policy_chain *chain;
    assert_int_equal(erabi_policy_engine_init(&engine, NULL, NULL), 0);
    assert_int_equal(build(&chain, "  - r3\n", NULL), 0);
    erabi_policy_engine_swap(&engine, chain);
    assert_true(build(&chain, "  - r3\n  - nothing\n", engine.chain) < 0);
    assert_int_equal(engine.chain->n, 1);
    assert_int_equal(engine.chain->at[0]->refs, 1);
    erabi_policy_engine_deinit(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_sections_stand_side_by_side),
        cmocka_unit_test(an_unknown_policy_is_told_with_those_there_are),
        cmocka_unit_test(a_policy_twice_needs_another_instance),
        cmocka_unit_test(an_unknown_option_is_told_with_the_nearest),
        cmocka_unit_test(a_policy_without_options_says_so),
        cmocka_unit_test(a_needed_option_is_missed),
        cmocka_unit_test(an_option_of_another_type_is_refused_at_its_value),
        cmocka_unit_test(a_wrong_rule_is_told_at_its_own_line),
        cmocka_unit_test(a_module_of_others_is_taken_by_its_path),
        cmocka_unit_test(a_reload_keeps_what_did_not_change),
        cmocka_unit_test(a_bad_reload_changes_nothing),
    };
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return r;
}
