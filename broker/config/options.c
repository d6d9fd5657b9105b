#include "config/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <erab/types.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/words.h"

#define LIST_MAX 4096u

typedef char id_text[ERAB_PARTY_MAX + 1];
typedef uint8_t key_bytes[ERAB_KEY_SIZE];

struct fill {
    const char *file;
    struct erabi_config_errors *errors;
    bool failed;
};

static void *field(void *base, size_t offset)
{
    return (char *)base + offset;
}

static bool wrong(struct fill *f, struct erabi_mark mark, const struct erabi_option *o, const char *what)
{
    const char *right = o->right ? o->right : "see the manual";
    erabi_config_error(f->errors, f->file, mark, "%s: %s; right would be: %s", o->key, what, right);
    f->failed = true;
    return false;
}

static void tell_known(struct fill *f, const struct erabi_option *table, const struct erabi_yaml_node *node)
{
    char known[256];
    size_t used = 0;
    for (const struct erabi_option *o = table; o->key && used < sizeof(known); o++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", o->key);
    erabi_config_error(f->errors, f->file, node->key_mark, "'%.60s' is not known here; known are: %s", node->key, known);
}

static void unknown_key(struct fill *f, const struct erabi_option *table, const struct erabi_yaml_node *node)
{
    const char *nearest = NULL;
    size_t best = 4;
    for (const struct erabi_option *o = table; o->key; o++) {
        size_t d = erabi_word_distance(o->key, node->key);
        if (d < best) {
            best = d;
            nearest = o->key;
        }
    }
    if (nearest)
        erabi_config_error(f->errors, f->file, node->key_mark, "'%.60s' is not known here; did you mean '%s'?",
                           node->key, nearest);
    else
        tell_known(f, table, node);
    f->failed = true;
}

/* The nearest of the names that `right` lists, as far as `choose` takes them. */
static bool nearest_choice(const struct erabi_option *o, const char *text, char name[32])
{
    size_t best = 3;
    for (const char *at = o->right ? o->right : ""; *at; at += *at == ' ') {
        size_t n = strcspn(at, " ");
        char word[32];
        if (n < sizeof(word)) {
            erabi_copy_bytes(word, at, n);
            word[n] = '\0';
            size_t d = o->choose(word) ? erabi_word_distance(word, text) : SIZE_MAX;
            if (d < best && d < n) {
                best = d;
                erabi_copy_text(name, 32, word);
            }
        }
        at += n;
    }
    return best < 3;
}

static bool read_u64(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    if (!text[0])
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static bool read_key(const char *text, uint8_t key[ERAB_KEY_SIZE])
{
    size_t n = 0;
    return strlen(text) == 2 * ERAB_KEY_SIZE &&
           sodium_hex2bin(key, ERAB_KEY_SIZE, text, 2 * ERAB_KEY_SIZE, NULL, &n, NULL) == 0 && n == ERAB_KEY_SIZE;
}

static bool fill_text(struct fill *f, const struct erabi_option *o, void *to, const struct erabi_yaml_node *node)
{
    if (!node->text[0] || (o->check && !o->check(node->text)))
        return wrong(f, node->mark, o, "this text is not taken");
    char *copy = strdup(node->text);
    if (!copy)
        return wrong(f, node->mark, o, "no memory");
    *(char **)to = copy;
    return true;
}

/* One scalar into its place. */
static bool fill_scalar(struct fill *f, const struct erabi_option *o, void *to, const struct erabi_yaml_node *node)
{
    if (node->kind != ERABI_YAML_SCALAR)
        return wrong(f, node->mark, o, "one value is needed here, not a list or a section");
    uint64_t number;
    switch (o->kind) {
    case ERABI_OPT_TEXT:
        return fill_text(f, o, to, node);
    case ERABI_OPT_ID:
    case ERABI_OPT_IDS:
        if (!erab_party_valid(node->text) || !erabi_copy_text(to, sizeof(id_text), node->text))
            return wrong(f, node->mark, o, "not a valid id (a-z, 0-9, '.', '-'; at most 63)");
        return true;
    case ERABI_OPT_U64:
        if (!read_u64(node->text, &number) || number < o->min || number > o->max) {
            char what[96];
            snprintf(what, sizeof(what), "not a whole number from %" PRIu64 " to %" PRIu64, o->min, o->max);
            return wrong(f, node->mark, o, what);
        }
        *(uint64_t *)to = number;
        return true;
    case ERABI_OPT_BOOL:
        if (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0)
            return wrong(f, node->mark, o, "neither true nor false");
        *(bool *)to = node->text[0] == 't';
        return true;
    case ERABI_OPT_KEY:
    case ERABI_OPT_KEYS:
        if (!read_key(node->text, to))
            return wrong(f, node->mark, o, "not a key of 64 hex digits");
        return true;
    default: /* CHOICE, CHOICES */
        if (!o->choose(node->text)) {
            char what[128], nearest[32];
            if (nearest_choice(o, node->text, nearest))
                snprintf(what, sizeof(what), "'%.40s' is not one of them, did you mean '%s'?", node->text, nearest);
            else
                snprintf(what, sizeof(what), "'%.40s' is not one of them", node->text);
            return wrong(f, node->mark, o, what);
        }
        *(unsigned *)to = o->choose(node->text);
        return true;
    }
}

static bool fill_mask(struct fill *f, const struct erabi_option *o, uint64_t *to, const struct erabi_yaml_node *list)
{
    struct erabi_option one = *o;
    one.kind = ERABI_OPT_CHOICE;
    *to = 0;
    for (const struct erabi_yaml_node *n = list->first; n; n = n->next) {
        unsigned v = 0;
        if (!fill_scalar(f, &one, &v, n))
            continue;
        if (*to & 1ull << v)
            wrong(f, n->mark, o, "stands twice in this list");
        *to |= 1ull << v;
    }
    return !f->failed;
}

static size_t item_size(const struct erabi_option *o)
{
    switch (o->kind) {
    case ERABI_OPT_IDS:
        return sizeof(id_text);
    case ERABI_OPT_KEYS:
        return sizeof(key_bytes);
    case ERABI_OPT_CHOICES:
        return sizeof(unsigned);
    case ERABI_OPT_PAIRS:
        return sizeof(struct erabi_option_pair);
    default:
        return o->item_size;
    }
}

static void fill_section(struct fill *f, const struct erabi_option *table, void *base,
                         const struct erabi_yaml_node *map);

/* The items one by one with their places, and joined by spaces. */
static bool fill_items(struct fill *f, const struct erabi_option *o, struct erabi_option_pair *pair,
                       const struct erabi_yaml_node *list)
{
    size_t size = 1;
    for (const struct erabi_yaml_node *n = list->first; n; n = n->next) {
        if (n->kind != ERABI_YAML_SCALAR)
            return wrong(f, n->mark, o, "one value is needed for each entry of a list");
        size += strlen(n->text) + 1;
    }
    pair->items = calloc(list->n + 1, sizeof(*pair->items));
    pair->item_marks = calloc(list->n + 1, sizeof(*pair->item_marks));
    pair->value = calloc(1, size);
    if (!pair->items || !pair->item_marks || !pair->value)
        return wrong(f, list->mark, o, "no memory");
    char *at = pair->value;
    for (const struct erabi_yaml_node *n = list->first; n; n = n->next) {
        pair->item_marks[pair->n_items] = n->mark;
        pair->items[pair->n_items] = strdup(n->text);
        if (!pair->items[pair->n_items++])
            return wrong(f, n->mark, o, "no memory");
        at += snprintf(at, size - (size_t)(at - pair->value), "%s%s", at == pair->value ? "" : " ", n->text);
    }
    return true;
}

static void fill_pair(struct fill *f, const struct erabi_option *o, struct erabi_option_pair *pair,
                      const struct erabi_yaml_node *node)
{
    pair->key_mark = node->key_mark;
    pair->mark = node->mark;
    pair->key = strdup(node->key);
    if (node->kind == ERABI_YAML_LIST) {
        fill_items(f, o, pair, node);
    } else if (node->kind == ERABI_YAML_SCALAR) {
        pair->value = strdup(node->text);
        if (!pair->key || !pair->value)
            wrong(f, node->mark, o, "no memory");
    } else {
        wrong(f, node->mark, o, "one value or a list is needed for each name");
    }
}

static void free_pair(struct erabi_option_pair *pair)
{
    free(pair->key);
    free(pair->value);
    for (size_t i = 0; i < pair->n_items; i++)
        free(pair->items[i]);
    free(pair->items);
    free(pair->item_marks);
}

static void fill_list(struct fill *f, const struct erabi_option *o, void *base, const struct erabi_yaml_node *node)
{
    size_t size = item_size(o);
    if (node->n < o->min || node->n > (o->max ? o->max : LIST_MAX)) {
        wrong(f, node->mark, o, "too few or too many entries");
        return;
    }
    if (node->n == 0)
        return;
    char *items = calloc(node->n, size);
    if (!items) {
        wrong(f, node->mark, o, "no memory");
        return;
    }
    *(void **)field(base, o->offset) = items;
    *(size_t *)field(base, o->count_offset) = node->n;
    size_t i = 0;
    for (const struct erabi_yaml_node *n = node->first; n; n = n->next, i++) {
        void *item = items + i * size;
        if (o->kind == ERABI_OPT_SECTIONS)
            fill_section(f, o->table, item, n);
        else if (o->kind == ERABI_OPT_PAIRS)
            fill_pair(f, o, item, n);
        else
            fill_scalar(f, o, item, n);
    }
}

static void fill_one(struct fill *f, const struct erabi_option *o, void *base, const struct erabi_yaml_node *node)
{
    void *to = field(base, o->offset);
    switch (o->kind) {
    case ERABI_OPT_SECTION:
        fill_section(f, o->table, to, node);
        return;
    case ERABI_OPT_PAIRS:
        if (node->kind != ERABI_YAML_MAP)
            wrong(f, node->mark, o, "a section of names and values is needed here");
        else
            fill_list(f, o, base, node);
        return;
    case ERABI_OPT_MASK:
    case ERABI_OPT_KEYS:
    case ERABI_OPT_IDS:
    case ERABI_OPT_CHOICES:
    case ERABI_OPT_SECTIONS:
        if (node->kind != ERABI_YAML_LIST)
            wrong(f, node->mark, o, "a list is needed here, as [a, b]");
        else if (o->kind == ERABI_OPT_MASK)
            fill_mask(f, o, to, node);
        else
            fill_list(f, o, base, node);
        return;
    default:
        fill_scalar(f, o, to, node);
    }
}

static void fill_fallback(const struct erabi_option *o, void *base)
{
    void *to = field(base, o->offset);
    if (o->kind == ERABI_OPT_U64 || o->kind == ERABI_OPT_MASK)
        *(uint64_t *)to = o->fallback;
    else if (o->kind == ERABI_OPT_BOOL)
        *(bool *)to = o->fallback != 0;
    else if (o->kind == ERABI_OPT_CHOICE)
        *(unsigned *)to = (unsigned)o->fallback;
    else if (o->kind == ERABI_OPT_SECTION) /* its mark stays 0: "was not there" */
        for (const struct erabi_option *inner = o->table; inner->key; inner++)
            fill_fallback(inner, to);
}

static void fill_section(struct fill *f, const struct erabi_option *table, void *base,
                         const struct erabi_yaml_node *map)
{
    if (map->kind == ERABI_YAML_SCALAR && table->shorthand) {
        *(struct erabi_mark *)base = map->mark;
        fill_scalar(f, table, field(base, table->offset), map);
        for (const struct erabi_option *o = table + 1; o->key; o++)
            fill_fallback(o, base);
        return;
    }
    if (map->kind != ERABI_YAML_MAP) {
        erabi_config_error(f->errors, f->file, map->mark, "a section is needed here, beginning with '%s:'", table->key);
        f->failed = true;
        return;
    }
    *(struct erabi_mark *)base = map->mark;
    for (const struct erabi_yaml_node *n = map->first; n; n = n->next) {
        const struct erabi_option *o = table;
        while (o->key && strcmp(o->key, n->key) != 0)
            o++;
        if (!o->key)
            unknown_key(f, table, n);
    }
    for (const struct erabi_option *o = table; o->key; o++) {
        const struct erabi_yaml_node *n = map->first;
        while (n && strcmp(o->key, n->key) != 0)
            n = n->next;
        if (n)
            fill_one(f, o, base, n);
        else if (o->required)
            wrong(f, map->mark, o, "is missing in this section");
        else
            fill_fallback(o, base);
    }
}

bool erabi_options_fill(const struct erabi_option *table, void *base, const struct erabi_yaml_node *map,
                        const char *file, struct erabi_config_errors *errors)
{
    struct fill f = {file, errors, false};
    fill_section(&f, table, base, map);
    return !f.failed;
}

static void free_list(const struct erabi_option *o, void *base)
{
    char *items = *(char **)field(base, o->offset);
    size_t n = *(size_t *)field(base, o->count_offset);
    for (size_t i = 0; items && i < n; i++) {
        void *item = items + i * item_size(o);
        if (o->kind == ERABI_OPT_SECTIONS) {
            erabi_options_free(o->table, item);
        } else if (o->kind == ERABI_OPT_PAIRS) {
            free_pair(item);
        }
    }
    free(items);
}

void erabi_options_free(const struct erabi_option *table, void *base)
{
    for (const struct erabi_option *o = table; o->key; o++) {
        switch (o->kind) {
        case ERABI_OPT_TEXT:
            free(*(char **)field(base, o->offset));
            break;
        case ERABI_OPT_SECTION:
            erabi_options_free(o->table, field(base, o->offset));
            break;
        case ERABI_OPT_KEYS:
        case ERABI_OPT_IDS:
        case ERABI_OPT_CHOICES:
        case ERABI_OPT_PAIRS:
        case ERABI_OPT_SECTIONS:
            free_list(o, base);
            break;
        default:
            break;
        }
    }
}
