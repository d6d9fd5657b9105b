/* The one symbol of a loadable module. A module exports `erab_module` and nothing else, links no part of the
 * host, and uses host services only through the table it is given. Loaded RTLD_NOW | RTLD_LOCAL, never
 * unmapped. */
#ifndef ERAB_MODULE_H
#define ERAB_MODULE_H

#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Major must equal the host's; minor may be at most the host's. Written as numbers in a module's source. */
#define ERAB_ABI_MAJOR 0
#define ERAB_ABI_MINOR 1

enum erab_option_type {
    ERAB_OPTION_TEXT,
    ERAB_OPTION_INTEGER,
    ERAB_OPTION_BOOLEAN,
    ERAB_OPTION_PATH, /* absolute */
    ERAB_OPTION_LIST  /* of texts */
};

enum { ERAB_OPTION_REQUIRED = 1, ERAB_OPTION_SECRET = 2, ERAB_OPTION_RELOADABLE = 4 };

/* One option. Tables end with a row whose name is NULL. The host validates, fills in defaults, redacts
 * secrets and prints the manual. */
struct erab_option {
    const char *name;
    enum erab_option_type type;
    uint32_t flags;
    const char *default_value; /* NULL: none */
    int64_t min, max;          /* integer range; for lists the number of items */
    const char *const *choices; /* NULL-ended, or NULL */
    const char *help;
};

/* The options of one instance, already validated. Values live as long as the instance. */
struct erab_config {
    uint32_t size;
    uint32_t n;
    const struct erab_config_value {
        const char *name;
        const char *text;          /* NULL when absent */
        int64_t integer;           /* booleans 0 or 1 */
        const char *const *list;   /* NULL-ended, or NULL */
    } *values;
};

/* Where a check or a start says what is wrong and what would be right. */
struct erab_error {
    uint32_t size;
    char text[508];
    char option[60]; /* the option that it is about, "" for none: the host finds its line */
    uint32_t item;   /* of a list, counted from 1; 0: the whole option */
};

struct erab_adapter; /* <erab/adapter.h> */
struct erab_policy;  /* <erab/policy.h> */

struct erab_module {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    const char *build; /* for logs */
    const struct erab_adapter *const *adapters; /* NULL-ended, or NULL */
    const struct erab_policy *const *policies;  /* NULL-ended, or NULL */
};

typedef const struct erab_module *(*erab_module_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
