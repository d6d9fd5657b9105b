#include <erab/privacy.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "privacy_seen.h"
#include "wire/limits.h"

enum field_class { OPERATION, MEASURED, HOME, PERSONAL, SECURITY, SUBJECT };

/* The table: for each message the classes of its fields, in the order of their numbers. */
struct row {
    const char *field;
    enum field_class class;
};
#define FIELD(name, class) {#name, class},
#define BODY(message, ...) static const struct row message##_rows[] = {__VA_ARGS__};
#include <erab/v1/privacy_fields.h>
#undef BODY
#undef FIELD

static const struct table {
    const ProtobufCMessageDescriptor *message;
    const struct row *rows;
    size_t n;
} tables[] = {
#define FIELD(name, class)
#define BODY(message, ...)                                                                                   \
    {&erab__v1__##message##__descriptor, message##_rows, sizeof(message##_rows) / sizeof(message##_rows[0])},
#include <erab/v1/privacy_fields.h>
#undef BODY
#undef FIELD
};

static const struct table *table_of(const ProtobufCMessageDescriptor *message)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        if (tables[i].message == message)
            return &tables[i];
    return NULL;
}

static enum erab_category category_of(enum field_class class, enum erab_category stated)
{
    switch (class) {
    case OPERATION:
    case SUBJECT:
        return ERAB_OPERATION;
    case MEASURED:
        return stated == ERAB_SENSOR_HOME || stated == ERAB_PERSONAL ? stated : ERAB_SENSOR_GROUP;
    case HOME:
        return ERAB_SENSOR_HOME;
    case SECURITY:
        return ERAB_SECURITY;
    default:
        return ERAB_PERSONAL;
    }
}

/* The class of field number i of the message; PERSONAL when the table does not fit. */
static enum field_class class_of(const struct table *table, const ProtobufCMessageDescriptor *message, unsigned i)
{
    return table && i < table->n && strcmp(table->rows[i].field, message->fields[i].name) == 0 ? table->rows[i].class
                                                                                              : PERSONAL;
}

uint32_t erab_privacy_allowed(enum erab_interface interface)
{
    const uint32_t everywhere = ERAB_CATEGORY_BIT(ERAB_OPERATION) | ERAB_CATEGORY_BIT(ERAB_SECURITY);
    const uint32_t groups = everywhere | ERAB_CATEGORY_BIT(ERAB_SENSOR_GROUP);
    switch (interface) {
    case ERAB_IF_R1:
    case ERAB_IF_R3:
    case ERAB_IF_INTERNAL:
        return groups;
    case ERAB_IF_R2:
        return groups | ERAB_CATEGORY_BIT(ERAB_PERSONAL);
    case ERAB_IF_R4:
    case ERAB_IF_R5:
        return groups | ERAB_CATEGORY_BIT(ERAB_SENSOR_HOME);
    default:
        return everywhere;
    }
}

enum erab_category erab_privacy_category(const ProtobufCMessageDescriptor *message, const char *field,
                                         enum erab_category stated)
{
    const struct table *table = table_of(message);
    for (unsigned i = 0; i < message->n_fields; i++)
        if (strcmp(message->fields[i].name, field) == 0)
            return category_of(class_of(table, message, i), stated);
    return ERAB_PERSONAL;
}

uint32_t erabi_privacy_seen(const struct erabi_seen *seen, enum erab_category stated, bool *has_members)
{
    uint32_t categories = 0;
    *has_members = false;
    for (size_t i = 0; i < seen->n && !seen->more; i++) {
        const ProtobufCMessageDescriptor *d = seen->of[i].type;
        const struct table *table = table_of(d);
        for (uint32_t left = seen->of[i].fields; left; left &= left - 1) {
            unsigned field = (unsigned)__builtin_ctz(left);
            categories |= ERAB_CATEGORY_BIT(category_of(class_of(table, d, field), stated));
            *has_members |= d == &erab__v1__telemetry_point__descriptor &&
                            d->fields[field].quantifier_offset == offsetof(Erab__V1__TelemetryPoint, has_members);
        }
    }
    return categories;
}

/* ---- going through a body ---- */

struct place {
    const ProtobufCFieldDescriptor *field;
    uint8_t *value;  /* the member, or the pointer to the first of a list */
    void *quantifier; /* has_ or n_, NULL when there is none */
    size_t n;        /* values there: 0 = absent */
};

static struct place place_of(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    struct place p = {.field = f, .value = (uint8_t *)m + f->offset, .n = 1};
    if (f->quantifier_offset)
        p.quantifier = (uint8_t *)m + f->quantifier_offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        p.n = *(const size_t *)p.quantifier;
    else if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
        p.n = *(void *const *)(void *)p.value != NULL;
    else if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
        p.n = *(const protobuf_c_boolean *)p.quantifier != 0;
    return p;
}

static ProtobufCMessage *message_at(const struct place *p, size_t i)
{
    ProtobufCMessage **list = p->field->label == PROTOBUF_C_LABEL_REPEATED ? *(ProtobufCMessage ***)(void *)p->value
                                                                           : (ProtobufCMessage **)(void *)p->value;
    return list[i];
}

/* A sum of few members tells about each of them. */
static enum erab_category stated_here(const ProtobufCMessage *m, enum erab_category stated, uint32_t group_min)
{
    if (stated == ERAB_SENSOR_HOME || stated == ERAB_PERSONAL || group_min == 0 ||
        m->descriptor != &erab__v1__telemetry_point__descriptor)
        return stated;
    const Erab__V1__TelemetryPoint *point = (const void *)m;
    return point->has_members && point->members < group_min ? ERAB_SENSOR_HOME : stated;
}

bool erab_privacy_walk(const ProtobufCMessage *body, enum erab_category stated, uint32_t group_min,
                       bool (*each)(void *user, const struct erab_privacy_field *field), void *user)
{
    const ProtobufCMessageDescriptor *d = body->descriptor;
    const struct table *table = table_of(d);
    stated = stated_here(body, stated, group_min);
    for (unsigned i = 0; i < d->n_fields; i++) {
        struct place p = place_of((ProtobufCMessage *)(uintptr_t)body, &d->fields[i]);
        enum field_class class = class_of(table, d, i);
        struct erab_privacy_field said = {.size = sizeof(said),
                                          .message = d->short_name,
                                          .field = d->fields[i].name,
                                          .category = category_of(class, stated),
                                          .is_subject = class == SUBJECT};
        if (p.n && class == SUBJECT && p.field->type == PROTOBUF_C_TYPE_STRING)
            said.text = *(char *const *)(void *)p.value;
        if (p.n && !each(user, &said))
            return false;
        for (size_t k = 0; p.field->type == PROTOBUF_C_TYPE_MESSAGE && k < p.n; k++)
            if (!erab_privacy_walk(message_at(&p, k), stated, group_min, each, user))
                return false;
    }
    return true;
}

/* 1 changed, -EACCES when it cannot be. */
static int mask_field(const ProtobufCMessageDescriptor *message, const struct place *p)
{
    static const char masked[] = "masked";
    bool needed = p->field->label == PROTOBUF_C_LABEL_REQUIRED;
    size_t n;
    const struct erabi_limit *limits = erabi_limits_of(message, &n);
    for (size_t i = 0; i < n; i++) /* emptied, it would be refused by whoever reads it */
        if (limits[i].field == p->field->id && limits[i].min > 0 &&
            (needed || p->field->label == PROTOBUF_C_LABEL_REPEATED))
            return -EACCES;
    if (p->field->label == PROTOBUF_C_LABEL_REPEATED) {
        *(size_t *)p->quantifier = 0;
    } else if (p->field->type == PROTOBUF_C_TYPE_STRING) {
        *(char **)(void *)p->value = needed ? (char *)(uintptr_t)masked : NULL;
    } else if (p->field->type == PROTOBUF_C_TYPE_BYTES) {
        *(ProtobufCBinaryData *)(void *)p->value = (ProtobufCBinaryData){0};
        if (!needed)
            *(protobuf_c_boolean *)p->quantifier = 0;
    } else if (needed) {
        return -EACCES;
    } else if (p->field->type == PROTOBUF_C_TYPE_MESSAGE) {
        *(void **)(void *)p->value = NULL;
    } else {
        *(protobuf_c_boolean *)p->quantifier = 0;
    }
    return 1;
}

int erab_privacy_mask(ProtobufCMessage *body, enum erab_category stated, uint32_t allowed, uint32_t group_min,
                      const char **field)
{
    const ProtobufCMessageDescriptor *d = body->descriptor;
    const struct table *table = table_of(d);
    int changed = 0;
    stated = stated_here(body, stated, group_min);
    for (unsigned i = 0; i < d->n_fields; i++) {
        struct place p = place_of(body, &d->fields[i]);
        bool passes = allowed & ERAB_CATEGORY_BIT(category_of(class_of(table, d, i), stated));
        int r = p.n && !passes ? mask_field(d, &p) : 0;
        for (size_t k = 0; p.field->type == PROTOBUF_C_TYPE_MESSAGE && passes && k < p.n; k++) {
            int inside = erab_privacy_mask(message_at(&p, k), stated, allowed, group_min, field);
            if (inside < 0)
                return inside;
            changed += inside;
        }
        if (r < 0 && field)
            *field = d->fields[i].name;
        if (r < 0)
            return r;
        changed += r;
    }
    return changed;
}
