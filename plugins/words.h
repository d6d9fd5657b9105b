/* Rules as texts in the options of a policy: words `name=value` with spaces between. */
#ifndef ERAB_PLUGINS_WORDS_H
#define ERAB_PLUGINS_WORDS_H

#include <erab/policy.h>

#define WORDS_MAX 127 /* characters of a name or value */

/* Calls `take` for each word; its non-NULL answer says what is wrong with that word. 0, or -EINVAL with `error`
 * naming the option and the entry. */
int words_read(const char *option, uint32_t item, const char *text,
               const char *(*take)(void *user, const char *name, const char *value), void *user,
               struct erab_error *error);
int words_fail(struct erab_error *error, const char *option, uint32_t item, const char *what);

/* All entries of the option `rules` in a new array, `size` bytes each, which is the caller's to free(); `read` fills one
 * from its text. NULL: *fault is the first one's, with `error` filled, or -ENOMEM. */
void *words_rules(const struct erab_config *config, size_t size,
                  int (*read)(const char *text, uint32_t item, void *rule, struct erab_error *error), uint32_t *n,
                  struct erab_error *error, int *fault);

/* The option of this name; never absent, for the host fills all of the table. */
const struct erab_config_value *words_option(const struct erab_config *config, const char *name);

/* `*` stands for any characters, as often as it is written. */
bool words_match(const char *pattern, const char *text);
/* A number from least to most, in full. */
bool words_number(const char *text, double least, double most, double *out);
/* "HH:MM-HH:MM" in minutes of the day; the end may lie before the start (over midnight), 24:00 is a day's end. */
bool words_hours(const char *text, uint32_t *from, uint32_t *to);
/* "YYYY-MM-DD": the end of that day, UTC, in ms. */
bool words_date(const char *text, uint64_t *end_ms);

#endif
