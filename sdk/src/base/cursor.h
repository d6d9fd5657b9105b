/* Bounded reader and writer: every byte from outside is read through a cursor, every buffer is filled
 * through one. A failed step sets `bad`, yields zeros and makes all later steps fail too, so that a parser
 * may read a whole layout and check once at the end. All integers are big-endian. */
#ifndef ERABI_CURSOR_H
#define ERABI_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed view of bytes; never owns. */
struct erabi_slice {
    const uint8_t *data;
    size_t size;
};

struct erabi_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

struct erabi_writer {
    uint8_t *start;
    size_t size;
    size_t used;
    bool bad;
};

static inline struct erabi_slice erabi_slice(const void *data, size_t size)
{
    return (struct erabi_slice){data, size};
}

bool erabi_slice_equal(struct erabi_slice a, struct erabi_slice b);

struct erabi_reader erabi_reader(const void *data, size_t size);
/* Here, for every number and text of a message is read through it. */
static inline uint8_t erabi_read_u8(struct erabi_reader *r)
{
    if (r->bad || r->left == 0) {
        r->bad = true;
        return 0;
    }
    r->left--;
    return *r->at++;
}
uint16_t erabi_read_u16(struct erabi_reader *r);
uint32_t erabi_read_u32(struct erabi_reader *r);
uint64_t erabi_read_u64(struct erabi_reader *r);
/* The next n bytes as a view; {NULL, 0} when fewer are left. */
struct erabi_slice erabi_read_slice(struct erabi_reader *r, size_t n);
void erabi_read_bytes(struct erabi_reader *r, void *to, size_t n);
/* True when the next n bytes are exactly these. */
bool erabi_read_expect(struct erabi_reader *r, const void *bytes, size_t n);
/* True when nothing failed and nothing is left. */
bool erabi_reader_done(const struct erabi_reader *r);

struct erabi_writer erabi_writer(void *buffer, size_t size);
void erabi_write_u8(struct erabi_writer *w, uint8_t v);
void erabi_write_u16(struct erabi_writer *w, uint16_t v);
void erabi_write_u32(struct erabi_writer *w, uint32_t v);
void erabi_write_u64(struct erabi_writer *w, uint64_t v);
void erabi_write_bytes(struct erabi_writer *w, const void *bytes, size_t n);
/* Room for n bytes to be filled by the caller; NULL when there is not so much. */
uint8_t *erabi_write_room(struct erabi_writer *w, size_t n);

/* Copies a NUL-terminated text into a fixed array; false (and an empty text) when it does not fit. */
bool erabi_copy_text(char *to, size_t size, const char *from);
/* Copies exactly n bytes between buffers that the caller knows to be large enough. */
void erabi_copy_bytes(void *to, const void *from, size_t n);
/* The bytes of the UTF-8 character that begins here (n > 0); 0: none does. */
size_t erabi_character(const unsigned char *bytes, size_t n);
/* Makes bytes fit for one line of a log or terminal, in place: control characters (those of C1 too) and what is no UTF-8
 * become '?'. */
void erabi_plain_text(char *text, size_t n);

#endif
