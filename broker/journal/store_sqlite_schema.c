/* The tables of the store in SQLite, how they come from an older version, and how rows are hashed and counted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "journal/store_sqlite.h"

#define APPLICATION_ID 0x45524142 /* "ERAB" */
#define DOMAIN         "erab.v1.journal-row"

#define MESSAGE "row,id,hash,header,body,signature,sender,type,state,reason,expires,ends,cancelled"
#define OUTBOX  "row,message,recipient,expires"
#define MEMBER  "message,party,state,reason"
#define REVOKED "party,at"
#define STATE   "key,value"

const struct erabi_store_table erabi_store_tables[ERABI_TABLE_COUNT] = {
    {"message", "row", MESSAGE},
    {"outbox", "row", OUTBOX},
    {"member", "message || ' ' || party", MEMBER},
    {"revocation", "party", REVOKED},
    {"state", "key", STATE},
};

static const char schema[] =
    "CREATE TABLE head (one INTEGER PRIMARY KEY, value BLOB NOT NULL);"
    "CREATE TABLE message (row INTEGER PRIMARY KEY, id BLOB NOT NULL, hash BLOB NOT NULL, header BLOB NOT NULL,"
    " body BLOB NOT NULL, signature BLOB NOT NULL, sender TEXT NOT NULL, type INTEGER NOT NULL,"
    " state INTEGER NOT NULL, reason TEXT NOT NULL, expires INTEGER NOT NULL, ends INTEGER NOT NULL,"
    " cancelled INTEGER NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL);"
    "CREATE INDEX message_id ON message (id);"
    "CREATE INDEX message_ends ON message (ends);"
    "CREATE TABLE outbox (row INTEGER PRIMARY KEY, message INTEGER NOT NULL, recipient TEXT NOT NULL,"
    " expires INTEGER NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL);"
    "CREATE INDEX outbox_expires ON outbox (expires);"
    "CREATE INDEX outbox_message ON outbox (message);"
    "CREATE TABLE member (message INTEGER NOT NULL, party TEXT NOT NULL, state INTEGER NOT NULL,"
    " reason TEXT NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL, PRIMARY KEY (message, party)) WITHOUT ROWID;"
    "CREATE TABLE revocation (party TEXT PRIMARY KEY, at INTEGER NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL, seq INTEGER NOT NULL, sum BLOB NOT NULL)"
    " WITHOUT ROWID;";

/* Nothing that changes a row can forget the count. */
#define WATCH(table, n)                                                                                        \
    "CREATE TEMP TRIGGER in_" table " AFTER INSERT ON main." table " BEGIN SELECT erab_in(" n ",new.sum); END;"  \
    "CREATE TEMP TRIGGER out_" table " AFTER DELETE ON main." table " BEGIN SELECT erab_out(" n ",old.sum); END;" \
    "CREATE TEMP TRIGGER up_" table " AFTER UPDATE ON main." table " BEGIN SELECT erab_out(" n ",old.sum),"      \
    " erab_in(" n ",new.sum); END;"
static const char watch[] = WATCH("message", "0") WATCH("outbox", "1") WATCH("member", "2") WATCH("revocation", "3")
    WATCH("state", "4");

/* Version 1 had no sums. Its rows come over as they are; their sequence is 0. */
static const char older[] =
    "CREATE TABLE IF NOT EXISTS member (message INTEGER NOT NULL, party TEXT NOT NULL, state INTEGER NOT NULL,"
    " reason TEXT NOT NULL, PRIMARY KEY (message, party)) WITHOUT ROWID;"
    "DROP INDEX IF EXISTS message_id; DROP INDEX IF EXISTS message_ends; DROP INDEX IF EXISTS outbox_expires;"
    "DROP INDEX IF EXISTS outbox_message;"
    "ALTER TABLE message RENAME TO message_1; ALTER TABLE outbox RENAME TO outbox_1;"
    "ALTER TABLE member RENAME TO member_1; ALTER TABLE revocation RENAME TO revocation_1;"
    "ALTER TABLE state RENAME TO state_1;";
#define MOVE(table, n, columns)                                                                                \
    "INSERT INTO main." table " SELECT " columns ",0,erab_row(" n ",0," columns ") FROM " table "_1;"              \
    "DROP TABLE " table "_1;"
static const char move[] = MOVE("message", "0", MESSAGE) MOVE("outbox", "1", OUTBOX) MOVE("member", "2", MEMBER)
    MOVE("revocation", "3", REVOKED) MOVE("state", "4", STATE);

/* ---- functions ---- */

static void hash_written(crypto_generichash_state *hash, struct erabi_writer *w)
{
    crypto_generichash_update(hash, w->start, w->used);
    w->used = 0;
}

/* Gathered, for a row has many short values. */
static void hash_value(crypto_generichash_state *hash, struct erabi_writer *w, sqlite3_value *value)
{
    int type = sqlite3_value_type(value);
    const void *data = type == SQLITE_INTEGER ? NULL : sqlite3_value_blob(value);
    size_t size = (size_t)(type == SQLITE_INTEGER ? 0 : sqlite3_value_bytes(value));
    if (w->size - w->used < 9 + size)
        hash_written(hash, w);
    erabi_write_u8(w, (uint8_t)type);
    erabi_write_u64(w, type == SQLITE_INTEGER ? (uint64_t)sqlite3_value_int64(value) : size);
    if (size <= w->size - w->used) {
        erabi_write_bytes(w, data, size);
    } else {
        hash_written(hash, w);
        crypto_generichash_update(hash, data, size);
    }
}

/* erab_row(table, sequence, column, ...): type, size and bytes of each, after domain and table. */
static void fn_row(sqlite3_context *context, int n, sqlite3_value **values)
{
    uint8_t out[ERABI_ROW_HASH_SIZE], bytes[2048];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, sizeof(out));
    erabi_write_bytes(&w, DOMAIN, sizeof(DOMAIN));
    for (int i = 0; i < n; i++)
        hash_value(&hash, &w, values[i]);
    hash_written(&hash, &w);
    crypto_generichash_final(&hash, out, sizeof(out));
    sqlite3_result_blob(context, out, sizeof(out), SQLITE_TRANSIENT);
}

static void count(sqlite3_context *context, sqlite3_value **values,
                  void (*step)(struct erabi_journal_head *, enum erabi_journal_table, const uint8_t *))
{
    struct erabi_store *s = sqlite3_user_data(context);
    int table = sqlite3_value_int(values[0]);
    const void *sum = sqlite3_value_blob(values[1]);
    if (table < 0 || table >= ERABI_TABLE_COUNT || sqlite3_value_bytes(values[1]) != ERABI_ROW_HASH_SIZE) {
        sqlite3_result_error_code(context, SQLITE_CORRUPT);
        return;
    }
    step(&s->head, (enum erabi_journal_table)table, sum);
    s->changed = true;
}

static void fn_in(sqlite3_context *context, int n, sqlite3_value **values)
{
    count(context, values, erabi_journal_head_add);
}

static void fn_out(sqlite3_context *context, int n, sqlite3_value **values)
{
    count(context, values, erabi_journal_head_drop);
}

uint64_t erabi_store_total(struct erabi_slice id, uint64_t number, uint64_t row)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES] = {0};
    uint8_t bytes[32] = {0}, hash[crypto_shorthash_BYTES];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, row);
    if (id.data && id.size <= 16)
        erabi_write_bytes(&w, id.data, id.size);
    else
        erabi_write_u64(&w, number);
    crypto_shorthash(hash, bytes, sizeof(bytes), key);
    struct erabi_reader r = erabi_reader(hash, sizeof(hash));
    return erabi_read_u64(&r) | 1;
}

/* erab_total(value, row): of a whole index, in any order; only compared with that of its table at the same start. */
static void fn_total_step(sqlite3_context *context, int n, sqlite3_value **values)
{
    uint64_t *total = sqlite3_aggregate_context(context, sizeof(*total));
    bool blob = sqlite3_value_type(values[0]) == SQLITE_BLOB;
    struct erabi_slice id = erabi_slice(blob ? sqlite3_value_blob(values[0]) : NULL,
                                        blob ? (size_t)sqlite3_value_bytes(values[0]) : 0);
    if (total)
        *total += erabi_store_total(id, blob ? 0 : (uint64_t)sqlite3_value_int64(values[0]),
                                    (uint64_t)sqlite3_value_int64(values[1]));
}

static void fn_total_end(sqlite3_context *context)
{
    const uint64_t *total = sqlite3_aggregate_context(context, 0);
    sqlite3_result_int64(context, total ? (sqlite3_int64)*total : 0);
}

int erabi_store_functions(struct erabi_store *s)
{
    int code = sqlite3_create_function_v2(s->db, "erab_row", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, fn_row, NULL,
                                          NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function_v2(s->db, "erab_in", 2, SQLITE_UTF8, s, fn_in, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function_v2(s->db, "erab_out", 2, SQLITE_UTF8, s, fn_out, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_create_function_v2(s->db, "erab_total", 2, SQLITE_UTF8, NULL, NULL, fn_total_step, fn_total_end, NULL);
    return erabi_store_fault(code);
}

int erabi_store_watch(sqlite3 *db)
{
    return erabi_store_exec(db, watch);
}

/* ---- what the file is ---- */

static int pragma_number(sqlite3 *db, const char *name, int *out)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA %s", name);
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW)
        *out = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return erabi_store_fault(code);
}

static int write_head(struct erabi_store *s, const char *owner)
{
    uint8_t bytes[ERABI_HEAD_SIZE];
    sqlite3_stmt *st = NULL;
    randombytes_buf(s->head.journal, sizeof(s->head.journal));
    if (!erabi_copy_text(s->head.owner, sizeof(s->head.owner), owner ? owner : ""))
        return -EINVAL;
    s->head.generation = 1;
    erabi_journal_head_encode(&s->head, bytes);
    int code = sqlite3_prepare_v2(s->db, "INSERT INTO head VALUES (1,?1)", -1, &st, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_blob(st, 1, bytes, sizeof(bytes), SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    sqlite3_finalize(st);
    return erabi_store_fault(code);
}

static int read_head(struct erabi_store *s)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(s->db, "SELECT value FROM head WHERE one = 1", -1, &st, NULL);
    int r = code == SQLITE_OK ? 0 : erabi_store_fault(code);
    if (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
        r = erabi_journal_head_decode(&s->head, erabi_store_column(st, 0));
    else if (r == 0)
        r = code == SQLITE_DONE ? -EBADMSG : erabi_store_fault(code);
    sqlite3_finalize(st);
    return r;
}

static int make(struct erabi_store *s, const char *owner, bool from_older)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID, ERABI_STORE_VERSION);
    int r = from_older ? erabi_store_exec(s->db, older) : 0;
    if (r == 0)
        r = erabi_store_exec(s->db, schema);
    if (r == 0)
        r = erabi_store_watch(s->db);
    if (r == 0 && from_older)
        r = erabi_store_exec(s->db, move);
    if (r == 0)
        r = write_head(s, owner);
    return r < 0 ? r : erabi_store_exec(s->db, sql);
}

static int check_owner(const struct erabi_store *s, const char *owner, const char **why)
{
    if (!owner || !s->head.owner[0] || strcmp(owner, s->head.owner) == 0)
        return 0;
    *why = "is the journal of another owner";
    return -EPERM;
}

int erabi_store_prepare(struct erabi_store *s, const char *owner, enum erabi_store_mode mode, const char **why)
{
    int application = 0, version = 0, tables = 0, r;
    if ((r = pragma_number(s->db, "application_id", &application)) < 0 ||
        (r = pragma_number(s->db, "user_version", &version)) < 0 ||
        (r = pragma_number(s->db, "schema_version", &tables)) < 0)
        return r;
    bool fresh = application == 0 && version == 0 && tables == 0;
    *why = fresh || application != APPLICATION_ID ? "is another program's database"
           : version > ERABI_STORE_VERSION        ? "was written by a newer version of the broker"
           : version < 1                          ? "says no version"
                                                  : "is of an older version: erabd brings it to this one at its next start";
    if (!fresh && (application != APPLICATION_ID || version > ERABI_STORE_VERSION || version < 1))
        return -EPROTO;
    if (version != ERABI_STORE_VERSION && mode == ERABI_STORE_READ)
        return -EPROTO;
    *why = version == 1 ? "cannot be brought to this version" : "cannot be written";
    if (version != ERABI_STORE_VERSION)
        return make(s, owner, !fresh);
    *why = "has other tables than this version";
    if (!erabi_store_schema_holds(s->db))
        return -EBADMSG;
    *why = "has a head that does not hold";
    r = read_head(s);
    if (r == 0)
        r = erabi_store_watch(s->db);
    if (r == 0)
        r = check_owner(s, owner, why);
    if (r == 0 && owner && !s->head.owner[0]) /* made by the tool: it is taken over, and kept with the next commit */
        erabi_copy_text(s->head.owner, sizeof(s->head.owner), owner);
    return r;
}

static char *schema_text(sqlite3 *db)
{
    static const char sql[] = "SELECT group_concat(type || ' ' || name || ' ' || tbl_name || ' ' || ifnull(sql,'')) FROM "
                              "(SELECT * FROM sqlite_schema ORDER BY name)";
    sqlite3_stmt *st = NULL;
    char *text = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        text = strdup(erabi_store_text(st, 0));
    sqlite3_finalize(st);
    return text;
}

bool erabi_store_schema_holds(sqlite3 *db)
{
    sqlite3 *model = NULL;
    _free_ char *there = schema_text(db), *wanted = NULL;
    if (sqlite3_open(":memory:", &model) == SQLITE_OK && erabi_store_exec(model, schema) == 0)
        wanted = schema_text(model);
    sqlite3_close(model);
    return there && wanted && strcmp(there, wanted) == 0;
}
