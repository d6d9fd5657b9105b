/* Options against a module's table. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "runner.h"

#define OPTIONS_MAX 256u
#define ITEMS_MAX   4096u
#define NAME_MAX_   48u

/* Edit distance of two short names. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_ + 1];
    size_t n = strnlen(b, NAME_MAX_), m = strnlen(a, NAME_MAX_);
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= m; i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static int check_names(const struct erab_option *table, const json_t *given, struct erab_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)given, key, value)
    {
        const char *nearest = NULL;
        unsigned best = 0;
        for (const struct erab_option *o = table; o && o->name; o++) {
            unsigned d = distance(key, o->name);
            if (!nearest || d < best) {
                nearest = o->name;
                best = d;
            }
        }
        if (!nearest)
            return runner_fail(error, -EINVAL, "option %.48s: this adapter has no options", key);
        if (strcmp(nearest, key) != 0)
            return runner_fail(error, -EINVAL, "option %.48s: unknown; did you mean %s?", key, nearest);
    }
    return 0;
}

static int set_text(struct erab_config_value *v, const struct erab_option *o, const char *text,
                    struct erab_error *error)
{
    if (o->type == ERAB_OPTION_PATH && *text != '/')
        return runner_fail(error, -EINVAL, "option %s: must be an absolute path", o->name);
    bool ok = !o->choices;
    for (const char *const *c = o->choices; c && *c && !ok; c++)
        ok = strcmp(*c, text) == 0;
    if (!ok)
        return runner_fail(error, -EINVAL, "option %s: not one of its choices; the first is %s", o->name,
                           o->choices[0] ? o->choices[0] : "none");
    v->text = strdup(text);
    return v->text ? 0 : runner_fail(error, -ENOMEM, "out of memory");
}

static int set_integer(struct erab_config_value *v, const struct erab_option *o, int64_t n, struct erab_error *error)
{
    char text[32];
    if ((o->min || o->max) && (n < o->min || n > o->max))
        return runner_fail(error, -EINVAL, "option %s: must be from %lld to %lld", o->name, (long long)o->min,
                           (long long)o->max);
    snprintf(text, sizeof text, "%lld", (long long)n);
    v->integer = n;
    v->text = strdup(text);
    return v->text ? 0 : runner_fail(error, -ENOMEM, "out of memory");
}

static int set_list(struct erab_config_value *v, const struct erab_option *o, const json_t *list,
                    struct erab_error *error)
{
    size_t n = json_array_size(list);
    if (n > ITEMS_MAX || ((o->min || o->max) && ((int64_t)n < o->min || (int64_t)n > o->max)))
        return runner_fail(error, -EINVAL, "option %s: must have %lld to %lld items", o->name, (long long)o->min,
                           (long long)o->max);
    char **items = calloc(n + 1, sizeof *items);
    if (!items)
        return runner_fail(error, -ENOMEM, "out of memory");
    v->list = (const char *const *)items;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return runner_fail(error, -EINVAL, "option %s: item %zu must be a text", o->name, i + 1);
        items[i] = strdup(text);
        if (!items[i])
            return runner_fail(error, -ENOMEM, "out of memory");
    }
    return 0;
}

/* A configuration file knows texts only: "30", "true", "a b c". */
static int set_from_text(struct erab_config_value *v, const struct erab_option *o, const char *text,
                         struct erab_error *error)
{
    if (o->type == ERAB_OPTION_INTEGER) {
        char *end;
        errno = 0;
        long long n = strtoll(text, &end, 10);
        if (errno || end == text || *end)
            return runner_fail(error, -EINVAL, "option %s: must be a whole number", o->name);
        return set_integer(v, o, n, error);
    }
    if (o->type == ERAB_OPTION_BOOLEAN) {
        v->integer = strcmp(text, "true") == 0;
        if (!v->integer && strcmp(text, "false") != 0)
            return runner_fail(error, -EINVAL, "option %s: must be true or false", o->name);
        v->text = strdup(text);
        return v->text ? 0 : runner_fail(error, -ENOMEM, "out of memory");
    }
    if (o->type != ERAB_OPTION_LIST)
        return set_text(v, o, text, error);
    json_t *list = json_array();
    for (const char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        json_array_append_new(list, json_stringn(at, n));
        at += n;
    }
    int r = set_list(v, o, list, error);
    json_decref(list);
    return r;
}

static int set_default(struct erab_config_value *v, const struct erab_option *o, struct erab_error *error)
{
    const char *d = o->default_value;
    if (!d)
        return o->flags & ERAB_OPTION_REQUIRED ? runner_fail(error, -EINVAL, "option %s: is required", o->name) : 0;
    return set_from_text(v, o, d, error);
}

static int set(struct erab_config_value *v, const struct erab_option *o, const json_t *j, struct erab_error *error)
{
    if (!j)
        return set_default(v, o, error);
    if (json_is_string(j))
        return set_from_text(v, o, json_string_value(j), error);
    switch (o->type) {
    case ERAB_OPTION_TEXT:
    case ERAB_OPTION_PATH:
        break;
    case ERAB_OPTION_INTEGER:
        if (json_is_integer(j))
            return set_integer(v, o, json_integer_value(j), error);
        break;
    case ERAB_OPTION_BOOLEAN:
        if (json_is_boolean(j)) {
            v->integer = json_is_true(j);
            v->text = strdup(v->integer ? "true" : "false");
            return v->text ? 0 : runner_fail(error, -ENOMEM, "out of memory");
        }
        break;
    case ERAB_OPTION_LIST:
        if (json_is_array(j))
            return set_list(v, o, j, error);
        break;
    }
    static const char *const types[] = {"a text", "a whole number", "true or false", "a path", "a list of texts"};
    return runner_fail(error, -EINVAL, "option %s: must be %s", o->name,
                       (unsigned)o->type <= ERAB_OPTION_LIST ? types[o->type] : "of a type this host knows");
}

int runner_options(struct erab_config *out, const struct erab_option *table, const json_t *given,
                   struct erab_error *error)
{
    uint32_t n = 0;
    while (table && table[n].name && n < OPTIONS_MAX)
        n++;
    *out = (struct erab_config){.size = sizeof *out};
    int r = given ? check_names(table, given, error) : 0;
    if (r)
        return r;
    struct erab_config_value *values = calloc(n + 1, sizeof *values);
    if (!values)
        return runner_fail(error, -ENOMEM, "out of memory");
    out->values = values;
    out->n = n;
    for (uint32_t i = 0; i < n && !r; i++) {
        values[i].name = table[i].name;
        r = set(&values[i], &table[i], json_object_get(given, table[i].name), error);
    }
    return r;
}

void runner_options_deinit(struct erab_config *config)
{
    for (uint32_t i = 0; config->values && i < config->n; i++) {
        free((char *)config->values[i].text);
        for (const char *const *p = config->values[i].list; p && *p; p++)
            free((char *)*p);
        free((void *)config->values[i].list);
    }
    free((void *)config->values);
    *config = (struct erab_config){0};
}
