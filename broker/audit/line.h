/* One line of an audit log, checked. Used within audit/ only. Pure but for memory; any thread. */
#ifndef ERABI_AUDIT_LINE_H
#define ERABI_AUDIT_LINE_H

#include <stdio.h>

#include <jansson.h>

#include "audit/audit.h"

struct erabi_audit_line {
    json_t *json; /* the caller's, to be released with json_decref */
    uint64_t seq;
    uint8_t prev[ERAB_HASH_SIZE];
    uint8_t hash[ERAB_HASH_SIZE]; /* recomputed; equal to the line's */
};

/* `text` without its newline. NULL = good; else a static text of what is wrong (then there is no json). */
const char *erabi_audit_line_read(struct erabi_audit_line *out, const char *text, size_t size);

/* The next line of a stream without its newline into `buffer` of ERABI_AUDIT_LINE_MAX + 1 bytes, NUL-terminated. 1 = a
 * line, 0 = the end, -EBADMSG = the last line is torn, -EMSGSIZE = too long, -EIO. */
int erabi_audit_line_next(FILE *file, char *buffer, size_t *size);

/* The head that a record of what "head" carries; false when a member is missing or malformed. */
bool erabi_audit_line_head(const json_t *json, struct erabi_audit_head *out);
bool erabi_audit_hex(const char *text, uint8_t *out, size_t size);
#endif
