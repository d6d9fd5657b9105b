#include "objects.h"

const uint8_t erabi_el_own_instances[4] = {1, 0x05, 0xFF, 0x01};

#define BYTES(...)                                                                                           \
    {                                                                                                        \
        .data = (const uint8_t[]){__VA_ARGS__}, .size = sizeof((const uint8_t[]){__VA_ARGS__})               \
    }

struct own_property {
    uint8_t epc;
    struct erabi_slice value;
};

/* 83 comes from the instance. Standard version 1.14, release R. */
static const struct own_property node_profile[] = {
    {0x80, BYTES(0x30)},
    {0x82, BYTES(0x01, 0x0E, 0x01, 0x00)},
    {0x8A, BYTES(0xFF, 0xFF, 0xFF)},
    {0x9D, BYTES(2, 0x80, 0xD5)},
    {0x9E, BYTES(0)},
    {0x9F, BYTES(11, 0x80, 0x82, 0x83, 0x8A, 0x9D, 0x9E, 0x9F, 0xD3, 0xD4, 0xD6, 0xD7)},
    {0xD3, BYTES(0, 0, 1)},
    {0xD4, BYTES(0, 2)},
    {0xD6, BYTES(1, 0x05, 0xFF, 0x01)},
    {0xD7, BYTES(1, 0x05, 0xFF)},
};

static const struct own_property controller[] = {
    {0x80, BYTES(0x30)},
    {0x81, BYTES(0x00)},
    {0x82, BYTES(0x00, 0x00, 0x52, 0x00)},
    {0x88, BYTES(0x42)},
    {0x8A, BYTES(0xFF, 0xFF, 0xFF)},
    {0x9D, BYTES(3, 0x80, 0x81, 0x88)},
    {0x9E, BYTES(0)},
    {0x9F, BYTES(9, 0x80, 0x81, 0x82, 0x83, 0x88, 0x8A, 0x9D, 0x9E, 0x9F)},
};

void erabi_el_own_init(struct erabi_el_own *own, const uint8_t mac[6])
{
    struct erabi_writer w = erabi_writer(own->id, sizeof(own->id));
    erabi_write_u32(&w, 0xFEFFFFFFu);
    erabi_write_u32(&w, 0);
    erabi_write_u16(&w, 0);
    erabi_write_u8(&w, 0);
    erabi_write_bytes(&w, mac, 6);
}

static struct erabi_slice lookup(const struct erabi_el_own *own, uint32_t object, uint8_t epc)
{
    const struct own_property *p = object == ERABI_EL_NODE ? node_profile : controller;
    size_t n = object == ERABI_EL_NODE ? sizeof(node_profile) / sizeof(node_profile[0])
                                       : sizeof(controller) / sizeof(controller[0]);
    if (epc == 0x83)
        return erabi_slice(own->id, sizeof(own->id));
    /* Old controllers ask for the instance list as a notification. */
    if (object == ERABI_EL_NODE && epc == 0xD5)
        return erabi_slice(erabi_el_own_instances, sizeof(erabi_el_own_instances));
    for (size_t i = 0; i < n; i++)
        if (p[i].epc == epc)
            return p[i].value;
    return (struct erabi_slice){NULL, 0};
}

static bool answer_read(const struct erabi_el_own *own, uint32_t object, struct erabi_el_frame *a)
{
    bool all = true;
    for (size_t i = 0; i < a->n; i++) {
        a->property[i].edt = lookup(own, object, a->property[i].epc);
        all &= a->property[i].edt.size > 0;
    }
    return all;
}

static enum erabi_el_own_reply fill(const struct erabi_el_own *own, uint32_t object, struct erabi_el_frame *a)
{
    switch (a->esv) {
    case ERABI_EL_GET:
        a->esv = answer_read(own, object, a) ? ERABI_EL_GET_RES : ERABI_EL_GET_SNA;
        return ERABI_EL_UNICAST;
    case ERABI_EL_INF_REQ:
        if (answer_read(own, object, a)) {
            a->esv = ERABI_EL_INF;
            return ERABI_EL_GROUP;
        }
        a->esv = ERABI_EL_INF_SNA;
        return ERABI_EL_UNICAST;
    case ERABI_EL_SETI: /* nothing here can be set: the values are echoed as refused */
        a->esv = ERABI_EL_SETI_SNA;
        return ERABI_EL_UNICAST;
    case ERABI_EL_SETC:
        a->esv = ERABI_EL_SETC_SNA;
        return ERABI_EL_UNICAST;
    case ERABI_EL_SETGET:
        a->esv = ERABI_EL_SETGET_SNA;
        a->n = a->n_get = 0;
        return ERABI_EL_UNICAST;
    case ERABI_EL_INFC:
        a->esv = ERABI_EL_INFC_RES;
        for (size_t i = 0; i < a->n; i++)
            a->property[i].edt.size = 0;
        return ERABI_EL_UNICAST;
    default:
        return ERABI_EL_SILENT;
    }
}

enum erabi_el_own_reply erabi_el_own_answer(const struct erabi_el_own *own,
                                            const struct erabi_el_frame *request, struct erabi_writer *out)
{
    uint32_t object = request->deoj & 0xFFFF00u ? request->deoj : 0;
    if ((object & 0xFFu) == 0)
        object |= 1u; /* instance 0: all of the class, and each class has one here */
    if (object != ERABI_EL_NODE && object != ERABI_EL_CONTROLLER)
        return ERABI_EL_SILENT;
    struct erabi_el_frame answer = *request;
    answer.seoj = object;
    answer.deoj = request->seoj;
    enum erabi_el_own_reply reply = fill(own, object, &answer);
    if (reply == ERABI_EL_GROUP)
        answer.deoj = ERABI_EL_NODE;
    if (reply == ERABI_EL_SILENT || erabi_el_build(out, &answer))
        return ERABI_EL_SILENT;
    return reply;
}
