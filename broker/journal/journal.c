#include "journal/journal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "journal/store_sqlite.h"
#include "journal/worker.h"

#define GROUP_MAX      2048 /* operations in one commit */
#define STATE_MAX      4096
#define RECIPIENTS_MAX 65536
#define PROBE_KEY      "journal.probe"

enum op_kind { OP_PUT, OP_OUT_DONE, OP_ANSWER, OP_CANCELLED, OP_MEMBER, OP_MEMBERS_DONE, OP_REVOKE, OP_STATE, OP_PURGE, OP_PROBE };

/* One operation with copies of all it needs, in one allocation. */
struct op {
    struct op *next;
    enum op_kind kind;
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

struct list {
    struct op *first, *last;
    size_t n;
};

struct erabi_journal {
    struct erabi_store *store; /* the thread's, once it runs */
    uv_async_t async;
    struct erabi_worker *worker; /* NULL until the first operation */
    pthread_mutex_t lock;
    struct list waiting;  /* under lock */
    struct list finished; /* under lock */
    bool drained;         /* under lock: the worker has ended */
    atomic_bool failed;
    /* The loop thread's: */
    bool closing, purging, probing, loading;
    size_t most, queued;
    int64_t next_message, next_outbox;
    unsigned ticks;
    void (*closed)(void *user);
    void *closed_user;
};

static void push(struct list *list, struct op *op)
{
    op->next = NULL;
    if (list->last)
        list->last->next = op;
    else
        list->first = op;
    list->last = op;
    list->n++;
}

static struct op *pop(struct list *list)
{
    struct op *op = list->first;
    if (!op)
        return NULL;
    list->first = op->next;
    if (!list->first)
        list->last = NULL;
    list->n--;
    return op;
}

static int apply(struct erabi_store *s, const struct op *op)
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
    }
    return -EINVAL;
}

/* All of a group or nothing of it. */
static int commit_group(struct erabi_store *s, const struct list *group)
{
    int r = erabi_store_begin(s);
    for (const struct op *op = group->first; r == 0 && op; op = op->next)
        r = apply(s, op);
    if (r == 0)
        r = erabi_store_commit(s);
    if (r < 0)
        erabi_store_rollback(s);
    return r < 0 ? -EIO : 0;
}

/* After a failure only a probe is tried: what was queued meanwhile may rest on rows that were never kept. */
static int run_group(struct erabi_journal *j, struct list *group)
{
    if (atomic_load(&j->failed)) {
        struct list probe = {0};
        int r = -EIO;
        for (struct op *op = group->first, *next; op; op = next) {
            next = op->next;
            op->result = -EIO;
            if (op->kind != OP_PROBE)
                continue;
            struct op copy = *op;
            copy.next = NULL;
            probe = (struct list){&copy, &copy, 1};
            op->result = r = commit_group(j->store, &probe);
        }
        if (r == 0)
            atomic_store(&j->failed, false);
        return r;
    }
    int r = commit_group(j->store, group);
    for (struct op *op = group->first; op; op = op->next)
        op->result = r;
    if (r < 0)
        atomic_store(&j->failed, true);
    return r;
}

/* One group, on the worker. False: nothing waits. */
static bool work(void *user)
{
    struct erabi_journal *j = user;
    struct list group = {0};
    pthread_mutex_lock(&j->lock);
    while (group.n < GROUP_MAX && j->waiting.n)
        push(&group, pop(&j->waiting));
    pthread_mutex_unlock(&j->lock);
    if (!group.n)
        return false;
    run_group(j, &group);
    pthread_mutex_lock(&j->lock);
    for (struct op *op; (op = pop(&group));)
        push(&j->finished, op);
    pthread_mutex_unlock(&j->lock);
    uv_async_send(&j->async);
    return true;
}

static void on_ended(void *user)
{
    struct erabi_journal *j = user;
    pthread_mutex_lock(&j->lock);
    j->drained = true;
    uv_async_send(&j->async); /* under the lock: who sees `drained` may free all of this */
    pthread_mutex_unlock(&j->lock);
}

static void on_async_closed(uv_handle_t *handle)
{
    struct erabi_journal *j = handle->data;
    void (*closed)(void *) = j->closed;
    void *user = j->closed_user;
    pthread_mutex_destroy(&j->lock);
    free(j);
    if (closed)
        closed(user);
}

static void on_async(uv_async_t *async)
{
    struct erabi_journal *j = async->data;
    pthread_mutex_lock(&j->lock);
    struct list finished = j->finished;
    j->finished = (struct list){0};
    bool drained = j->drained;
    pthread_mutex_unlock(&j->lock);
    for (struct op *op; (op = pop(&finished));) {
        if (op->kind == OP_PURGE)
            j->purging = false;
        else if (op->kind == OP_PROBE)
            j->probing = false;
        else
            j->queued--;
        if (op->done)
            op->done(op->user, op->result);
        free(op);
    }
    if (drained && !uv_is_closing((uv_handle_t *)&j->async)) {
        erabi_worker_free(j->worker);
        erabi_store_close(j->store);
        uv_close((uv_handle_t *)&j->async, on_async_closed);
    }
}

int erabi_journal_open(struct erabi_journal **out, uv_loop_t *loop, const char *path, size_t queue, char *error,
                       size_t error_size)
{
    *out = NULL;
    struct erabi_journal *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->most = queue ? queue : 16384;
    int r = erabi_store_open(&j->store, path, error, error_size);
    if (r == 0)
        r = erabi_store_rows(j->store, &j->next_message, &j->next_outbox);
    if (r == 0)
        r = uv_async_init(loop, &j->async, on_async);
    if (r < 0) {
        erabi_store_close(j->store);
        free(j);
        return r;
    }
    j->async.data = j;
    pthread_mutex_init(&j->lock, NULL);
    *out = j;
    return 0;
}

static int start_worker(struct erabi_journal *j)
{
    return erabi_worker_new(&j->worker, work, on_ended, j);
}

int erabi_journal_load(struct erabi_journal *j, uint64_t now_ms, const struct erabi_journal_load *load)
{
    assert(!j->worker);
    j->loading = true;
    int r = erabi_store_load(j->store, now_ms, load);
    j->loading = false;
    int started = 0;
    if (j->waiting.n && (started = start_worker(j)) == 0)
        erabi_worker_wake(j->worker);
    return r < 0 ? r : started;
}

static int enqueue(struct erabi_journal *j, struct op *op)
{
    assert(!j->closing);
    /* During a load the store is the loop thread's: what is put then waits for its end. */
    int r = j->worker || j->loading ? 0 : start_worker(j);
    if (r < 0) {
        free(op);
        return r;
    }
    if (op->kind != OP_PURGE && op->kind != OP_PROBE)
        j->queued++;
    pthread_mutex_lock(&j->lock);
    push(&j->waiting, op);
    pthread_mutex_unlock(&j->lock);
    if (j->worker)
        erabi_worker_wake(j->worker);
    return 0;
}

static int room(const struct erabi_journal *j)
{
    if (atomic_load(&j->failed) || j->closing) /* what a last commit's callback asks for comes too late */
        return -EIO;
    return j->queued >= j->most ? -EAGAIN : 0;
}

static struct op *new_op(enum op_kind kind, size_t bytes, struct erabi_writer *w)
{
    struct op *op = calloc(1, sizeof(*op) + bytes);
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

int erabi_journal_put(struct erabi_journal *j, const struct erabi_journal_entry *e, erabi_journal_done_fn done,
                      void *user)
{
    int r = room(j);
    if (r < 0)
        return r;
    if (e->n_recipients > RECIPIENTS_MAX)
        return -EMSGSIZE;
    /* The recipients come first, for their alignment. */
    size_t bytes = e->n_recipients * sizeof(*e->recipients) + ERAB_ID_SIZE + ERAB_HASH_SIZE + e->header.size +
                   e->body.size + e->signature.size + strlen(e->from) + 1 + (e->ended ? ERAB_ID_SIZE : 0);
    for (size_t i = 0; i < e->n_recipients; i++)
        bytes += strlen(e->recipients[i].to) + 1;
    struct erabi_writer w;
    struct op *op = new_op(OP_PUT, bytes, &w);
    if (!op)
        return -ENOMEM;
    op->done = done;
    op->user = user;
    op->row = ++j->next_message;
    op->entry = *e;
    op->entry.recipients = (void *)erabi_write_room(&w, e->n_recipients * sizeof(*e->recipients));
    for (size_t i = 0; i < e->n_recipients; i++) {
        e->recipients[i].row = e->recipients[i].state == ERAB_REFUSED ? 0 : ++j->next_outbox;
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
    return enqueue(j, op);
}

int erabi_journal_outbox_done(struct erabi_journal *j, int64_t row)
{
    int r = room(j);
    struct erabi_writer w;
    struct op *op = r < 0 ? NULL : new_op(OP_OUT_DONE, 0, &w);
    if (!op)
        return r < 0 ? r : -ENOMEM;
    op->row = row;
    return enqueue(j, op);
}

static int about_id(struct erabi_journal *j, enum op_kind kind, const uint8_t *id, const char *text,
                    enum erab_receipt_state state, enum erab_reason reason)
{
    int r = room(j);
    struct erabi_writer w;
    struct op *op = r < 0 ? NULL : new_op(kind, ERAB_ID_SIZE + strlen(text) + 1, &w);
    if (!op)
        return r < 0 ? r : -ENOMEM;
    op->entry.id = keep(&w, id, ERAB_ID_SIZE).data;
    op->text = keep_text(&w, text);
    op->entry.state = state;
    op->entry.reason = reason;
    return enqueue(j, op);
}

int erabi_journal_answer(struct erabi_journal *j, const uint8_t id[ERAB_ID_SIZE], enum erab_receipt_state state,
                         enum erab_reason reason)
{
    return about_id(j, OP_ANSWER, id, "", state, reason);
}

int erabi_journal_member(struct erabi_journal *j, const uint8_t id[ERAB_ID_SIZE], const char *party,
                         enum erab_receipt_state state, enum erab_reason reason)
{
    return about_id(j, OP_MEMBER, id, party, state, reason);
}

int erabi_journal_members_done(struct erabi_journal *j, const uint8_t id[ERAB_ID_SIZE])
{
    return about_id(j, OP_MEMBERS_DONE, id, "", ERAB_ACCEPTED, ERAB_REASON_NONE);
}

int erabi_journal_cancelled(struct erabi_journal *j, const uint8_t id[ERAB_ID_SIZE])
{
    return about_id(j, OP_CANCELLED, id, "", ERAB_ACCEPTED, ERAB_REASON_NONE);
}

static struct op *named_op(enum op_kind kind, const char *name, struct erabi_slice value, erabi_journal_done_fn done,
                           void *user)
{
    struct erabi_writer w;
    struct op *op = new_op(kind, strlen(name) + 1 + value.size, &w);
    if (!op)
        return NULL;
    op->text = keep_text(&w, name);
    op->value = keep(&w, value.data, value.size);
    op->done = done;
    op->user = user;
    return op;
}

int erabi_journal_revoke(struct erabi_journal *j, const char *party, uint64_t now_ms, erabi_journal_done_fn done,
                         void *user)
{
    int r = room(j);
    if (r < 0)
        return r;
    struct op *op = named_op(OP_REVOKE, party, (struct erabi_slice){NULL, 0}, done, user);
    if (!op)
        return -ENOMEM;
    op->now_ms = now_ms;
    return enqueue(j, op);
}

int erabi_journal_state(struct erabi_journal *j, const char *key, struct erabi_slice value, erabi_journal_done_fn done,
                        void *user)
{
    int r = value.size > STATE_MAX ? -EMSGSIZE : room(j);
    if (r < 0)
        return r;
    struct op *op = named_op(OP_STATE, key, value, done, user);
    return op ? enqueue(j, op) : -ENOMEM;
}

void erabi_journal_tick(struct erabi_journal *j, uint64_t now_ms)
{
    struct erabi_writer w;
    struct op *op = NULL;
    if (atomic_load(&j->failed)) {
        if (j->probing)
            return;
        op = named_op(OP_PROBE, PROBE_KEY, erabi_slice(&now_ms, sizeof(now_ms)), NULL, NULL);
        j->probing = op != NULL;
    } else if (!j->purging && j->ticks++ % 4 == 0) {
        op = new_op(OP_PURGE, 0, &w);
        j->purging = op != NULL;
    }
    if (!op)
        return;
    op->now_ms = now_ms;
    bool probe = op->kind == OP_PROBE;
    if (enqueue(j, op) < 0) {
        if (probe)
            j->probing = false;
        else
            j->purging = false;
    }
}

bool erabi_journal_writable(const struct erabi_journal *j)
{
    return !atomic_load(&j->failed);
}

void erabi_journal_close(struct erabi_journal *j, void (*closed)(void *user), void *user)
{
    j->closed = closed;
    j->closed_user = user;
    j->closing = true;
    if (j->worker)
        erabi_worker_end(j->worker);
    else
        on_ended(j);
}
