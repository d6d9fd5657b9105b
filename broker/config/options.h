/* One kind of table for every section of every YAML file: it checks, explains and fills a struct.
 * Not the table of a module (struct erab_option, filled by module/module.h through config/given.h): that one is public,
 * knows texts and lists of them only, and is known when the module is loaded. Here its values are ERABI_OPT_PAIRS.
 * A struct filled from a section begins with `struct erabi_mark mark`. Any thread. */
#ifndef ERABI_OPTIONS_H
#define ERABI_OPTIONS_H

#include "config/yaml.h"

enum erabi_option_kind {
    ERABI_OPT_TEXT,     /* char *; `check` may refuse */
    ERABI_OPT_ID,       /* char[ERAB_PARTY_MAX + 1]: a party id, firm or name of the same form */
    ERABI_OPT_U64,      /* uint64_t from min to max */
    ERABI_OPT_BOOL,     /* bool */
    ERABI_OPT_CHOICE,   /* unsigned int: `choose` of a name, 0 = no such name */
    ERABI_OPT_MASK,     /* uint64_t: bits 1 << choose(name) of a list of names */
    ERABI_OPT_KEY,      /* uint8_t[32] from 64 hex digits */
    ERABI_OPT_KEYS,     /* list: uint8_t (*)[32] and count */
    ERABI_OPT_IDS,      /* list: char (*)[ERAB_PARTY_MAX + 1] and count */
    ERABI_OPT_CHOICES,  /* list: unsigned int * and count, in order */
    ERABI_OPT_PAIRS,    /* mapping of scalars or lists of them: struct erabi_option_pair * and count */
    ERABI_OPT_SECTION,  /* a struct in place, by `table` */
    ERABI_OPT_SECTIONS, /* list: structs of `item_size` by `table`, and count */
};

struct erabi_option_pair {
    char *key;
    char *value; /* of a list: its items with spaces between */
    struct erabi_mark key_mark, mark;
    char **items; /* of a list, NULL-ended; else NULL */
    struct erabi_mark *item_marks;
    size_t n_items;
};

struct erabi_option {
    const char *key; /* NULL ends the table */
    enum erabi_option_kind kind;
    size_t offset;
    size_t count_offset; /* size_t, for lists */
    bool required;
    uint64_t min, max; /* U64: of the value; lists: of the number of entries (max 0 = 4096) */
    uint64_t fallback; /* U64, BOOL, CHOICE, MASK when absent */
    unsigned (*choose)(const char *name);
    bool (*check)(const char *text);
    const char *right; /* what would be right, for the error */
    const struct erabi_option *table;
    size_t item_size;
    bool shorthand; /* first of a table: a scalar in place of the section is this option alone */
    bool live; /* may change while the broker runs, with all that is in it */
};

/* Fills `base` (zeroed by the caller) from a mapping. Adds every fault to `errors`; false when there was one. What was
 * filled is released with erabi_options_free in either case. */
bool erabi_options_fill(const struct erabi_option *table, void *base, const struct erabi_yaml_node *map,
                        const char *file, struct erabi_config_errors *errors);
void erabi_options_free(const struct erabi_option *table, void *base);

/* One difference between two structs of one table. Texts are valid for the call. */
struct erabi_option_change {
    const char *where; /* "parties.birch.curve_keys" */
    const char *how;   /* "added", "removed" or "changed" */
    const char *from, *to; /* of a single value, else "" */
    bool live;
};
/* Tells every difference. List items that begin with an id are matched by it, others by their place. Both structs came
 * from erabi_options_fill. False: no memory. */
bool erabi_options_compare(const struct erabi_option *table, const void *before, const void *now,
                           void (*tell)(void *user, const struct erabi_option_change *change), void *user);
#endif
