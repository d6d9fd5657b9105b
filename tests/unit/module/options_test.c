/* Option tables: what is filled in, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/module.h"

static const char *const modes[] = {"slow", "fast", NULL};
static const struct erab_option table[] = {
    {"poll_s", ERAB_OPTION_INTEGER, 0, "10", 1, 60, NULL, "seconds"},
    {"mode", ERAB_OPTION_TEXT, 0, "slow", 0, 0, modes, "how"},
    {"verify", ERAB_OPTION_BOOLEAN, 0, "true", 0, 0, NULL, "whether"},
    {"ca_file", ERAB_OPTION_PATH, 0, NULL, 0, 0, NULL, "where"},
    {"devices", ERAB_OPTION_LIST, 0, NULL, 1, 3, NULL, "which"},
    {"token", ERAB_OPTION_TEXT, ERAB_OPTION_SECRET, NULL, 8, 16, NULL, "secret"},
    {NULL, ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL},
};
static struct erab_config config;
static struct erab_error error;

static int fill(const struct erab_option *t, const char *json)
{
    json_t *given = json_loads(json, 0, NULL);
    assert_non_null(given);
    int r = erabi_module_options(&config, t, given, &error);
    json_decref(given);
    return r;
}

static void refused(const char *json, const char *said)
{
    assert_true(fill(table, json) < 0);
    erabi_module_options_deinit(&config, table);
    assert_string_equal(error.text, said);
}

static void defaults_are_filled_in_table_order(void **state)
{
    (void)state;
    assert_int_equal(fill(table, "{}"), 0);
    assert_int_equal(config.n, 6);
    assert_int_equal(config.values[0].integer, 10);
    assert_string_equal(config.values[1].text, "slow");
    assert_int_equal(config.values[2].integer, 1);
    assert_null(config.values[3].text);
    assert_null(config.values[4].list);
    erabi_module_options_deinit(&config, table);
}

static void values_may_be_json_or_text(void **state)
{
    (void)state;
    assert_int_equal(fill(table, "{\"poll_s\":7,\"verify\":false,\"devices\":[\"a\",\"b\"]}"), 0);
    assert_int_equal(config.values[0].integer, 7);
    assert_int_equal(config.values[2].integer, 0);
    assert_string_equal(config.values[4].list[1], "b");
    erabi_module_options_deinit(&config, table);
    assert_int_equal(fill(table, "{\"poll_s\":\"7\",\"verify\":\"false\",\"devices\":\" a  b \"}"), 0);
    assert_int_equal(config.values[0].integer, 7);
    assert_string_equal(config.values[4].list[1], "b");
    assert_null(config.values[4].list[2]);
    erabi_module_options_deinit(&config, table);
}

static void an_unknown_option_is_told_with_the_nearest(void **state)
{
    (void)state;
    refused("{\"pol_s\":7}", "option pol_s: unknown; did you mean 'poll_s'?");
    refused("{\"tokn\":\"x\"}", "option tokn: unknown; did you mean 'token'?");
}

static void every_wrong_value_is_told_with_what_would_be_right(void **state)
{
    (void)state;
    refused("{\"poll_s\":0}", "option poll_s: must be from 1 to 60");
    refused("{\"poll_s\":\"7x\"}", "option poll_s: must be a whole number");
    refused("{\"poll_s\":\"99999999999999999999\"}", "option poll_s: must be a whole number");
    refused("{\"poll_s\":1.5}", "option poll_s: must be a whole number");
    refused("{\"mode\":\"quick\"}", "option mode: must be one of slow, fast");
    refused("{\"mode\":\"fst\"}", "option mode: must be one of slow, fast; did you mean 'fast'?");
    refused("{\"poll_s\":\" 7\"}", "option poll_s: must be a whole number");
    refused("{\"mode\":[\"slow\"]}", "option mode: must be a text");
    refused("{\"verify\":\"yes\"}", "option verify: must be true or false");
    refused("{\"ca_file\":\"ca.pem\"}", "option ca_file: must be an absolute path");
    refused("{\"devices\":[]}", "option devices: must have 1 to 3 items");
    refused("{\"devices\":[\"a\",\"b\",\"c\",\"d\"]}", "option devices: must have 1 to 3 items");
    refused("{\"devices\":[1]}", "option devices: item 1 must be a text");
    refused("{\"mode\":null}", "option mode: must be a text");
}

struct told {
    size_t n;
    char text[8][200];
};

static void tell(void *user, const struct erabi_option_fault *fault)
{
    struct told *t = user;
    assert_true(t->n < 8);
    snprintf(t->text[t->n++], sizeof t->text[0], "%s %d %zu", fault->option, fault->is_name, fault->item);
}

static void every_fault_is_told_with_its_place(void **state)
{
    struct told told = {0};
    json_t *given = json_loads("{\"pol_s\":7,\"poll_s\":0,\"devices\":[\"a\",2],\"token\":\"x\"}", 0, NULL);
    (void)state;
    assert_int_equal(erabi_module_options_json(&config, table, given, tell, &told), -EINVAL);
    erabi_module_options_deinit(&config, table);
    json_decref(given);
    assert_int_equal(told.n, 4);
    assert_string_equal(told.text[0], "pol_s 1 0");
    assert_string_equal(told.text[1], "poll_s 0 0");
    assert_string_equal(told.text[2], "devices 0 2");
    assert_string_equal(told.text[3], "token 0 0");
}

static void a_list_has_to_be_one_where_that_is_asked(void **state)
{
    struct told told = {0};
    const struct erabi_option_given one = {.name = "devices", .text = "a b"};
    struct erabi_options_given given = {.at = &one, .n = 1, .lists_are_lists = true, .fault = tell, .user = &told};
    (void)state;
    assert_int_equal(erabi_module_options_fill(&config, table, &given), -EINVAL);
    erabi_module_options_deinit(&config, table);
    assert_int_equal(told.n, 1);
}

static void a_default_of_a_list_is_split(void **state)
{
    static const struct erab_option lists[] = {
        {"ways", ERAB_OPTION_LIST, 0, "r1 r2", 0, 0, NULL, "w"}, {NULL, 0, 0, NULL, 0, 0, NULL, NULL}};
    (void)state;
    assert_int_equal(fill(lists, "{}"), 0);
    assert_string_equal(config.values[0].list[1], "r2");
    erabi_module_options_deinit(&config, lists);
}

static void a_required_option_is_asked_for(void **state)
{
    static const struct erab_option needed[] = {
        {"host", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "h"}, {NULL, 0, 0, NULL, 0, 0, NULL, NULL}};
    (void)state;
    assert_true(fill(needed, "{}") < 0);
    assert_string_equal(error.text, "option host: is required: h");
    erabi_module_options_deinit(&config, needed);
}

static void a_secret_stands_in_no_error(void **state)
{
    (void)state;
    refused("{\"token\":\"hush\"}", "option token: must have 8 to 16 characters");
}

static void the_manual_has_every_row(void **state)
{
    (void)state;
    json_t *manual = erabi_module_options_manual(table);
    assert_int_equal(json_array_size(manual), 6);
    const json_t *row = json_array_get(manual, 5);
    assert_true(json_is_true(json_object_get(row, "secret")));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(manual, 0), "max")), 60);
    assert_int_equal(json_array_size(json_object_get(json_array_get(manual, 1), "choices")), 2);
    json_decref(manual);
}

static void bad_table(struct erab_option row, const char *said)
{
    const struct erab_option t[] = {{"first", ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, "f"}, row,
                                    {NULL, ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL}};
    assert_true(erabi_module_options_table(t, &error) < 0);
    assert_string_equal(error.text, said);
}

static void a_table_with_a_fault_is_refused(void **state)
{
    static const char *const none[] = {NULL};
    (void)state;
    assert_int_equal(erabi_module_options_table(table, &error), 0);
    assert_int_equal(erabi_module_options_table(NULL, &error), 0);
    bad_table((struct erab_option){.name = "first"}, "option first stands twice in the table");
    bad_table((struct erab_option){.name = "Up"}, "option 2 has no name of 1 to 48 of a-z, 0-9 and '_'");
    bad_table((struct erab_option){.name = ""}, "option 2 has no name of 1 to 48 of a-z, 0-9 and '_'");
    bad_table((struct erab_option){.name = "x", .type = (enum erab_option_type)9},
              "option x is of a type that this host does not know");
    bad_table((struct erab_option){.name = "x", .type = ERAB_OPTION_INTEGER, .min = 5, .max = 1},
              "option x: its range is empty");
    bad_table((struct erab_option){.name = "x", .choices = none}, "option x: choices are for texts, 1 to 64 of them");
    bad_table((struct erab_option){.name = "x", .flags = ERAB_OPTION_REQUIRED, .default_value = "a"},
              "option x is required and has a default");
    bad_table((struct erab_option){.name = "x", .type = ERAB_OPTION_BOOLEAN, .default_value = "no"},
              "the default of option x: must be true or false");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in_table_order),
        cmocka_unit_test(values_may_be_json_or_text),
        cmocka_unit_test(an_unknown_option_is_told_with_the_nearest),
        cmocka_unit_test(every_wrong_value_is_told_with_what_would_be_right),
        cmocka_unit_test(every_fault_is_told_with_its_place),
        cmocka_unit_test(a_list_has_to_be_one_where_that_is_asked),
        cmocka_unit_test(a_default_of_a_list_is_split),
        cmocka_unit_test(a_required_option_is_asked_for),
        cmocka_unit_test(a_secret_stands_in_no_error),
        cmocka_unit_test(the_manual_has_every_row),
        cmocka_unit_test(a_table_with_a_fault_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
