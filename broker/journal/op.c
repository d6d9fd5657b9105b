#include "journal/op.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal/store.h"

void erabi_ops_push(struct erabi_ops *list, struct erabi_op *op)
{
    op->next = NULL;
    if (list->last)
        list->last->next = op;
    else
        list->first = op;
    list->last = op;
    list->n++;
}

struct erabi_op *erabi_ops_pop(struct erabi_ops *list)
{
    struct erabi_op *op = list->first;
    if (!op)
        return NULL;
    list->first = op->next;
    if (!list->first)
        list->last = NULL;
    list->n--;
    return op;
}

static struct erabi_op *new_op(enum erabi_op_kind kind, size_t bytes, struct erabi_writer *w)
{
    struct erabi_op *op = calloc(1, sizeof(*op) + bytes);
    if (op) {
        op->kind = kind;
        *w = erabi_writer(op->bytes, bytes);
    }
    return op;
}

static struct erabi_slice keep(struct erabi_writer *w, const void *data, size_t size)
{
    const uint8_t *at = w->start + w->used;
    erabi_write_bytes(w, data, size);
    return erabi_slice(at, size);
}

static const char *keep_text(struct erabi_writer *w, const char *text)
{
    return (const char *)keep(w, text, strlen(text) + 1).data;
}

struct erabi_op *erabi_op_new(enum erabi_op_kind kind)
{
    struct erabi_writer w;
    return new_op(kind, 0, &w);
}

struct erabi_op *erabi_op_put(const struct erabi_journal_entry *e, int64_t row, int64_t *next_outbox)
{
    /* The recipients come first, for their alignment. */
    size_t bytes = e->n_recipients * sizeof(*e->recipients) + ERAB_ID_SIZE + ERAB_HASH_SIZE + e->header.size +
                   e->body.size + e->signature.size + strlen(e->from) + 1 + (e->ended ? ERAB_ID_SIZE : 0);
    for (size_t i = 0; i < e->n_recipients; i++)
        bytes += strlen(e->recipients[i].to) + 1;
    struct erabi_writer w;
    struct erabi_op *op = new_op(OP_PUT, bytes, &w);
    if (!op)
        return NULL;
    op->row = row;
    op->entry = *e;
    op->entry.recipients = (void *)erabi_write_room(&w, e->n_recipients * sizeof(*e->recipients));
    for (size_t i = 0; i < e->n_recipients; i++) {
        e->recipients[i].row = e->recipients[i].state == ERAB_REFUSED ? 0 : ++*next_outbox;
        op->entry.recipients[i] = e->recipients[i];
        op->entry.recipients[i].to = keep_text(&w, e->recipients[i].to);
    }
    op->entry.id = keep(&w, e->id, ERAB_ID_SIZE).data;
    op->entry.hash = keep(&w, e->hash, ERAB_HASH_SIZE).data;
    op->entry.header = keep(&w, e->header.data, e->header.size);
    op->entry.body = keep(&w, e->body.data, e->body.size);
    op->entry.signature = keep(&w, e->signature.data, e->signature.size);
    op->entry.from = keep_text(&w, e->from);
    if (e->ended)
        op->entry.ended = keep(&w, e->ended, ERAB_ID_SIZE).data;
    assert(!w.bad);
    return op;
}

struct erabi_op *erabi_op_about(enum erabi_op_kind kind, const uint8_t *id, const char *text,
                                enum erab_receipt_state state, enum erab_reason reason)
{
    struct erabi_writer w;
    struct erabi_op *op = new_op(kind, ERAB_ID_SIZE + strlen(text) + 1, &w);
    if (!op)
        return NULL;
    op->entry.id = keep(&w, id, ERAB_ID_SIZE).data;
    op->text = keep_text(&w, text);
    op->entry.state = state;
    op->entry.reason = reason;
    return op;
}

struct erabi_op *erabi_op_named(enum erabi_op_kind kind, const char *name, struct erabi_slice value,
                                erabi_journal_done_fn done, void *user)
{
    struct erabi_writer w;
    struct erabi_op *op = new_op(kind, strlen(name) + 1 + value.size, &w);
    if (!op)
        return NULL;
    op->text = keep_text(&w, name);
    op->value = keep(&w, value.data, value.size);
    op->done = done;
    op->user = user;
    return op;
}

int erabi_op_apply(struct erabi_store *s, const struct erabi_op *op)
{
    switch (op->kind) {
    case OP_PUT:
        return erabi_store_put(s, op->row, &op->entry);
    case OP_OUT_DONE:
        return erabi_store_outbox_done(s, op->row);
    case OP_ANSWER:
        return erabi_store_answer(s, op->entry.id, op->entry.state, op->entry.reason);
    case OP_CANCELLED:
        return erabi_store_cancelled(s, op->entry.id);
    case OP_MEMBER:
        return erabi_store_member(s, op->entry.id, op->text, op->entry.state, op->entry.reason);
    case OP_MEMBERS_DONE:
        return erabi_store_members_done(s, op->entry.id);
    case OP_REVOKE:
        return erabi_store_revoke(s, op->text, op->now_ms);
    case OP_STATE:
    case OP_PROBE:
        return erabi_store_state(s, op->text, op->value);
    case OP_PURGE:
        return erabi_store_purge(s, op->now_ms);
    case OP_COPY:
        break;
    }
    return -EINVAL;
}
