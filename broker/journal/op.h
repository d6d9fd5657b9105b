/* One operation on its way to the journal's thread, with copies of all it needs, in one allocation. */
#ifndef ERABI_JOURNAL_OP_H
#define ERABI_JOURNAL_OP_H

#include "journal/journal.h"

struct erabi_store;

enum erabi_op_kind {
    OP_PUT,
    OP_OUT_DONE,
    OP_ANSWER,
    OP_CANCELLED,
    OP_MEMBER,
    OP_MEMBERS_DONE,
    OP_REVOKE,
    OP_STATE,
    OP_PURGE,
    OP_PROBE,
    OP_COPY
};

struct erabi_op {
    struct erabi_op *next;
    enum erabi_op_kind kind;
    erabi_journal_done_fn done;
    void *user;
    int result;
    int64_t row;
    uint64_t now_ms;
    struct erabi_journal_entry entry; /* PUT; id, state and reason also for others */
    const char *text;
    struct erabi_slice value;
    uint8_t bytes[];
};

struct erabi_ops {
    struct erabi_op *first, *last;
    size_t n;
};

void erabi_ops_push(struct erabi_ops *list, struct erabi_op *op);
struct erabi_op *erabi_ops_pop(struct erabi_ops *list);

/* NULL: no memory. */
struct erabi_op *erabi_op_new(enum erabi_op_kind kind);
/* Numbers rows of the outbox from `next_outbox` on, in the entry as well. */
struct erabi_op *erabi_op_put(const struct erabi_journal_entry *e, int64_t row, int64_t *next_outbox);
struct erabi_op *erabi_op_about(enum erabi_op_kind kind, const uint8_t *id, const char *text,
                                enum erab_receipt_state state, enum erab_reason reason);
struct erabi_op *erabi_op_named(enum erabi_op_kind kind, const char *name, struct erabi_slice value,
                                erabi_journal_done_fn done, void *user);

/* Within a transaction. */
int erabi_op_apply(struct erabi_store *store, const struct erabi_op *op);
#endif
