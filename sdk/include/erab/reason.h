/* Reason codes: why something was refused. The texts are the stable codes that travel in receipts and stand
 * in the audit log; the numbers never leave the process, but modules are built with them: new codes stand at the end.
 * Every code is explained in docs/reason-codes.md (a test compares the two). */
#ifndef ERAB_REASON_H
#define ERAB_REASON_H

#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, "code", retry): retry is 1 where sending the same thing again later may succeed. */
#define ERAB_REASONS(X)                                                                                      \
    X(NONE, "none", 0)                                                                                       \
    /* connection: the handshake and the frames */                                                           \
    X(UNKNOWN_KEY, "unknown-key", 0)                                                                         \
    X(REVOKED, "revoked", 0)                                                                                 \
    X(WRONG_MECHANISM, "wrong-mechanism", 0)                                                                 \
    X(WRONG_VERSION, "wrong-version", 0)                                                                     \
    X(BAD_HANDSHAKE, "bad-handshake", 0)                                                                     \
    X(HANDSHAKE_TIMEOUT, "handshake-timeout", 1)                                                             \
    X(CONNECTION_LIMIT, "connection-limit", 1)                                                               \
    X(BAD_FRAME, "bad-frame", 0)                                                                             \
    X(FRAME_TOO_LARGE, "frame-too-large", 0)                                                                 \
    X(BAD_BOX, "bad-box", 0)                                                                                 \
    X(NONCE_ORDER, "nonce-order", 0)                                                                         \
    X(HEARTBEAT_LOST, "heartbeat-lost", 1)                                                                   \
    X(AGE_LIMIT, "age-limit", 1)                                                                             \
    X(CLOSED_BY_PEER, "closed-by-peer", 1)                                                                   \
    X(REPLACED, "replaced", 0)                                                                               \
    X(SHUTDOWN, "shutdown", 1)                                                                               \
    X(IO_ERROR, "io-error", 1)                                                                               \
    X(NOT_BOUND, "not-bound", 0)                                                                             \
    X(WRONG_LANE, "wrong-lane", 0)                                                                           \
    /* decoding */                                                                                           \
    X(MALFORMED, "malformed", 0)                                                                             \
    X(UNKNOWN_TYPE, "unknown-type", 0)                                                                       \
    X(UNKNOWN_VERSION, "unknown-version", 0)                                                                 \
    X(TOO_LARGE, "too-large", 0)                                                                             \
    /* who may say it */                                                                                     \
    X(FROM_NOT_YOURS, "from-not-yours", 0)                                                                   \
    X(TYPE_NOT_YOURS, "type-not-yours", 0)                                                                   \
    X(NO_INTERFACE, "no-interface", 0)                                                                       \
    X(WRONG_INTERFACE, "wrong-interface", 0)                                                                 \
    X(FLOW_REFUSED, "flow-refused", 0)                                                                       \
    /* when */                                                                                               \
    X(EXPIRED, "expired", 0)                                                                                 \
    X(NOT_YET, "not-yet", 1)                                                                                 \
    X(LIFETIME, "lifetime", 0)                                                                               \
    X(REPLAY, "replay", 0)                                                                                   \
    /* proof */                                                                                              \
    X(SIGNATURE_MISSING, "signature-missing", 0)                                                             \
    X(SIGNATURE_BAD, "signature-bad", 0)                                                                     \
    X(SIGNER_UNKNOWN, "signer-unknown", 0)                                                                   \
    /* the order that it follows from */                                                                     \
    X(PARENT_MISSING, "parent-missing", 0)                                                                   \
    X(PARENT_UNKNOWN, "parent-unknown", 0)                                                                   \
    X(PARENT_ENDED, "parent-ended", 0)                                                                       \
    X(PARENT_MISMATCH, "parent-mismatch", 0)                                                                 \
    X(EXERCISE_MISMATCH, "exercise-mismatch", 0)                                                             \
    /* where to */                                                                                           \
    X(RECIPIENT_UNKNOWN, "recipient-unknown", 0)                                                             \
    X(GROUP_UNKNOWN, "group-unknown", 0)                                                                     \
    X(GROUP_NOT_YOURS, "group-not-yours", 0)                                                                 \
    /* rules */                                                                                              \
    X(POLICY_SILENT, "policy-silent", 0)                                                                     \
    X(POLICY_DENIED, "policy-denied", 0)                                                                     \
    X(CATEGORY_REFUSED, "category-refused", 0)                                                               \
    X(WINDOW_UNBOUNDED, "window-unbounded", 0)                                                               \
    X(WINDOW_PAST, "window-past", 0)                                                                         \
    X(BREAKER_OPEN, "breaker-open", 0)                                                                       \
    /* room and health */                                                                                    \
    X(QUOTA, "quota", 1)                                                                                     \
    X(QUEUE_FULL, "queue-full", 1)                                                                           \
    X(STORAGE, "storage", 1)                                                                                 \
    X(NOT_READY, "not-ready", 1)                                                                             \
    /* said by the recipient: an application, an adapter or a device */                                      \
    X(NOT_SUPPORTED, "not-supported", 0)                                                                     \
    X(OUT_OF_RANGE, "out-of-range", 0)                                                                       \
    X(EXERCISE, "exercise", 0)                                                                               \
    X(DEVICE_UNKNOWN, "device-unknown", 1)                                                                   \
    X(DEVICE_REFUSED, "device-refused", 0)                                                                   \
    X(DEVICE_SILENT, "device-silent", 1)                                                                     \
    X(DEVICE_DEVIATES, "device-deviates", 0)                                                                 \
    X(DECLINED, "declined", 0)                                                                               \
    X(SUPERSEDED, "superseded", 0)                                                                           \
    X(CANCELLED, "cancelled", 0)                                                                             \
    X(BUSY, "busy", 1)                                                                                       \
    X(INTERNAL, "internal", 1)                                                                               \
    /* a module's file */                                                                                    \
    X(MODULE_FILE, "module-file", 0)                                                                         \
    X(MODULE_ABI, "module-abi", 0)                                                                           \
    /* enrolment and key changes */                                                                          \
    X(INVITATION_EXPIRED, "invitation-expired", 0)                                                           \
    X(INVITATION_USED, "invitation-used", 0)                                                                 \
    X(NOT_APPROVED, "not-approved", 1)                                                                       \
    X(DENIED, "denied", 0)                                                                                   \
    X(KEY_EXPIRED, "key-expired", 0)                                                                         \
    X(KEY_IN_USE, "key-in-use", 0)                                                                           \
    /* rules, later */                                                                                       \
    X(POLICY_DEADLINE, "policy-deadline", 1)                                                                 \
    X(CONSENT_MISSING, "consent-missing", 0)                                                                 \
    /* the owner's applications */                                                                           \
    X(TYPE_TAKEN, "type-taken", 1)

enum erab_reason {
#define ERAB_REASON_ENUM(name, code, retry) ERAB_REASON_##name,
    ERAB_REASONS(ERAB_REASON_ENUM)
#undef ERAB_REASON_ENUM
    ERAB_REASON_COUNT
};

/* The stable code, never NULL ("internal" for a number outside the list). Static text. Any thread. */
ERAB_API const char *erab_reason_code(enum erab_reason reason);

/* The reason of a code, or ERAB_REASON_COUNT when this build does not know it. NULL is not allowed. */
ERAB_API enum erab_reason erab_reason_from_code(const char *code);

/* 1 when the same thing sent later may succeed, else 0. */
ERAB_API int erab_reason_retry(enum erab_reason reason);

#ifdef __cplusplus
}
#endif

#endif
