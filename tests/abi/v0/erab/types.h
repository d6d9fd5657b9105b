/* Words and limits shared by every header. Types here are plain values; they may be copied freely.
 *
 * Sized structs: a struct that begins with `size` crosses the border between separately built parts. The
 * caller sets it to sizeof(the struct); new fields are only ever added at the end, and a side that knows
 * fewer of them reads and writes only as many bytes as both know. */
#ifndef ERAB_TYPES_H
#define ERAB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ERAB_API __attribute__((visibility("default")))

#define ERAB_ID_SIZE        16    /* message id: UUIDv7 */
#define ERAB_HASH_SIZE      32    /* BLAKE2b-256 */
#define ERAB_SIGNATURE_SIZE 64    /* Ed25519 */
#define ERAB_KEY_SIZE       32    /* public keys and the X25519 secret key */
#define ERAB_SIGN_SECRET    64    /* Ed25519 secret key as libsodium keeps it */
#define ERAB_PARTY_MAX      63    /* characters of a party id [a-z0-9][a-z0-9.-]{0,62} */
#define ERAB_ADDRESSEE_MAX  64    /* party id, or '@' and a group id of the same form */
#define ERAB_PACKET_MAX     65503 /* bytes of one Packet */
#define ERAB_HEADER_MAX     512   /* bytes of one encoded Header */
#define ERAB_BODY_MAX       61440 /* bytes of one encoded body */
#define ERAB_CLOCK_AHEAD_MS 5000  /* a message may be issued at most so far ahead of the reader's clock */

/* Guideline 3.1, with `internal` (two parties of one firm) and `info` (advisories and incidents). */
enum erab_interface {
    ERAB_IF_NONE,
    ERAB_IF_R1,
    ERAB_IF_R2,
    ERAB_IF_R3,
    ERAB_IF_R4,
    ERAB_IF_R5,
    ERAB_IF_INTERNAL,
    ERAB_IF_INFO,
    ERAB_IF_COUNT
};

/* Numbers as in erab.v1.Role. */
enum erab_role {
    ERAB_ROLE_NONE,
    ERAB_ROLE_TSO,
    ERAB_ROLE_AC,
    ERAB_ROLE_RA,
    ERAB_ROLE_RETAILER,
    ERAB_ROLE_EMS_SERVER,
    ERAB_ROLE_EMS_CONTROLLER,
    ERAB_ROLE_GATEWAY,
    ERAB_ROLE_DEVICE,
    ERAB_ROLE_SENSOR,
    ERAB_ROLE_MAKER,
    ERAB_ROLE_BODY,
    ERAB_ROLE_COUNT
};

enum erab_lane { ERAB_LANE_COMMAND, ERAB_LANE_CONTROL, ERAB_LANE_TELEMETRY, ERAB_LANE_COUNT };

/* Numbers as in erab.v1.LaneGroup: one connection each. */
enum erab_lane_group { ERAB_LANES_COMMAND = 1, ERAB_LANES_TELEMETRY = 2 };

/* Numbers as in erab.v1.MessageType. */
enum erab_type {
    ERAB_DISPATCH = 1,
    ERAB_DISPATCH_CANCEL = 2,
    ERAB_DEVICE_COMMAND = 3,
    ERAB_OPT = 10,
    ERAB_CAPABILITY = 11,
    ERAB_PLAN = 12,
    ERAB_BASELINE = 13,
    ERAB_REGISTRATION = 14,
    ERAB_PARTY_CARD = 15,
    ERAB_EVIDENCE = 16,
    ERAB_EVIDENCE_WITHDRAWAL = 17,
    ERAB_EVIDENCE_REQUEST = 18,
    ERAB_ADVISORY = 19,
    ERAB_INCIDENT = 20,
    ERAB_BREAKER_NOTICE = 21,
    ERAB_AUDIT_HEAD = 22,
    ERAB_RESULT = 23,
    ERAB_RECEIPT = 24,
    ERAB_PING = 25,
    ERAB_TELEMETRY = 30,
    ERAB_DEVICE_STATE = 31,
    ERAB_TYPE_MAX = 31
};

/* Numbers as in erab.v1.DataCategory. */
enum erab_category {
    ERAB_OPERATION = 1,
    ERAB_SENSOR_GROUP = 2,
    ERAB_SENSOR_HOME = 3,
    ERAB_PERSONAL = 4,
    ERAB_SECURITY = 5
};

/* Numbers as in erab.v1.ReceiptState. */
enum erab_receipt_state {
    ERAB_QUEUED = 1,
    ERAB_ACCEPTED = 2,
    ERAB_DELIVERED = 3,
    ERAB_APPLIED = 4,
    ERAB_EXPIRED = 5,
    ERAB_REFUSED = 6
};

/* Names as they stand in configuration, logs and PROTOCOL.md ("r1", "ems-server", "device-command" ...).
 * an unknown name. Any thread. */
ERAB_API const char *erab_interface_name(enum erab_interface v);
ERAB_API enum erab_interface erab_interface_from_name(const char *name);
ERAB_API const char *erab_role_name(enum erab_role v);
ERAB_API enum erab_role erab_role_from_name(const char *name);
ERAB_API const char *erab_type_name(enum erab_type v);
ERAB_API enum erab_type erab_type_from_name(const char *name);
ERAB_API const char *erab_category_name(enum erab_category v);
ERAB_API enum erab_category erab_category_from_name(const char *name);
ERAB_API const char *erab_lane_name(enum erab_lane v);
ERAB_API const char *erab_receipt_state_name(enum erab_receipt_state v);

/* The lane of a type: by its number (1 to 9 command, 10 to 29 control, above telemetry). */
ERAB_API enum erab_lane erab_type_lane(enum erab_type type);

/* True for [a-z0-9][a-z0-9.-]{0,62}; for an addressee also with a leading '@' (a group). */
ERAB_API bool erab_party_valid(const char *text);
ERAB_API bool erab_addressee_valid(const char *text);

#ifdef __cplusplus
}
#endif

#endif
