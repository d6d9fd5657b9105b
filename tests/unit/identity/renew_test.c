/* The registry of a new configuration beside the one before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "identity/registry.h"

#define HEX(d) d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d
#define TOP                                                                                                    \
    "owner: {party: alder, role: ra, firm: alder, key_file: /k/own}\n"                                         \
    "profile: /p\nstate_dir: /s\naudit: /a\nadmin_socket: /x\npolicies: [r4]\n"                                \
    "local: {endpoint: \"ipc:///run/x\", key_file: /k/l}\n"                                                    \
    "modules: {signers: [" HEX("55") "]}\n"                                                                    \
    "uplinks:\n  - {party: fir, endpoint: \"tcp://127.0.0.1:9\", server_key: " HEX("99") "}\n"                 \
    "adapters:\n  - {instance: el, module: /m.so, name: el, key_file: /k/e, parties: [dev]}\n"                 \
    "parties:\n"                                                                                               \
    "  - {id: dev, role: device, firm: oak, represented_by: el}\n"
#define ALDER "  - {id: alder, role: ra, firm: alder}\n"
#define FIR   "  - {id: fir, role: ac, firm: fir}\n"
#define GW(k) "  - {id: gw, role: gateway, firm: oak, curve_keys: [" HEX(k) "], attachment: {kind: self}}\n"
#define ELM   "  - {id: elm, role: gateway, firm: elm, curve_keys: [" HEX("44") "], attachment: {kind: self}}\n"

static const uint8_t own_key[32] = {7};

static const uint8_t *key(uint8_t byte)
{
    static uint8_t k[32];
    memset(k, byte, sizeof(k));
    return k;
}

static struct erabi_config *load(const char *text)
{
    static struct erabi_config_errors errors;
    char path[] = "/tmp/erab-renew-XXXXXX";
    struct erabi_config *c = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    errors.n = 0;
    if (erabi_config_load(&c, path, &errors) < 0)
        print_message("%s\n", errors.text[0]);
    unlink(path);
    assert_non_null(c);
    return c;
}

static struct erabi_registry *first(const char *text)
{
    struct erabi_registry *r = NULL;
    struct erabi_config *c = load(text);
    assert_int_equal(erabi_registry_new(&r, c, own_key, NULL, NULL), 0);
    erabi_config_free(c);
    return r;
}

/* The next one; the one before is freed. */
static struct erabi_registry *next(struct erabi_registry *before, const char *text)
{
    struct erabi_registry *r = NULL;
    struct erabi_config *c = load(text);
    assert_int_equal(erabi_registry_renew(&r, c, before, 0), 0);
    erabi_config_free(c);
    erabi_registry_free(before);
    return r;
}

static uint32_t at(const struct erabi_registry *r, const char *id)
{
    return erabi_registry_party(r, id)->index;
}

static void indices_stay_and_are_given_to_nobody_else(void **state)
{
    struct erabi_registry *r = first(TOP ALDER FIR GW("22"));
    uint32_t alder = at(r, "alder"), gw = at(r, "gw");
    r = next(r, TOP FIR ELM ALDER);
    assert_int_equal(at(r, "alder"), alder);
    assert_null(erabi_registry_party(r, "gw"));
    assert_null(erabi_registry_key(r, key(0x22)));
    assert_int_not_equal(at(r, "elm"), gw);
    r = next(r, TOP FIR ELM ALDER GW("22"));
    assert_int_equal(at(r, "gw"), gw);
    assert_true(erabi_attachment_speaks_for(erabi_registry_key(r, key(0x22)), gw));
    erabi_registry_free(r);
}

static void revocations_hold_for_those_who_went_and_came_back(void **state)
{
    struct erabi_registry *r = first(TOP ALDER FIR GW("22"));
    assert_int_equal(erabi_registry_revoke(r, "gw"), 0);
    erabi_registry_restore_revoked(r, "elm"); /* of whom the journal knows, and nobody else yet */
    r = next(r, TOP ALDER FIR GW("33"));
    assert_true(erabi_registry_key(r, key(0x33))->revoked);
    r = next(r, TOP ALDER FIR);
    r = next(r, TOP ALDER FIR GW("33") ELM);
    assert_true(erabi_registry_party(r, "gw")->revoked);
    assert_true(erabi_registry_key(r, key(0x33))->revoked);
    assert_true(erabi_registry_party(r, "elm")->revoked);
    assert_true(erabi_registry_key(r, key(0x44))->revoked);
    erabi_registry_free(r);
}

static void what_adapters_were_given_goes_over(void **state)
{
    const uint8_t sign[32] = {9};
    size_t n;
    struct erabi_registry *r = first(TOP ALDER FIR);
    assert_int_equal(erabi_registry_add_adapter(r, "el", key(0x55), sign), 0);
    r = next(r, TOP GW("22") ALDER FIR);
    const struct erabi_attachment *a = erabi_registry_key(r, key(0x55));
    assert_int_equal(a->kind, ERABI_ATTACH_ADAPTER);
    assert_true(erabi_attachment_speaks_for(a, at(r, "dev")));
    assert_memory_equal(erabi_registry_sign_keys(r, "dev", &n)[0], sign, 32);
    assert_memory_equal(erabi_registry_sign_keys(r, "alder", &n)[0], own_key, 32);
    erabi_registry_free(r);
}

static void an_attachment_is_found_again(void **state)
{
    struct erabi_registry *a = first(TOP ALDER FIR GW("22")), *b;
    assert_int_equal(erabi_registry_add_adapter(a, "el", key(0x55), NULL), 0);
    struct erabi_config *c = load(TOP FIR ALDER GW("33"));
    assert_int_equal(erabi_registry_renew(&b, c, a, 0), 0);
    const uint8_t bytes[] = {0x22, 0x55, 0x99}, there[] = {0x33, 0x55, 0x99};
    for (size_t i = 0; i < 3; i++) {
        const struct erabi_attachment *of = erabi_registry_key(a, key(bytes[i]));
        assert_non_null(of);
        assert_ptr_equal(erabi_registry_again(b, of), erabi_registry_key(b, key(there[i])));
    }
    erabi_registry_free(b);
    erabi_config_free(c);
    c = load(TOP FIR ALDER);
    assert_int_equal(erabi_registry_renew(&b, c, a, 0), 0);
    assert_null(erabi_registry_again(b, erabi_registry_key(a, key(0x22))));
    erabi_registry_free(b);
    erabi_config_free(c);
    erabi_registry_free(a);
}

static void the_one_before_stays_as_it_is(void **state)
{
    struct erabi_registry *a = first(TOP ALDER FIR GW("22")), *b;
    struct erabi_config *c = load(TOP FIR ALDER);
    assert_int_equal(erabi_registry_renew(&b, c, a, 0), 0);
    assert_int_equal(erabi_registry_revoke(b, "fir"), 0);
    assert_false(erabi_registry_party(a, "fir")->revoked);
    assert_false(erabi_registry_key(a, key(0x22))->revoked);
    erabi_registry_free(b);
    erabi_config_free(c);
    erabi_registry_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_stay_and_are_given_to_nobody_else),
        cmocka_unit_test(revocations_hold_for_those_who_went_and_came_back),
        cmocka_unit_test(what_adapters_were_given_goes_over),
        cmocka_unit_test(an_attachment_is_found_again),
        cmocka_unit_test(the_one_before_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
