/* The store in SQLite: opening, and what commits write. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "journal/store_sqlite.h"

static const char *const sql_text[S_COUNT] = {
#define TEXT(name, sql) sql,
    STATEMENTS(TEXT)
#undef TEXT
};

/* How long after their end rows stay that somebody is still owed a receipt for. */
#define OWED_MS 86400000u
/* Looked at in one commit for bodies to erase. */
#define ERASE_ROWS 20000

int erabi_store_fault(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

int erabi_store_exec(sqlite3 *db, const char *sql)
{
    return erabi_store_fault(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

/* Locks the file for good. What is wrong is told before anything is written: it may have to be looked at. */
static int prepare_file(struct erabi_store *s, const char *owner, enum erabi_store_mode mode, const char **why)
{
    *why = "cannot be read or written";
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int r = erabi_store_functions(s);
    if (r == 0)
        r = erabi_store_exec(s->db, mode == ERABI_STORE_USE
                                        ? "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                                          "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                                          "PRAGMA wal_autocheckpoint = 4000; PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE"
                                        : "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
                                          "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; BEGIN;"
                                          "SELECT count(*) FROM sqlite_schema");
    if (r == -EBUSY)
        *why = "is in use by another process";
    if (r == -EBADMSG)
        *why = "is damaged or no database";
    if (r < 0)
        return r;
    r = erabi_store_prepare(s, owner, mode, why);
    if (r == 0 && mode == ERABI_STORE_USE)
        r = erabi_store_exec(s->db, "COMMIT");
    if (r == 0)
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, mode == ERABI_STORE_READ, NULL);
    else if (!sqlite3_get_autocommit(s->db))
        erabi_store_exec(s->db, "ROLLBACK");
    s->committed = s->head;
    s->changed = false;
    return r;
}

void erabi_store_close(struct erabi_store *s)
{
    if (!s)
        return;
    for (int i = 0; i < S_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    free(s);
}

/* Made by us, so that it is nobody else's to read from its first moment. */
static int touch(const char *path, enum erabi_store_mode mode)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | (mode == ERABI_STORE_USE ? O_RDWR | O_CREAT : O_RDONLY);
    int fd = open(path, flags, 0600);
    int r = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

int erabi_store_open(struct erabi_store **out, const char *path, const char *owner, enum erabi_store_mode mode, char *error,
                     size_t error_size)
{
    *out = NULL;
    struct erabi_store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    const char *why = "cannot be opened";
    int r = touch(path, mode);
    if (r == 0)
        r = erabi_store_fault(sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    if (r == 0)
        r = prepare_file(s, owner, mode, &why);
    for (int i = 0; r == 0 && i < S_COUNT; i++)
        r = erabi_store_fault(
            sqlite3_prepare_v3(s->db, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL));
    if (r < 0) {
        const char *said = s->db && sqlite3_errcode(s->db) != SQLITE_OK ? sqlite3_errmsg(s->db) : NULL;
        if (error && r == -EPERM)
            snprintf(error, error_size, "%s %s (%s)", path, why, s->head.owner);
        else if (error && (r == -EPROTO || (r == -EBADMSG && !said)))
            snprintf(error, error_size, "%s %s", path, why);
        else if (error)
            snprintf(error, error_size, "%s %s (%s)", path, why, said ? said : strerror(-r));
        erabi_store_close(s);
        return r;
    }
    *out = s;
    return 0;
}

const struct erabi_journal_head *erabi_store_head(const struct erabi_store *s)
{
    return &s->committed;
}

static void bind_slice(sqlite3_stmt *st, int at, struct erabi_slice slice)
{
    sqlite3_bind_blob64(st, at, slice.size ? (const void *)slice.data : "", slice.size, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *st, int at, uint64_t v)
{
    sqlite3_bind_int64(st, at, v > INT64_MAX ? INT64_MAX : (sqlite3_int64)v);
}

/* A statement that gives no rows. */
static int run(sqlite3_stmt *st)
{
    int r = erabi_store_fault(sqlite3_step(st));
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r;
}

/* The same for one that writes rows: each gets the next sequence. */
static int change(struct erabi_store *s, sqlite3_stmt *st)
{
    int at = sqlite3_bind_parameter_index(st, SEQUENCE);
    if (at)
        sqlite3_bind_int64(st, at, (sqlite3_int64)++s->head.sequence);
    return run(st);
}

int erabi_store_begin(struct erabi_store *s)
{
    s->changed = false;
    return run(s->statements[S_BEGIN]);
}

int erabi_store_commit(struct erabi_store *s)
{
    uint8_t bytes[ERABI_HEAD_SIZE];
    int r = 0;
    if (s->changed) {
        s->head.generation++;
        erabi_journal_head_encode(&s->head, bytes);
        bind_slice(s->statements[S_HEAD], 1, erabi_slice(bytes, sizeof(bytes)));
        r = run(s->statements[S_HEAD]);
    }
    if (r == 0)
        r = run(s->statements[S_COMMIT]);
    if (r == 0)
        s->committed = s->head;
    return r;
}

void erabi_store_rollback(struct erabi_store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        run(s->statements[S_ROLLBACK]);
    s->head = s->committed;
    s->changed = false;
}

int erabi_store_put(struct erabi_store *s, int64_t row, const struct erabi_journal_entry *e)
{
    sqlite3_stmt *st = s->statements[S_PUT];
    uint64_t ends = e->keep_until_ms > e->expires_at_ms ? e->keep_until_ms : e->expires_at_ms;
    sqlite3_bind_int64(st, 1, row);
    bind_slice(st, 2, erabi_slice(e->id, ERAB_ID_SIZE));
    bind_slice(st, 3, erabi_slice(e->hash, ERAB_HASH_SIZE));
    bind_slice(st, 4, e->header);
    bind_slice(st, 5, e->body);
    bind_slice(st, 6, e->signature);
    bind_text(st, 7, e->from);
    bind_number(st, 8, e->type);
    bind_number(st, 9, e->state);
    bind_text(st, 10, erab_reason_code(e->reason));
    bind_number(st, 11, e->expires_at_ms);
    bind_number(st, 12, ends);
    int r = change(s, st);
    for (size_t i = 0; r == 0 && e->group && i < e->n_recipients; i++) {
        st = s->statements[S_PUT_MEMBER];
        sqlite3_bind_int64(st, 1, row);
        bind_text(st, 2, e->recipients[i].to);
        bind_number(st, 3, e->recipients[i].state);
        bind_text(st, 4, erab_reason_code(e->recipients[i].reason));
        r = change(s, st);
    }
    for (size_t i = 0; r == 0 && i < e->n_recipients; i++) {
        if (e->recipients[i].state == ERAB_REFUSED)
            continue;
        st = s->statements[S_PUT_OUT];
        sqlite3_bind_int64(st, 1, e->recipients[i].row);
        sqlite3_bind_int64(st, 2, row);
        bind_text(st, 3, e->recipients[i].to);
        bind_number(st, 4, e->expires_at_ms);
        r = change(s, st);
    }
    if (r == 0 && e->ended)
        r = erabi_store_cancelled(s, e->ended);
    return r;
}

int erabi_store_outbox_done(struct erabi_store *s, int64_t row)
{
    sqlite3_bind_int64(s->statements[S_OUT_DONE], 1, row);
    return change(s, s->statements[S_OUT_DONE]);
}

int erabi_store_answer(struct erabi_store *s, const uint8_t *id, enum erab_receipt_state state, enum erab_reason reason)
{
    sqlite3_stmt *st = s->statements[S_ANSWER];
    bind_slice(st, 1, erabi_slice(id, ERAB_ID_SIZE));
    bind_number(st, 2, state);
    bind_text(st, 3, erab_reason_code(reason));
    return change(s, st);
}

int erabi_store_member(struct erabi_store *s, const uint8_t *id, const char *party, enum erab_receipt_state state,
                       enum erab_reason reason)
{
    sqlite3_stmt *st = s->statements[S_MEMBER];
    bind_slice(st, 1, erabi_slice(id, ERAB_ID_SIZE));
    bind_text(st, 2, party);
    bind_number(st, 3, state);
    bind_text(st, 4, erab_reason_code(reason));
    return change(s, st);
}

int erabi_store_members_done(struct erabi_store *s, const uint8_t *id)
{
    bind_slice(s->statements[S_MEMBERS_DONE], 1, erabi_slice(id, ERAB_ID_SIZE));
    return change(s, s->statements[S_MEMBERS_DONE]);
}

int erabi_store_cancelled(struct erabi_store *s, const uint8_t *id)
{
    bind_slice(s->statements[S_CANCELLED], 1, erabi_slice(id, ERAB_ID_SIZE));
    return change(s, s->statements[S_CANCELLED]);
}

int erabi_store_revoke(struct erabi_store *s, const char *party, uint64_t now_ms)
{
    bind_text(s->statements[S_REVOKE], 1, party);
    bind_number(s->statements[S_REVOKE], 2, now_ms);
    return change(s, s->statements[S_REVOKE]);
}

int erabi_store_state(struct erabi_store *s, const char *key, struct erabi_slice value)
{
    sqlite3_stmt *st = s->statements[value.size ? S_STATE : S_STATE_DROP];
    bind_text(st, 1, key);
    if (value.size)
        bind_slice(st, 2, value);
    return change(s, st);
}

/* What nobody waits for and nothing needs any more loses its body; its id and hash stay until its end, against replay.
 * A part of the rows at a time, and from the beginning again. */
static int erase(struct erabi_store *s)
{
    sqlite3_stmt *st = s->statements[S_EDGES];
    int code = sqlite3_step(st);
    int64_t first = sqlite3_column_int64(st, 0), last = sqlite3_column_int64(st, 1);
    sqlite3_reset(st);
    if (code != SQLITE_ROW)
        return erabi_store_fault(code);
    int64_t from = s->erased >= first && s->erased < last ? s->erased : first - 1;
    s->erased = from + ERASE_ROWS;
    sqlite3_bind_int64(s->statements[S_ERASE], 1, from);
    sqlite3_bind_int64(s->statements[S_ERASE], 2, s->erased);
    return change(s, s->statements[S_ERASE]);
}

static int purge(struct erabi_store *s, sqlite3_stmt *st, uint64_t before_ms)
{
    bind_number(st, 1, before_ms);
    int r = change(s, st);
    s->unpurged |= r == 0 && sqlite3_changes(s->db) >= atoi(PURGE_ROWS);
    return r;
}

int erabi_store_purge(struct erabi_store *s, uint64_t now_ms)
{
    uint64_t owed = now_ms > OWED_MS ? now_ms - OWED_MS : 0;
    s->unpurged = false;
    int r = purge(s, s->statements[S_PURGE_OUT], owed);
    r = r < 0 ? r : purge(s, s->statements[S_PURGE_MEMBERS], owed);
    r = r < 0 ? r : purge(s, s->statements[S_PURGE], now_ms);
    return r < 0 ? r : erase(s);
}

bool erabi_store_unpurged(const struct erabi_store *s)
{
    return s->unpurged;
}

int erabi_store_rows(struct erabi_store *s, int64_t *message, int64_t *outbox)
{
    sqlite3_stmt *st = s->statements[S_ROWS];
    int code = sqlite3_step(st);
    if (code == SQLITE_ROW) {
        *message = sqlite3_column_int64(st, 0);
        *outbox = sqlite3_column_int64(st, 1);
    }
    sqlite3_reset(st);
    return code == SQLITE_ROW ? 0 : erabi_store_fault(code) < 0 ? erabi_store_fault(code) : -EIO;
}

int erabi_store_accept(struct erabi_store *s, uint64_t now_ms, uint64_t floor_ms)
{
    randombytes_buf(s->head.journal, sizeof(s->head.journal));
    s->head.kind = ERABI_JOURNAL_ACCEPTED;
    s->head.accepted_ms = floor_ms;
    s->changed = true;
    bind_number(s->statements[S_ACCEPT_OUT], 1, now_ms);
    int r = change(s, s->statements[S_ACCEPT_OUT]);
    return r < 0 ? r : change(s, s->statements[S_ACCEPT_LIVE]);
}

void erabi_store_live(struct erabi_store *s)
{
    s->changed = s->changed || s->head.kind != ERABI_JOURNAL_LIVE;
    s->head.kind = ERABI_JOURNAL_LIVE;
}

int erabi_store_size(struct erabi_store *s, uint64_t *bytes, uint64_t *unused)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(s->db,
                                  "SELECT page_count * page_size, freelist_count * page_size FROM pragma_page_count,"
                                  " pragma_page_size, pragma_freelist_count",
                                  -1, &st, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        *bytes = (uint64_t)sqlite3_column_int64(st, 0);
        *unused = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_finalize(st);
    return erabi_store_fault(code);
}
