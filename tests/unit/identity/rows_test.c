/* Parties that were enrolled, keys that follow others, and operators' statements. */
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

#include <sodium.h>

#include "identity/registry.h"
#include "identity/statement.h"

#define HEX(d) d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d d
#define NOW    1000000u

static struct erabi_config *config;
static struct erabi_registry *registry;
static uint8_t hana_secret[64];

static const uint8_t *key(uint8_t byte)
{
    static uint8_t k[4][32];
    static unsigned turn;
    uint8_t *out = k[turn++ % 4];
    memset(out, byte, 32);
    return out;
}

static struct erabi_party_row row(enum erabi_party_state state)
{
    struct erabi_party_row r = {.id = "cedar", .state = state, .role = ERAB_ROLE_GATEWAY, .firm = "cedar",
                                .kind = ERABI_ATTACH_SELF, .interfaces = 1u << ERAB_IF_R4, .types = ~0ull,
                                .invited_until_ms = NOW + 100};
    memcpy(r.seed, key(0x51), 32);
    if (state != ERABI_PARTY_INVITED) {
        r.n_keys = 1;
        r.keys[0].until_ms = ERABI_FOR_EVER;
        memcpy(r.keys[0].curve, key(0x61), 32);
        memcpy(r.keys[0].sign, key(0x62), 32);
    }
    return r;
}

static void put(const struct erabi_party_row *r, int expected)
{
    assert_int_equal(erabi_registry_put(registry, r, NOW), expected);
}

static enum erab_reason admits(uint8_t byte, uint64_t now_ms)
{
    bool seed;
    return erabi_registry_admits(registry, key(byte), now_ms, &seed);
}

static size_t sign_keys(const char *id)
{
    size_t n;
    erabi_registry_sign_keys(registry, id, &n);
    return n;
}

static int fresh(void **state)
{
    return erabi_registry_new(&registry, config, NULL, NULL, NULL);
}

static int end(void **state)
{
    erabi_registry_free(registry);
    return 0;
}

static void a_seed_is_let_in_until_its_time_is_over(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_INVITED);
    bool seed = false;
    put(&r, 0);
    assert_int_equal(erabi_registry_admits(registry, key(0x51), NOW, &seed), ERAB_REASON_NONE);
    assert_true(seed);
    assert_int_equal(admits(0x51, NOW + 100), ERAB_REASON_INVITATION_EXPIRED);
    assert_true(erabi_registry_party(registry, "cedar")->waiting);
}

static void a_pending_party_is_put_off_and_its_seed_used(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_PENDING);
    put(&r, 0);
    assert_int_equal(admits(0x61, NOW), ERAB_REASON_NOT_APPROVED);
    assert_int_equal(admits(0x51, NOW), ERAB_REASON_INVITATION_USED);
    assert_int_equal(sign_keys("cedar"), 0);
}

static void an_approved_party_comes_in_and_signs(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_ACTIVE);
    put(&r, 0);
    assert_int_equal(admits(0x61, NOW), ERAB_REASON_NONE);
    assert_int_equal(sign_keys("cedar"), 1);
    const struct erabi_registry_party *p = erabi_registry_party(registry, "cedar");
    assert_false(p->waiting);
    assert_non_null(erabi_registry_attachment_of(registry, p->index));
}

static void nothing_goes_over_who_is_not_approved(void **state)
{
    uint32_t meter = erabi_registry_party(registry, "meter")->index;
    struct erabi_party_row r = row(ERABI_PARTY_INVITED);
    r.kind = ERABI_ATTACH_UPLINK;
    strcpy(r.speaks_for[0], "meter");
    r.n_speaks_for = 1;
    put(&r, 0);
    assert_null(erabi_registry_attachment_of(registry, meter));
    r = row(ERABI_PARTY_PENDING);
    r.kind = ERABI_ATTACH_UPLINK;
    strcpy(r.speaks_for[0], "meter");
    r.n_speaks_for = 1;
    put(&r, 0);
    assert_null(erabi_registry_attachment_of(registry, meter));
    r.state = ERABI_PARTY_ACTIVE;
    put(&r, 0);
    assert_non_null(erabi_registry_attachment_of(registry, meter));
}

static void a_denied_party_is_refused_with_key_and_seed(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_DENIED);
    put(&r, 0);
    assert_int_equal(admits(0x61, NOW), ERAB_REASON_DENIED);
    assert_int_equal(admits(0x51, NOW), ERAB_REASON_DENIED);
}

static void a_new_invitation_takes_the_old_keys_away(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_DENIED);
    put(&r, 0);
    r = row(ERABI_PARTY_INVITED);
    memcpy(r.seed, key(0x52), 32);
    put(&r, 0);
    assert_int_equal(admits(0x61, NOW), ERAB_REASON_UNKNOWN_KEY);
    assert_int_equal(admits(0x51, NOW), ERAB_REASON_UNKNOWN_KEY);
    assert_int_equal(admits(0x52, NOW), ERAB_REASON_NONE);
}

static void keys_are_reused_after_many_changes(void **state)
{
    for (unsigned i = 0; i < 25000; i++) {
        struct erabi_party_row r = row(ERABI_PARTY_INVITED);
        memcpy(r.seed, &i, sizeof(i));
        put(&r, 0);
    }
}

static void another_partys_key_is_refused(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_ACTIVE);
    memcpy(r.keys[0].curve, key(0x22), 32); /* gw's */
    put(&r, -EEXIST);
    assert_true(erabi_registry_uses(registry, key(0x22)));
    assert_true(erabi_registry_uses(registry, key(0x33)));
    assert_false(erabi_registry_uses(registry, key(0x99)));
}

static struct erabi_party_row rotated(void)
{
    struct erabi_party_row r;
    assert_true(erabi_registry_row_copy(registry, "gw", &r));
    assert_true(r.configured);
    r.n_keys = 2;
    memcpy(r.keys[0].curve, key(0x22), 32);
    memcpy(r.keys[0].sign, key(0x33), 32);
    r.keys[0].until_ms = NOW + 50;
    memcpy(r.keys[1].curve, key(0x71), 32);
    memcpy(r.keys[1].sign, key(0x72), 32);
    r.keys[1].until_ms = ERABI_FOR_EVER;
    return r;
}

static void both_pairs_hold_until_the_older_ends(void **state)
{
    struct erabi_party_row r = rotated();
    put(&r, 0);
    assert_int_equal(admits(0x22, NOW + 49), ERAB_REASON_NONE);
    assert_int_equal(admits(0x71, NOW), ERAB_REASON_NONE);
    assert_int_equal(sign_keys("gw"), 2);
    assert_false(erabi_registry_tick(registry, NOW + 49));
    assert_true(erabi_registry_tick(registry, NOW + 50));
    assert_int_equal(admits(0x22, NOW + 50), ERAB_REASON_KEY_EXPIRED);
    assert_int_equal(sign_keys("gw"), 1);
    assert_int_equal(admits(0x71, NOW + 50), ERAB_REASON_NONE);
    assert_false(erabi_registry_tick(registry, NOW + 51));
}

static void both_keys_lead_to_one_attachment(void **state)
{
    struct erabi_party_row r = rotated();
    put(&r, 0);
    assert_ptr_equal(erabi_registry_key(registry, key(0x22)), erabi_registry_key(registry, key(0x71)));
    assert_true(erabi_registry_owns(registry, erabi_registry_party(registry, "gw")->index, key(0x71), NOW));
    assert_false(erabi_registry_owns(registry, erabi_registry_party(registry, "gw")->index, key(0x22), NOW + 50));
}

static void a_revoked_newcomer_is_refused(void **state)
{
    struct erabi_party_row r = row(ERABI_PARTY_ACTIVE);
    put(&r, 0);
    assert_int_equal(erabi_registry_revoke(registry, "cedar"), 0);
    assert_int_equal(admits(0x61, NOW), ERAB_REASON_REVOKED);
    assert_int_equal(admits(0x51, NOW), ERAB_REASON_REVOKED);
    assert_int_equal(sign_keys("cedar"), 0);
}

static void a_row_of_a_party_that_the_configuration_lost_is_told(void **state)
{
    struct erabi_party_row r = rotated();
    strcpy(r.id, "gone");
    put(&r, -ENOENT);
}

static void a_newer_registry_takes_over_what_was_learned(void **state)
{
    struct erabi_registry *newer;
    struct erabi_party_row r = row(ERABI_PARTY_ACTIVE);
    put(&r, 0);
    r = rotated();
    put(&r, 0);
    erabi_registry_revoke(registry, "cedar");
    assert_int_equal(erabi_registry_renew(&newer, config, registry, NOW), 0);
    erabi_registry_free(registry);
    registry = newer;
    assert_int_equal(admits(0x61, NOW), ERAB_REASON_REVOKED);
    assert_int_equal(admits(0x71, NOW), ERAB_REASON_NONE);
    assert_int_equal(admits(0x22, NOW + 50), ERAB_REASON_KEY_EXPIRED);
}

static void no_more_newcomers_than_there_is_room_for(void **state)
{
    for (unsigned i = 0; i <= ERABI_ENROLLED_MAX; i++) {
        struct erabi_party_row r = row(ERABI_PARTY_INVITED);
        snprintf(r.id, sizeof(r.id), "p%u", i);
        memcpy(r.seed, &i, sizeof(i));
        if (i >= ERABI_ENROLLED_MAX || i % 512 == 0)
            put(&r, i < ERABI_ENROLLED_MAX ? 0 : -ENOSPC);
        else if (erabi_registry_put(registry, &r, NOW) != 0)
            fail();
    }
}

static void a_row_is_read_as_it_was_written(void **state)
{
    char text[ERABI_ROW_TEXT];
    struct erabi_party_row r = rotated(), out;
    strcpy(r.speaks_for[0], "meter");
    r.n_speaks_for = 1;
    strcpy(r.approvals[0], "hana");
    r.n_approvals = 1;
    strcpy(r.groups[0], "all-ra");
    r.n_groups = 1;
    r.version = UINT32_MAX;
    r.types = ~0ull;
    int n = erabi_row_encode(&r, text);
    assert_true(n > 0);
    assert_int_equal(erabi_row_decode(&out, text, (size_t)n), 0);
    assert_memory_equal(&out, &r, sizeof(out));
    for (int cut = 0; cut < n; cut++)
        assert_int_equal(erabi_row_decode(&out, text, (size_t)cut), -EBADMSG);
}

static void the_largest_row_fits(void **state)
{
    char text[ERABI_ROW_TEXT];
    struct erabi_party_row r = row(ERABI_PARTY_ACTIVE);
    r.n_keys = ERABI_ROW_KEYS;
    r.n_approvals = ERABI_ROW_APPROVALS;
    r.n_speaks_for = ERABI_ROW_SPEAKS;
    memset(r.id, 'a', ERAB_PARTY_MAX);
    memset(r.firm, 'a', ERAB_PARTY_MAX);
    for (size_t i = 0; i < r.n_approvals; i++)
        memset(r.approvals[i], 'a', ERAB_PARTY_MAX);
    for (size_t i = 0; i < r.n_speaks_for; i++)
        memset(r.speaks_for[i], 'a', ERAB_PARTY_MAX);
    r.n_groups = ERABI_ROW_GROUPS;
    for (size_t i = 0; i < r.n_groups; i++)
        memset(r.groups[i], 'a', ERAB_PARTY_MAX);
    for (size_t i = 0; i < r.n_keys; i++)
        r.keys[i].from_ms = r.keys[i].until_ms = ERABI_FOR_EVER;
    assert_true(erabi_row_encode(&r, text) > 0);
}

static void keys_of_low_order_are_not_usable(void **state)
{
    uint8_t curve[32], sign[32], secret[64];
    crypto_box_keypair(curve, secret);
    crypto_sign_keypair(sign, secret);
    assert_true(erabi_keys_usable(curve, sign));
    memset(curve, 0, sizeof(curve));
    assert_false(erabi_keys_usable(curve, sign));
    crypto_box_keypair(curve, secret);
    memset(sign, 0, sizeof(sign));
    sign[0] = 1;
    assert_false(erabi_keys_usable(curve, sign));
}

/* ---- statements ---- */

static json_t *request(const char *text, const uint8_t *secret)
{
    uint8_t signature[64];
    char hex[129];
    erabi_statement_sign(text, secret, signature);
    sodium_bin2hex(hex, sizeof(hex), signature, sizeof(signature));
    return json_pack("{s:s, s:s}", "statement", text, "signature", hex);
}

static int read_statement(const char *text, const uint8_t *secret)
{
    struct erabi_statement s;
    const char *error = "";
    json_t *r = request(text, secret);
    int f = erabi_statement_read(&s, r, config, "party-approve", NOW, &error);
    if (f == 0) {
        assert_string_equal(s.operator, "hana");
        assert_string_equal(s.party, "cedar");
        erabi_statement_deinit(&s);
    } else {
        assert_string_not_equal(error, "");
    }
    json_decref(r);
    return f;
}

#define SAYS(act, hub, who, at)                                                                              \
    "{\"act\":\"" act "\",\"hub\":\"" hub "\",\"party\":\"cedar\",\"operator\":\"" who "\",\"at_ms\":" at "}"

static void a_statement_of_a_named_operator_is_taken(void **state)
{
    assert_int_equal(read_statement(SAYS("party-approve", "alder", "hana", "1000000"), hana_secret), 0);
}

static void a_statement_is_about_one_act_and_one_broker(void **state)
{
    assert_int_equal(read_statement(SAYS("party-deny", "alder", "hana", "1000000"), hana_secret), -EACCES);
    assert_int_equal(read_statement(SAYS("party-approve", "birch", "hana", "1000000"), hana_secret), -EACCES);
}

static void a_strangers_statement_is_refused(void **state)
{
    uint8_t public[32], secret[64];
    crypto_sign_keypair(public, secret);
    assert_int_equal(read_statement(SAYS("party-approve", "alder", "hana", "1000000"), secret), -EACCES);
    assert_int_equal(read_statement(SAYS("party-approve", "alder", "mallory", "1000000"), secret), -EACCES);
}

static void a_statement_from_the_future_is_refused(void **state)
{
    assert_int_equal(read_statement(SAYS("party-approve", "alder", "hana", "1005001"), hana_secret), -EACCES);
    assert_int_equal(read_statement(SAYS("party-approve", "alder", "hana", "900000000000"), hana_secret), -EACCES);
}

static void changed_words_break_the_signature(void **state)
{
    struct erabi_statement s;
    const char *error;
    json_t *r = request(SAYS("party-approve", "alder", "hana", "1000000"), hana_secret);
    json_object_set_new(r, "statement", json_string(SAYS("party-approve", "alder", "hana", "1000001")));
    assert_int_equal(erabi_statement_read(&s, r, config, "party-approve", NOW, &error), -EACCES);
    json_object_set_new(r, "statement", json_string("no json"));
    assert_int_equal(erabi_statement_read(&s, r, config, "party-approve", NOW, &error), -EINVAL);
    json_decref(r);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, end)

static int load_config(void)
{
    static struct erabi_config_errors errors;
    char path[] = "/tmp/erab-rows-XXXXXX", text[4096], hex[65];
    uint8_t public[32];
    crypto_sign_keypair(public, hana_secret);
    sodium_bin2hex(hex, sizeof(hex), public, sizeof(public));
    snprintf(text, sizeof(text),
             "owner: {party: alder, role: ra, firm: alder, key_file: /k/own}\n"
             "profile: /p\nstate_dir: /s\naudit: /a\nadmin_socket: /x\npolicies: [r4]\n"
             "listeners: [{interface: r4, endpoint: \"tcp://127.0.0.1:0\", key_file: /k/r4}]\n"
             "operators: [{name: hana, sign_key: %s}]\n"
             "parties:\n"
             "  - {id: alder, role: ra, firm: alder}\n"
             "  - {id: gw, role: gateway, firm: oak, curve_keys: [" HEX("22") "], sign_keys: [" HEX("33") "],"
             " attachment: {kind: self, interfaces: [r4]}}\n"
             "  - {id: meter, role: sensor, firm: oak, represented_by: gw}\n",
             hex);
    int fd = mkstemp(path);
    int r = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : erabi_config_load(&config, path, &errors);
    for (size_t i = 0; i < errors.n; i++)
        fprintf(stderr, "%s\n", errors.text[i]);
    close(fd);
    unlink(path);
    return r;
}

int main(void)
{
    if (sodium_init() < 0 || load_config() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        T(a_seed_is_let_in_until_its_time_is_over),
        T(a_pending_party_is_put_off_and_its_seed_used),
        T(an_approved_party_comes_in_and_signs),
        T(nothing_goes_over_who_is_not_approved),
        T(a_denied_party_is_refused_with_key_and_seed),
        T(a_new_invitation_takes_the_old_keys_away),
        T(keys_are_reused_after_many_changes),
        T(another_partys_key_is_refused),
        T(both_pairs_hold_until_the_older_ends),
        T(both_keys_lead_to_one_attachment),
        T(a_revoked_newcomer_is_refused),
        T(a_row_of_a_party_that_the_configuration_lost_is_told),
        T(a_newer_registry_takes_over_what_was_learned),
        T(no_more_newcomers_than_there_is_room_for),
        T(a_row_is_read_as_it_was_written),
        T(the_largest_row_fits),
        T(keys_of_low_order_are_not_usable),
        T(a_statement_of_a_named_operator_is_taken),
        T(a_statement_is_about_one_act_and_one_broker),
        T(a_strangers_statement_is_refused),
        T(a_statement_from_the_future_is_refused),
        T(changed_words_break_the_signature),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    erabi_config_free(config);
    return r;
}
