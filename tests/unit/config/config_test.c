#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/profile.h"

#define K1 "1111111111111111111111111111111111111111111111111111111111111111"
#define K2 "2222222222222222222222222222222222222222222222222222222222222222"
#define HEAD                                                                                                 \
    "owner: {party: alder.rest, role: ac, firm: alder, key_file: /k/own}\n"                                  \
    "profile: /p\nstate_dir: /s\naudit: /a\nadmin_socket: /x\npolicies: [r3]\n"                              \
    "listeners:\n  - {interface: r3, endpoint: \"tcp://127.0.0.1:0\", key_file: /k/r3}\n"
#define OWNER "parties:\n  - {id: alder.rest, role: ac, firm: alder}\n"
#define BIRCH "  - {id: birch, role: ra, firm: birch, curve_keys: [" K1 "], sign_keys: [" K2 "], attachment: {kind: self}}\n"

static struct erabi_config_errors errors;
static char path[] = "/tmp/erab-config-XXXXXX";

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    errors.n = errors.more = 0;
}

static bool told(const char *where, const char *what)
{
    char start[128];
    snprintf(start, sizeof(start), "%s:%s: ", path, where);
    for (size_t i = 0; i < errors.n; i++)
        if (strncmp(errors.text[i], start, strlen(start)) == 0 && strstr(errors.text[i], what))
            return true;
    for (size_t i = 0; i < errors.n; i++)
        print_message("%s\n", errors.text[i]);
    return false;
}

static void refused(const char *text, const char *where, const char *what)
{
    struct erabi_config *c;
    write_file(text);
    assert_true(erabi_config_load(&c, path, &errors) < 0);
    assert_null(c);
    assert_true(told(where, what));
}

/* Else the check is good and the start is not. */
static void a_path_that_no_socket_takes_is_refused(void **state)
{
    char text[1024], name[108 + 1];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    name[0] = '/';
    snprintf(text, sizeof(text), "profile: /p\nstate_dir: /s\naudit: /a\nadmin_socket: %s\n", name);
    refused(text, "4:15", "at most 107 bytes");
}

static void a_good_file_loads_with_its_defaults(void **state)
{
    struct erabi_config *c;
    write_file(HEAD OWNER BIRCH);
    assert_int_equal(erabi_config_load(&c, path, &errors), 0);
    assert_int_equal(c->n_parties, 2);
    assert_int_equal(c->listeners[0].interface, ERAB_IF_R3);
    const struct erabi_config_party *p = erabi_config_party(c, "birch");
    assert_int_equal(p->attachment.kind, ERABI_ATTACH_SELF);
    assert_string_equal(p->attachment.speaks_for[0], "birch");
    assert_true(p->attachment.types == ~0ull);
    assert_int_equal(p->curve_keys[0][0], 0x11);
    assert_int_equal(c->limits.connections, 8192);
    erabi_config_free(c);
}

static void an_unknown_key_is_told_with_the_nearest(void **state)
{
    refused(HEAD "polices: [r3]\n" OWNER, "9:1", "did you mean 'policies'");
}

static void every_fault_is_told_at_once(void **state)
{
    refused(HEAD OWNER "  - {id: UPPER, role: acc, firm: x}\n", "11:10", "not a valid id");
    assert_true(told("11:23", "'acc' is not one of them"));
}

static void aliases_are_refused(void **state)
{
    refused("owner: &a {party: x}\nprofile: *a\n", "1:8", "anchors and tags are not taken");
}

static void a_key_twice_is_refused_with_both_lines(void **state)
{
    refused("profile: /p\naudit: /a\nprofile: /q\n", "3:1", "already in line 1");
}

static void deep_nesting_is_refused(void **state)
{
    refused("a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\n", "1:19", "nested too deep");
}

static void one_key_for_two_parties_is_refused(void **state)
{
    refused(HEAD OWNER BIRCH "  - {id: cedar, role: ra, firm: c, curve_keys: [" K1 "], attachment: {kind: self}}\n",
            "12:5", "one and the same key");
}

static void a_party_may_not_speak_for_the_owner(void **state)
{
    refused(HEAD OWNER "  - {id: birch, role: ra, firm: b, curve_keys: [" K1
                       "], attachment: {kind: uplink, speaks_for: [alder.rest]}}\n",
            "11:128", "only a local application");
}

static void speaking_for_an_unknown_party_is_refused(void **state)
{
    refused(HEAD OWNER "  - {id: birch, role: ra, firm: b, curve_keys: [" K1
                       "], attachment: {kind: uplink, speaks_for: [elm]}}\n",
            "11:128", "there is no party 'elm'");
}

static void the_owner_must_be_listed(void **state)
{
    refused(HEAD "parties:\n" BIRCH, "1:8", "is not listed under 'parties'");
}

static void a_listener_without_a_key_is_refused(void **state)
{
    refused("listeners:\n  - {interface: r3, endpoint: \"tcp://127.0.0.1:1\"}\n", "2:5", "key_file: is missing");
}

static void r1_on_every_address_is_refused(void **state)
{
    refused("listeners:\n  - {interface: r1, endpoint: \"tcp://0.0.0.0:1\", key_file: /k}\n", "2:5",
            "must not listen on every address");
}

#define OPERATORS(list) "operators:\n" list
#define HANA "  - {name: hana, sign_key: " K1 "}\n"

static void operators_are_people_with_keys_of_their_own(void **state)
{
    struct erabi_config *c;
    write_file(HEAD OWNER OPERATORS(HANA "  - {name: ken, sign_key: " K2 "}\n") "enrolment: {approvals: 2}\n");
    assert_int_equal(erabi_config_load(&c, path, &errors), 0);
    assert_string_equal(c->operators[1].name, "ken");
    assert_int_equal(c->enrolment.approvals, 2);
    erabi_config_free(c);
    refused(HEAD OWNER OPERATORS(HANA HANA), "13:5", "stands twice");
    refused(HEAD OWNER OPERATORS(HANA "  - {name: ken, sign_key: " K1 "}\n"), "13:5", "one and the same key");
    refused(HEAD OWNER BIRCH OPERATORS("  - {name: hana, sign_key: " K2 "}\n"), "13:5", "has the key of party 'birch'");
}

static void more_approvals_than_operators_are_refused(void **state)
{
    refused(HEAD OWNER OPERATORS(HANA) "enrolment: {approvals: 2}\n", "13:12", "more than there are operators");
    refused(HEAD OWNER OPERATORS(HANA) "enrolment: {approvals: 0}\n", "13:24", "not a whole number from 1 to 8");
}

static void a_relative_module_path_is_refused(void **state)
{
    refused(HEAD OWNER "adapters:\n  - {instance: a, module: a.so, name: n, key_file: /k, parties: [alder.rest]}\n",
            "12:27", "an absolute path");
}

static void a_liveness_of_an_adapter_out_of_range_is_refused(void **state)
{
    refused(HEAD OWNER "adapters:\n  - {instance: a, module: /a.so, name: n, key_file: /k, parties: [alder.rest], liveness_ms: 5}\n",
            "12:93", "100 to 60000");
}

#define PROFILE                                                                                              \
    "profile: test\npairs:\n  - {roles: [ac, ra], interface: r3, section: \"3.6.3\"}\n"                         \
    "  - {roles: [ac, ac], interface: internal, one_firm: true}\n"                                           \
    "originators:\n  - {role: ac, interface: r3}\nflows:\n"                                                  \
    "  - {interface: r3, types: [dispatch], from: [ac], to: [ra], signed: true}\n"                           \
    "  - {interface: internal, types: [dispatch], from: [ac], to: [ac], signed: true, from_id_ends: .direct, " \
    "to_id_ends: .rest}\n"

static struct erabi_profile *profile(void)
{
    struct erabi_profile *p;
    write_file(PROFILE);
    assert_int_equal(erabi_profile_load(&p, path, &errors), 0);
    return p;
}

static void a_pair_has_its_interface_both_ways(void **state)
{
    struct erabi_profile *p = profile();
    assert_int_equal(erabi_profile_pair(p, ERAB_ROLE_RA, ERAB_ROLE_AC).interface, ERAB_IF_R3);
    assert_string_equal(erabi_profile_pair(p, ERAB_ROLE_AC, ERAB_ROLE_RA).section, "3.6.3");
    assert_int_equal(erabi_profile_pair(p, ERAB_ROLE_TSO, ERAB_ROLE_RA).interface, ERAB_IF_NONE);
    assert_true(erabi_profile_pair(p, ERAB_ROLE_AC, ERAB_ROLE_AC).one_firm);
    assert_true(erabi_profile_originates(p, ERAB_ROLE_AC, ERAB_IF_R3));
    assert_false(erabi_profile_originates(p, ERAB_ROLE_RA, ERAB_IF_R3));
    erabi_profile_free(p);
}

static void a_flow_goes_one_way_only(void **state)
{
    struct erabi_profile *p = profile();
    struct erabi_profile_flow f =
        erabi_profile_flow(p, ERAB_DISPATCH, ERAB_IF_R3, ERAB_ROLE_AC, ERAB_ROLE_RA, "a", "b");
    assert_true(f.allowed && f.signed_required);
    assert_false(erabi_profile_flow(p, ERAB_DISPATCH, ERAB_IF_R3, ERAB_ROLE_RA, ERAB_ROLE_AC, "b", "a").allowed);
    assert_false(erabi_profile_flow(p, ERAB_OPT, ERAB_IF_R3, ERAB_ROLE_AC, ERAB_ROLE_RA, "a", "b").allowed);
    erabi_profile_free(p);
}

static void a_flow_with_id_endings_asks_for_them(void **state)
{
    struct erabi_profile *p = profile();
    assert_true(erabi_profile_flow(p, ERAB_DISPATCH, ERAB_IF_INTERNAL, ERAB_ROLE_AC, ERAB_ROLE_AC, "a.direct", "a.rest")
                    .allowed);
    assert_false(erabi_profile_flow(p, ERAB_DISPATCH, ERAB_IF_INTERNAL, ERAB_ROLE_AC, ERAB_ROLE_AC, "a.rest", "a.direct")
                     .allowed);
    erabi_profile_free(p);
}

static void contradicting_flows_are_refused(void **state)
{
    struct erabi_profile *p;
    write_file(PROFILE "  - {interface: r3, types: [dispatch], from: [ac], to: [ra], signed: false}\n");
    assert_true(erabi_profile_load(&p, path, &errors) < 0);
    assert_true(told("10:5", "twice with different rules"));
}

int main(int argc, char **argv)
{
    if (argc > 1) { /* a real profile to load */
        struct erabi_profile *p = NULL;
        int r = erabi_profile_load(&p, argv[1], &errors);
        for (size_t i = 0; i < errors.n; i++)
            fprintf(stderr, "%s\n", errors.text[i]);
        erabi_profile_free(p);
        return r != 0;
    }
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_loads_with_its_defaults),
        cmocka_unit_test(a_path_that_no_socket_takes_is_refused),
        cmocka_unit_test(an_unknown_key_is_told_with_the_nearest),
        cmocka_unit_test(every_fault_is_told_at_once),
        cmocka_unit_test(aliases_are_refused),
        cmocka_unit_test(a_key_twice_is_refused_with_both_lines),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(one_key_for_two_parties_is_refused),
        cmocka_unit_test(a_party_may_not_speak_for_the_owner),
        cmocka_unit_test(speaking_for_an_unknown_party_is_refused),
        cmocka_unit_test(the_owner_must_be_listed),
        cmocka_unit_test(a_listener_without_a_key_is_refused),
        cmocka_unit_test(r1_on_every_address_is_refused),
        cmocka_unit_test(a_relative_module_path_is_refused),
        cmocka_unit_test(operators_are_people_with_keys_of_their_own),
        cmocka_unit_test(more_approvals_than_operators_are_refused),
        cmocka_unit_test(a_liveness_of_an_adapter_out_of_range_is_refused),
        cmocka_unit_test(a_pair_has_its_interface_both_ways),
        cmocka_unit_test(a_flow_goes_one_way_only),
        cmocka_unit_test(contradicting_flows_are_refused),
        cmocka_unit_test(a_flow_with_id_endings_asks_for_them),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return r;
}
