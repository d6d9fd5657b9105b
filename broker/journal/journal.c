#include "journal/journal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "journal/op.h"
#include "journal/recover.h"
#include "journal/worker.h"

#define GROUP_MAX      2048 /* operations in one commit */
#define STATE_MAX      4096
#define RECIPIENTS_MAX 65536
#define PROBE_KEY      "journal.probe"

struct erabi_journal {
    struct erabi_store *store; /* the thread's, once it runs */
    struct erabi_journal_head_file kept; /* as well */
    struct erabi_store_copy *copy;       /* as well: being made */
    struct erabi_op *copy_op;            /* as well */
    struct erabi_ops owed; /* as well: of messages that are settled, while nothing can be written */
    uv_async_t async;
    struct erabi_worker *worker; /* NULL until the first operation */
    pthread_mutex_t lock;
    struct erabi_ops waiting;       /* under lock */
    struct erabi_ops finished;      /* under lock */
    struct erabi_journal_head head; /* under lock: of the last commit */
    bool drained;                   /* under lock: the worker has ended */
    atomic_bool failed;
    /* The loop thread's: */
    bool closing, purging, probing, loading, damaged;
    size_t most, queued;
    int64_t next_message, next_outbox;
    unsigned ticks;
    void (*closed)(void *user);
    void *closed_user;
};

/* All of a group or nothing of it. */
static int commit_group(struct erabi_store *s, const struct erabi_ops *group)
{
    int r = erabi_store_begin(s);
    for (const struct erabi_op *op = group->first; r == 0 && op; op = op->next)
        r = erabi_op_apply(s, op);
    if (r == 0)
        r = erabi_store_commit(s);
    if (r < 0)
        erabi_store_rollback(s);
    return r < 0 ? -EIO : 0;
}

/* The file beside the store follows each commit. At a crash between the two it is behind by one: that is no fault. */
static int keep_head(struct erabi_journal *j)
{
    const struct erabi_journal_head *head = erabi_store_head(j->store);
    bool news = head->generation != j->head.generation;
    int r = news || atomic_load(&j->failed) ? erabi_journal_head_write(&j->kept, head) : 0;
    if (r < 0)
        atomic_store(&j->failed, true);
    pthread_mutex_lock(&j->lock);
    j->head = *head;
    pthread_mutex_unlock(&j->lock);
    return r;
}

static void finish(struct erabi_journal *j, struct erabi_ops *list)
{
    pthread_mutex_lock(&j->lock);
    for (struct erabi_op *op; (op = erabi_ops_pop(list));)
        erabi_ops_push(&j->finished, op);
    pthread_mutex_unlock(&j->lock);
    uv_async_send(&j->async);
}

/* What says that a message is settled is nobody's to repeat: lost, it would be sent again after a restart. */
static bool settles(enum erabi_op_kind kind)
{
    return kind == OP_OUT_DONE || kind == OP_ANSWER || kind == OP_CANCELLED || kind == OP_MEMBER || kind == OP_MEMBERS_DONE;
}

/* Nothing of the group was kept: told, or owed until it can be. */
static void give_up(struct erabi_journal *j, struct erabi_ops *group)
{
    struct erabi_ops told = {0};
    for (struct erabi_op *op; (op = erabi_ops_pop(group));) {
        op->result = -EIO;
        erabi_ops_push(settles(op->kind) ? &j->owed : &told, op);
    }
    *group = told;
}

/* In the order in which it came. */
static int pay(struct erabi_journal *j)
{
    int r = j->owed.n ? commit_group(j->store, &j->owed) : 0;
    if (r == 0 && j->owed.n)
        finish(j, &j->owed);
    return r;
}

/* After a failure only a probe is tried: what was queued meanwhile may rest on rows that were never kept. */
static void run_probe(struct erabi_journal *j, struct erabi_ops *group)
{
    int r = -EIO;
    for (const struct erabi_op *op = group->first; op; op = op->next) {
        if (op->kind != OP_PROBE)
            continue;
        struct erabi_op copy = *op;
        copy.next = NULL;
        r = commit_group(j->store, &(struct erabi_ops){&copy, &copy, 1});
    }
    give_up(j, group);
    if (r == 0)
        r = pay(j);
    if (r == 0)
        r = keep_head(j);
    if (r == 0)
        atomic_store(&j->failed, false);
}

static void run_group(struct erabi_journal *j, struct erabi_ops *group)
{
    if (atomic_load(&j->failed)) {
        run_probe(j, group);
        return;
    }
    if (commit_group(j->store, group) < 0) {
        atomic_store(&j->failed, true);
        give_up(j, group);
        return;
    }
    for (struct erabi_op *op = group->first; op; op = op->next)
        op->result = op->kind == OP_PURGE && erabi_store_unpurged(j->store);
}

static void begin_copy(struct erabi_journal *j, struct erabi_op *op)
{
    op->next = NULL;
    op->result = j->copy ? -EBUSY : erabi_store_copy_begin(&j->copy, j->store, op->text);
    if (op->result == 0)
        j->copy_op = op;
    else
        finish(j, &(struct erabi_ops){op, op, 1});
}

static void step_copy(struct erabi_journal *j)
{
    struct erabi_op *op = j->copy_op;
    op->result = erabi_store_copy_step(j->copy);
    if (op->result > 0)
        return;
    erabi_store_copy_end(erabi_take(j->copy));
    j->copy_op = NULL;
    finish(j, &(struct erabi_ops){op, op, 1});
}

/* One group, and a step of the copy that is being made, on the worker. False: nothing waits. */
static bool work(void *user)
{
    struct erabi_journal *j = user;
    struct erabi_ops group = {0};
    struct erabi_op *copy = NULL;
    pthread_mutex_lock(&j->lock);
    while (group.n < GROUP_MAX && j->waiting.n && !copy) {
        struct erabi_op *op = erabi_ops_pop(&j->waiting);
        if (op->kind == OP_COPY)
            copy = op;
        else
            erabi_ops_push(&group, op);
    }
    pthread_mutex_unlock(&j->lock);
    if (!group.n && !copy && !j->copy)
        return false;
    if (group.n) {
        run_group(j, &group);
        finish(j, &group); /* they do not wait for the head's file */
        if (!atomic_load(&j->failed))
            keep_head(j);
    }
    if (copy)
        begin_copy(j, copy);
    if (j->copy)
        step_copy(j);
    return true;
}

static void on_ended(void *user)
{
    struct erabi_journal *j = user;
    if (j->owed.n && pay(j) == 0)
        keep_head(j);
    finish(j, &j->owed);
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

static int enqueue(struct erabi_journal *j, struct erabi_op *op);

static void purge(struct erabi_journal *j, uint64_t now_ms)
{
    struct erabi_op *op = erabi_op_new(OP_PURGE);
    if (!op)
        return;
    op->now_ms = now_ms;
    j->purging = enqueue(j, op) == 0;
}

static void on_async(uv_async_t *async)
{
    struct erabi_journal *j = async->data;
    uint64_t purge_on_ms = 0;
    pthread_mutex_lock(&j->lock);
    struct erabi_ops finished = j->finished;
    j->finished = (struct erabi_ops){0};
    bool drained = j->drained;
    pthread_mutex_unlock(&j->lock);
    for (struct erabi_op *op; (op = erabi_ops_pop(&finished));) {
        if (op->kind == OP_PURGE) {
            j->purging = false;
            purge_on_ms = op->result > 0 ? op->now_ms : 0;
        }
        else if (op->kind == OP_PROBE)
            j->probing = false;
        else
            j->queued--;
        if (op->done)
            op->done(op->user, op->result);
        free(op);
    }
    if (purge_on_ms && !j->closing) /* behind what came meanwhile */
        purge(j, purge_on_ms);
    if (drained && !uv_is_closing((uv_handle_t *)&j->async)) {
        erabi_worker_free(j->worker);
        erabi_store_close(j->store);
        erabi_journal_head_close(&j->kept);
        uv_close((uv_handle_t *)&j->async, on_async_closed);
    }
}

int erabi_journal_open(struct erabi_journal **out, uv_loop_t *loop, const struct erabi_journal_options *options, char *error,
                       size_t error_size)
{
    *out = NULL;
    struct erabi_journal *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->most = options->queue ? options->queue : 16384;
    int r = erabi_journal_recover(options, ERABI_STORE_USE, &j->store, &j->kept, &j->damaged, error, error_size);
    if (j->store)
        j->head = *erabi_store_head(j->store);
    if (r == 0 && !j->damaged)
        r = erabi_store_rows(j->store, &j->next_message, &j->next_outbox);
    if (r == 0)
        r = uv_async_init(loop, &j->async, on_async);
    if (r < 0) {
        erabi_store_close(j->store);
        erabi_journal_head_close(&j->kept);
        free(j);
        return r;
    }
    j->async.data = j;
    pthread_mutex_init(&j->lock, NULL);
    *out = j;
    return 0;
}

bool erabi_journal_damaged(const struct erabi_journal *j)
{
    return j->damaged;
}

void erabi_journal_head(struct erabi_journal *j, struct erabi_journal_head *out)
{
    pthread_mutex_lock(&j->lock);
    *out = j->head;
    pthread_mutex_unlock(&j->lock);
}

int erabi_journal_settle(struct erabi_journal *j)
{
    assert(!j->worker);
    if (j->damaged || j->head.kind != ERABI_JOURNAL_ACCEPTED)
        return 0;
    int r = erabi_store_begin(j->store);
    erabi_store_live(j->store);
    if (r == 0)
        r = erabi_store_commit(j->store);
    if (r < 0) {
        erabi_store_rollback(j->store);
        return r;
    }
    return keep_head(j);
}

static int start_worker(struct erabi_journal *j)
{
    return erabi_worker_new(&j->worker, work, on_ended, j);
}

int erabi_journal_load(struct erabi_journal *j, uint64_t now_ms, const struct erabi_journal_load *load)
{
    assert(!j->worker);
    j->loading = true;
    int r = erabi_store_load(j->store, now_ms, load, j->damaged);
    j->loading = false;
    int started = 0;
    if (j->waiting.n && (started = start_worker(j)) == 0)
        erabi_worker_wake(j->worker);
    return r < 0 ? r : started;
}

static int enqueue(struct erabi_journal *j, struct erabi_op *op)
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
    erabi_ops_push(&j->waiting, op);
    pthread_mutex_unlock(&j->lock);
    if (j->worker)
        erabi_worker_wake(j->worker);
    return 0;
}

static int room(const struct erabi_journal *j)
{
    if (atomic_load(&j->failed) || j->damaged || j->closing) /* what a last commit's callback asks for comes too late */
        return -EIO;
    return j->queued >= j->most ? -EAGAIN : 0;
}

int erabi_journal_put(struct erabi_journal *j, const struct erabi_journal_entry *e, erabi_journal_done_fn done,
                      void *user)
{
    int r = room(j);
    if (r < 0)
        return r;
    if (e->n_recipients > RECIPIENTS_MAX)
        return -EMSGSIZE;
    struct erabi_op *op = erabi_op_put(e, j->next_message + 1, &j->next_outbox);
    if (!op)
        return -ENOMEM;
    j->next_message++;
    op->done = done;
    op->user = user;
    return enqueue(j, op);
}

/* Of what settles a message: it is taken also while nothing can be written. */
static int room_to_settle(const struct erabi_journal *j)
{
    if (j->damaged || j->closing)
        return -EIO;
    return j->queued >= j->most ? -EAGAIN : 0;
}

int erabi_journal_outbox_done(struct erabi_journal *j, int64_t row)
{
    int r = room_to_settle(j);
    struct erabi_op *op = r < 0 ? NULL : erabi_op_new(OP_OUT_DONE);
    if (!op)
        return r < 0 ? r : -ENOMEM;
    op->row = row;
    return enqueue(j, op);
}

static int about_id(struct erabi_journal *j, enum erabi_op_kind kind, const uint8_t *id, const char *text,
                    enum erab_receipt_state state, enum erab_reason reason)
{
    int r = room_to_settle(j);
    struct erabi_op *op = r < 0 ? NULL : erabi_op_about(kind, id, text, state, reason);
    return op ? enqueue(j, op) : r < 0 ? r : -ENOMEM;
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

int erabi_journal_revoke(struct erabi_journal *j, const char *party, uint64_t now_ms, erabi_journal_done_fn done,
                         void *user)
{
    int r = room(j);
    if (r < 0)
        return r;
    struct erabi_op *op = erabi_op_named(OP_REVOKE, party, (struct erabi_slice){NULL, 0}, done, user);
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
    struct erabi_op *op = erabi_op_named(OP_STATE, key, value, done, user);
    return op ? enqueue(j, op) : -ENOMEM;
}

int erabi_journal_copy(struct erabi_journal *j, const char *path, erabi_journal_done_fn done, void *user)
{
    int r = room(j);
    if (r < 0)
        return r;
    struct erabi_op *op = erabi_op_named(OP_COPY, path, (struct erabi_slice){NULL, 0}, done, user);
    return op ? enqueue(j, op) : -ENOMEM;
}

void erabi_journal_tick(struct erabi_journal *j, uint64_t now_ms)
{
    if (j->damaged || j->closing)
        return;
    if (!atomic_load(&j->failed)) {
        if (!j->purging && j->ticks++ % 4 == 0)
            purge(j, now_ms);
        return;
    }
    struct erabi_op *op =
        j->probing ? NULL : erabi_op_named(OP_PROBE, PROBE_KEY, erabi_slice(&now_ms, sizeof(now_ms)), NULL, NULL);
    if (!op)
        return;
    op->now_ms = now_ms;
    j->probing = enqueue(j, op) == 0;
}

bool erabi_journal_writable(const struct erabi_journal *j)
{
    return !atomic_load(&j->failed) && !j->damaged;
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
