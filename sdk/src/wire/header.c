#include "wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "wire/varint.h"

/* Field numbers of erab.v1.Header. */
enum {
    ID = 1,
    FROM,
    TO,
    TYPE,
    ISSUED,
    EXPIRES,
    SEQ,
    PARENT,
    CATEGORY,
    EXERCISE,
    TRACE,
    SEALED,
    VERSION,
};

#define BIT(field) (1u << (field))
#define REQUIRED                                                                                             \
    (BIT(ID) | BIT(FROM) | BIT(TO) | BIT(TYPE) | BIT(ISSUED) | BIT(EXPIRES) | BIT(SEQ) | BIT(CATEGORY))
#define BLOCKS (BIT(ID) | BIT(FROM) | BIT(TO) | BIT(PARENT) | BIT(TRACE))

static bool is_uuid7(const uint8_t id[ERAB_ID_SIZE])
{
    return id[6] >> 4 == 7 && id[8] >> 6 == 2;
}

static bool copy_id(struct erabi_slice s, uint8_t id[ERAB_ID_SIZE])
{
    if (s.size != ERAB_ID_SIZE)
        return false;
    erabi_copy_bytes(id, s.data, ERAB_ID_SIZE);
    return is_uuid7(id);
}

static bool copy_text(struct erabi_slice s, char *to, size_t room)
{
    if (s.size == 0 || s.size >= room)
        return false;
    erabi_copy_bytes(to, s.data, s.size);
    to[s.size] = '\0';
    return strlen(to) == s.size;
}

static bool read_parent(struct erabi_slice bytes, struct erab_header *out)
{
    struct erabi_reader r = erabi_reader(bytes.data, bytes.size);
    bool has_id = false, has_hash = false;
    while (r.left && !r.bad) {
        uint8_t tag = erabi_read_u8(&r);
        struct erabi_slice s = erabi_read_block(&r);
        if (tag == (1 << 3 | ERABI_PB_LENGTH) && !has_id) {
            has_id = copy_id(s, out->parent_id);
            r.bad |= !has_id;
        } else if (tag == (2 << 3 | ERABI_PB_LENGTH) && !has_hash && s.size == ERAB_HASH_SIZE) {
            has_hash = true;
            erabi_copy_bytes(out->parent_hash, s.data, ERAB_HASH_SIZE);
        } else {
            return false;
        }
    }
    out->has_parent = true;
    return !r.bad && has_id && has_hash;
}

static bool take_block(unsigned field, struct erabi_slice s, struct erab_header *out)
{
    switch (field) {
    case ID:
        return copy_id(s, out->id);
    case FROM:
        return copy_text(s, out->from, sizeof(out->from)) && erab_party_valid(out->from);
    case TO:
        return copy_text(s, out->to, sizeof(out->to)) && erab_addressee_valid(out->to);
    case PARENT:
        return read_parent(s, out);
    default:
        if (s.size != sizeof(out->trace_id))
            return false;
        erabi_copy_bytes(out->trace_id, s.data, s.size);
        out->has_trace = true;
        return true;
    }
}

static bool take_number(unsigned field, uint64_t v, struct erab_header *out)
{
    switch (field) {
    case TYPE:
        out->type = v <= ERAB_TYPE_MAX ? (enum erab_type)v : (enum erab_type)0;
        return true; /* judged last, for it has a reason of its own */
    case ISSUED:
        out->issued_at_ms = v;
        return true;
    case EXPIRES:
        out->expires_at_ms = v;
        return true;
    case SEQ:
        out->seq = v;
        return v > 0;
    case CATEGORY:
        out->category = (enum erab_category)v;
        return v >= ERAB_OPERATION && v <= ERAB_SECURITY;
    case EXERCISE:
        out->exercise = v == 1;
        return v <= 1;
    case SEALED:
        out->sealed = v == 1;
        return v <= 1;
    default:
        out->version = (uint32_t)v;
        return v > 0 && v <= UINT32_MAX;
    }
}

static bool read_fields(struct erabi_reader *r, struct erab_header *out)
{
    unsigned seen = 0;
    while (r->left) {
        uint8_t tag = erabi_read_u8(r);
        unsigned field = tag >> 3;
        if (field < ID || field > VERSION || (seen & BIT(field)))
            return false;
        seen |= BIT(field);
        bool block = BLOCKS & BIT(field);
        if ((tag & 7) != (block ? ERABI_PB_LENGTH : ERABI_PB_VARINT))
            return false;
        if (block) {
            struct erabi_slice s = erabi_read_block(r);
            if (r->bad || !take_block(field, s, out))
                return false;
        } else {
            uint64_t v = erabi_read_varint(r);
            if (r->bad || !take_number(field, v, out))
                return false;
        }
    }
    return (seen & REQUIRED) == REQUIRED;
}

int erabi_header_decode(struct erabi_slice bytes, struct erab_header *out, enum erab_reason *reason)
{
    struct erabi_reader r = erabi_reader(bytes.data, bytes.size);
    *out = (struct erab_header){.version = 1};
    if (bytes.size > ERAB_HEADER_MAX)
        *reason = ERAB_REASON_TOO_LARGE;
    else if (!read_fields(&r, out))
        *reason = ERAB_REASON_MALFORMED;
    else if (!erab_body_descriptor(out->type))
        *reason = ERAB_REASON_UNKNOWN_TYPE;
    else
        return 0;
    return -EBADMSG;
}

static void write_text(struct erabi_writer *w, unsigned field, const char *text)
{
    erabi_write_block(w, field, erabi_slice(text, strlen(text)));
}

size_t erabi_header_encode(const struct erab_header *h, uint8_t buffer[ERAB_HEADER_MAX])
{
    assert(erab_body_descriptor(h->type) && erab_party_valid(h->from) && erab_addressee_valid(h->to));
    assert(h->category >= ERAB_OPERATION && h->category <= ERAB_SECURITY && h->seq > 0 && is_uuid7(h->id));
    struct erabi_writer w = erabi_writer(buffer, ERAB_HEADER_MAX);
    erabi_write_block(&w, ID, erabi_slice(h->id, ERAB_ID_SIZE));
    write_text(&w, FROM, h->from);
    write_text(&w, TO, h->to);
    erabi_write_number(&w, TYPE, h->type);
    erabi_write_number(&w, ISSUED, h->issued_at_ms);
    erabi_write_number(&w, EXPIRES, h->expires_at_ms);
    erabi_write_number(&w, SEQ, h->seq);
    if (h->has_parent) {
        uint8_t parent[4 + ERAB_ID_SIZE + ERAB_HASH_SIZE];
        struct erabi_writer p = erabi_writer(parent, sizeof(parent));
        erabi_write_block(&p, 1, erabi_slice(h->parent_id, ERAB_ID_SIZE));
        erabi_write_block(&p, 2, erabi_slice(h->parent_hash, ERAB_HASH_SIZE));
        erabi_write_block(&w, PARENT, erabi_slice(parent, p.used));
    }
    erabi_write_number(&w, CATEGORY, h->category);
    if (h->exercise)
        erabi_write_number(&w, EXERCISE, 1);
    if (h->has_trace)
        erabi_write_block(&w, TRACE, erabi_slice(h->trace_id, sizeof(h->trace_id)));
    if (h->sealed)
        erabi_write_number(&w, SEALED, 1);
    if (h->version > 1)
        erabi_write_number(&w, VERSION, h->version);
    assert(!w.bad);
    return w.used;
}
