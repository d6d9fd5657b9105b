#include <erab/message.h>

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "wire/wire.h"

/* Memory that one unpacked body may take in all, the unpacker's own working room included. */
#define UNPACKED_MAX (256u * 1024u)
#define ALIGN        16u

/* Bodies live in chunks that are freed together. protobuf-c allocates the message itself first, so it stands
 * right after the first chunk's head, and erab_body_free finds the chunks from it. */
struct chunk {
    struct chunk *next;
    size_t size;
    size_t used;
    size_t unused_for_alignment;
};

struct arena {
    struct chunk *first;
    struct chunk *last;
    size_t taken;
    bool exhausted; /* over the limit, as opposed to no memory */
};

_Static_assert(sizeof(struct chunk) % ALIGN == 0, "what follows a chunk's head must be aligned");

static void free_chunks(struct chunk *c)
{
    while (c) {
        struct chunk *next = c->next;
        free(c);
        c = next;
    }
}

static struct chunk *add_chunk(struct arena *a, size_t size)
{
    if (size > UNPACKED_MAX - a->taken) {
        a->exhausted = true;
        return NULL;
    }
    struct chunk *c = malloc(sizeof(*c) + size);
    if (!c)
        return NULL;
    *c = (struct chunk){.size = size};
    a->taken += size;
    if (a->last)
        a->last->next = c;
    else
        a->first = c;
    a->last = c;
    return c;
}

static void *arena_alloc(void *data, size_t size)
{
    struct arena *a = data;
    if (size > UNPACKED_MAX) {
        a->exhausted = true;
        return NULL;
    }
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct chunk *c = a->last;
    if (size > c->size - c->used) {
        size_t left = UNPACKED_MAX - a->taken;
        size_t want = 2 * c->size < left ? 2 * c->size : left;
        c = add_chunk(a, size > want ? size : want);
        if (!c)
            return NULL;
    }
    void *p = (uint8_t *)(c + 1) + c->used;
    c->used += size;
    return p;
}

static void arena_free(void *data, void *p)
{
    (void)data;
    (void)p; /* all at once, in erab_body_free */
}

static const ProtobufCMessageDescriptor *const descriptors[ERAB_TYPE_MAX + 1] = {
    [ERAB_DISPATCH] = &erab__v1__dispatch__descriptor,
    [ERAB_DISPATCH_CANCEL] = &erab__v1__dispatch_cancel__descriptor,
    [ERAB_DEVICE_COMMAND] = &erab__v1__device_command__descriptor,
    [ERAB_OPT] = &erab__v1__opt__descriptor,
    [ERAB_CAPABILITY] = &erab__v1__capability__descriptor,
    [ERAB_PLAN] = &erab__v1__plan__descriptor,
    [ERAB_BASELINE] = &erab__v1__baseline__descriptor,
    [ERAB_REGISTRATION] = &erab__v1__registration__descriptor,
    [ERAB_PARTY_CARD] = &erab__v1__party_card__descriptor,
    [ERAB_EVIDENCE] = &erab__v1__evidence__descriptor,
    [ERAB_EVIDENCE_WITHDRAWAL] = &erab__v1__evidence_withdrawal__descriptor,
    [ERAB_EVIDENCE_REQUEST] = &erab__v1__evidence_request__descriptor,
    [ERAB_ADVISORY] = &erab__v1__advisory__descriptor,
    [ERAB_INCIDENT] = &erab__v1__incident__descriptor,
    [ERAB_BREAKER_NOTICE] = &erab__v1__breaker_notice__descriptor,
    [ERAB_AUDIT_HEAD] = &erab__v1__audit_head__descriptor,
    [ERAB_RESULT] = &erab__v1__result__descriptor,
    [ERAB_RECEIPT] = &erab__v1__receipt__descriptor,
    [ERAB_PING] = &erab__v1__ping__descriptor,
    [ERAB_TELEMETRY] = &erab__v1__telemetry__descriptor,
    [ERAB_DEVICE_STATE] = &erab__v1__device_state__descriptor,
};

const ProtobufCMessageDescriptor *erab_body_descriptor(enum erab_type type)
{
    return (unsigned)type <= ERAB_TYPE_MAX ? descriptors[type] : NULL;
}

static int refuse(enum erab_reason *reason, enum erab_reason why)
{
    *reason = why;
    return 1;
}

int erabi_body_scan(enum erab_type type, struct erabi_slice body, struct erabi_seen *seen, enum erab_reason *reason)
{
    const ProtobufCMessageDescriptor *descriptor = erab_body_descriptor(type);
    if (!descriptor)
        return refuse(reason, ERAB_REASON_UNKNOWN_TYPE);
    return erabi_prescan(descriptor, body, seen, reason) < 0 ? 1 : 0;
}

int erab_body_unpack(enum erab_type type, struct erab_bytes body, ProtobufCMessage **out,
                     enum erab_reason *reason)
{
    struct erabi_slice bytes = erabi_slice(body.data, body.size);
    int r = erabi_body_scan(type, bytes, NULL, reason);
    return r ? r : erabi_body_unpack_scanned(type, bytes, out, reason);
}

int erabi_body_unpack_scanned(enum erab_type type, struct erabi_slice body, ProtobufCMessage **out,
                              enum erab_reason *reason)
{
    const ProtobufCMessageDescriptor *descriptor = erab_body_descriptor(type);
    struct arena arena = {0};
    if (!add_chunk(&arena, descriptor->sizeof_message + 256 + 2 * body.size))
        return -ENOMEM;
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
    static const uint8_t nothing[1];
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, body.size, body.size ? body.data : nothing);
    if (!message) {
        free_chunks(arena.first);
        return arena.exhausted ? refuse(reason, ERAB_REASON_TOO_LARGE) : -ENOMEM;
    }
    *out = message;
    return 0;
}

void erab_body_free(ProtobufCMessage *body)
{
    if (body)
        free_chunks((struct chunk *)(void *)body - 1);
}

int erab_body_pack(const ProtobufCMessage *body, uint8_t **out, size_t *size)
{
    size_t n = protobuf_c_message_get_packed_size(body);
    if (n > ERAB_BODY_MAX)
        return -EMSGSIZE;
    uint8_t *packed = malloc(n ? n : 1);
    if (!packed)
        return -ENOMEM;
    *size = protobuf_c_message_pack(body, packed);
    *out = packed;
    return 0;
}
