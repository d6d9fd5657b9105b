/* Sealed bodies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <erab/identity.h>
#include <erab/message.h>

static struct erab_identity alder, birch;
static const uint8_t text[] = "who lives there";
static const struct erab_bytes body = {text, sizeof(text)};

static int keys(void **state)
{
    return erab_identity_generate(&alder, "alder") || erab_identity_generate(&birch, "birch");
}

static uint8_t *sealed_to_alder(size_t *size)
{
    uint8_t *sealed = NULL;
    assert_int_equal(erab_body_seal(alder.curve_public, body, &sealed, size), 0);
    assert_int_equal(*size, sizeof(text) + ERAB_SEAL_SIZE);
    return sealed;
}

static void its_recipient_opens_a_sealed_body(void **state)
{
    size_t n, size;
    uint8_t *sealed = sealed_to_alder(&n), *plain = NULL;
    assert_int_equal(erab_body_open(alder.curve_public, alder.curve_secret, (struct erab_bytes){sealed, n}, &plain, &size),
                     0);
    assert_int_equal(size, sizeof(text));
    assert_memory_equal(plain, text, size);
    free(plain);
    free(sealed);
}

static void nobody_else_opens_it(void **state)
{
    size_t n, size;
    uint8_t *sealed = sealed_to_alder(&n), *plain = NULL;
    assert_int_equal(erab_body_open(birch.curve_public, birch.curve_secret, (struct erab_bytes){sealed, n}, &plain, &size),
                     1);
    assert_null(plain);
    free(sealed);
}

static void a_changed_or_shortened_one_is_not_opened(void **state)
{
    size_t n, size;
    uint8_t *sealed = sealed_to_alder(&n), *plain = NULL;
    for (size_t i = 0; i < n; i++) {
        struct erab_bytes shorter = {sealed, i};
        assert_int_equal(erab_body_open(alder.curve_public, alder.curve_secret, shorter, &plain, &size), 1);
        sealed[i] ^= 1;
        struct erab_bytes changed = {sealed, n};
        assert_int_equal(erab_body_open(alder.curve_public, alder.curve_secret, changed, &plain, &size), 1);
        sealed[i] ^= 1;
    }
    free(sealed);
}

static void what_would_not_fit_into_a_message_is_not_sealed(void **state)
{
    uint8_t *out, *big = calloc(1, ERAB_BODY_MAX);
    size_t size;
    assert_int_equal(
        erab_body_seal(alder.curve_public, (struct erab_bytes){big, ERAB_BODY_MAX - ERAB_SEAL_SIZE + 1}, &out, &size),
        -EMSGSIZE);
    assert_int_equal(
        erab_body_seal(alder.curve_public, (struct erab_bytes){big, ERAB_BODY_MAX - ERAB_SEAL_SIZE}, &out, &size), 0);
    assert_int_equal(size, ERAB_BODY_MAX);
    free(out);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_recipient_opens_a_sealed_body),
        cmocka_unit_test(nobody_else_opens_it),
        cmocka_unit_test(a_changed_or_shortened_one_is_not_opened),
        cmocka_unit_test(what_would_not_fit_into_a_message_is_not_sealed),
    };
    return cmocka_run_group_tests(tests, keys, NULL);
}
