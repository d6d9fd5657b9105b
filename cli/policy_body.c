/* Message bodies from YAML, by their descriptors. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "client.h"
#include "policy_test.h"

/* Everything that one body takes; freed together. */
struct block {
    struct block *next;
    max_align_t data[];
};

struct filling {
    struct block *blocks;
    uint64_t now_ms;
    const char *file;
    struct erabi_config_errors *errors;
    bool failed;
};

#define fault(f, mark, ...) ((f)->failed = true, erabi_config_error((f)->errors, (f)->file, mark, __VA_ARGS__))

static void *take(struct filling *f, size_t size)
{
    struct block *b = calloc(1, sizeof(*b) + size);
    if (!b)
        abort(); /* an offline tool without memory */
    b->next = f->blocks;
    f->blocks = b;
    return b->data;
}

const struct erabi_yaml_node *cli_yaml_child(const struct erabi_yaml_node *map, const char *key)
{
    for (const struct erabi_yaml_node *n = map && map->kind == ERABI_YAML_MAP ? map->first : NULL; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

/* `now`, `now+90s`: units ms (also when none stands), s, m, h. */
static bool read_time(const char *text, uint64_t now_ms, uint64_t *out)
{
    char *end;
    if (strncmp(text, "now", 3) != 0)
        return false;
    *out = now_ms;
    if (!text[3])
        return true;
    if (text[3] != '+' && text[3] != '-')
        return false;
    errno = 0;
    uint64_t n = strtoull(text + 4, &end, 10);
    uint64_t unit = strcmp(end, "s") == 0 ? 1000 : strcmp(end, "m") == 0 ? 60000 : strcmp(end, "h") == 0 ? 3600000 : 1;
    if (errno || end == text + 4 || (unit == 1 && *end && strcmp(end, "ms") != 0) || n > UINT32_MAX)
        return false;
    *out = text[3] == '+' ? now_ms + n * unit : now_ms - n * unit;
    return true;
}

static bool read_number(const char *text, uint64_t now_ms, uint64_t *out)
{
    char *end;
    if (read_time(text, now_ms, out))
        return true;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !errno && end != text && !*end && text[0] != '-';
}

static bool read_enum(const ProtobufCEnumDescriptor *e, const char *text, int *out)
{
    char name[64];
    size_t n = strlen(text);
    if (n >= sizeof(name))
        return false;
    for (size_t i = 0; i <= n; i++)
        name[i] = (char)(text[i] == '-' ? '_' : text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(e, name);
    if (value)
        *out = value->value;
    return value != NULL;
}

static ProtobufCMessage *fill(struct filling *f, const ProtobufCMessageDescriptor *d,
                              const struct erabi_yaml_node *map);

static bool set_bytes(struct filling *f, void *to, const char *text)
{
    ProtobufCBinaryData *bytes = to;
    size_t n = strlen(text);
    bytes->data = take(f, n / 2 + 1);
    return sodium_hex2bin(bytes->data, n / 2 + 1, text, n, NULL, &bytes->len, NULL) == 0 && bytes->len * 2 == n;
}

static void set(struct filling *f, const ProtobufCFieldDescriptor *field, void *to, const struct erabi_yaml_node *node)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        *(ProtobufCMessage **)to = fill(f, field->descriptor, node);
        return;
    }
    if (node->kind != ERABI_YAML_SCALAR) {
        fault(f, node->mark, "%s: one value is needed here", field->name);
        return;
    }
    const char *text = node->text, *right = "a whole number, or now, now+90s";
    uint64_t number = 0;
    char *end;
    bool good = false;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)to = take(f, strlen(text) + 1);
        snprintf(*(char **)to, strlen(text) + 1, "%s", text);
        good = true;
        break;
    case PROTOBUF_C_TYPE_BYTES:
        right = "an even number of hex digits";
        good = set_bytes(f, to, text);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        right = "a number";
        errno = 0;
        *(double *)to = strtod(text, &end);
        good = !errno && end != text && !*end && isfinite(*(double *)to);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        right = "a name of PROTOCOL.md";
        good = read_enum(field->descriptor, text, to);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        right = "true or false";
        *(protobuf_c_boolean *)to = strcmp(text, "true") == 0;
        good = *(protobuf_c_boolean *)to || strcmp(text, "false") == 0;
        break;
    case PROTOBUF_C_TYPE_UINT64:
        good = read_number(text, f->now_ms, &number);
        *(uint64_t *)to = number;
        break;
    default:
        good = read_number(text, f->now_ms, &number) && number <= UINT32_MAX;
        *(uint32_t *)to = (uint32_t)number;
    }
    if (!good)
        fault(f, node->mark, "%s: '%.40s' is not taken; right would be: %s", field->name, text, right);
}

static void set_list(struct filling *f, const ProtobufCFieldDescriptor *field, uint8_t *base,
                     const struct erabi_yaml_node *list)
{
    if (list->kind != ERABI_YAML_LIST) {
        fault(f, list->mark, "%s: a list is needed here", field->name);
        return;
    }
    size_t size = cli_field_size(field), n = 0;
    uint8_t *items = take(f, list->n * size + 1);
    for (const struct erabi_yaml_node *node = list->first; node; node = node->next)
        set(f, field, items + n++ * size, node);
    *(void **)(void *)(base + field->offset) = items;
    *(size_t *)(void *)(base + field->quantifier_offset) = n;
}

static ProtobufCMessage *fill(struct filling *f, const ProtobufCMessageDescriptor *d, const struct erabi_yaml_node *map)
{
    ProtobufCMessage *m = take(f, d->sizeof_message);
    uint8_t *base = (uint8_t *)m;
    protobuf_c_message_init(d, m);
    if (map && map->kind != ERABI_YAML_MAP)
        fault(f, map->mark, "fields of a %s are needed here", d->short_name);
    for (const struct erabi_yaml_node *n = map && map->kind == ERABI_YAML_MAP ? map->first : NULL; n; n = n->next) {
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(d, n->key);
        if (!field) {
            fault(f, n->key_mark, "'%.40s' is no field of %s", n->key, d->short_name);
        } else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            set_list(f, field, base, n);
        } else {
            set(f, field, base + field->offset, n);
            if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
                field->type != PROTOBUF_C_TYPE_MESSAGE)
                *(protobuf_c_boolean *)(base + field->quantifier_offset) = 1;
        }
    }
    for (unsigned i = 0; map && i < d->n_fields; i++)
        if (d->fields[i].label == PROTOBUF_C_LABEL_REQUIRED && !cli_yaml_child(map, d->fields[i].name))
            fault(f, map->mark, "%s.%s is needed", d->short_name, d->fields[i].name);
    return m;
}

ProtobufCMessage *cli_body_read(enum erab_type type, const struct erabi_yaml_node *map, uint64_t now_ms,
                                const char *file, struct erabi_config_errors *errors, size_t *size)
{
    struct filling f = {.now_ms = now_ms, .file = file, .errors = errors};
    ProtobufCMessage *made = fill(&f, erab_body_descriptor(type), map), *read = NULL;
    enum erab_reason reason = ERAB_REASON_MALFORMED;
    uint8_t *bytes = NULL;
    if (!f.failed && erab_body_pack(made, &bytes, size) < 0)
        fault(&f, map->mark, "larger than a body may be");
    if (!f.failed && erab_body_unpack(type, (struct erab_bytes){bytes, *size}, &read, &reason))
        fault(&f, map->mark, "a broker would refuse this body: %s", erab_reason_code(reason));
    free(bytes);
    while (f.blocks) {
        struct block *next = f.blocks->next;
        free(f.blocks);
        f.blocks = next;
    }
    return read;
}
