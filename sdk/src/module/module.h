/* Modules on the side of their hosts: runner, broker, tool. In this order, and only load() runs code of a module:
 *
 *     open     reads the file once into a sealed memory file; everything below looks at those bytes and no others
 *     verify   the detached signature FILE.sig against the signers of the configuration
 *     load     maps the memory file, calls erab_module() and checks its tables
 *
 * Return values: 0; a positive enum erab_reason when the module is refused; a negative errno for a fault of the
 * system. Whenever it is not 0, `error` says which file, what is wrong and what would be right. Any thread. */
#ifndef ERABI_MODULE_H
#define ERABI_MODULE_H

#include <limits.h>

#include <jansson.h>

#include <erab/adapter.h>
#include <erab/policy.h>

#include "base/cursor.h"

#define ERABI_MODULE_FILE_MAX (16u << 20)
#define ERABI_MODULE_SIG      ".sig" /* beside the module */
#define ERABI_MODULE_LIST_MAX 64u    /* adapters, and policies, of one module */

/* What the bytes of the file say. Nothing of the module has run for it. */
struct erabi_module_facts {
    uint16_t abi_major, abi_minor; /* of the note */
    bool has_symbols;              /* there was a table to look at for the two below */
    bool exports_entry;
    char other_export[64]; /* "" or a symbol that it exports beside erab_module */
};

struct erabi_module_file {
    char path[PATH_MAX];
    int fd;              /* sealed memory file */
    const uint8_t *data; /* the same bytes, mapped */
    size_t size;
    struct erabi_module_facts facts;
};

/* The tables as this host knows them: copies, padded with zeros where the module's are shorter. */
struct erabi_module {
    struct erab_module table;
    size_t n_adapters, n_policies;
    struct erab_adapter *adapters;
    struct erab_policy *policies;
};

/* Any of: `path` not absolute, a link, not of root or this user, writable by others, too large, no ELF shared object
 * of this machine, without ABI note, of another ABI, with an executable stack, code that is writable or a run path. */
int erabi_module_open(struct erabi_module_file *out, const char *path, struct erab_error *error);
/* The same for a sealed memory file that another process of ours opened; takes over `fd`. `path` is for messages. */
int erabi_module_adopt(struct erabi_module_file *out, const char *path, int fd, struct erab_error *error);
/* The bytes alone; what erabi_module_open does with them. */
int erabi_module_read(struct erabi_slice bytes, struct erabi_module_facts *out, struct erab_error *error);
/* `signer` (may be NULL) is filled as soon as the signature file names one. */
int erabi_module_verify(const struct erabi_module_file *file, const uint8_t (*signers)[ERAB_KEY_SIZE], size_t n,
                        uint8_t signer[ERAB_KEY_SIZE], struct erab_error *error);
/* Writes FILE.sig, replacing an old one at once. */
int erabi_module_sign(const struct erabi_module_file *file, const uint8_t sign_public[ERAB_KEY_SIZE],
                      const uint8_t sign_secret[ERAB_SIGN_SECRET], struct erab_error *error);
/* Maps it for ever (RTLD_NOW | RTLD_LOCAL); the memory file stays open as well, because the C library tells files
 * apart by name and a second /proc/self/fd/3 would give the first one's code. `file` is left closed. */
int erabi_module_load(struct erabi_module **out, struct erabi_module_file *file, struct erab_error *error);
/* Frees the copies of the tables, not what is mapped. NULL is fine. */
void erabi_module_free(struct erabi_module *module);
const struct erab_adapter *erabi_module_adapter(const struct erabi_module *module, const char *name,
                                                struct erab_error *error);
void erabi_module_close(struct erabi_module_file *file);

/* Option tables. A table is well-formed when its names are of a-z, 0-9 and '_' and stand once, its types are known,
 * its ranges are not empty, its defaults fit and nothing required has one. */
int erabi_module_options_table(const struct erab_option *table, struct erab_error *error);
/* What was given for an option, wherever it comes from: a text, a list (an item that is no text is NULL), or neither. */
struct erabi_option_given {
    const char *name;
    const char *text;
    const char *const *items;
    size_t n_items;
};
/* One thing that is wrong: `text` says what and what would be right and never names a value, which may be a secret.
 * Who knows lines finds it by the rest. */
struct erabi_option_fault {
    const char *option; /* as it was given, or as the table has it; "" for none */
    bool is_name;       /* its name is wrong, not its value */
    size_t item;        /* of a list, counted from 1; 0: the whole option */
    const char *text;
};
struct erabi_options_given {
    const struct erabi_option_given *at;
    size_t n;
    bool lists_are_lists; /* else a list may also come as one text with spaces between */
    void (*fault)(void *user, const struct erabi_option_fault *fault);
    void *user;
};
/* Fills a configuration in the table's order, with defaults, and tells every fault. 0, -EINVAL, -ENOMEM; in each case
 * released with erabi_module_options_deinit. */
int erabi_module_options_fill(struct erab_config *out, const struct erab_option *table,
                              const struct erabi_options_given *given);
/* The same from a JSON object (or NULL): values as JSON or as text. */
int erabi_module_options_json(struct erab_config *out, const struct erab_option *table, const json_t *given,
                              void (*fault)(void *user, const struct erabi_option_fault *fault), void *user);
/* The same; `error` has the first fault. */
int erabi_module_options(struct erab_config *out, const struct erab_option *table, const json_t *given,
                         struct erab_error *error);
/* Secrets are wiped. */
void erabi_module_options_deinit(struct erab_config *config, const struct erab_option *table);
/* The table for a manual: a list of {name, type, required, secret, reloadable, default, min, max, choices, help}. */
json_t *erabi_module_options_manual(const struct erab_option *table);

/* Fills `error` and returns `code`. */
__attribute__((format(printf, 3, 4))) int erabi_error_set(struct erab_error *error, int code, const char *format, ...);

#endif
