/* What an audit log said last of one kind. */
#ifndef ERABI_AUDIT_LAST_H
#define ERABI_AUDIT_LAST_H

#include <stddef.h>

/* The newest record whose `what` is this, as text; looks back 64 MiB. 0, 1: there is none, or a negative errno. The log
 * must not shrink meanwhile. */
int erabi_audit_last(const char *path, const char *what, char *line, size_t size);
#endif
