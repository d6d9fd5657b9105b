#include "config/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/cursor.h"

struct build {
    const char *name;
    struct erabi_config_errors *errors;
    struct erabi_yaml_node *root;
    struct erabi_yaml_node *stack[ERABI_YAML_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    char *key; /* read, its value not yet */
    struct erabi_mark key_mark;
};

static void finding(char *text, size_t size, const char *file, struct erabi_mark mark, const char *format, va_list args)
{
    int n = mark.line ? snprintf(text, size, "%s:%u:%u: ", file, mark.line, mark.column)
                      : snprintf(text, size, "%s: ", file);
    if (n >= 0 && (size_t)n < size)
        vsnprintf(text + n, size - (size_t)n, format, args);
    erabi_plain_text(text, strlen(text)); /* file names, keys and values stand in it */
}

void erabi_config_error(struct erabi_config_errors *errors, const char *file, struct erabi_mark mark,
                        const char *format, ...)
{
    if (errors->n == ERABI_CONFIG_ERRORS_MAX) {
        errors->more++;
        return;
    }
    va_list args;
    va_start(args, format);
    finding(errors->text[errors->n++], sizeof(errors->text[0]), file, mark, format, args);
    va_end(args);
}

void erabi_config_note(struct erabi_config_errors *errors, const char *file, struct erabi_mark mark, const char *format,
                       ...)
{
    if (errors->n_notes == ERABI_CONFIG_NOTES_MAX) {
        errors->more_notes++;
        return;
    }
    va_list args;
    va_start(args, format);
    finding(errors->note[errors->n_notes++], sizeof(errors->note[0]), file, mark, format, args);
    va_end(args);
}

void erabi_yaml_free(struct erabi_yaml_node *node)
{
    /* Iterative: the list of children is spliced in front of the node's own successors. */
    while (node) {
        struct erabi_yaml_node *next = node->next;
        if (node->first) {
            node->last->next = next;
            next = node->first;
        }
        free(node->key);
        free(node->text);
        free(node);
        node = next;
    }
}

static struct erabi_mark mark_of(const yaml_mark_t *mark)
{
    return (struct erabi_mark){(uint32_t)mark->line + 1, (uint32_t)mark->column + 1};
}

static int refuse(struct build *b, struct erabi_mark mark, const char *what)
{
    erabi_config_error(b->errors, b->name, mark, "%s", what);
    return -EINVAL;
}

/* Puts a finished node where it belongs. On failure the caller still owns it. */
static int attach(struct build *b, struct erabi_yaml_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return 0;
    }
    struct erabi_yaml_node *parent = b->stack[b->depth - 1];
    if (parent->kind == ERABI_YAML_MAP) {
        node->key = erabi_take(b->key);
        node->key_mark = b->key_mark;
    }
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->n++;
    return 0;
}

static int take_key(struct build *b, struct erabi_yaml_node *parent, const yaml_event_t *event)
{
    struct erabi_mark mark = mark_of(&event->start_mark);
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(b, mark, "a key must be a plain word");
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length || !text[0])
        return refuse(b, mark, "a key must be a plain word");
    for (const struct erabi_yaml_node *n = parent->first; n; n = n->next)
        if (strcmp(n->key, text) == 0) {
            erabi_config_error(b->errors, b->name, mark, "'%.60s' stands here a second time; it is already in line %u",
                               text, n->key_mark.line);
            return -EINVAL;
        }
    b->key = strdup(text);
    b->key_mark = mark;
    return b->key ? 0 : -ENOMEM;
}

static bool decorated(const yaml_event_t *e)
{
    if (e->type == YAML_SCALAR_EVENT)
        return e->data.scalar.anchor || e->data.scalar.tag;
    if (e->type == YAML_SEQUENCE_START_EVENT)
        return e->data.sequence_start.anchor || e->data.sequence_start.tag;
    return e->data.mapping_start.anchor || e->data.mapping_start.tag;
}

/* One event that begins a node. */
static int add_node(struct build *b, const yaml_event_t *e)
{
    struct erabi_mark mark = mark_of(&e->start_mark);
    if (decorated(e))
        return refuse(b, mark, "anchors and tags are not taken; write the value itself");
    struct erabi_yaml_node *parent = b->depth ? b->stack[b->depth - 1] : NULL;
    if (parent && parent->kind == ERABI_YAML_MAP && !b->key)
        return take_key(b, parent, e);
    if (++b->nodes > ERABI_YAML_NODES_MAX)
        return refuse(b, mark, "too many values in one file; at most 65536");
    bool scalar = e->type == YAML_SCALAR_EVENT;
    if (!scalar && b->depth == ERABI_YAML_DEPTH_MAX)
        return refuse(b, mark, "nested too deep; at most 16 levels");
    if (scalar && strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
        return refuse(b, mark, "a NUL character in a text");

    struct erabi_yaml_node *node = calloc(1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->kind = scalar                                 ? ERABI_YAML_SCALAR
                 : e->type == YAML_SEQUENCE_START_EVENT ? ERABI_YAML_LIST
                                                        : ERABI_YAML_MAP;
    node->mark = mark;
    attach(b, node);
    if (!scalar) {
        b->stack[b->depth++] = node;
        return 0;
    }
    node->text = strdup((const char *)e->data.scalar.value);
    return node->text ? 0 : -ENOMEM;
}

/* 0 = go on, 1 = the end, negative = refused. */
static int take_event(struct build *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        return b->root ? refuse(b, mark_of(&e->start_mark), "a second document; one file holds one") : 0;
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_ALIAS_EVENT:
        return refuse(b, mark_of(&e->start_mark), "aliases are not taken; write the value itself");
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return 0;
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return add_node(b, e);
    default:
        return refuse(b, mark_of(&e->start_mark), "this is not taken in a configuration");
    }
}

static int parse_all(struct build *b, yaml_parser_t *parser)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            erabi_config_error(b->errors, b->name, mark_of(&parser->problem_mark), "not valid YAML: %s",
                               parser->problem ? parser->problem : "unreadable");
            return -EINVAL;
        }
        int r = take_event(b, &event);
        yaml_event_delete(&event);
        if (r)
            return r < 0 ? r : 0;
    }
}

int erabi_yaml_parse(struct erabi_yaml_node **out, const char *text, size_t size, const char *name,
                     struct erabi_config_errors *errors)
{
    *out = NULL;
    struct build b = {.name = name, .errors = errors};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    int r = parse_all(&b, &parser);
    yaml_parser_delete(&parser);
    free(b.key);
    if (r == 0 && !b.root)
        r = refuse(&b, (struct erabi_mark){1, 1}, "the file is empty");
    if (r < 0) {
        erabi_yaml_free(b.root);
        return r;
    }
    *out = b.root;
    return 0;
}

static int file_fault(struct erabi_config_errors *errors, const char *path, int fault)
{
    erabi_config_error(errors, path, (struct erabi_mark){0, 0}, "cannot be read: %s", strerror(-fault));
    return fault;
}

int erabi_yaml_load(struct erabi_yaml_node **out, const char *path, struct erabi_config_errors *errors)
{
    *out = NULL;
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return file_fault(errors, path, -errno);
    if (!S_ISREG(st.st_mode))
        return file_fault(errors, path, -EINVAL);
    if (st.st_size > (off_t)ERABI_YAML_BYTES_MAX)
        return file_fault(errors, path, -EFBIG);
    size_t size = 0, room = (size_t)st.st_size;
    _free_ char *text = malloc(room + 1);
    if (!text)
        return -ENOMEM;
    while (size < room) {
        ssize_t n = read(fd, text + size, room - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_fault(errors, path, -errno);
        if (n == 0)
            break;
        size += (size_t)n;
    }
    return erabi_yaml_parse(out, text, size, path, errors);
}
