#include "policy/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"

#define OPTIONS_MAX 256u

struct filling {
    const struct erabi_config_policy *entry;
    const char *file;
    struct erabi_config_errors *errors;
    bool failed;
};

#define fault(f, mark, ...) ((f)->failed = true, erabi_config_error((f)->errors, (f)->file, mark, __VA_ARGS__))

static void check_names(struct filling *f, const struct erab_policy *policy)
{
    for (size_t i = 0; i < f->entry->n_options; i++) {
        const struct erabi_option_pair *pair = &f->entry->options[i];
        const char *nearest = NULL;
        size_t best = 0;
        for (const struct erab_option *o = policy->options; o && o->name; o++) {
            size_t d = erabi_word_distance(pair->key, o->name);
            if (!nearest || d < best) {
                nearest = o->name;
                best = d;
            }
        }
        if (!nearest)
            fault(f, pair->key_mark, "'%.60s': the policy %s has no options", pair->key, policy->name);
        else if (strcmp(nearest, pair->key) != 0)
            fault(f, pair->key_mark, "'%.60s' is no option of the policy %s; did you mean '%s'?", pair->key,
                  policy->name, nearest);
    }
}

static const struct erabi_option_pair *pair_of(const struct erabi_config_policy *entry, const char *name)
{
    for (size_t i = 0; i < entry->n_options; i++)
        if (strcmp(entry->options[i].key, name) == 0)
            return &entry->options[i];
    return NULL;
}

static void choices_text(const struct erab_option *o, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const char *const *c = o->choices; *c && used < size; c++) {
        int n = snprintf(text + used, size - used, " %s", *c);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void set_scalar(struct filling *f, struct erab_config_value *v, const struct erab_option *o, const char *text,
                       struct erabi_mark mark)
{
    char *end;
    errno = 0;
    if (o->type == ERAB_OPTION_INTEGER) {
        v->integer = strtoll(text, &end, 10);
        if (errno || end == text || *end)
            fault(f, mark, "%s: must be a whole number", o->name);
        else if ((o->min || o->max) && (v->integer < o->min || v->integer > o->max))
            fault(f, mark, "%s: must be from %" PRId64 " to %" PRId64, o->name, o->min, o->max);
    } else if (o->type == ERAB_OPTION_BOOLEAN) {
        v->integer = strcmp(text, "true") == 0;
        if (!v->integer && strcmp(text, "false") != 0)
            fault(f, mark, "%s: must be true or false", o->name);
    } else if (o->type == ERAB_OPTION_PATH && text[0] != '/') {
        fault(f, mark, "%s: must be an absolute path", o->name);
    } else if (o->choices) {
        bool known = false;
        for (const char *const *c = o->choices; *c && !known; c++)
            known = strcmp(*c, text) == 0;
        char all[200];
        choices_text(o, all, sizeof(all));
        if (!known)
            fault(f, mark, "%s: '%.40s' is none of%s", o->name, text, all);
    }
    v->text = strdup(text);
    if (!v->text)
        fault(f, mark, "%s: no memory", o->name);
}

static void set_list(struct filling *f, struct erab_config_value *v, const struct erab_option *o,
                     const struct erabi_option_pair *pair)
{
    if ((o->min || o->max) && ((int64_t)pair->n_items < o->min || (int64_t)pair->n_items > o->max)) {
        fault(f, pair->mark, "%s: must have %" PRId64 " to %" PRId64 " entries", o->name, o->min, o->max);
        return;
    }
    char **items = calloc(pair->n_items + 1, sizeof(*items));
    v->list = (const char *const *)items;
    for (size_t i = 0; items && i < pair->n_items; i++)
        if (!(items[i] = strdup(pair->items[i])))
            fault(f, pair->mark, "%s: no memory", o->name);
    if (!items)
        fault(f, pair->mark, "%s: no memory", o->name);
}

static void set(struct filling *f, struct erab_config_value *v, const struct erab_option *o)
{
    const struct erabi_option_pair *pair = pair_of(f->entry, o->name);
    v->name = o->name;
    if (!pair) {
        if (o->flags & ERAB_OPTION_REQUIRED)
            fault(f, f->entry->mark, "%s: is missing in the options of '%s'%s%s", o->name, f->entry->name,
                  o->help ? ": " : "", o->help ? o->help : "");
        else if (o->default_value)
            set_scalar(f, v, o, o->default_value, f->entry->mark);
    } else if (o->type == ERAB_OPTION_LIST) {
        if (pair->items)
            set_list(f, v, o, pair);
        else
            fault(f, pair->mark, "%s: a list is needed here, as [a, b]", o->name);
    } else if (pair->items) {
        fault(f, pair->mark, "%s: one value is needed here, not a list", o->name);
    } else {
        set_scalar(f, v, o, pair->value, pair->mark);
    }
}

bool erabi_policy_options_fill(struct erab_config *out, const struct erab_policy *policy,
                               const struct erabi_config_policy *entry, const char *file,
                               struct erabi_config_errors *errors)
{
    struct filling f = {entry, file, errors, false};
    uint32_t n = 0;
    while (policy->options && policy->options[n].name && n < OPTIONS_MAX)
        n++;
    *out = (struct erab_config){.size = sizeof(*out)};
    check_names(&f, policy);
    struct erab_config_value *values = calloc(n + 1, sizeof(*values));
    if (!values) {
        fault(&f, entry->mark, "no memory");
        return false;
    }
    out->values = values;
    out->n = n;
    for (uint32_t i = 0; i < n; i++)
        set(&f, &values[i], &policy->options[i]);
    return !f.failed;
}

void erabi_policy_options_deinit(struct erab_config *config)
{
    for (uint32_t i = 0; config->values && i < config->n; i++) {
        free((char *)(uintptr_t)config->values[i].text);
        for (const char *const *p = config->values[i].list; p && *p; p++)
            free((char *)(uintptr_t)*p);
        free((void *)(uintptr_t)config->values[i].list);
    }
    free((void *)(uintptr_t)config->values);
    *config = (struct erab_config){0};
}

void erabi_policy_options_fault(const struct erabi_config_policy *entry, const struct erab_error *error,
                                const char *file, struct erabi_config_errors *errors)
{
    struct erabi_mark mark = entry->mark;
    const struct erabi_option_pair *pair = error->option[0] ? pair_of(entry, error->option) : NULL;
    if (pair)
        mark = error->item && error->item <= pair->n_items ? pair->item_marks[error->item - 1] : pair->mark;
    erabi_config_error(errors, file, mark, "policy '%s': %.300s", entry->instance, error->text);
}

/* Lengths stand before the texts, so that no two entries read the same. */
char *erabi_policy_identity(const struct erabi_config_policy *entry)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "%s %s %s %" PRIu64 " %" PRIx64 " %" PRIx64 "\n", entry->instance, entry->name,
            entry->module ? entry->module : "-", entry->deadline_ms, entry->interfaces, entry->types);
    for (size_t i = 0; i < entry->n_options; i++) {
        const struct erabi_option_pair *pair = &entry->options[i];
        fprintf(out, "%zu:%s=", strlen(pair->key), pair->key);
        for (size_t k = 0; k < pair->n_items; k++)
            fprintf(out, "%zu:%s,", strlen(pair->items[k]), pair->items[k]);
        if (!pair->items)
            fprintf(out, "%zu:%s", strlen(pair->value), pair->value);
        fputc('\n', out);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
