#include "codec.h"

#include <errno.h>

bool erabi_el_esv_known(uint8_t esv)
{
    switch (esv) {
    case ERABI_EL_SETI_SNA:
    case ERABI_EL_SETC_SNA:
    case ERABI_EL_GET_SNA:
    case ERABI_EL_INF_SNA:
    case ERABI_EL_SETGET_SNA:
    case ERABI_EL_SETI:
    case ERABI_EL_SETC:
    case ERABI_EL_GET:
    case ERABI_EL_INF_REQ:
    case ERABI_EL_SETGET:
    case ERABI_EL_SET_RES:
    case ERABI_EL_GET_RES:
    case ERABI_EL_INF:
    case ERABI_EL_INFC:
    case ERABI_EL_INFC_RES:
    case ERABI_EL_SETGET_RES:
        return true;
    default:
        return false;
    }
}

static bool two_lists(uint8_t esv)
{
    return esv == ERABI_EL_SETGET || esv == ERABI_EL_SETGET_RES || esv == ERABI_EL_SETGET_SNA;
}

bool erabi_el_answers(uint8_t request, uint8_t response)
{
    switch (request) {
    case ERABI_EL_SETI:
        return response == ERABI_EL_SETI_SNA;
    case ERABI_EL_SETC:
        return response == ERABI_EL_SET_RES || response == ERABI_EL_SETC_SNA;
    case ERABI_EL_GET:
        return response == ERABI_EL_GET_RES || response == ERABI_EL_GET_SNA;
    case ERABI_EL_INF_REQ:
        return response == ERABI_EL_INF || response == ERABI_EL_INF_SNA;
    case ERABI_EL_SETGET:
        return response == ERABI_EL_SETGET_RES || response == ERABI_EL_SETGET_SNA;
    case ERABI_EL_INFC:
        return response == ERABI_EL_INFC_RES;
    default:
        return false;
    }
}

static size_t read_list(struct erabi_reader *r, struct erabi_el_frame *out, size_t at)
{
    size_t n = erabi_read_u8(r);
    if (n > ERABI_EL_PROPERTIES_MAX - at)
        r->bad = true;
    for (size_t i = 0; i < n && !r->bad; i++) {
        struct erabi_el_property *p = &out->property[at + i];
        p->epc = erabi_read_u8(r);
        p->edt = erabi_read_slice(r, erabi_read_u8(r));
    }
    return r->bad ? 0 : n;
}

static uint32_t read_object(struct erabi_reader *r)
{
    uint32_t high = erabi_read_u8(r);
    return high << 16 | erabi_read_u16(r);
}

int erabi_el_parse(struct erabi_slice bytes, struct erabi_el_frame *out)
{
    struct erabi_reader r = erabi_reader(bytes.data, bytes.size);
    out->n = out->n_get = 0;
    erabi_read_expect(&r, "\x10\x81", 2);
    out->tid = erabi_read_u16(&r);
    out->seoj = read_object(&r);
    out->deoj = read_object(&r);
    out->esv = erabi_read_u8(&r);
    if (r.bad || !erabi_el_esv_known(out->esv))
        return -EBADMSG;
    out->n = read_list(&r, out, 0);
    if (two_lists(out->esv))
        out->n_get = read_list(&r, out, out->n);
    bool may_be_empty = out->esv == ERABI_EL_SETGET_SNA;
    if (r.bad || (out->n + out->n_get == 0 && !may_be_empty)) {
        out->n = out->n_get = 0;
        return -EBADMSG;
    }
    return 0;
}

static int write_list(struct erabi_writer *w, const struct erabi_el_property *p, size_t n)
{
    erabi_write_u8(w, (uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        if (p[i].edt.size > 255)
            return -EINVAL;
        erabi_write_u8(w, p[i].epc);
        erabi_write_u8(w, (uint8_t)p[i].edt.size);
        erabi_write_bytes(w, p[i].edt.data, p[i].edt.size);
    }
    return 0;
}

static void write_object(struct erabi_writer *w, uint32_t object)
{
    erabi_write_u8(w, (uint8_t)(object >> 16));
    erabi_write_u16(w, (uint16_t)(object & 0xFFFF));
}

int erabi_el_build(struct erabi_writer *w, const struct erabi_el_frame *f)
{
    bool empty_ok = f->esv == ERABI_EL_SETGET_SNA;
    if (!erabi_el_esv_known(f->esv) || f->n > ERABI_EL_PROPERTIES_MAX ||
        f->n_get > ERABI_EL_PROPERTIES_MAX - f->n || (f->n + f->n_get == 0 && !empty_ok) ||
        (f->n_get && !two_lists(f->esv)))
        return -EINVAL;
    erabi_write_u16(w, 0x1081);
    erabi_write_u16(w, f->tid);
    write_object(w, f->seoj);
    write_object(w, f->deoj);
    erabi_write_u8(w, f->esv);
    if (write_list(w, f->property, f->n) ||
        (two_lists(f->esv) && write_list(w, f->property + f->n, f->n_get)))
        return -EINVAL;
    return w->bad ? -EMSGSIZE : 0;
}

enum erabi_el_outcome erabi_el_outcome(const struct erabi_el_frame *answer, uint8_t epc,
                                       struct erabi_slice *value)
{
    bool set = answer->esv == ERABI_EL_SET_RES || answer->esv == ERABI_EL_SETC_SNA ||
               answer->esv == ERABI_EL_SETI_SNA;
    for (size_t i = 0; i < answer->n; i++) {
        const struct erabi_el_property *p = &answer->property[i];
        if (p->epc != epc)
            continue;
        if (value)
            *value = p->edt;
        if (set)
            return answer->esv == ERABI_EL_SET_RES || p->edt.size == 0 ? ERABI_EL_TAKEN : ERABI_EL_DENIED;
        return p->edt.size ? ERABI_EL_TAKEN : ERABI_EL_DENIED;
    }
    return ERABI_EL_MISSING;
}

/* In the bitmap form byte i stands for the low nibble, bit j for the high nibble 8 + j. */
bool erabi_el_map_has(const struct erabi_el_map *map, uint8_t epc)
{
    return epc >= 0x80 && (map->bits[epc & 0x0F] >> ((epc >> 4) - 8) & 1);
}

void erabi_el_map_add(struct erabi_el_map *map, uint8_t epc)
{
    if (epc >= 0x80)
        map->bits[epc & 0x0F] |= (uint8_t)(1u << ((epc >> 4) - 8));
}

static size_t map_count(const struct erabi_el_map *map)
{
    size_t n = 0;
    for (size_t i = 0; i < 16; i++)
        n += (size_t)__builtin_popcount(map->bits[i]);
    return n;
}

int erabi_el_map_read(struct erabi_slice edt, struct erabi_el_map *out)
{
    *out = (struct erabi_el_map){{0}};
    struct erabi_reader r = erabi_reader(edt.data, edt.size);
    size_t count = erabi_read_u8(&r);
    if (count >= 16) {
        erabi_read_bytes(&r, out->bits, sizeof(out->bits));
    } else {
        for (size_t i = 0; i < count; i++) {
            uint8_t epc = erabi_read_u8(&r);
            r.bad |= epc < 0x80;
            erabi_el_map_add(out, epc);
        }
    }
    if (!erabi_reader_done(&r) || map_count(out) != count) {
        *out = (struct erabi_el_map){{0}};
        return -EBADMSG;
    }
    return 0;
}

int erabi_el_instances_read(struct erabi_slice edt, uint32_t out[ERABI_EL_INSTANCES_MAX], size_t *n)
{
    struct erabi_reader r = erabi_reader(edt.data, edt.size);
    *n = erabi_read_u8(&r);
    if (*n > ERABI_EL_INSTANCES_MAX)
        r.bad = true;
    for (size_t i = 0; i < *n && !r.bad; i++)
        out[i] = read_object(&r);
    if (erabi_reader_done(&r))
        return 0;
    *n = 0;
    return -EBADMSG;
}

enum erabi_el_value erabi_el_number(struct erabi_slice edt, enum erabi_el_number type, int64_t *out)
{
    static const size_t sizes[] = {1, 2, 4, 1, 2, 4};
    *out = 0;
    if (edt.size != sizes[type])
        return ERABI_EL_BAD_SIZE;
    struct erabi_reader r = erabi_reader(edt.data, edt.size);
    int64_t v = 0;
    for (size_t i = 0; i < edt.size; i++)
        v = v << 8 | erabi_read_u8(&r);
    int64_t full = (int64_t)1 << (8 * edt.size);
    if (type >= ERABI_EL_S8) {
        if (v == full / 2 - 1 || v == full / 2)
            return ERABI_EL_NO_DATA;
        *out = v >= full / 2 ? v - full : v;
        return ERABI_EL_GOOD;
    }
    if (v >= full - 2)
        return ERABI_EL_NO_DATA;
    *out = v;
    return ERABI_EL_GOOD;
}
