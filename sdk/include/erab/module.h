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
#define ERAB_ABI_MINOR 3

enum erab_option_type {
    ERAB_OPTION_TEXT,
    ERAB_OPTION_INTEGER,
    ERAB_OPTION_BOOLEAN,
    ERAB_OPTION_PATH, /* absolute */
    ERAB_OPTION_LIST  /* of texts */
};

enum { ERAB_OPTION_REQUIRED = 1, ERAB_OPTION_SECRET = 2, ERAB_OPTION_RELOADABLE = 4 };

/* One option. Tables end with a row whose name is NULL. The host validates, fills in defaults, shows a
 * secret's value nowhere and prints the manual. */
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

#ifdef __cplusplus
#define ERAB_EXTERN_C extern "C"
#else
#define ERAB_EXTERN_C extern
#endif

/* The note in a module's file with the ABI that it was built for; part of ERAB_MODULE. */
#define ERAB_MODULE_NOTE(major, minor)                                                                      \
    __asm__(".pushsection .note.erab, \"a\", %note\n"                                                       \
            "\t.balign 4\n"                                                                                 \
            "\t.4byte 5, 4, 1\n" /* sizes of name and value, type */                                        \
            "\t.asciz \"ERAB\"\n"                                                                           \
            "\t.balign 4\n"                                                                                 \
            "\t.2byte " #major ", " #minor "\n"                                                             \
            "\t.popsection")

/* Ends a module's source, once a module: the entry `erab_module`, and a note in the file with the ABI. The host
 * reads the note from the file's bytes, so that it knows the ABI before it maps the module and long before any code
 * of it runs; a file without the note is refused. `major` and `minor` are plain numbers, those of the headers that
 * the source was written against. `adapters` and `policies` are NULL-ended arrays of pointers, or NULL. */
#define ERAB_MODULE(major, minor, build_text, adapter_list, policy_list)                                    \
    ERAB_MODULE_NOTE(major, minor);                                                                         \
    static const struct erab_module erab_module_table_ = {                                                  \
        sizeof(struct erab_module), major, minor, build_text, adapter_list, policy_list};                   \
    ERAB_EXTERN_C ERAB_API const struct erab_module *erab_module(void);                                     \
    const struct erab_module *erab_module(void)                                                             \
    {                                                                                                       \
        return &erab_module_table_;                                                                         \
    }                                                                                                       \
    struct erab_module_ends_here_ /* takes the semicolon */

#endif
