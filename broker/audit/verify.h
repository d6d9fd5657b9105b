/* Checks an audit log offline. */
#ifndef ERABI_AUDIT_VERIFY_H
#define ERABI_AUDIT_VERIFY_H

#include "audit/audit.h"

struct erabi_audit_result {
    uint64_t records; /* that hold, from the first on */
    uint64_t heads;   /* signed heads in the log whose signature holds (with a key) */
    uint64_t witnessed; /* heads of the heads file that were found in the log */
    uint64_t bad_seq; /* of the first bad record by its place, 0 when none */
    bool torn;        /* it is the last one, and incomplete */
    char reason[160]; /* what is wrong with it, "" when nothing */
    char log[ERABI_AUDIT_LOG_ID + 1];
};

/* `heads` (may be NULL): lines of JSON with members log, head_seq, head_hash; lines without them are passed over, so
 * the audit log of the party that was handed the heads will do. `key` (may be NULL): the owner's public sign key.
 * 0 = all holds, 1 = `result` names what does not, negative errno = a file could not be read. */
int erabi_audit_verify(const char *path, const char *heads, const uint8_t *key, struct erabi_audit_result *result);
#endif
