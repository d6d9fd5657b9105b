/* A YAML file as a bounded tree with the place of every node.
 * Taken: one document of plain mappings, sequences and scalars. Refused: anchors, aliases, tags, merge keys, duplicate
 * keys, keys that are no scalars, more than 16 levels, 65,536 nodes or 4 MiB. Any thread. */
#ifndef ERABI_YAML_H
#define ERABI_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ERABI_YAML_BYTES_MAX (4u << 20)
#define ERABI_YAML_NODES_MAX 65536u
#define ERABI_YAML_DEPTH_MAX 16

/* Place in the file, counted from 1. Line 0: no place. */
struct erabi_mark {
    uint32_t line;
    uint32_t column;
};

/* Everything that is wrong with a file, not only the first thing. `more` counts what did not fit. */
#define ERABI_CONFIG_ERRORS_MAX 64
#define ERABI_CONFIG_NOTES_MAX  16
#define ERABI_CONFIG_LINE       384
struct erabi_config_errors {
    size_t n;
    size_t more;
    char text[ERABI_CONFIG_ERRORS_MAX][ERABI_CONFIG_LINE]; /* "FILE:LINE:COLUMN: what is wrong; what would be right" */
    size_t n_notes, more_notes; /* what is no fault, but should be known */
    char note[ERABI_CONFIG_NOTES_MAX][ERABI_CONFIG_LINE];
};

void erabi_config_error(struct erabi_config_errors *errors, const char *file, struct erabi_mark mark,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));
void erabi_config_note(struct erabi_config_errors *errors, const char *file, struct erabi_mark mark, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));

enum erabi_yaml_kind { ERABI_YAML_SCALAR, ERABI_YAML_LIST, ERABI_YAML_MAP };

struct erabi_yaml_node {
    enum erabi_yaml_kind kind;
    struct erabi_mark mark;     /* of the value */
    struct erabi_mark key_mark; /* of the key, in a mapping */
    char *key;                  /* in a mapping, else NULL */
    char *text;                 /* of a scalar, else NULL; never holds NUL */
    struct erabi_yaml_node *first, *last, *next;
    size_t n; /* children */
};

/* Reads a whole file. 0 and the caller owns *out; -EINVAL with `errors` filled; or -errno of the file (told in
 * `errors` too). */
int erabi_yaml_load(struct erabi_yaml_node **out, const char *path, struct erabi_config_errors *errors);
/* The same from memory; `name` stands for the file in errors. */
int erabi_yaml_parse(struct erabi_yaml_node **out, const char *text, size_t size, const char *name,
                     struct erabi_config_errors *errors);
void erabi_yaml_free(struct erabi_yaml_node *node);
#endif
