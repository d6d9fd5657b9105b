/* ECHONET Lite frames, format 1. Pure: bytes in, structs out and back; no I/O, no clock, any thread.
 *
 *     10 81 | TID 2 | SEOJ 3 | DEOJ 3 | ESV 1 | OPC 1 | OPC x { EPC 1, PDC 1, EDT PDC }
 * SetGet (6E, 7E, 5E) carries a second OPC and list after the first. */
#ifndef ERABI_EL_CODEC_H
#define ERABI_EL_CODEC_H

#include "base/cursor.h"

#define ERABI_EL_FRAME_MAX      1472 /* UDP payload of one Ethernet frame */
#define ERABI_EL_PROPERTIES_MAX 255  /* of both lists of a frame together */
#define ERABI_EL_INSTANCES_MAX  84

enum erabi_el_esv {
    ERABI_EL_SETI_SNA = 0x50,
    ERABI_EL_SETC_SNA = 0x51,
    ERABI_EL_GET_SNA = 0x52,
    ERABI_EL_INF_SNA = 0x53,
    ERABI_EL_SETGET_SNA = 0x5E,
    ERABI_EL_SETI = 0x60,
    ERABI_EL_SETC = 0x61,
    ERABI_EL_GET = 0x62,
    ERABI_EL_INF_REQ = 0x63,
    ERABI_EL_SETGET = 0x6E,
    ERABI_EL_SET_RES = 0x71,
    ERABI_EL_GET_RES = 0x72,
    ERABI_EL_INF = 0x73,
    ERABI_EL_INFC = 0x74,
    ERABI_EL_INFC_RES = 0x7A,
    ERABI_EL_SETGET_RES = 0x7E
};

struct erabi_el_property {
    uint8_t epc;
    struct erabi_slice edt; /* at most 255 bytes */
};

/* Objects are three bytes in one number: 0x027D01 is instance 1 of class 7D in group 02. */
struct erabi_el_frame {
    uint16_t tid;
    uint32_t seoj;
    uint32_t deoj;
    uint8_t esv;
    size_t n;     /* properties of the first list */
    size_t n_get; /* of the second one, SetGet only; they follow in `property` */
    struct erabi_el_property property[ERABI_EL_PROPERTIES_MAX];
};

/* Reads a datagram. 0, or -EBADMSG: short, another format, unknown service, a property past the end, no
 * property at all (but 5E, whose lists may be empty), too many. Bytes behind the last property are allowed,
 * for devices send them. Slices point into `bytes`. */
int erabi_el_parse(struct erabi_slice bytes, struct erabi_el_frame *out);
/* Writes a frame. 0, or -EMSGSIZE when it does not fit, -EINVAL (counts, EDT size, unknown service). */
int erabi_el_build(struct erabi_writer *w, const struct erabi_el_frame *frame);

bool erabi_el_esv_known(uint8_t esv);
/* The answers that a request may get: its response or its "not possible". False for what has no answer. */
bool erabi_el_answers(uint8_t request, uint8_t response);

/* What became of one property that was asked for or set. */
enum erabi_el_outcome { ERABI_EL_TAKEN, ERABI_EL_DENIED, ERABI_EL_MISSING };
/* Looks an EPC up in an answer. 72: any value is TAKEN; 52: TAKEN with a value, else DENIED; 71: TAKEN;
 * 51 and 50: TAKEN when the EDT is empty (it has been applied), DENIED when echoed. MISSING: a node that
 * cannot handle so many properties answers the first ones only. `value` may be NULL. */
enum erabi_el_outcome erabi_el_outcome(const struct erabi_el_frame *answer, uint8_t epc,
                                       struct erabi_slice *value);

/* Property map: bit of EPC 80 to FF. */
struct erabi_el_map {
    uint8_t bits[16];
};
/* Both forms. 0 or -EBADMSG: wrong size, count and bits differ, EPC under 80. */
int erabi_el_map_read(struct erabi_slice edt, struct erabi_el_map *out);
bool erabi_el_map_has(const struct erabi_el_map *map, uint8_t epc);
void erabi_el_map_add(struct erabi_el_map *map, uint8_t epc);

/* Instance list (D5, D6): 0 or -EBADMSG. */
int erabi_el_instances_read(struct erabi_slice edt, uint32_t out[ERABI_EL_INSTANCES_MAX], size_t *n);

enum erabi_el_number { ERABI_EL_U8, ERABI_EL_U16, ERABI_EL_U32, ERABI_EL_S8, ERABI_EL_S16, ERABI_EL_S32 };
enum erabi_el_value { ERABI_EL_GOOD, ERABI_EL_NO_DATA, ERABI_EL_BAD_SIZE };
/* A number, or NO_DATA for the codes at its ends, which mean overflow, underflow or no value. */
enum erabi_el_value erabi_el_number(struct erabi_slice edt, enum erabi_el_number type, int64_t *out);

#endif
