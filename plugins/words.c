#include "words.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cursor.h"

int words_fail(struct erab_error *error, const char *option, uint32_t item, const char *what)
{
    snprintf(error->text, sizeof(error->text), "%s: %s", option, what);
    if (error->size >= sizeof(*error)) {
        erabi_copy_text(error->option, sizeof(error->option), option);
        error->item = item;
    }
    return -EINVAL;
}

int words_read(const char *option, uint32_t item, const char *text,
               const char *(*take)(void *user, const char *name, const char *value), void *user,
               struct erab_error *error)
{
    char what[300];
    for (const char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
        char name[WORDS_MAX + 1] = "", value[WORDS_MAX + 1] = "";
        size_t n = strcspn(at, " ");
        const char *mark = memchr(at, '=', n);
        size_t name_size = mark ? (size_t)(mark - at) : n;
        if (!mark || name_size == 0 || name_size > WORDS_MAX || n - name_size - 1 > WORDS_MAX) {
            snprintf(what, sizeof(what), "'%.*s' is no name=value", n > 60 ? 60 : (int)n, at);
            return words_fail(error, option, item, what);
        }
        erabi_copy_bytes(name, at, name_size);
        erabi_copy_bytes(value, mark + 1, n - name_size - 1);
        const char *wrong = take(user, name, value);
        if (wrong) {
            snprintf(what, sizeof(what), "%.40s=%.60s: %s", name, value, wrong);
            return words_fail(error, option, item, what);
        }
        at += n;
    }
    return 0;
}

const struct erab_config_value *words_option(const struct erab_config *config, const char *name)
{
    static const struct erab_config_value absent;
    for (uint32_t i = 0; i < config->n; i++)
        if (strcmp(config->values[i].name, name) == 0)
            return &config->values[i];
    return &absent;
}

void *words_rules(const struct erab_config *config, size_t size,
                  int (*read)(const char *text, uint32_t item, void *rule, struct erab_error *error), uint32_t *n,
                  struct erab_error *error, int *fault)
{
    const char *const *list = words_option(config, "rules")->list;
    for (*n = 0; list && list[*n];)
        ++*n;
    uint8_t *rules = calloc((size_t)*n + 1, size);
    *fault = rules ? 0 : -ENOMEM;
    for (uint32_t i = 0; i < *n && *fault == 0; i++)
        *fault = read(list[i], i + 1, rules + i * size, error);
    if (*fault == 0)
        return rules;
    free(rules);
    return NULL;
}

bool words_match(const char *pattern, const char *text)
{
    const char *star = NULL, *again = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            again = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool words_number(const char *text, double least, double most, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && isfinite(*out) && *out >= least && *out <= most;
}

static bool clock_at(const char **at, uint32_t *minutes)
{
    uint32_t v[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++, (*at)++) {
            if (**at < '0' || **at > '9')
                return false;
            v[i] = v[i] * 10 + (uint32_t)(**at - '0');
        }
        if (i == 0 && *(*at)++ != ':')
            return false;
    }
    *minutes = v[0] * 60 + v[1];
    return v[1] < 60 && *minutes <= 24 * 60;
}

bool words_hours(const char *text, uint32_t *from, uint32_t *to)
{
    return clock_at(&text, from) && *text++ == '-' && clock_at(&text, to) && *text == '\0' && *from != *to;
}

bool words_date(const char *text, uint64_t *end_ms)
{
    struct tm day = {0};
    const char *end = strlen(text) == 10 ? strptime(text, "%Y-%m-%d", &day) : NULL;
    time_t t = end && *end == '\0' ? timegm(&day) : -1;
    *end_ms = t < 0 ? 0 : ((uint64_t)t + 86400) * 1000;
    return t >= 0;
}
