#include "wire/wire.h"

#include <errno.h>

#include "wire/varint.h"

/* The smallest envelope that a valid header allows takes more than this; a packet shorter than
 * ERABI_ENVELOPES_MAX times it need not be counted. */
#define ENVELOPE_MIN 40

static bool read_envelope(struct erabi_slice bytes, struct erabi_envelope *out)
{
    struct erabi_reader r = erabi_reader(bytes.data, bytes.size);
    struct erabi_slice *fields[] = {&out->header, &out->body, &out->signature};
    unsigned seen = 0;
    *out = (struct erabi_envelope){0};
    while (r.left) {
        uint8_t tag = erabi_read_u8(&r);
        unsigned field = tag >> 3;
        if ((tag & 7) != ERABI_PB_LENGTH || field < 1 || field > 3 || (seen & 1u << field))
            return false;
        seen |= 1u << field;
        *fields[field - 1] = erabi_read_block(&r);
        if (r.bad)
            return false;
    }
    if (!(seen & 1u << 1) || !(seen & 1u << 2) || out->header.size == 0)
        return false;
    return !(seen & 1u << 3) || out->signature.size == ERAB_SIGNATURE_SIZE;
}

int erabi_packet_read(struct erabi_slice packet, enum erab_lane_group *group,
                      struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX], size_t *n)
{
    struct erabi_reader r = erabi_reader(packet.data, packet.size);
    uint64_t lanes = 0;
    size_t count = 0;
    if (packet.size > ERAB_PACKET_MAX)
        return -EBADMSG;
    while (r.left) {
        uint8_t tag = erabi_read_u8(&r);
        if (tag == (1 << 3 | ERABI_PB_VARINT) && lanes == 0) {
            lanes = erabi_read_varint(&r);
            if (lanes != ERAB_LANES_COMMAND && lanes != ERAB_LANES_TELEMETRY)
                return -EBADMSG;
        } else if (tag == (2 << 3 | ERABI_PB_LENGTH) && count < ERABI_ENVELOPES_MAX) {
            struct erabi_slice bytes = erabi_read_block(&r);
            if (r.bad || !read_envelope(bytes, &envelopes[count]))
                return -EBADMSG;
            count++;
        } else {
            return -EBADMSG;
        }
    }
    if (r.bad || lanes == 0 || count == 0)
        return -EBADMSG;
    *group = (enum erab_lane_group)lanes;
    *n = count;
    return 0;
}

int erabi_packet_begin(struct erabi_writer *w, enum erab_lane_group group)
{
    if (w->bad || w->size - w->used < 2)
        return -ENOSPC;
    erabi_write_number(w, 1, group);
    return 0;
}

static bool is_full(const struct erabi_writer *w)
{
    if (w->used < (size_t)ENVELOPE_MIN * ERABI_ENVELOPES_MAX)
        return false;
    struct erabi_reader r = erabi_reader(w->start, w->used);
    size_t count = 0;
    erabi_read_slice(&r, 2);
    while (r.left && !r.bad) {
        erabi_read_u8(&r);
        erabi_read_block(&r);
        count++;
    }
    return r.bad || count >= ERABI_ENVELOPES_MAX;
}

int erabi_packet_add(struct erabi_writer *w, const struct erabi_envelope *e)
{
    return is_full(w) ? -ENOSPC : erabi_packet_add_counted(w, e);
}

int erabi_packet_add_counted(struct erabi_writer *w, const struct erabi_envelope *e)
{
    size_t inner = 1 + erabi_varint_size(e->header.size) + e->header.size;
    inner += 1 + erabi_varint_size(e->body.size) + e->body.size;
    if (e->signature.size)
        inner += 1 + erabi_varint_size(e->signature.size) + e->signature.size;
    size_t whole = 1 + erabi_varint_size(inner) + inner;
    if (w->bad || whole > w->size - w->used || w->used + whole > ERAB_PACKET_MAX)
        return -ENOSPC;
    erabi_write_u8(w, 2 << 3 | ERABI_PB_LENGTH);
    erabi_write_varint(w, inner);
    erabi_write_block(w, 1, e->header);
    erabi_write_block(w, 2, e->body);
    if (e->signature.size)
        erabi_write_block(w, 3, e->signature);
    return 0;
}
