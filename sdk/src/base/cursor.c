#include "base/cursor.h"

#include <endian.h>
#include <string.h>

bool erabi_slice_equal(struct erabi_slice a, struct erabi_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

struct erabi_reader erabi_reader(const void *data, size_t size)
{
    return (struct erabi_reader){data, size, false};
}

struct erabi_slice erabi_read_slice(struct erabi_reader *r, size_t n)
{
    if (r->bad || n > r->left) {
        r->bad = true;
        return (struct erabi_slice){NULL, 0};
    }
    struct erabi_slice s = {r->at, n};
    r->at += n;
    r->left -= n;
    return s;
}

static uint64_t read_be(struct erabi_reader *r, size_t n)
{
    struct erabi_slice s = erabi_read_slice(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.size; i++)
        v = v << 8 | s.data[i];
    return v;
}

uint16_t erabi_read_u16(struct erabi_reader *r)
{
    return (uint16_t)read_be(r, 2);
}

uint32_t erabi_read_u32(struct erabi_reader *r)
{
    return (uint32_t)read_be(r, 4);
}

uint64_t erabi_read_u64(struct erabi_reader *r)
{
    return read_be(r, 8);
}

void erabi_read_bytes(struct erabi_reader *r, void *to, size_t n)
{
    struct erabi_slice s = erabi_read_slice(r, n);
    if (s.size)
        memcpy(to, s.data, s.size);
    else if (n)
        memset(to, 0, n);
}

bool erabi_read_expect(struct erabi_reader *r, const void *bytes, size_t n)
{
    struct erabi_slice s = erabi_read_slice(r, n);
    if (s.size != n || memcmp(s.data, bytes, n) != 0)
        r->bad = true;
    return !r->bad;
}

bool erabi_reader_done(const struct erabi_reader *r)
{
    return !r->bad && r->left == 0;
}

struct erabi_writer erabi_writer(void *buffer, size_t size)
{
    return (struct erabi_writer){buffer, size, 0, false};
}

uint8_t *erabi_write_room(struct erabi_writer *w, size_t n)
{
    if (w->bad || n > w->size - w->used) {
        w->bad = true;
        return NULL;
    }
    uint8_t *room = w->start + w->used;
    w->used += n;
    return room;
}

void erabi_write_bytes(struct erabi_writer *w, const void *bytes, size_t n)
{
    uint8_t *room = erabi_write_room(w, n);
    if (room && n)
        memcpy(room, bytes, n);
}

void erabi_write_u8(struct erabi_writer *w, uint8_t v)
{
    uint8_t *room = erabi_write_room(w, 1);
    if (room)
        *room = v;
}

void erabi_write_u16(struct erabi_writer *w, uint16_t v)
{
    v = htobe16(v);
    erabi_write_bytes(w, &v, sizeof(v));
}

void erabi_write_u32(struct erabi_writer *w, uint32_t v)
{
    v = htobe32(v);
    erabi_write_bytes(w, &v, sizeof(v));
}

void erabi_write_u64(struct erabi_writer *w, uint64_t v)
{
    v = htobe64(v);
    erabi_write_bytes(w, &v, sizeof(v));
}

bool erabi_copy_text(char *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size);
    if (n >= size) {
        to[0] = '\0';
        return false;
    }
    memcpy(to, from, n + 1);
    return true;
}

void erabi_copy_bytes(void *to, const void *from, size_t n)
{
    if (n)
        memcpy(to, from, n);
}

size_t erabi_character(const unsigned char *c, size_t n)
{
    size_t size = c[0] < 0x80 ? 1 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                : c[0] >= 0xf0 && c[0] < 0xf5                   ? 4
                                                                : 0;
    if (size == 0 || size > n)
        return 0;
    for (size_t i = 1; i < size; i++)
        if (c[i] >> 6 != 2)
            return 0;
    bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool beyond = (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf4 && c[1] >= 0x90);
    return overlong || beyond ? 0 : size;
}

void erabi_plain_text(char *text, size_t n)
{
    unsigned char *c = (unsigned char *)text;
    for (size_t i = 0; i < n;) {
        size_t size = erabi_character(c + i, n - i);
        bool control = size == 0 || c[i] < ' ' || c[i] == 127 || (c[i] == 0xc2 && c[i + 1] < 0xa0);
        for (size_t k = 0; control && k < (size ? size : 1); k++)
            c[i + k] = '?';
        i += size ? size : 1;
    }
}
