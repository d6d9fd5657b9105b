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

#include "identity/registry.h"

#define HEX(d) d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d
static const char text[] =
    "owner: {party: alder, role: ra, firm: alder, key_file: /k/own}\n"
    "profile: /p\nstate_dir: /s\naudit: /a\nadmin_socket: /x\npolicies: [r4]\n"
    "local: {endpoint: \"ipc:///run/x\", key_file: /k/l}\n"
    "uplinks:\n  - {party: fir.rest, endpoint: \"tcp://127.0.0.1:9\", server_key: " HEX("99") "}\n"
    "modules: {signers: [5555555555555555555555555555555555555555555555555555555555555555]}\n"
    "adapters:\n  - {instance: el, module: /m.so, name: el, key_file: /k/e, parties: [dev1, dev2]}\n"
    "parties:\n"
    "  - {id: alder, role: ra, firm: alder}\n"
    "  - {id: fir.rest, role: ac, firm: fir, sign_keys: [" HEX("55") "]}\n"
    "  - {id: app, role: ra, firm: alder, curve_keys: [" HEX("11") "], attachment: {kind: local}}\n"
    "  - {id: gw, role: gateway, firm: oak, curve_keys: [" HEX("22") "], sign_keys: [" HEX("33") "],"
    " attachment: {kind: self, interfaces: [r4], types: [telemetry, receipt]}}\n"
    "  - {id: meter, role: sensor, firm: oak, represented_by: gw}\n"
    "  - {id: dev1, role: device, firm: oak, represented_by: el}\n"
    "  - {id: dev2, role: device, firm: oak, represented_by: el}\n";

static struct erabi_config_errors errors;
static struct erabi_config *config;
static struct erabi_registry *registry;
static char persisted[64];
static const uint8_t owner_sign[32] = {7};

static const uint8_t *key(uint8_t byte)
{
    static uint8_t k[32];
    memset(k, byte, sizeof(k));
    return k;
}

static void persist(void *user, const char *party)
{
    snprintf(persisted, sizeof(persisted), "%s", party);
}

static int fresh(void **state)
{
    persisted[0] = '\0';
    return erabi_registry_new(&registry, config, owner_sign, persist, NULL);
}

static int end(void **state)
{
    erabi_registry_free(registry);
    return 0;
}

static uint32_t at(const char *id)
{
    return erabi_registry_party(registry, id)->index;
}

static void a_key_leads_to_its_attachment(void **state)
{
    const struct erabi_attachment *a = erabi_registry_key(registry, key(0x22));
    assert_non_null(a);
    assert_int_equal(a->kind, ERABI_ATTACH_SELF);
    assert_true(erabi_attachment_speaks_for(a, at("gw")));
    assert_false(erabi_attachment_speaks_for(a, at("alder")));
    assert_null(erabi_registry_key(registry, key(0x77)));
}

static void an_attachment_bounds_types_and_interfaces(void **state)
{
    const struct erabi_attachment *a = erabi_registry_key(registry, key(0x22));
    assert_true(a->types >> ERAB_TELEMETRY & 1);
    assert_false(a->types >> ERAB_DISPATCH & 1);
    assert_true(a->interfaces >> ERAB_IF_R4 & 1);
    assert_false(a->interfaces >> ERAB_IF_R5 & 1);
}

static void a_local_application_speaks_for_the_owner(void **state)
{
    const struct erabi_attachment *a = erabi_registry_key(registry, key(0x11));
    assert_int_equal(a->kind, ERABI_ATTACH_LOCAL);
    assert_true(erabi_attachment_speaks_for(a, erabi_registry_owner(registry)->index));
    assert_true(erabi_registry_party(registry, "app")->local);
}

static void an_uplink_is_known_by_its_server_key(void **state)
{
    const struct erabi_attachment *a = erabi_registry_key(registry, key(0x99));
    assert_int_equal(a->kind, ERABI_ATTACH_UPLINK);
    assert_true(erabi_attachment_speaks_for(a, at("fir.rest")));
    assert_ptr_equal(erabi_registry_attachment_of(registry, at("fir.rest")), a);
}

static void an_adapters_key_speaks_and_signs_for_its_parties(void **state)
{
    const uint8_t sign[32] = {9};
    size_t n;
    assert_int_equal(erabi_registry_add_adapter(registry, "nope", key(0x44), sign), -ENOENT);
    assert_int_equal(erabi_registry_add_adapter(registry, "el", key(0x44), sign), 0);
    assert_int_equal(erabi_registry_add_adapter(registry, "el", key(0x44), sign), -EEXIST);
    const struct erabi_attachment *a = erabi_registry_key(registry, key(0x44));
    assert_true(erabi_attachment_speaks_for(a, at("dev2")));
    assert_memory_equal(erabi_registry_sign_keys(registry, "dev1", &n)[0], sign, 32);
    assert_int_equal(n, 1);
}

static void a_revoked_party_has_no_keys_any_more(void **state)
{
    size_t n;
    assert_int_equal(erabi_registry_revoke(registry, "gw"), 0);
    assert_string_equal(persisted, "gw");
    assert_true(erabi_registry_key(registry, key(0x22))->revoked);
    assert_int_equal(erabi_registry_key(registry, key(0x22))->epoch, 2);
    assert_null(erabi_registry_sign_keys(registry, "gw", &n));
    assert_int_equal(n, 0);
    assert_int_equal(erabi_registry_revoke(registry, "gw"), 1);
}

static void a_represented_party_is_revoked_without_its_adapter(void **state)
{
    assert_int_equal(erabi_registry_add_adapter(registry, "el", key(0x44), NULL), 0);
    assert_int_equal(erabi_registry_revoke(registry, "dev1"), 0);
    assert_false(erabi_registry_key(registry, key(0x44))->revoked);
    assert_true(erabi_registry_party(registry, "dev1")->revoked);
}

static void the_owner_and_strangers_are_not_revoked(void **state)
{
    assert_int_equal(erabi_registry_revoke(registry, "alder"), -EPERM);
    assert_int_equal(erabi_registry_revoke(registry, "nobody"), -ENOENT);
    assert_string_equal(persisted, "");
}

static void the_owner_has_the_sign_key_of_its_file(void **state)
{
    size_t n;
    assert_memory_equal(erabi_registry_sign_keys(registry, "alder", &n)[0], owner_sign, 32);
}

static void a_represented_party_has_the_keys_of_who_represents_it(void **state)
{
    size_t n;
    assert_memory_equal(erabi_registry_sign_keys(registry, "meter", &n)[0], key(0x33), 32);
    assert_int_equal(n, 1);
    erabi_registry_revoke(registry, "gw");
    assert_null(erabi_registry_sign_keys(registry, "meter", &n));
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, end)

int main(void)
{
    char path[] = "/tmp/erab-registry-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0 || erabi_config_load(&config, path, &errors) < 0) {
        for (size_t i = 0; i < errors.n; i++)
            fprintf(stderr, "%s\n", errors.text[i]);
        return 1;
    }
    close(fd);
    unlink(path);
    const struct CMUnitTest tests[] = {
        T(a_key_leads_to_its_attachment),
        T(an_attachment_bounds_types_and_interfaces),
        T(a_local_application_speaks_for_the_owner),
        T(an_uplink_is_known_by_its_server_key),
        T(an_adapters_key_speaks_and_signs_for_its_parties),
        T(a_revoked_party_has_no_keys_any_more),
        T(a_represented_party_is_revoked_without_its_adapter),
        T(the_owner_and_strangers_are_not_revoked),
        T(a_represented_party_has_the_keys_of_who_represents_it),
        T(the_owner_has_the_sign_key_of_its_file),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    erabi_config_free(config);
    return r;
}
