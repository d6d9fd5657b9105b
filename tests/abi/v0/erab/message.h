/* A message: its header, its body, its proof. Layouts and rules: schemas/PROTOCOL.md.
 *
 * Bodies are the protobuf-c structs of <erab/v1/...pb-c.h> (Erab__V1__Dispatch ...). They are unpacked only
 * through erab_body_unpack(), which first refuses what protobuf-c would silently take. */
#ifndef ERAB_MESSAGE_H
#define ERAB_MESSAGE_H

#include <erab/reason.h>
#include <erab/types.h>

#include <protobuf-c/protobuf-c.h>

#include <erab/v1/compliance.pb-c.h>
#include <erab/v1/envelope.pb-c.h>
#include <erab/v1/identity.pb-c.h>
#include <erab/v1/operation.pb-c.h>
#include <erab/v1/orders.pb-c.h>

#ifdef __cplusplus
extern "C" {
#endif

struct erab_bytes {
    const uint8_t *data;
    size_t size;
};

struct erab_header {
    uint8_t id[ERAB_ID_SIZE];
    char from[ERAB_PARTY_MAX + 1];
    char to[ERAB_ADDRESSEE_MAX + 1];
    enum erab_type type;
    enum erab_category category;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    uint64_t seq;
    uint32_t version; /* of the body's type, 1 when absent on the wire */
    bool has_parent;
    bool has_trace;
    bool exercise;
    bool sealed;
    uint8_t parent_id[ERAB_ID_SIZE];
    uint8_t parent_hash[ERAB_HASH_SIZE];
    uint8_t trace_id[16];
};

/* A received message. Borrowed: valid until the callback that got it returns. */
struct erab_message {
    const struct erab_header *header;
    struct erab_bytes body;         /* as sent */
    struct erab_bytes header_bytes; /* as sent, what the signature covers */
    struct erab_bytes signature;    /* size 0 or 64 */
    uint8_t hash[ERAB_HASH_SIZE];
};

/* A fresh UUIDv7 of this time. Any thread. */
ERAB_API void erab_id_new(uint8_t id[ERAB_ID_SIZE], uint64_t now_ms);
/* 36 characters and NUL, lower case with hyphens. erab_id_parse: 0 or -EINVAL. */
ERAB_API void erab_id_text(const uint8_t id[ERAB_ID_SIZE], char out[37]);
ERAB_API int erab_id_parse(const char *text, uint8_t id[ERAB_ID_SIZE]);

/* The descriptor of a type's body; NULL for a number outside the list. */
ERAB_API const ProtobufCMessageDescriptor *erab_body_descriptor(enum erab_type type);

/* Checks and unpacks a body of this type. On success returns 0 and the caller owns *out, to be released
 * with erab_body_free. Otherwise a negative errno (-ENOMEM) or, for bytes that are refused, 1 with *reason
 * set. Refused are: more than 8 levels, unknown fields, duplicate singular fields, unknown enum values, missing
 * required fields, NaN and infinities, over-long varints, text that is not UTF-8 or holds NUL, and repeats
 * over the limits of PROTOCOL.md. Never reads outside `body`. Any thread. */
ERAB_API int erab_body_unpack(enum erab_type type, struct erab_bytes body, ProtobufCMessage **out,
                              enum erab_reason *reason);
ERAB_API void erab_body_free(ProtobufCMessage *body);

/* Packs a body into a new buffer. 0, -ENOMEM, or -EMSGSIZE over ERAB_BODY_MAX. Freed with free(). */
ERAB_API int erab_body_pack(const ProtobufCMessage *body, uint8_t **out, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
