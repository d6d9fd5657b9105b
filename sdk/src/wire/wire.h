/* Packets, envelopes, headers, hashes and signatures: the bytes of schemas/PROTOCOL.md.
 * Pure functions: no I/O, no clock; any thread. Views returned point into the bytes given. */
#ifndef ERABI_WIRE_H
#define ERABI_WIRE_H

#include <erab/message.h>

#include "base/cursor.h"

/* Most envelopes in one packet. */
#define ERABI_ENVELOPES_MAX 256
/* What one envelope costs in a packet at most, beside header, body and signature. */
#define ERABI_ENVELOPE_OVERHEAD 16

struct erabi_envelope {
    struct erabi_slice header;
    struct erabi_slice body;
    struct erabi_slice signature; /* size 0 or 64 */
};

/* Reads a packet's frame: lane group and up to ERABI_ENVELOPES_MAX envelopes. 0 or -EBADMSG. All or nothing. */
int erabi_packet_read(struct erabi_slice packet, enum erab_lane_group *group,
                      struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX], size_t *n);
/* A packet is begun with its lane group and filled envelope by envelope; `w` holds at most ERAB_PACKET_MAX.
 * erabi_packet_add leaves the writer untouched and returns -ENOSPC when the envelope does not fit or the packet
 * holds ERABI_ENVELOPES_MAX already. */
int erabi_packet_begin(struct erabi_writer *w, enum erab_lane_group group);
int erabi_packet_add(struct erabi_writer *w, const struct erabi_envelope *envelope);
/* The same for a caller who counts, and adds no more than ERABI_ENVELOPES_MAX: it does not look through the packet. */
int erabi_packet_add_counted(struct erabi_writer *w, const struct erabi_envelope *envelope);

/* 0, or -EBADMSG with *reason MALFORMED, UNKNOWN_TYPE or TOO_LARGE. Checks sizes, ids, enumerations and texts;
 * not times. Unknown header fields are refused. */
int erabi_header_decode(struct erabi_slice bytes, struct erab_header *out, enum erab_reason *reason);
/* Into `buffer` of ERAB_HEADER_MAX; returns the size. The header must be valid (asserted). */
size_t erabi_header_encode(const struct erab_header *header, uint8_t buffer[ERAB_HEADER_MAX]);

/* BLAKE2b-256 and Ed25519 over: the domain tag "erab.v1.envelope" and one NUL, the header's length (4 bytes), header,
 * the body's length (4 bytes), body. */
void erabi_envelope_hash(struct erabi_slice header, struct erabi_slice body, uint8_t hash[ERAB_HASH_SIZE]);
void erabi_envelope_sign(struct erabi_slice header, struct erabi_slice body,
                         const uint8_t secret[ERAB_SIGN_SECRET], uint8_t signature[ERAB_SIGNATURE_SIZE]);
bool erabi_envelope_verify(struct erabi_slice header, struct erabi_slice body, struct erabi_slice signature,
                           const uint8_t key[ERAB_KEY_SIZE]);

/* Which fields stand in a body, by the types of its messages: bits of the fields' places in their descriptors. */
#define ERABI_SEEN_TYPES 4
struct erabi_seen {
    size_t n;
    struct erabi_seen_type {
        const ProtobufCMessageDescriptor *type;
        uint32_t fields;
    } of[ERABI_SEEN_TYPES];
    bool more; /* it has messages of more types than are listed */
};

/* The pre-scan of a body, before protobuf-c sees it; what erab_body_unpack runs first. Iterative. 0 or
 * -EBADMSG with *reason MALFORMED or TOO_LARGE. `seen` (may be NULL) is filled when it is 0. */
int erabi_prescan(const ProtobufCMessageDescriptor *type, struct erabi_slice bytes, struct erabi_seen *seen,
                  enum erab_reason *reason);
/* The two halves of erab_body_unpack: 0, or 1 with *reason; and, for what the first half took, 0, 1 with *reason (more
 * memory than a body may take; never of telemetry and states of devices) or -ENOMEM. */
int erabi_body_scan(enum erab_type type, struct erabi_slice body, struct erabi_seen *seen, enum erab_reason *reason);
int erabi_body_unpack_scanned(enum erab_type type, struct erabi_slice body, ProtobufCMessage **out,
                              enum erab_reason *reason);

#endif
