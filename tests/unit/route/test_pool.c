/* Blocks that are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "route/pool.h"

static void no_more_than_a_few_are_kept(void **state)
{
    struct erabi_pool pool = {0};
    void *blocks[2 * ERABI_POOL_SPARE];
    for (size_t i = 0; i < 2 * ERABI_POOL_SPARE; i++) {
        blocks[i] = erabi_pool_take(&pool, 64);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xff, 64);
    }
    for (size_t i = 0; i < 2 * ERABI_POOL_SPARE; i++)
        erabi_pool_give(&pool, blocks[i]);
    assert_in_range(pool.n, 0, ERABI_POOL_SPARE);
    unsigned n = pool.n; /* 0 with a sanitizer */
    void *again = erabi_pool_take(&pool, 64);
    assert_int_equal(pool.n, n ? n - 1 : 0);
    erabi_pool_give(&pool, again);
    erabi_pool_deinit(&pool);
    assert_int_equal(pool.n, 0);
    assert_null(pool.spare);
}

static void without_a_pool_it_is_malloc(void **state)
{
    void *block = erabi_pool_take(NULL, 1); /* a leak is found by the sanitizers */
    assert_non_null(block);
    erabi_pool_give(NULL, block);
    erabi_pool_give(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_a_few_are_kept),
        cmocka_unit_test(without_a_pool_it_is_malloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
