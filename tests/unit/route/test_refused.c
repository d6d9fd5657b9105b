/* What is remembered of refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route/refused.h"

static struct erabi_refused_table table;

static int gone(void **state)
{
    erabi_refused_deinit(&table);
    memset(&table, 0, sizeof(table));
    return 0;
}

static void add(unsigned number, enum erab_reason reason)
{
    uint8_t id[ERAB_ID_SIZE] = {0}, hash[ERAB_HASH_SIZE] = {1};
    memcpy(id, &number, sizeof(number));
    erabi_refused_add(&table, id, hash, reason);
}

static enum erab_reason found(unsigned number, uint8_t bytes)
{
    uint8_t id[ERAB_ID_SIZE] = {0}, hash[ERAB_HASH_SIZE] = {bytes};
    memcpy(id, &number, sizeof(number));
    return erabi_refused_find(&table, id, hash);
}

static void the_same_bytes_were_refused_and_others_were_not(void **state)
{
    assert_int_equal(found(7, 1), ERAB_REASON_NONE);
    add(7, ERAB_REASON_BREAKER_OPEN);
    assert_int_equal(found(7, 1), ERAB_REASON_BREAKER_OPEN);
    assert_int_equal(found(7, 2), ERAB_REASON_NONE);
    assert_int_equal(found(8, 1), ERAB_REASON_NONE);
}

static void the_oldest_goes_when_it_is_full(void **state)
{
    for (unsigned i = 0; i <= ERABI_REFUSED_MAX; i++) {
        add(i, ERAB_REASON_BREAKER_OPEN);
        add(i, ERAB_REASON_BREAKER_OPEN); /* once each */
    }
    assert_int_equal(found(0, 1), ERAB_REASON_NONE);
    assert_int_equal(found(1, 1), ERAB_REASON_BREAKER_OPEN);
    assert_int_equal(found(ERABI_REFUSED_MAX, 1), ERAB_REASON_BREAKER_OPEN);
    assert_int_equal(table.ids.n, ERABI_REFUSED_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_same_bytes_were_refused_and_others_were_not, gone),
        cmocka_unit_test_teardown(the_oldest_goes_when_it_is_full, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
