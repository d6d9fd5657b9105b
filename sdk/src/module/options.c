/* Option tables of modules: one implementation for the runner, the broker, the tool and the test kit. */
#include <errno.h>
#include <stdarg.h>
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

static const char *const type_names[] = {"text", "integer", "boolean", "path", "list"};

struct filling {
    const struct erabi_options_given *given;
    int result;
};

/* Values are never named: they may be secrets. */
__attribute__((format(printf, 5, 6))) static bool wrong(struct filling *f, const char *option, bool is_name, size_t item,
                                                        const char *format, ...)
{
    char what[320], text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(text, sizeof text, "option %.60s: %s", option, what);
    const struct erabi_option_fault told = {.option = option, .is_name = is_name, .item = item, .text = text};
    f->given->fault(f->given->user, &told);
    f->result = -EINVAL;
    return false;
}

static bool no_memory(struct filling *f)
{
    const struct erabi_option_fault told = {.option = "", .text = "out of memory"};
    f->given->fault(f->given->user, &told);
    f->result = -ENOMEM;
    return false;
}

static void check_name(struct filling *f, const struct erab_option *table, const char *name)
{
    const char *nearest = NULL;
    size_t best = 0;
    for (const struct erab_option *o = table; o && o->name; o++) {
        size_t d = erabi_word_distance(name, o->name);
        if (!nearest || d < best) {
            nearest = o->name;
            best = d;
        }
    }
    if (!nearest)
        wrong(f, name, true, 0, "there are no options here");
    else if (best)
        wrong(f, name, true, 0, "unknown; did you mean '%s'?", nearest);
}

static bool refuse_choice(struct filling *f, const struct erab_option *o, const char *text)
{
    char all[256];
    const char *nearest = NULL;
    size_t best = 3;
    struct erabi_writer w = erabi_writer(all, sizeof all - 1);
    for (const char *const *c = o->choices; *c; c++) {
        size_t d = erabi_word_distance(text, *c);
        if (d < best && d < strlen(*c)) {
            best = d;
            nearest = *c;
        }
        if (c != o->choices)
            erabi_write_bytes(&w, ", ", 2);
        erabi_write_bytes(&w, *c, strlen(*c));
    }
    all[w.used] = '\0';
    return nearest ? wrong(f, o->name, false, 0, "must be one of %s; did you mean '%s'?", all, nearest)
                   : wrong(f, o->name, false, 0, "must be one of %s", all);
}

static bool keep(struct filling *f, struct erab_config_value *v, const char *text)
{
    v->text = strdup(text);
    return v->text || no_memory(f);
}

static bool set_text(struct filling *f, struct erab_config_value *v, const struct erab_option *o, const char *text)
{
    if (o->type == ERAB_OPTION_PATH && *text != '/')
        return wrong(f, o->name, false, 0, "must be an absolute path");
    if (o->type == ERAB_OPTION_TEXT && (o->min || o->max) &&
        ((int64_t)strlen(text) < o->min || (int64_t)strlen(text) > o->max))
        return wrong(f, o->name, false, 0, "must have %lld to %lld characters", (long long)o->min, (long long)o->max);
    bool ok = !o->choices;
    for (const char *const *c = o->choices; c && *c && !ok; c++)
        ok = strcmp(*c, text) == 0;
    return ok ? keep(f, v, text) : refuse_choice(f, o, text);
}

static bool set_integer(struct filling *f, struct erab_config_value *v, const struct erab_option *o, const char *text)
{
    char *end, plain[32];
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || (*text != '-' && (*text < '0' || *text > '9')))
        return wrong(f, o->name, false, 0, "must be a whole number");
    if ((o->min || o->max) && (n < o->min || n > o->max))
        return wrong(f, o->name, false, 0, "must be from %lld to %lld", (long long)o->min, (long long)o->max);
    snprintf(plain, sizeof plain, "%lld", n);
    v->integer = n;
    return keep(f, v, plain);
}

static bool set_list(struct filling *f, struct erab_config_value *v, const struct erab_option *o,
                     const char *const *given, size_t n)
{
    if (n > ITEMS_MAX || ((o->min || o->max) && ((int64_t)n < o->min || (int64_t)n > o->max)))
        return wrong(f, o->name, false, 0, "must have %lld to %lld items", (long long)o->min,
                     (long long)(o->min || o->max ? o->max : (int64_t)ITEMS_MAX));
    char **items = calloc(n + 1, sizeof *items);
    if (!items)
        return no_memory(f);
    v->list = (const char *const *)items;
    for (size_t i = 0; i < n; i++) {
        if (!given[i])
            return wrong(f, o->name, false, i + 1, "item %zu must be a text", i + 1);
        if (!(items[i] = strdup(given[i])))
            return no_memory(f);
    }
    return true;
}

/* A default, a value of the command line, and an adapter's in the configuration: "a b c". */
static bool set_split(struct filling *f, struct erab_config_value *v, const struct erab_option *o, const char *text)
{
    size_t n = 0, size = strlen(text);
    char *copy = strdup(text);
    const char **items = calloc(size / 2 + 1, sizeof *items);
    for (char *at = copy; items && at && *(at += strspn(at, " "));) {
        items[n++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    bool good = copy && items ? set_list(f, v, o, items, n) : no_memory(f);
    if (copy)
        sodium_memzero(copy, size);
    free(copy);
    free(items);
    return good;
}

static bool set_from_text(struct filling *f, struct erab_config_value *v, const struct erab_option *o,
                          const char *text)
{
    switch (o->type) {
    case ERAB_OPTION_INTEGER:
        return set_integer(f, v, o, text);
    case ERAB_OPTION_BOOLEAN:
        v->integer = strcmp(text, "true") == 0;
        if (!v->integer && strcmp(text, "false") != 0)
            return wrong(f, o->name, false, 0, "must be true or false");
        return keep(f, v, text);
    case ERAB_OPTION_LIST:
        return set_split(f, v, o, text);
    default:
        return set_text(f, v, o, text);
    }
}

static bool set_default(struct filling *f, struct erab_config_value *v, const struct erab_option *o)
{
    if (o->default_value)
        return set_from_text(f, v, o, o->default_value);
    if (!(o->flags & ERAB_OPTION_REQUIRED))
        return true;
    return wrong(f, o->name, false, 0, "is required%s%.200s", o->help ? ": " : "", o->help ? o->help : "");
}

static bool set(struct filling *f, struct erab_config_value *v, const struct erab_option *o)
{
    static const char *const types[] = {"a text", "a whole number", "true or false", "a path", "a list, as [a, b]"};
    const struct erabi_option_given *g = NULL;
    for (size_t i = 0; i < f->given->n && !g; i++)
        if (strcmp(f->given->at[i].name, o->name) == 0)
            g = &f->given->at[i];
    v->name = o->name;
    if (!g)
        return set_default(f, v, o);
    if (o->type == ERAB_OPTION_LIST ? g->text && !f->given->lists_are_lists : g->text != NULL)
        return set_from_text(f, v, o, g->text);
    if (o->type == ERAB_OPTION_LIST && g->items)
        return set_list(f, v, o, g->items, g->n_items);
    return wrong(f, o->name, false, 0, "must be %s",
                 (unsigned)o->type <= ERAB_OPTION_LIST ? types[o->type] : "of a type that this host knows");
}

int erabi_module_options_fill(struct erab_config *out, const struct erab_option *table,
                              const struct erabi_options_given *given)
{
    struct filling f = {.given = given};
    uint32_t n = 0;
    while (table && table[n].name && n < OPTIONS_MAX)
        n++;
    *out = (struct erab_config){.size = sizeof *out};
    for (size_t i = 0; i < given->n; i++)
        check_name(&f, table, given->at[i].name);
    struct erab_config_value *values = calloc(n + 1, sizeof *values);
    if (!values) {
        no_memory(&f);
        return f.result;
    }
    out->values = values;
    out->n = n;
    for (uint32_t i = 0; i < n; i++)
        set(&f, &values[i], &table[i]);
    return f.result;
}

/* ---- from JSON ---- */

struct from_json {
    struct erabi_option_given *given;
    char (*numbers)[32]; /* of values that are no texts */
    const char **items;
    size_t n, n_items;
};

static void take_json(struct from_json *j, const char *name, const json_t *value)
{
    struct erabi_option_given *g = &j->given[j->n];
    char *number = j->numbers[j->n++];
    size_t i;
    const json_t *item;
    *g = (struct erabi_option_given){.name = name, .text = json_string_value(value)};
    if (json_is_integer(value) || json_is_real(value)) {
        if (json_is_integer(value))
            snprintf(number, sizeof *j->numbers, "%lld", (long long)json_integer_value(value));
        else
            snprintf(number, sizeof *j->numbers, "%.17g", json_real_value(value));
        g->text = number;
    } else if (json_is_boolean(value)) {
        g->text = json_is_true(value) ? "true" : "false";
    } else if (json_is_array(value)) {
        g->items = &j->items[j->n_items];
        json_array_foreach(value, i, item)
            j->items[j->n_items + g->n_items++] = json_string_value(item);
        j->n_items += g->n_items;
    }
}

static void tell_first(void *user, const struct erabi_option_fault *fault)
{
    struct erab_error *error = user;
    if (*error->text)
        return;
    refuse(error, "%s", fault->text);
    erabi_copy_text(error->option, sizeof error->option, fault->option);
    error->item = (uint32_t)fault->item;
}

int erabi_module_options_json(struct erab_config *out, const struct erab_option *table, const json_t *given,
                              void (*fault)(void *user, const struct erabi_option_fault *fault), void *user)
{
    size_t n = json_object_size(given), n_items = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)given, name, value)
        n_items += json_array_size(value);
    struct from_json j = {.given = calloc(n + 1, sizeof *j.given),
                          .numbers = calloc(n + 1, sizeof *j.numbers),
                          .items = calloc(n_items + 1, sizeof *j.items)};
    int r = -ENOMEM;
    *out = (struct erab_config){.size = sizeof *out};
    if (j.given && j.numbers && j.items) {
        json_object_foreach((json_t *)given, name, value)
            take_json(&j, name, value);
        const struct erabi_options_given all = {.at = j.given, .n = j.n, .fault = fault, .user = user};
        r = erabi_module_options_fill(out, table, &all);
    }
    free(j.given);
    free(j.numbers);
    free(j.items);
    return r;
}

int erabi_module_options(struct erab_config *out, const struct erab_option *table, const json_t *given,
                         struct erab_error *error)
{
    error->text[0] = '\0';
    int r = erabi_module_options_json(out, table, given, tell_first, error);
    return r && !*error->text ? refuse(error, "out of memory") : r;
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
    const struct erabi_options_given none = {.fault = tell_first, .user = &why};
    struct filling f = {.given = &none};
    int r = value ? 0 : refuse(error, "out of memory");
    if (!r && o->default_value && !set_default(&f, value, o))
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
