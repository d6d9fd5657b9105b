#include <erab/message.h>

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/cursor.h"

void erab_id_new(uint8_t id[ERAB_ID_SIZE], uint64_t now_ms)
{
    for (unsigned i = 0; i < 6; i++)
        id[i] = (uint8_t)(now_ms >> (8 * (5 - i)));
    randombytes_buf(id + 6, ERAB_ID_SIZE - 6);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x70); /* version 7 */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */
}

static bool hyphen_before(unsigned byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void erab_id_text(const uint8_t id[ERAB_ID_SIZE], char out[37])
{
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < ERAB_ID_SIZE; i++) {
        if (hyphen_before(i))
            *out++ = '-';
        *out++ = hex[id[i] >> 4];
        *out++ = hex[id[i] & 15];
    }
    *out = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int erab_id_parse(const char *text, uint8_t id[ERAB_ID_SIZE])
{
    uint8_t read[ERAB_ID_SIZE];
    if (strnlen(text, 37) != 36)
        return -EINVAL;
    for (unsigned i = 0; i < ERAB_ID_SIZE; i++) {
        if (hyphen_before(i) && *text++ != '-')
            return -EINVAL;
        int high = nibble(text[0]), low = nibble(text[1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        read[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    erabi_copy_bytes(id, read, sizeof(read));
    return 0;
}
