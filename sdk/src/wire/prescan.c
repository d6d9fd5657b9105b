#include "wire/wire.h"

#include <assert.h>
#include <errno.h>

#include "wire/limits.h"
#include "wire/varint.h"

/* One message being read. */
struct level {
    const ProtobufCMessageDescriptor *type;
    struct erabi_reader rest;
    const struct erabi_limit *limits;
    size_t n_limits;
    uint32_t fields; /* that are there: bits by their index */
    unsigned next;   /* index of the field that usually follows */
    uint16_t count[ERABI_PRESCAN_FIELDS_PER_TYPE]; /* by index of the field in the descriptor; of those in `fields` */
};

struct scan {
    struct level stack[ERABI_PRESCAN_DEPTH];
    size_t depth;
    size_t fields;
    struct erabi_seen *seen; /* or NULL */
    enum erab_reason reason;
};

_Static_assert(ERABI_PRESCAN_FIELDS_PER_TYPE <= 32, "a bit for each");

static bool refuse(struct scan *s, enum erab_reason why)
{
    s->reason = why;
    return false;
}

static bool enter(struct scan *s, const ProtobufCMessageDescriptor *type, struct erabi_slice bytes)
{
    if (s->depth == ERABI_PRESCAN_DEPTH)
        return refuse(s, ERAB_REASON_TOO_LARGE);
    assert(type->n_fields <= ERABI_PRESCAN_FIELDS_PER_TYPE);
    struct level *l = &s->stack[s->depth++];
    if (l->type != type) /* of many alike, one after the other, once */
        l->limits = erabi_limits_of(type, &l->n_limits);
    l->type = type;
    l->rest = erabi_reader(bytes.data, bytes.size);
    l->fields = 0;
    l->next = 0;
    return true;
}

static const struct erabi_limit *limit_of(const struct level *l, uint32_t field)
{
    for (size_t i = 0; i < l->n_limits; i++)
        if (l->limits[i].field == field)
            return &l->limits[i];
    return NULL;
}

static void note(struct erabi_seen *seen, const struct level *l)
{
    size_t i = 0;
    while (i < seen->n && seen->of[i].type != l->type)
        i++;
    if (i == ERABI_SEEN_TYPES) {
        seen->more = true;
        return;
    }
    if (i == seen->n)
        seen->of[seen->n++] = (struct erabi_seen_type){.type = l->type};
    seen->of[i].fields |= l->fields;
}

/* At the end of a message: is everything there that must be? */
static bool leave(struct scan *s)
{
    const struct level *l = &s->stack[s->depth - 1];
    for (unsigned i = 0; i < l->type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &l->type->fields[i];
        unsigned n = l->fields >> i & 1 ? l->count[i] : 0;
        if (field->label == PROTOBUF_C_LABEL_REQUIRED && n == 0)
            return refuse(s, ERAB_REASON_MALFORMED);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            const struct erabi_limit *limit = limit_of(l, field->id);
            if (limit && n < limit->min)
                return refuse(s, ERAB_REASON_MALFORMED);
        }
    }
    if (s->seen)
        note(s->seen, l);
    s->depth--;
    return true;
}

static bool text_ok(struct erabi_slice s)
{
    size_t plain = 0;
    while (plain < s.size && s.data[plain] - 1u < 0x7f) /* ASCII without NUL: nearly all there is */
        plain++;
    if (plain == s.size)
        return true;
    struct erabi_reader r = erabi_reader(s.data + plain, s.size - plain);
    while (r.left) {
        uint32_t c = erabi_read_u8(&r);
        unsigned more = c < 0x80 ? 0 : c < 0xc2 ? 4 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 4;
        if (c == 0 || more == 4)
            return false;
        if (more)
            c &= 0x3fu >> more;
        for (unsigned i = 0; i < more; i++) {
            uint8_t next = erabi_read_u8(&r);
            if ((next & 0xc0) != 0x80)
                return false;
            c = c << 6 | (next & 0x3f);
        }
        if ((more == 2 && c < 0x800) || (more == 3 && (c < 0x10000 || c > 0x10ffff)) ||
            (c >= 0xd800 && c <= 0xdfff))
            return false;
    }
    return !r.bad;
}

static bool number_ok(const ProtobufCFieldDescriptor *field, uint64_t v)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return v <= 1;
    case PROTOBUF_C_TYPE_ENUM:
        return v <= INT32_MAX && protobuf_c_enum_descriptor_get_value(field->descriptor, (int)v);
    case PROTOBUF_C_TYPE_INT32:
        return v <= INT32_MAX || v >= (uint64_t)INT32_MIN;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SINT32:
        return v <= UINT32_MAX;
    default:
        return true;
    }
}

static uint64_t little_endian(struct erabi_slice s)
{
    uint64_t v = 0;
    for (size_t i = s.size; i > 0; i--)
        v = v << 8 | s.data[i - 1];
    return v;
}

static bool fixed_ok(const ProtobufCFieldDescriptor *field, struct erabi_slice s)
{
    uint64_t v = little_endian(s);
    if (field->type == PROTOBUF_C_TYPE_DOUBLE)
        return (v >> 52 & 0x7ff) != 0x7ff; /* all exponent bits: NaN or infinity */
    if (field->type == PROTOBUF_C_TYPE_FLOAT)
        return (v >> 23 & 0xff) != 0xff;
    return true;
}

static unsigned wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return ERABI_PB_FIXED64;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return ERABI_PB_FIXED32;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return ERABI_PB_LENGTH;
    default:
        return ERABI_PB_VARINT;
    }
}

static bool scan_block(struct scan *s, const struct level *l, const ProtobufCFieldDescriptor *field,
                       struct erabi_slice bytes)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return enter(s, field->descriptor, bytes);
    if (field->type == PROTOBUF_C_TYPE_STRING && !text_ok(bytes))
        return refuse(s, ERAB_REASON_MALFORMED);
    const struct erabi_limit *limit = limit_of(l, field->id);
    if (limit && field->label != PROTOBUF_C_LABEL_REPEATED &&
        (bytes.size < limit->min || bytes.size > limit->max))
        return refuse(s, ERAB_REASON_MALFORMED);
    return true;
}

/* Counts an occurrence; false for a second one of what may stand once, and for one over the limit. */
static bool count(struct scan *s, struct level *l, const ProtobufCFieldDescriptor *field)
{
    unsigned i = (unsigned)(field - l->type->fields);
    uint16_t *n = &l->count[i];
    if (!(l->fields >> i & 1))
        *n = 0;
    if (++s->fields > ERABI_PRESCAN_FIELDS)
        return refuse(s, ERAB_REASON_TOO_LARGE);
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        if (*n)
            return refuse(s, ERAB_REASON_MALFORMED);
    } else {
        const struct erabi_limit *limit = limit_of(l, field->id);
        if (*n >= (limit ? limit->max : ERABI_PRESCAN_REPEATS))
            return refuse(s, ERAB_REASON_TOO_LARGE);
    }
    (*n)++;
    l->fields |= 1u << i;
    l->next = field->label == PROTOBUF_C_LABEL_REPEATED ? i : i + 1;
    return true;
}

/* Fields mostly come in the order of their numbers. */
static const ProtobufCFieldDescriptor *field_of(const struct level *l, unsigned number)
{
    if (l->next < l->type->n_fields && l->type->fields[l->next].id == number)
        return &l->type->fields[l->next];
    return protobuf_c_message_descriptor_get_field(l->type, number);
}

static bool scan_field(struct scan *s)
{
    struct level *l = &s->stack[s->depth - 1];
    uint64_t tag = erabi_read_varint(&l->rest);
    if (l->rest.bad || tag > UINT32_MAX)
        return refuse(s, ERAB_REASON_MALFORMED);
    const ProtobufCFieldDescriptor *field = field_of(l, (unsigned)(tag >> 3));
    /* Groups, packed repeats and alternatives are not part of this format. */
    if (!field || (tag & 7) != wire_of(field->type) || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return refuse(s, ERAB_REASON_MALFORMED);
    if (!count(s, l, field))
        return false;
    bool ok = true;
    struct erabi_slice bytes = {NULL, 0};
    switch ((unsigned)(tag & 7)) {
    case ERABI_PB_VARINT:
        ok = number_ok(field, erabi_read_varint(&l->rest));
        break;
    case ERABI_PB_LENGTH:
        bytes = erabi_read_block(&l->rest);
        break;
    default:
        ok = fixed_ok(field, erabi_read_slice(&l->rest, (tag & 7) == ERABI_PB_FIXED64 ? 8 : 4));
    }
    if (!ok || l->rest.bad)
        return refuse(s, ERAB_REASON_MALFORMED);
    return (tag & 7) != ERABI_PB_LENGTH || scan_block(s, l, field, bytes);
}

int erabi_prescan(const ProtobufCMessageDescriptor *type, struct erabi_slice bytes, struct erabi_seen *seen,
                  enum erab_reason *reason)
{
    struct scan s;
    s.depth = 0;
    for (unsigned i = 0; i < ERABI_PRESCAN_DEPTH; i++)
        s.stack[i].type = NULL;
    s.fields = 0;
    s.seen = seen;
    if (seen)
        *seen = (struct erabi_seen){0};
    if (bytes.size > ERAB_BODY_MAX) {
        *reason = ERAB_REASON_TOO_LARGE;
        return -EBADMSG;
    }
    bool ok = enter(&s, type, bytes);
    while (ok && s.depth > 0)
        ok = s.stack[s.depth - 1].rest.left ? scan_field(&s) : leave(&s);
    if (ok)
        return 0;
    *reason = s.reason;
    return -EBADMSG;
}
