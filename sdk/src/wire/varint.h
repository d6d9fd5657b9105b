/* Protocol-buffer varints and tags over the bounded cursor. Only the shortest form of a number is read, so
 * that a message has one encoding per value and nothing hides in padding. */
#ifndef ERABI_VARINT_H
#define ERABI_VARINT_H

#include "base/cursor.h"

#define ERABI_VARINT_MAX 10

/* Wire types of protocol buffers. */
enum erabi_pb_wire { ERABI_PB_VARINT = 0, ERABI_PB_FIXED64 = 1, ERABI_PB_LENGTH = 2, ERABI_PB_FIXED32 = 5 };

/* The next varint; 0 and `bad` when it is cut off, over 64 bits or longer than needed. */
static inline uint64_t erabi_read_varint(struct erabi_reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < ERABI_VARINT_MAX; i++) {
        uint8_t b = erabi_read_u8(r);
        if (r->bad || (i == ERABI_VARINT_MAX - 1 && b > 1) || (i > 0 && b == 0))
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80))
            return v;
    }
    r->bad = true;
    return 0;
}

/* A varint length and as many bytes. */
static inline struct erabi_slice erabi_read_block(struct erabi_reader *r)
{
    uint64_t n = erabi_read_varint(r);
    if (n > r->left) {
        r->bad = true;
        n = 0;
    }
    return erabi_read_slice(r, (size_t)n);
}

static inline size_t erabi_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

static inline void erabi_write_varint(struct erabi_writer *w, uint64_t v)
{
    while (v > 0x7f) {
        erabi_write_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    erabi_write_u8(w, (uint8_t)v);
}

/* A field below 16 with its number: tag byte and varint. */
static inline void erabi_write_number(struct erabi_writer *w, unsigned field, uint64_t v)
{
    erabi_write_u8(w, (uint8_t)(field << 3 | ERABI_PB_VARINT));
    erabi_write_varint(w, v);
}

/* A field below 16 with bytes: tag byte, length, bytes. */
static inline void erabi_write_block(struct erabi_writer *w, unsigned field, struct erabi_slice s)
{
    erabi_write_u8(w, (uint8_t)(field << 3 | ERABI_PB_LENGTH));
    erabi_write_varint(w, s.size);
    erabi_write_bytes(w, s.data, s.size);
}

#endif
