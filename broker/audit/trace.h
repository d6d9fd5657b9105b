/* Follows one message through audit logs: its records, its parents and its children. Offline. */
#ifndef ERABI_AUDIT_TRACE_H
#define ERABI_AUDIT_TRACE_H

#include <jansson.h>

/* Records are joined by their members id, parent, message_hash and parent_hash.
 * The hops in the order of time as a JSON array of {id, parent, type, from, to, step, verdict, time_ms, what, log,
 * depth, parent_holds, reported}; `reported` is true for records of another log than the first. At most 4,096 messages and 65,536
 * records. *out is the caller's when it returns 0. 0, 1 = no record of this id, or a negative errno with `error` filled. */
int erabi_audit_trace(json_t **out, const char *id, const char *const *files, size_t n_files, char *error,
                      size_t error_size);
#endif
