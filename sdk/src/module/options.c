/* Option tables of modules: one implementation for the runner, the broker and the tool. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/words.h"
#include "module/module.h"

#define OPTIONS_MAX 256u
#define ITEMS_MAX   4096u
#define CHOICES_MAX 64u
#define NAME_MAX_   48u

#define refuse(error, ...) erabi_error_set(error, -EINVAL, __VA_ARGS__)
#define no_memory(error)   erabi_error_set(error, -ENOMEM, "out of memory")

static const char *const type_names[] = {"text", "integer", "boolean", "path", "list"};

static int check_names(const struct erab_option *table, const json_t *given, struct erab_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)given, key, value)
    {
        const char *nearest = NULL;
        size_t best = 0;
        for (const struct erab_option *o = table; o && o->name; o++) {
            size_t d = erabi_word_distance(key, o->name);
            if (!nearest || d < best) {
                nearest = o->name;
                best = d;
            }
        }
        if (!nearest)
            return refuse(error, "option %.48s: there are no options here", key);
        if (strcmp(nearest, key) != 0)
            return refuse(error, "option %.48s: unknown; did you mean %s?", key, nearest);
    }
    return 0;
}

static int refuse_choice(const struct erab_option *o, struct erab_error *error)
{
    char all[256];
    struct erabi_writer w = erabi_writer(all, sizeof all - 1);
    for (const char *const *c = o->choices; *c; c++) {
        if (c != o->choices)
            erabi_write_bytes(&w, ", ", 2);
        erabi_write_bytes(&w, *c, strlen(*c));
    }
    all[w.used] = '\0';
    return refuse(error, "option %s: must be one of %s", o->name, all);
}

static int set_text(struct erab_config_value *v, const struct erab_option *o, const char *text,
                    struct erab_error *error)
{
    if (o->type == ERAB_OPTION_PATH && *text != '/')
        return refuse(error, "option %s: must be an absolute path", o->name);
    if (o->type == ERAB_OPTION_TEXT && (o->min || o->max) &&
        ((int64_t)strlen(text) < o->min || (int64_t)strlen(text) > o->max))
        return refuse(error, "option %s: must have %lld to %lld characters", o->name, (long long)o->min,
                      (long long)o->max);
    bool ok = !o->choices;
    for (const char *const *c = o->choices; c && *c && !ok; c++)
        ok = strcmp(*c, text) == 0;
    if (!ok)
        return refuse_choice(o, error);
    v->text = strdup(text);
    return v->text ? 0 : no_memory(error);
}

static int set_integer(struct erab_config_value *v, const struct erab_option *o, int64_t n, struct erab_error *error)
{
    char text[32];
    if ((o->min || o->max) && (n < o->min || n > o->max))
        return refuse(error, "option %s: must be from %lld to %lld", o->name, (long long)o->min,
                           (long long)o->max);
    snprintf(text, sizeof text, "%lld", (long long)n);
    v->integer = n;
    v->text = strdup(text);
    return v->text ? 0 : no_memory(error);
}

static int set_list(struct erab_config_value *v, const struct erab_option *o, const json_t *list,
                    struct erab_error *error)
{
    size_t n = json_array_size(list);
    if (n > ITEMS_MAX || ((o->min || o->max) && ((int64_t)n < o->min || (int64_t)n > o->max)))
        return refuse(error, "option %s: must have %lld to %lld items", o->name, (long long)o->min,
                           (long long)o->max);
    char **items = calloc(n + 1, sizeof *items);
    if (!items)
        return no_memory(error);
    v->list = (const char *const *)items;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return refuse(error, "option %s: item %zu must be a text", o->name, i + 1);
        items[i] = strdup(text);
        if (!items[i])
            return no_memory(error);
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
            return refuse(error, "option %s: must be a whole number", o->name);
        return set_integer(v, o, n, error);
    }
    if (o->type == ERAB_OPTION_BOOLEAN) {
        v->integer = strcmp(text, "true") == 0;
        if (!v->integer && strcmp(text, "false") != 0)
            return refuse(error, "option %s: must be true or false", o->name);
        v->text = strdup(text);
        return v->text ? 0 : no_memory(error);
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
        return o->flags & ERAB_OPTION_REQUIRED ? refuse(error, "option %s: is required", o->name) : 0;
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
            return v->text ? 0 : no_memory(error);
        }
        break;
    case ERAB_OPTION_LIST:
        if (json_is_array(j))
            return set_list(v, o, j, error);
        break;
    }
    static const char *const types[] = {"a text", "a whole number", "true or false", "a path", "a list of texts"};
    return refuse(error, "option %s: must be %s", o->name,
                       (unsigned)o->type <= ERAB_OPTION_LIST ? types[o->type] : "of a type this host knows");
}

int erabi_module_options(struct erab_config *out, const struct erab_option *table, const json_t *given,
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
        return no_memory(error);
    out->values = values;
    out->n = n;
    for (uint32_t i = 0; i < n && !r; i++) {
        values[i].name = table[i].name;
        r = set(&values[i], &table[i], json_object_get(given, table[i].name), error);
    }
    return r;
}

static void free_text(const char *text, bool secret)
{
    if (text && secret)
        sodium_memzero((char *)text, strlen(text));
    free((char *)text);
}

void erabi_module_options_deinit(struct erab_config *config, const struct erab_option *table)
{
    for (uint32_t i = 0; config->values && i < config->n; i++) {
        bool secret = table && (table[i].flags & ERAB_OPTION_SECRET);
        free_text(config->values[i].text, secret);
        for (const char *const *p = config->values[i].list; p && *p; p++)
            free_text(*p, secret);
        free((void *)config->values[i].list);
    }
    free((void *)config->values);
    *config = (struct erab_config){0};
}

static int check_row(const struct erab_option *table, uint32_t at, struct erab_error *error)
{
    const struct erab_option *o = &table[at];
    size_t n = strnlen(o->name, NAME_MAX_ + 1), choices = 0;
    if (!n || n > NAME_MAX_ || strspn(o->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
        return refuse(error, "option %u has no name of 1 to %u of a-z, 0-9 and '_'", at + 1, NAME_MAX_);
    for (uint32_t i = 0; i < at; i++)
        if (strcmp(table[i].name, o->name) == 0)
            return refuse(error, "option %s stands twice in the table", o->name);
    if ((unsigned)o->type > ERAB_OPTION_LIST)
        return refuse(error, "option %s is of a type that this host does not know", o->name);
    if (o->min > o->max)
        return refuse(error, "option %s: its range is empty", o->name);
    while (o->choices && o->choices[choices] && choices <= CHOICES_MAX)
        choices++;
    if (o->choices && (!choices || choices > CHOICES_MAX || o->type != ERAB_OPTION_TEXT))
        return refuse(error, "option %s: choices are for texts, 1 to %u of them", o->name, CHOICES_MAX);
    if (o->default_value && (o->flags & ERAB_OPTION_REQUIRED))
        return refuse(error, "option %s is required and has a default", o->name);
    struct erab_config_value *value = calloc(1, sizeof *value);
    struct erab_config one = {.n = 1, .values = value};
    struct erab_error why = {.size = sizeof why};
    int r = value ? 0 : no_memory(error);
    if (!r && o->default_value && set_default(value, o, &why))
        r = refuse(error, "the default of %.200s", why.text);
    if (value)
        erabi_module_options_deinit(&one, o);
    return r;
}

int erabi_module_options_table(const struct erab_option *table, struct erab_error *error)
{
    int r = 0;
    for (uint32_t i = 0; !r && table && table[i].name; i++)
        r = i < OPTIONS_MAX ? check_row(table, i, error) : refuse(error, "more than %u options", OPTIONS_MAX);
    return r;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *erabi_module_options_manual(const struct erab_option *table)
{
    json_t *list = json_array();
    for (const struct erab_option *o = table; o && o->name; o++) {
        json_t *choices = json_array();
        for (const char *const *c = o->choices; c && *c; c++)
            json_array_append_new(choices, json_string(*c));
        json_t *row = json_pack(
            "{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:o}", "name", o->name, "type",
            (unsigned)o->type <= ERAB_OPTION_LIST ? type_names[o->type] : "unknown", "required",
            !!(o->flags & ERAB_OPTION_REQUIRED), "secret", !!(o->flags & ERAB_OPTION_SECRET), "reloadable",
            !!(o->flags & ERAB_OPTION_RELOADABLE), "default", text_or_null(o->default_value), "choices", choices,
            "help", text_or_null(o->help));
        if (o->min || o->max) {
            json_object_set_new(row, "min", json_integer(o->min));
            json_object_set_new(row, "max", json_integer(o->max));
        }
        json_array_append_new(list, row);
    }
    return list;
}
