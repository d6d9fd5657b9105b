/* Which records of one kind are written and which only counted, so that nobody fills a disk by being refused. Within a
 * second the first ERABI_AUDIT_ONE_BY_ONE of a kind are written. Pure; any one thread. Used within audit/ only. */
#ifndef ERABI_AUDIT_COUNTED_H
#define ERABI_AUDIT_COUNTED_H

#include "audit/audit.h"

#define ERABI_COUNTED_KINDS 8192u /* a second; all others share one place, told as "various" */

struct erabi_counted;

struct erabi_counted *erabi_counted_new(void);
void erabi_counted_free(struct erabi_counted *counted);
/* Counts one; true: write it. */
bool erabi_counted_take(struct erabi_counted *counted, const char *what, const struct erabi_audit_kind *kind);
/* Ends the second: `tell` is called for each kind of which some were not written; texts are borrowed. */
void erabi_counted_end(struct erabi_counted *counted,
                       void (*tell)(void *user, const char *what, const struct erabi_audit_kind *kind, uint64_t records),
                       void *user);
#endif
