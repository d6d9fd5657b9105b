/* Every key of every section, from the table itself: a key added tomorrow is tested tomorrow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

#define BASE_BYTES 4096

static struct erabi_config_errors errors;
static size_t keys;

/* Fills a section from this text, which must be refused. */
static void refuse(const struct erabi_option *table, const char *text)
{
    struct erabi_yaml_node *root;
    void *base = calloc(1, BASE_BYTES);
    errors.n = errors.more = 0;
    assert_non_null(base);
    assert_int_equal(erabi_yaml_parse(&root, text, strlen(text), "f.yaml", &errors), 0);
    assert_false(erabi_options_fill(table, base, root, "f.yaml", &errors));
    erabi_options_free(table, base);
    erabi_yaml_free(root);
    free(base);
}

/* One of the errors begins with this place and holds both texts. */
static void told(const char *place, const char *a, const char *b)
{
    for (size_t i = 0; i < errors.n; i++)
        if (strncmp(errors.text[i], place, strlen(place)) == 0 && strstr(errors.text[i], a) && strstr(errors.text[i], b))
            return;
    for (size_t i = 0; i < errors.n; i++)
        print_message("%s\n", errors.text[i]);
    fail_msg("no error at %s with '%s' and '%s'", place, a, b);
}

static void wrong_value(const struct erabi_option *table, const struct erabi_option *o)
{
    char text[256], place[64];
    bool section = o->kind == ERABI_OPT_SECTION;
    bool list = o->kind >= ERABI_OPT_KEYS && o->kind <= ERABI_OPT_CHOICES;
    list = list || o->kind == ERABI_OPT_SECTIONS || o->kind == ERABI_OPT_MASK;
    snprintf(text, sizeof(text), "# one\n%s: %s\n", o->key, section || list || o->kind == ERABI_OPT_PAIRS ? "3" : "[x]");
    snprintf(place, sizeof(place), "f.yaml:2:%zu: ", strlen(o->key) + 3);
    refuse(table, text);
    if (section)
        told(place, "a section is needed here", o->table->key);
    else
        told(place, o->key, "right would be: ");
}

/* A value of the right kind that is not a right value. */
static void bad_value(const struct erabi_option *table, const struct erabi_option *o)
{
    char text[256];
    if (o->kind == ERABI_OPT_SECTION || o->kind == ERABI_OPT_SECTIONS || o->kind == ERABI_OPT_PAIRS ||
        (o->kind == ERABI_OPT_TEXT && !o->check))
        return;
    bool list = o->kind == ERABI_OPT_KEYS || o->kind == ERABI_OPT_IDS || o->kind == ERABI_OPT_MASK;
    char value[96] = "No Such Thing";
    if (o->check && o->check(value)) /* a word of bounded length */
        for (size_t i = 0; i < sizeof(value) - 1; i++)
            value[i] = 'x';
    snprintf(text, sizeof(text), list ? "%s:\n  - %s\n" : "%s:\n  %s\n", o->key, value);
    refuse(table, text);
    told(list ? "f.yaml:2:5: " : "f.yaml:2:3: ", o->key, "right would be: ");
}

static void misspelt(const struct erabi_option *table, const struct erabi_option *o)
{
    char text[256], mean[128];
    snprintf(text, sizeof(text), "\n\n%sx: 1\n", o->key);
    snprintf(mean, sizeof(mean), "did you mean '%s'?", o->key);
    refuse(table, text);
    told("f.yaml:3:1: ", mean, o->key);
}

static void missing(const struct erabi_option *table, const struct erabi_option *o)
{
    if (!o->required)
        return;
    refuse(table, "zzzzzzzzzzzzzzzz: 1\n");
    told("f.yaml:1:1: ", o->key, "is missing in this section; right would be: ");
    told("f.yaml:1:1: ", "is not known here; known are: ", o->key);
}

static void walk(const struct erabi_option *table, void (*test)(const struct erabi_option *, const struct erabi_option *))
{
    for (const struct erabi_option *o = table; o->key; o++) {
        keys++;
        test(table, o);
        if (o->table)
            walk(o->table, test);
    }
}

static void a_value_of_the_wrong_kind_is_told_with_its_place(void **state)
{
    keys = 0;
    walk(erabi_config_table(), wrong_value);
    assert_true(keys > 40);
}

static void a_wrong_value_is_told_with_its_place_and_what_is_right(void **state)
{
    walk(erabi_config_table(), bad_value);
}

static void a_misspelt_key_is_told_with_the_right_one(void **state)
{
    walk(erabi_config_table(), misspelt);
}

static void a_missing_key_is_told(void **state)
{
    walk(erabi_config_table(), missing);
}

static void a_misspelt_choice_is_told_with_the_right_one(void **state)
{
    refuse(erabi_config_table(), "parties:\n  - {id: a, role: retailr, firm: a, attachment: {kind: self, interfaces: [r33]}}\n");
    told("f.yaml:2:19: ", "'retailr' is not one of them", "did you mean 'retailer'?");
    told("f.yaml:2:75: ", "'r33' is not one of them", "did you mean 'r3'?");
}

/* ---- differences ---- */

static char seen[2048];

static void note(void *user, const struct erabi_option_change *c)
{
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof(seen) - n, "%s %s%s%s%s%s%s\n", c->where, c->how, c->from[0] ? " " : "", c->from,
             c->to[0] ? " -> " : "", c->to, c->live ? "" : " (fixed)");
}

#define OWNER "owner: {party: a, role: ac, firm: a, key_file: /k}\nprofile: /p\nstate_dir: /s\naudit: /a\n"
#define REST  "admin_socket: /x\nlisteners: [{interface: r3, endpoint: \"tcp://127.0.0.1:1\", key_file: /k}]\n"

static struct erabi_config *load(const char *tail)
{
    char text[4096], path[] = "/tmp/erab-compare-XXXXXX";
    struct erabi_config *c = NULL;
    snprintf(text, sizeof(text), OWNER REST "%s", tail);
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fputs(text, f);
    fclose(f);
    errors.n = 0;
    if (erabi_config_load(&c, path, &errors) < 0)
        for (size_t i = 0; i < errors.n; i++)
            print_message("%s\n", errors.text[i]);
    unlink(path);
    assert_non_null(c);
    return c;
}

static void compare(const char *before, const char *now, const char *expected)
{
    struct erabi_config *a = load(before), *b = load(now);
    seen[0] = '\0';
    assert_true(erabi_options_compare(erabi_config_table(), a, b, note, NULL));
    assert_string_equal(seen, expected);
    erabi_config_free(a);
    erabi_config_free(b);
}

#define A "policies: [r3]\nparties:\n  - {id: a, role: ac, firm: a}\n"

static void the_same_has_no_differences_and_order_does_not_count(void **state)
{
    compare(A "  - {id: b, role: ra, firm: b}\n  - {id: c, role: ra, firm: c}\n",
            A "  - {id: c, role: ra, firm: c}\n  - {id: b, role: ra, firm: b}\n", "");
}

static void parties_come_go_and_change(void **state)
{
    compare(A "  - {id: b, role: ra, firm: b}\n  - {id: c, role: ra, firm: c}\n",
            A "  - {id: c, role: retailer, firm: d}\n  - {id: e, role: ra, firm: e}\n",
            "parties.b removed\nparties.c.role changed\nparties.c.firm changed c -> d\nparties.e added\n");
}

static void what_cannot_change_is_marked(void **state)
{
    compare(A "limits: {connections: 100}\n", A "limits: {connections: 200, journal_queue: 100}\nheads: {every: 5, to: [a]}\n",
            "limits.connections changed 100 -> 200\nlimits.journal_queue changed 16384 -> 100 (fixed)\n"
            "heads.every changed 1000 -> 5 (fixed)\nheads.to changed -> a\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_of_the_wrong_kind_is_told_with_its_place),
        cmocka_unit_test(a_wrong_value_is_told_with_its_place_and_what_is_right),
        cmocka_unit_test(a_misspelt_key_is_told_with_the_right_one),
        cmocka_unit_test(a_missing_key_is_told),
        cmocka_unit_test(a_misspelt_choice_is_told_with_the_right_one),
        cmocka_unit_test(the_same_has_no_differences_and_order_does_not_count),
        cmocka_unit_test(parties_come_go_and_change),
        cmocka_unit_test(what_cannot_change_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
