/* Message bodies as JSON, by their descriptors; `erab send` reads the same form. */
#include <stdlib.h>

#include <sodium.h>

#include "client.h"

static json_t *name_of(const ProtobufCEnumDescriptor *e, int value)
{
    char name[64];
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(e, value);
    size_t n = 0;
    if (!v)
        return json_integer(value);
    for (; v->name[n] && n < sizeof(name) - 1; n++)
        name[n] = (char)(v->name[n] == '_' ? '-' : v->name[n] >= 'A' && v->name[n] <= 'Z' ? v->name[n] + 32 : v->name[n]);
    return json_stringn(name, n);
}

static json_t *hex(const ProtobufCBinaryData *bytes)
{
    char *text = malloc(2 * bytes->len + 1);
    json_t *value = text ? json_string(sodium_bin2hex(text, 2 * bytes->len + 1, bytes->data, bytes->len)) : NULL;
    free(text);
    return value;
}

static json_t *one(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(const char *const *)at);
    case PROTOBUF_C_TYPE_BYTES:
        return hex(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return cli_body_json(*(const ProtobufCMessage *const *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return name_of(field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)at);
    case PROTOBUF_C_TYPE_UINT64:
        return json_integer((json_int_t) * (const uint64_t *)at);
    default:
        return json_integer((json_int_t) * (const uint32_t *)at);
    }
}

size_t cli_field_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    default:
        return 4;
    }
}

static bool present(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    if (field->label == PROTOBUF_C_LABEL_REQUIRED)
        return true;
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(const void *const *)(const void *)(base + field->offset) != NULL;
    return *(const protobuf_c_boolean *)(base + field->quantifier_offset);
}

json_t *cli_body_json(const ProtobufCMessage *body)
{
    const uint8_t *base = (const uint8_t *)body;
    json_t *map = json_object();
    for (unsigned i = 0; i < body->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (present(field, base))
                json_object_set_new(map, field->name, one(field, base + field->offset));
            continue;
        }
        size_t n = *(const size_t *)(const void *)(base + field->quantifier_offset);
        const uint8_t *items = *(const uint8_t *const *)(const void *)(base + field->offset);
        json_t *list = n ? json_array() : NULL;
        for (size_t k = 0; k < n; k++)
            json_array_append_new(list, one(field, items + k * cli_field_size(field)));
        if (list)
            json_object_set_new(map, field->name, list);
    }
    return map;
}
