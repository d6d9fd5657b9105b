/* The table of links: one record for both directions, bounded, forgetting what is quiet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "breaker/links.h"

static struct erabi_links *links;

static int fresh(void **state)
{
    return erabi_links_new(&links, NULL, 8);
}

static int end(void **state)
{
    erabi_links_free(links);
    return 0;
}

static void both_directions_are_one_link_and_interfaces_are_not(void **state)
{
    struct erabi_link *link = erabi_links_get(links, "birch", ERAB_IF_R3, "alder", 1);
    assert_ptr_equal(erabi_links_get(links, "alder", ERAB_IF_R3, "birch", 1), link);
    assert_ptr_equal(erabi_links_find(links, "birch", ERAB_IF_R3, "alder"), link);
    assert_null(erabi_links_find(links, "alder", ERAB_IF_R4, "birch"));
    assert_null(erabi_links_find(links, "alder", ERAB_IF_R3, "cedar"));
    assert_string_equal(link->a, "alder");
}

static void ids_that_run_together_are_other_links(void **state)
{
    struct erabi_link *one = erabi_links_get(links, "a", ERAB_IF_R3, "bc", 1);
    assert_ptr_not_equal(erabi_links_get(links, "ab", ERAB_IF_R3, "c", 1), one);
}

static void an_id_that_does_not_fit_is_no_link(void **state)
{
    char id[80];
    for (size_t i = 0; i < sizeof(id); i++)
        id[i] = i == sizeof(id) - 1 ? 0 : 'x';
    assert_null(erabi_links_get(links, id, ERAB_IF_R3, "a", 1));
    assert_null(erabi_links_find(links, "a", ERAB_IF_R3, id));
}

static void fill(uint64_t now)
{
    char id[8];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof(id), "p%d", i);
        assert_non_null(erabi_links_get(links, "hub", ERAB_IF_R4, id, now));
    }
}

static void nothing(void *user, struct erabi_link *link, enum erabi_breaker_change change)
{
}

static void a_full_table_takes_no_more_until_it_forgets(void **state)
{
    fill(1);
    assert_null(erabi_links_get(links, "hub", ERAB_IF_R4, "one-more", 1));
    assert_non_null(erabi_links_get(links, "hub", ERAB_IF_R4, "p3", 1));
    erabi_links_trip(links, erabi_links_find(links, "hub", ERAB_IF_R4, "p1"), 1);
    erabi_link_ref(erabi_links_find(links, "hub", ERAB_IF_R4, "p2"));
    erabi_links_tick(links, 1000000, nothing, NULL);
    assert_non_null(erabi_links_find(links, "hub", ERAB_IF_R4, "p1")); /* open */
    assert_non_null(erabi_links_find(links, "hub", ERAB_IF_R4, "p2")); /* in use */
    assert_null(erabi_links_find(links, "hub", ERAB_IF_R4, "p3"));
    assert_non_null(erabi_links_get(links, "hub", ERAB_IF_R4, "one-more", 1));
    erabi_link_unref(erabi_links_find(links, "hub", ERAB_IF_R4, "p2"));
}

static void what_is_open_is_counted(void **state)
{
    fill(1);
    struct erabi_link *link = erabi_links_find(links, "hub", ERAB_IF_R4, "p1");
    assert_int_equal(erabi_links_open(links), 0);
    erabi_links_trip(links, link, 1);
    erabi_links_trip(links, link, 1);
    assert_int_equal(erabi_links_open(links), 1);
    for (int i = 0; i < 5; i++)
        erabi_links_fact(links, erabi_links_find(links, "p2", ERAB_IF_R4, "hub"), ERABI_FACT_TIMED_OUT, 1);
    assert_int_equal(erabi_links_open(links), 2);
    erabi_links_tick(links, 1 + erabi_availability_usual.backoff_min_ms, nothing, NULL);
    assert_int_equal(erabi_links_open(links), 1); /* half-open is not open */
    erabi_links_close(links, link, 1);
    assert_int_equal(erabi_links_open(links), 0);
}

static unsigned changes;
static void note(void *user, struct erabi_link *link, enum erabi_breaker_change change)
{
    changes++;
    assert_string_equal(link->b, "p5");
    assert_int_equal(change, ERABI_CHANGE_HALF_OPENED);
}

static void a_tick_tells_what_time_has_changed(void **state)
{
    fill(1);
    for (int i = 0; i < 5; i++)
        erabi_links_fact(links, erabi_links_find(links, "hub", ERAB_IF_R4, "p5"), ERABI_FACT_TIMED_OUT, 1);
    erabi_links_tick(links, 2, note, NULL);
    assert_int_equal(changes, 0);
    erabi_links_tick(links, 20000, note, NULL);
    assert_int_equal(changes, 1);
}

static void a_walk_meets_each_link_once(void **state)
{
    fill(1);
    unsigned seen = 0, n = 0;
    for (struct erabi_link *link = erabi_links_next(links, NULL); link; link = erabi_links_next(links, link), n++)
        seen |= 1u << (link->b[1] - '0');
    assert_int_equal(n, 8);
    assert_int_equal(seen, 255);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fresh, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(both_directions_are_one_link_and_interfaces_are_not),
        CASE(ids_that_run_together_are_other_links),
        CASE(an_id_that_does_not_fit_is_no_link),
        CASE(a_full_table_takes_no_more_until_it_forgets),
        CASE(what_is_open_is_counted),
        CASE(a_tick_tells_what_time_has_changed),
        CASE(a_walk_meets_each_link_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
