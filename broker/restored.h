/* A journal that is older than what was committed: how a broker sees it, and what a person's acceptance closes. */
#ifndef ERABI_RESTORED_H
#define ERABI_RESTORED_H

#include "broker.h"

/* After both are open: does the audit log tell of a later state of this journal, or of another one? Then -ESTALE, and a
 * line that says what to do. */
int erabi_restored_judge(struct erabi_broker *broker);
/* Writes into the audit log how far the journal is, when it has come further; `now`: in any case. */
void erabi_restored_tell(struct erabi_broker *broker, bool now);

struct erabi_accepted {
    size_t waiting;     /* messages that were still to be sent: they have expired */
    size_t invitations; /* void now */
    size_t pending;     /* their approvals are to be given again */
    size_t revoked;     /* parties that the audit log says were revoked */
    size_t tripped;     /* links that the audit log says an operator opened */
    size_t torn;        /* audit logs whose last record is torn */
};

/* Offline: takes an older journal back into use, in one commit, so that nothing it has forgotten can do harm.
 * `audits`: the oldest audit log first; each holds (a torn end is let pass), or is empty. 0, or a negative errno with
 * `error`. */
int erabi_restored_accept(const char *path, char *const *audits, size_t n_audits, struct erabi_accepted *out, char *error,
                          size_t error_size);
#endif
