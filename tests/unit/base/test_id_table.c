#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <sodium.h>

#include "base/cursor.h"
#include "base/id_table.h"

#define N 3000u

static struct erabi_id_entry entries[2 * N];

static void number(uint32_t i, uint8_t id[16])
{
    struct erabi_writer w = erabi_writer(id, 16);
    erabi_write_u64(&w, 0);
    erabi_write_u64(&w, i);
}

static void add(struct erabi_id_table *t, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        number(i, entries[i].id);
        assert_int_equal(erabi_id_table_add(t, &entries[i]), 0);
    }
}

static void expect_all(const struct erabi_id_table *t, uint32_t n)
{
    uint8_t id[16];
    for (uint32_t i = 0; i < n; i++) {
        number(i, id);
        assert_ptr_equal(erabi_id_table_find(t, id), &entries[i]);
    }
    number(n, id);
    assert_null(erabi_id_table_find(t, id));
}

static void a_table_with_room_does_not_grow(void **state)
{
    struct erabi_id_table t = {0};
    assert_int_equal(erabi_id_table_reserve(&t, N), 0);
    const void *buckets = t.buckets;
    add(&t, 0, N);
    assert_ptr_equal(t.buckets, buckets);
    expect_all(&t, N);
    erabi_id_table_deinit(&t, NULL);
}

static void room_is_made_around_what_is_there(void **state)
{
    struct erabi_id_table t = {0};
    add(&t, 0, N);
    assert_int_equal(erabi_id_table_reserve(&t, 2 * N), 0);
    expect_all(&t, N);
    add(&t, N, 2 * N);
    expect_all(&t, 2 * N);
    erabi_id_table_deinit(&t, NULL);
}

static void room_is_never_taken_away(void **state)
{
    struct erabi_id_table t = {0};
    add(&t, 0, N);
    size_t n = t.n_buckets;
    assert_int_equal(erabi_id_table_reserve(&t, 1), 0);
    assert_int_equal(t.n_buckets, n);
    expect_all(&t, N);
    erabi_id_table_deinit(&t, NULL);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_with_room_does_not_grow),
        cmocka_unit_test(room_is_made_around_what_is_there),
        cmocka_unit_test(room_is_never_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
