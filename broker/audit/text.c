#include "audit/text.h"

#include <string.h>

#define HEX_MAX 4096u

static void write_hex(struct erabi_writer *w, uint32_t v, unsigned digits, const char *alphabet)
{
    while (digits--)
        erabi_write_u8(w, (uint8_t)alphabet[v >> (4 * digits) & 15]);
}

static void write_unit(struct erabi_writer *w, uint32_t unit)
{
    erabi_write_bytes(w, "\\u", 2);
    write_hex(w, unit, 4, "0123456789ABCDEF");
}

static bool plain(unsigned char c)
{
    return c >= ' ' && c < 127 && c != '"' && c != '\\';
}

/* One character of `size` bytes that does not stand for itself. */
static void write_escaped(struct erabi_writer *w, const unsigned char *c, size_t size)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* each behind its byte */
    for (size_t i = 0; size == 1 && i < sizeof(named) - 1; i += 2)
        if (c[0] == (unsigned char)named[i]) {
            erabi_write_u8(w, '\\');
            erabi_write_u8(w, (uint8_t)named[i + 1]);
            return;
        }
    uint32_t point = size == 1 ? c[0] : c[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        point = point << 6 | (c[i] & 0x3fu);
    if (point < 0x10000) {
        write_unit(w, point);
        return;
    }
    write_unit(w, 0xd800 + ((point - 0x10000) >> 10));
    write_unit(w, 0xdc00 + ((point - 0x10000) & 0x3ff));
}

/* False, and what was written is undone: it is no text. `cut`: its last character may have been halved. */
static bool write_text(struct erabi_writer *w, const unsigned char *c, size_t n, bool cut)
{
    size_t begin = w->used;
    for (size_t i = 0; i < n;) {
        size_t run = i;
        while (run < n && plain(c[run]))
            run++;
        erabi_write_bytes(w, c + i, run - i);
        i = run;
        if (i == n)
            break;
        size_t size = c[i] == 127 ? 0 : erabi_character(c + i, n - i);
        if (size == 0 && cut && c[i] >= 0xc2 && n - i < 4 && !memchr(c + i, 127, n - i))
            break;
        if (size == 0) {
            w->used = begin;
            return false;
        }
        write_escaped(w, c + i, size);
        i += size;
    }
    return true;
}

void erabi_text_string(struct erabi_writer *w, const char *text, size_t cap)
{
    size_t n = strnlen(text, cap);
    const unsigned char *c = (const unsigned char *)text;
    erabi_write_u8(w, '"');
    if (!write_text(w, c, n, text[n] != '\0'))
        for (size_t i = 0; i < n && i < HEX_MAX; i++)
            write_hex(w, c[i], 2, "0123456789abcdef");
    erabi_write_u8(w, '"');
}

void erabi_text_number(struct erabi_writer *w, uint64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    erabi_write_bytes(w, digits + at, sizeof(digits) - at);
}
