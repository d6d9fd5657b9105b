/* What differs between two structs that one option table has filled. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <erab/types.h>

#include "base/cleanup.h"
#include "config/options.h"

#define TEXT_MAX 128

struct compare {
    void (*tell)(void *user, const struct erabi_option_change *change);
    void *user;
    bool no_memory;
};

typedef char id_text[ERAB_PARTY_MAX + 1];

static const void *field(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static void tell(struct compare *c, const char *where, const char *how, const char *from, const char *to, bool live)
{
    struct erabi_option_change change = {where, how, from, to, live};
    c->tell(c->user, &change);
}

static const void *items(const struct erabi_option *o, const void *base)
{
    return *(const void *const *)field(base, o->offset);
}

static size_t count(const struct erabi_option *o, const void *base)
{
    return *(const size_t *)field(base, o->count_offset);
}

/* A short text of what stands here; lists of keys by the first digits of each. */
static void show(const struct erabi_option *o, const void *base, char text[TEXT_MAX])
{
    const void *at = field(base, o->offset);
    size_t used = 0;
    text[0] = '\0';
    switch (o->kind) {
    case ERABI_OPT_TEXT:
        snprintf(text, TEXT_MAX, "%s", *(char *const *)at ? *(char *const *)at : "");
        return;
    case ERABI_OPT_ID:
        snprintf(text, TEXT_MAX, "%s", (const char *)at);
        return;
    case ERABI_OPT_U64:
        snprintf(text, TEXT_MAX, "%" PRIu64, *(const uint64_t *)at);
        return;
    case ERABI_OPT_BOOL:
        snprintf(text, TEXT_MAX, "%s", *(const bool *)at ? "true" : "false");
        return;
    case ERABI_OPT_KEYS:
        for (size_t i = 0; i < count(o, base) && used + 16 < TEXT_MAX; i++) {
            char hex[9];
            sodium_bin2hex(hex, sizeof(hex), (const unsigned char *)items(o, base) + i * ERAB_KEY_SIZE, 4);
            used += (size_t)snprintf(text + used, TEXT_MAX - used, "%s%s..", i ? " " : "", hex);
        }
        return;
    case ERABI_OPT_IDS:
        for (size_t i = 0; i < count(o, base) && used + 2 < TEXT_MAX; i++)
            used += (size_t)snprintf(text + used, TEXT_MAX - used, "%s%s", i ? " " : "",
                                     ((const id_text *)items(o, base))[i]);
        return;
    default:
        return; /* names of choices are not known here */
    }
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_pairs(const struct erabi_option_pair *a, const struct erabi_option_pair *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!same_text(a[i].key, b[i].key) || !same_text(a[i].value, b[i].value))
            return false;
    return true;
}

static bool same_ids(const id_text *a, const id_text *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

/* Single values and lists of values. */
static bool same(const struct erabi_option *o, const void *a, const void *b)
{
    const void *x = field(a, o->offset), *y = field(b, o->offset);
    switch (o->kind) {
    case ERABI_OPT_TEXT:
        return same_text(*(char *const *)x, *(char *const *)y);
    case ERABI_OPT_ID:
        return strcmp(x, y) == 0;
    case ERABI_OPT_U64:
    case ERABI_OPT_MASK:
        return *(const uint64_t *)x == *(const uint64_t *)y;
    case ERABI_OPT_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case ERABI_OPT_CHOICE:
        return *(const unsigned *)x == *(const unsigned *)y;
    case ERABI_OPT_KEY:
        return sodium_memcmp(x, y, ERAB_KEY_SIZE) == 0;
    default:
        break;
    }
    size_t n = count(o, a);
    if (n != count(o, b))
        return false;
    x = items(o, a);
    y = items(o, b);
    switch (o->kind) {
    case ERABI_OPT_KEYS:
        return n == 0 || sodium_memcmp(x, y, n * ERAB_KEY_SIZE) == 0;
    case ERABI_OPT_IDS:
        return same_ids(x, y, n);
    case ERABI_OPT_CHOICES:
        return n == 0 || memcmp(x, y, n * sizeof(unsigned)) == 0;
    default:
        return same_pairs(x, y, n);
    }
}

static void compare_table(struct compare *c, const struct erabi_option *table, const char *where, const void *a,
                          const void *b, bool live);

static void join(char out[TEXT_MAX], const char *where, const char *key)
{
    if (snprintf(out, TEXT_MAX, "%s%s%s", where, where[0] ? "." : "", key) >= TEXT_MAX)
        out[TEXT_MAX - 2] = '~'; /* cut off; no name is that long unless ids are at their longest */
}

static int by_first_id(const void *a, const void *b, void *table)
{
    const void *x = *(const void *const *)a, *y = *(const void *const *)b;
    size_t offset = ((const struct erabi_option *)table)->offset;
    int r = strcmp(field(x, offset), field(y, offset));
    return r ? r : x < y ? -1 : x > y; /* doubles keep their order */
}

static const void **sorted(const struct erabi_option *o, const void *base)
{
    size_t n = count(o, base);
    const void **list = calloc(n + 1, sizeof(*list));
    for (size_t i = 0; list && i < n; i++)
        list[i] = (const char *)items(o, base) + i * o->item_size;
    if (list)
        qsort_r(list, n, sizeof(*list), by_first_id, (void *)(uintptr_t)o->table);
    return list;
}

static void compare_by_id(struct compare *c, const struct erabi_option *o, const char *where, const void *a,
                          const void *b, bool live)
{
    _free_ const void **x = sorted(o, a);
    _free_ const void **y = sorted(o, b);
    if (!x || !y) {
        c->no_memory = true;
        return;
    }
    size_t n = count(o, a), m = count(o, b), offset = o->table->offset;
    for (size_t i = 0, k = 0; i < n || k < m;) {
        int side = i == n ? 1 : k == m ? -1 : strcmp(field(x[i], offset), field(y[k], offset));
        char at[TEXT_MAX];
        join(at, where, field(side > 0 ? y[k] : x[i], offset));
        if (side < 0)
            tell(c, at, "removed", "", "", live);
        else if (side > 0)
            tell(c, at, "added", "", "", live);
        else
            compare_table(c, o->table, at, x[i], y[k], live);
        i += side <= 0;
        k += side >= 0;
    }
}

static void compare_list(struct compare *c, const struct erabi_option *o, const char *where, const void *a,
                         const void *b, bool live)
{
    if (o->table->kind == ERABI_OPT_ID) {
        compare_by_id(c, o, where, a, b, live);
        return;
    }
    size_t n = count(o, a), m = count(o, b);
    for (size_t i = 0; i < n || i < m; i++) {
        char place[32], at[TEXT_MAX];
        snprintf(place, sizeof(place), "%zu", i + 1);
        join(at, where, place);
        if (i >= n || i >= m)
            tell(c, at, i < n ? "removed" : "added", "", "", live);
        else
            compare_table(c, o->table, at, (const char *)items(o, a) + i * o->item_size,
                          (const char *)items(o, b) + i * o->item_size, live);
    }
}

static void compare_table(struct compare *c, const struct erabi_option *table, const char *where, const void *a,
                          const void *b, bool live)
{
    for (const struct erabi_option *o = table; o->key; o++) {
        char at[TEXT_MAX], from[TEXT_MAX], to[TEXT_MAX];
        bool may = live || o->live;
        join(at, where, o->key);
        if (o->kind == ERABI_OPT_SECTION) {
            compare_table(c, o->table, at, field(a, o->offset), field(b, o->offset), may);
        } else if (o->kind == ERABI_OPT_SECTIONS) {
            compare_list(c, o, at, a, b, may);
        } else if (!same(o, a, b)) {
            show(o, a, from);
            show(o, b, to);
            tell(c, at, "changed", from, to, may);
        }
    }
}

bool erabi_options_compare(const struct erabi_option *table, const void *before, const void *now,
                           void (*tell_change)(void *user, const struct erabi_option_change *change), void *user)
{
    struct compare c = {tell_change, user, false};
    compare_table(&c, table, "", before, now, false);
    return !c.no_memory;
}
