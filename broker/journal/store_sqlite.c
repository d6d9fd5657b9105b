#include "journal/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/cleanup.h"
#include "wire/wire.h"

#define APPLICATION_ID 0x45524142 /* "ERAB" */
#define VERSION        1

#define STATEMENTS(X)                                                                                        \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                              \
    X(COMMIT, "COMMIT")                                                                                      \
    X(ROLLBACK, "ROLLBACK")                                                                                  \
    X(PUT, "INSERT INTO message VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,0)")                          \
    X(PUT_OUT, "INSERT INTO outbox VALUES (?1,?2,?3,?4)")                                                    \
    X(OUT_DONE, "DELETE FROM outbox WHERE row = ?1")                                                         \
    X(ANSWER, "UPDATE message SET state = ?2, reason = ?3 WHERE id = ?1")                                    \
    X(CANCELLED, "UPDATE message SET cancelled = 1 WHERE id = ?1")                                           \
    X(REVOKE, "INSERT OR IGNORE INTO revocation VALUES (?1,?2)")                                             \
    X(STATE, "INSERT OR REPLACE INTO state VALUES (?1,?2)")                                                  \
    X(STATE_DROP, "DELETE FROM state WHERE key = ?1")                                                        \
    X(PUT_MEMBER, "INSERT INTO member VALUES (?1,?2,?3,?4)")                                                 \
    X(MEMBER, "UPDATE member SET state = ?3, reason = ?4 WHERE message = (SELECT row FROM message WHERE "    \
              "id = ?1) AND party = ?2")                                                                     \
    X(MEMBERS_DONE, "DELETE FROM member WHERE message = (SELECT row FROM message WHERE id = ?1)")            \
    X(PURGE_OUT, "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox WHERE expires < ?1 LIMIT 1000)")   \
    X(PURGE_MEMBERS, "DELETE FROM member WHERE message IN (SELECT row FROM message WHERE ends < ?1 "         \
                     "LIMIT 1000)")                                                                          \
    X(PURGE, "DELETE FROM message WHERE row IN (SELECT row FROM message m WHERE ends < ?1 AND NOT EXISTS "   \
             "(SELECT 1 FROM outbox o WHERE o.message = m.row) AND NOT EXISTS (SELECT 1 FROM member WHERE "  \
             "member.message = m.row) LIMIT 1000)")                                                          \
    X(ROWS, "SELECT (SELECT ifnull(max(row),0) FROM message), (SELECT ifnull(max(row),0) FROM outbox)")      \
    X(MARKS, "SELECT id,hash,header,body,signature,sender,type,state,reason,expires,ends,cancelled FROM "    \
             "message WHERE ends >= ?1 ORDER BY row")                                                        \
    X(MEMBERS, "SELECT m.id,m.hash,m.header,m.body,p.party,p.state,p.reason,(SELECT count(*) FROM member c " \
               "WHERE c.message = m.row) FROM message m JOIN member p ON p.message = m.row ORDER BY m.row")  \
    X(PENDING, "SELECT o.row,o.recipient,o.expires,m.id,m.hash,m.header,m.body,m.signature FROM outbox o "   \
               "JOIN message m ON m.row = o.message ORDER BY o.row")                                         \
    X(REVOKED, "SELECT party FROM revocation")                                                               \
    X(STATES, "SELECT key,value FROM state")

enum statement {
#define ENUM(name, sql) S_##name,
    STATEMENTS(ENUM)
#undef ENUM
        S_COUNT
};

static const char *const sql_text[S_COUNT] = {
#define TEXT(name, sql) sql,
    STATEMENTS(TEXT)
#undef TEXT
};

static const char schema[] =
    "CREATE TABLE message (row INTEGER PRIMARY KEY, id BLOB NOT NULL, hash BLOB NOT NULL, header BLOB NOT NULL,"
    " body BLOB NOT NULL, signature BLOB NOT NULL, sender TEXT NOT NULL, type INTEGER NOT NULL,"
    " state INTEGER NOT NULL, reason TEXT NOT NULL, expires INTEGER NOT NULL, ends INTEGER NOT NULL,"
    " cancelled INTEGER NOT NULL);"
    "CREATE INDEX message_id ON message (id);"
    "CREATE INDEX message_ends ON message (ends);"
    "CREATE TABLE outbox (row INTEGER PRIMARY KEY, message INTEGER NOT NULL, recipient TEXT NOT NULL,"
    " expires INTEGER NOT NULL);"
    "CREATE INDEX outbox_expires ON outbox (expires);"
    "CREATE TABLE revocation (party TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";

/* Since the first version; none of it changes what older rows mean. */
static const char additions[] =
    "CREATE TABLE IF NOT EXISTS member (message INTEGER NOT NULL, party TEXT NOT NULL, state INTEGER NOT NULL,"
    " reason TEXT NOT NULL, PRIMARY KEY (message, party)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS outbox_message ON outbox (message);";

/* How long after their end rows stay that somebody is still owed a receipt for. */
#define OWED_MS 86400000u

struct erabi_store {
    sqlite3 *db;
    sqlite3_stmt *statements[S_COUNT];
};

static int fault_of(int code)
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

static int pragma_number(sqlite3 *db, const char *name, int *out)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA %s", name);
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW)
        *out = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return fault_of(code);
}

static int exec(sqlite3 *db, const char *sql)
{
    return fault_of(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static int create(sqlite3 *db)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID, VERSION);
    int r = exec(db, schema);
    return r < 0 ? r : exec(db, sql);
}

/* Locks the file for good, makes or checks the tables. */
static int prepare_file(struct erabi_store *s, const char **why)
{
    *why = "cannot be read or written";
    int r = exec(s->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA wal_autocheckpoint = 4000;"
                        "BEGIN EXCLUSIVE");
    if (r == -EBUSY)
        *why = "is in use by another process";
    if (r == -EBADMSG)
        *why = "is damaged or no database";
    if (r < 0)
        return r;
    int application = 0, version = 0, tables = 0;
    if ((r = pragma_number(s->db, "application_id", &application)) < 0 ||
        (r = pragma_number(s->db, "user_version", &version)) < 0 ||
        (r = pragma_number(s->db, "schema_version", &tables)) < 0)
        return r;
    if (application == 0 && version == 0 && tables == 0) {
        r = create(s->db);
    } else if (application != APPLICATION_ID) {
        *why = "is another program's database";
        r = -EPROTO;
    } else if (version != VERSION) {
        *why = "was written by another version of the broker";
        r = -EPROTO;
    }
    if (r == 0)
        r = exec(s->db, additions);
    if (r < 0) {
        exec(s->db, "ROLLBACK");
        return r;
    }
    return exec(s->db, "COMMIT");
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

int erabi_store_open(struct erabi_store **out, const char *path, char *error, size_t error_size)
{
    *out = NULL;
    struct erabi_store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    const char *why = "cannot be opened";
    /* Made by us, so that it is nobody else's to read from its first moment. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (r == 0)
        r = fault_of(sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    if (r == 0)
        r = prepare_file(s, &why);
    for (int i = 0; r == 0 && i < S_COUNT; i++)
        r = fault_of(sqlite3_prepare_v3(s->db, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL));
    if (r < 0) {
        if (error)
            snprintf(error, error_size, "%s %s (%s)", path, why, s->db ? sqlite3_errmsg(s->db) : strerror(-r));
        erabi_store_close(s);
        return r;
    }
    *out = s;
    return 0;
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
    int r = fault_of(sqlite3_step(st));
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r;
}

int erabi_store_begin(struct erabi_store *s)
{
    return run(s->statements[S_BEGIN]);
}

int erabi_store_commit(struct erabi_store *s)
{
    return run(s->statements[S_COMMIT]);
}

void erabi_store_rollback(struct erabi_store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        run(s->statements[S_ROLLBACK]);
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
    int r = run(st);
    for (size_t i = 0; r == 0 && e->group && i < e->n_recipients; i++) {
        st = s->statements[S_PUT_MEMBER];
        sqlite3_bind_int64(st, 1, row);
        bind_text(st, 2, e->recipients[i].to);
        bind_number(st, 3, e->recipients[i].state);
        bind_text(st, 4, erab_reason_code(e->recipients[i].reason));
        r = run(st);
    }
    for (size_t i = 0; r == 0 && i < e->n_recipients; i++) {
        if (e->recipients[i].state == ERAB_REFUSED)
            continue;
        st = s->statements[S_PUT_OUT];
        sqlite3_bind_int64(st, 1, e->recipients[i].row);
        sqlite3_bind_int64(st, 2, row);
        bind_text(st, 3, e->recipients[i].to);
        bind_number(st, 4, e->expires_at_ms);
        r = run(st);
    }
    if (r == 0 && e->ended)
        r = erabi_store_cancelled(s, e->ended);
    return r;
}

int erabi_store_outbox_done(struct erabi_store *s, int64_t row)
{
    sqlite3_bind_int64(s->statements[S_OUT_DONE], 1, row);
    return run(s->statements[S_OUT_DONE]);
}

int erabi_store_answer(struct erabi_store *s, const uint8_t *id, enum erab_receipt_state state, enum erab_reason reason)
{
    sqlite3_stmt *st = s->statements[S_ANSWER];
    bind_slice(st, 1, erabi_slice(id, ERAB_ID_SIZE));
    bind_number(st, 2, state);
    bind_text(st, 3, erab_reason_code(reason));
    return run(st);
}

int erabi_store_member(struct erabi_store *s, const uint8_t *id, const char *party, enum erab_receipt_state state,
                       enum erab_reason reason)
{
    sqlite3_stmt *st = s->statements[S_MEMBER];
    bind_slice(st, 1, erabi_slice(id, ERAB_ID_SIZE));
    bind_text(st, 2, party);
    bind_number(st, 3, state);
    bind_text(st, 4, erab_reason_code(reason));
    return run(st);
}

int erabi_store_members_done(struct erabi_store *s, const uint8_t *id)
{
    bind_slice(s->statements[S_MEMBERS_DONE], 1, erabi_slice(id, ERAB_ID_SIZE));
    return run(s->statements[S_MEMBERS_DONE]);
}

int erabi_store_cancelled(struct erabi_store *s, const uint8_t *id)
{
    bind_slice(s->statements[S_CANCELLED], 1, erabi_slice(id, ERAB_ID_SIZE));
    return run(s->statements[S_CANCELLED]);
}

int erabi_store_revoke(struct erabi_store *s, const char *party, uint64_t now_ms)
{
    bind_text(s->statements[S_REVOKE], 1, party);
    bind_number(s->statements[S_REVOKE], 2, now_ms);
    return run(s->statements[S_REVOKE]);
}

int erabi_store_state(struct erabi_store *s, const char *key, struct erabi_slice value)
{
    sqlite3_stmt *st = s->statements[value.size ? S_STATE : S_STATE_DROP];
    bind_text(st, 1, key);
    if (value.size)
        bind_slice(st, 2, value);
    return run(st);
}

int erabi_store_purge(struct erabi_store *s, uint64_t now_ms)
{
    uint64_t owed = now_ms > OWED_MS ? now_ms - OWED_MS : 0;
    bind_number(s->statements[S_PURGE_OUT], 1, owed);
    int r = run(s->statements[S_PURGE_OUT]);
    bind_number(s->statements[S_PURGE_MEMBERS], 1, owed);
    r = r < 0 ? r : run(s->statements[S_PURGE_MEMBERS]);
    bind_number(s->statements[S_PURGE], 1, now_ms);
    return r < 0 ? r : run(s->statements[S_PURGE]);
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
    return code == SQLITE_ROW ? 0 : fault_of(code) < 0 ? fault_of(code) : -EIO;
}

static struct erabi_slice column(sqlite3_stmt *st, int at)
{
    const void *data = sqlite3_column_blob(st, at);
    return erabi_slice(data, (size_t)sqlite3_column_bytes(st, at));
}

static const char *column_text(sqlite3_stmt *st, int at)
{
    const unsigned char *text = sqlite3_column_text(st, at);
    return text ? (const char *)text : "";
}

/* SQLite alone reads a flipped bit as good: what is stored is measured against its hash. */
static bool row_holds(struct erabi_slice id, struct erabi_slice hash, struct erabi_slice header, struct erabi_slice body)
{
    if (id.size != ERAB_ID_SIZE || hash.size != ERAB_HASH_SIZE)
        return false;
    if (header.size == 0)
        return true;
    uint8_t again[ERAB_HASH_SIZE];
    erabi_envelope_hash(header, body, again);
    return erabi_slice_equal(hash, erabi_slice(again, sizeof(again)));
}

static int tell_mark(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    struct erabi_slice id = column(st, 0), hash = column(st, 1);
    struct erabi_journal_mark m = {
        .id = id.data,
        .hash = hash.data,
        .header = column(st, 2),
        .body = column(st, 3),
        .signature = column(st, 4),
        .from = column_text(st, 5),
        .type = (enum erab_type)sqlite3_column_int(st, 6),
        .state = (enum erab_receipt_state)sqlite3_column_int(st, 7),
        .reason = erab_reason_from_code(column_text(st, 8)),
        .expires_at_ms = (uint64_t)sqlite3_column_int64(st, 9),
        .keep_until_ms = (uint64_t)sqlite3_column_int64(st, 10),
        .cancelled = sqlite3_column_int(st, 11) != 0,
    };
    if (m.reason == ERAB_REASON_COUNT)
        m.reason = ERAB_REASON_INTERNAL;
    if (!row_holds(id, hash, m.header, m.body))
        return -EBADMSG;
    return load->on_mark(load->user, &m);
}

static int tell_pending(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    struct erabi_slice id = column(st, 3), hash = column(st, 4);
    struct erabi_journal_pending p = {
        .row = sqlite3_column_int64(st, 0),
        .to = column_text(st, 1),
        .expires_at_ms = (uint64_t)sqlite3_column_int64(st, 2),
        .id = id.data,
        .hash = hash.data,
        .header = column(st, 5),
        .body = column(st, 6),
        .signature = column(st, 7),
    };
    if (!row_holds(id, hash, p.header, p.body))
        return -EBADMSG;
    return load->on_pending(load->user, &p);
}

static int tell_member(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    struct erabi_slice id = column(st, 0), hash = column(st, 1), header = column(st, 2);
    struct erabi_journal_member m = {
        .id = id.data,
        .hash = hash.data,
        .header = header,
        .to = column_text(st, 4),
        .state = (enum erab_receipt_state)sqlite3_column_int(st, 5),
        .reason = erab_reason_from_code(column_text(st, 6)),
        .n = (size_t)sqlite3_column_int64(st, 7),
    };
    if (m.reason == ERAB_REASON_COUNT)
        m.reason = ERAB_REASON_INTERNAL;
    if (!row_holds(id, hash, header, column(st, 3)))
        return -EBADMSG;
    return load->on_member(load->user, &m);
}

static int tell_revoked(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    return load->on_revoked(load->user, column_text(st, 0));
}

static int tell_state(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    return load->on_state(load->user, column_text(st, 0), column(st, 1));
}

static int each(sqlite3_stmt *st, int (*tell)(sqlite3_stmt *, const struct erabi_journal_load *),
                const struct erabi_journal_load *load)
{
    int r = 0, code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
        r = tell(st, load);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r < 0 ? r : fault_of(code);
}

int erabi_store_load(struct erabi_store *s, uint64_t now_ms, const struct erabi_journal_load *load)
{
    int r = 0;
    if (load->on_state) /* first: enrolled parties are states, and may be revoked */
        r = each(s->statements[S_STATES], tell_state, load);
    if (r == 0 && load->on_revoked)
        r = each(s->statements[S_REVOKED], tell_revoked, load);
    bind_number(s->statements[S_MARKS], 1, now_ms);
    if (r == 0 && load->on_mark)
        r = each(s->statements[S_MARKS], tell_mark, load);
    if (r == 0 && load->on_member)
        r = each(s->statements[S_MEMBERS], tell_member, load);
    if (r == 0 && load->on_pending)
        r = each(s->statements[S_PENDING], tell_pending, load);
    return r;
}
