/* The store in SQLite: everything it holds is measured, or written out for people. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "base/cleanup.h"
#include "journal/store_sqlite.h"

#define SQL_MAX 512

struct checking {
    erabi_store_finding found;
    void *user;
    int n;
    size_t grave;
    uint64_t totals[4]; /* of `indexes` */
};

static void find(struct checking *c, int table, const char *row, const char *what)
{
    c->n++;
    c->grave += table == ERABI_TABLE_REVOCATION || table == ERABI_TABLE_STATE;
    if (c->found)
        c->found(c->user, table < 0 ? "" : erabi_store_tables[table].name, row, what);
}

/* A row that stands there and is not found is lost as well: each index holds what its table does. */
static const struct {
    int table;
    const char *name, *column;
} indexes[] = {
    {ERABI_TABLE_MESSAGE, "message_id", "id"},
    {ERABI_TABLE_MESSAGE, "message_ends", "ends"},
    {ERABI_TABLE_OUTBOX, "outbox_expires", "expires"},
    {ERABI_TABLE_OUTBOX, "outbox_message", "message"},
};
#define INDEXES (sizeof(indexes) / sizeof(indexes[0]))
_Static_assert(INDEXES == sizeof(((struct checking *)0)->totals) / sizeof(uint64_t), "a total for each index");

/* What comes first of a row. Behind it: what the table's indexes say of it, and of a message what its hash covers. */
enum { KEY, SUM, AGAIN, ROW, INDEXED };

static void check_row(struct checking *c, int table, sqlite3_stmt *st, struct erabi_journal_head *sums)
{
    struct erabi_slice sum = erabi_store_column(st, SUM), again = erabi_store_column(st, AGAIN);
    int at = INDEXED;
    for (size_t i = 0; i < INDEXES; i++) {
        if (indexes[i].table != table)
            continue;
        bool blob = sqlite3_column_type(st, at) == SQLITE_BLOB;
        c->totals[i] += erabi_store_total(blob ? erabi_store_column(st, at) : erabi_slice(NULL, 0),
                                          blob ? 0 : (uint64_t)sqlite3_column_int64(st, at),
                                          (uint64_t)sqlite3_column_int64(st, ROW));
        at++;
    }
    if (sum.size == ERABI_ROW_HASH_SIZE)
        erabi_journal_head_add(sums, (enum erabi_journal_table)table, sum.data);
    if (!erabi_slice_equal(sum, again))
        find(c, table, erabi_store_text(st, KEY), "does not match its hash");
    else if (table == ERABI_TABLE_MESSAGE &&
             !erabi_store_row_holds(erabi_store_column(st, at), erabi_store_column(st, at + 1),
                                    erabi_store_column(st, at + 2), erabi_store_column(st, at + 3)))
        find(c, table, erabi_store_text(st, KEY), "does not match the hash of its message");
}

static int prepare_rows(struct erabi_store *s, int table, sqlite3_stmt **st)
{
    char sql[SQL_MAX];
    const struct erabi_store_table *t = &erabi_store_tables[table];
    const char *rest = table == ERABI_TABLE_MESSAGE ? "row,id,ends,id,hash,header,body"
                       : table == ERABI_TABLE_OUTBOX ? "row,expires,message"
                                                     : "0";
    snprintf(sql, sizeof(sql), "SELECT %s,sum,erab_row(%d,seq,%s),%s FROM %s NOT INDEXED", t->key, table, t->columns, rest,
             t->name);
    return sqlite3_prepare_v2(s->db, sql, -1, st, NULL);
}

/* Every row against its hash, all of them against the head. */
static int check_table(struct erabi_store *s, struct checking *c, int table)
{
    struct erabi_journal_head sums = {0};
    sqlite3_stmt *st = NULL;
    int code = prepare_rows(s, table, &st);
    while (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        check_row(c, table, st, &sums);
        code = SQLITE_OK;
    }
    sqlite3_finalize(st);
    int r = erabi_store_fault(code);
    if (r == -EBADMSG)
        find(c, table, "", "cannot be read to its end");
    else if (r < 0)
        return r;
    else if (sums.tables[table].rows != s->committed.tables[table].rows)
        find(c, table, "", sums.tables[table].rows < s->committed.tables[table].rows ? "lacks rows" : "has rows too many");
    else if (sums.tables[table].sum[0] != s->committed.tables[table].sum[0] ||
             sums.tables[table].sum[1] != s->committed.tables[table].sum[1])
        find(c, table, "", "has other rows than were committed");
    return 0;
}

/* The pages and how they hang together. */
static int check_pages(struct erabi_store *s, struct checking *c, bool thorough)
{
    sqlite3_stmt *st = NULL;
    int code = sqlite3_prepare_v2(s->db, thorough ? "PRAGMA integrity_check(5)" : "PRAGMA quick_check(5)", -1, &st, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = erabi_store_text(st, 0);
        if (strcmp(text, "ok") != 0)
            find(c, -1, "", text);
        code = SQLITE_OK;
    }
    sqlite3_finalize(st);
    int r = erabi_store_fault(code);
    if (r == -EBADMSG)
        find(c, -1, "", "cannot be read to its end");
    return r == -EBADMSG ? 0 : r;
}

/* The other side of what check_row summed up. */
static int check_index(struct erabi_store *s, struct checking *c, size_t i)
{
    char sql[SQL_MAX];
    sqlite3_stmt *st = NULL;
    int table = indexes[i].table;
    snprintf(sql, sizeof(sql), "SELECT erab_total(%s,row) FROM %s INDEXED BY %s", indexes[i].column,
             erabi_store_tables[table].name, indexes[i].name);
    int code = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW &&
        (uint64_t)sqlite3_column_int64(st, 0) != c->totals[i])
        find(c, table, "", "does not match one of its indexes");
    sqlite3_finalize(st);
    int r = erabi_store_fault(code);
    if (r == -EBADMSG)
        find(c, table, "", "has an index that cannot be read to its end");
    return r == -EBADMSG ? 0 : r;
}

int erabi_store_check(struct erabi_store *s, bool thorough, erabi_store_finding found, void *user, size_t *grave)
{
    struct checking c = {.found = found, .user = user};
    int r = 0;
    for (int table = 0; r == 0 && table < ERABI_TABLE_COUNT; table++)
        r = check_table(s, &c, table);
    for (size_t i = 0; r == 0 && i < INDEXES; i++)
        r = check_index(s, &c, i);
    if (r == 0)
        r = check_pages(s, &c, thorough);
    if (grave)
        *grave = c.grave;
    return r < 0 ? r : c.n;
}

/* ---- for people ---- */

static json_t *value_of(sqlite3_stmt *st, int at, bool bodies)
{
    static const char *const sealed[] = {"header", "body", "signature", "value"};
    const char *name = sqlite3_column_name(st, at);
    struct erabi_slice bytes = erabi_store_column(st, at);
    int type = sqlite3_column_type(st, at);
    if (type == SQLITE_INTEGER)
        return json_integer(sqlite3_column_int64(st, at));
    if (type == SQLITE_TEXT)
        return json_string(erabi_store_text(st, at));
    for (size_t i = 0; !bodies && i < sizeof(sealed) / sizeof(sealed[0]); i++)
        if (strcmp(name, sealed[i]) == 0)
            return json_pack("{s:I}", "bytes", (json_int_t)bytes.size);
    _free_ char *hex = malloc(2 * bytes.size + 1);
    if (!hex)
        return NULL;
    sodium_bin2hex(hex, 2 * bytes.size + 1, bytes.data, bytes.size);
    return json_string(hex);
}

static int export_row(sqlite3_stmt *st, const char *table, bool bodies, int (*line)(void *user, const char *text),
                      void *user)
{
    json_t *row = json_pack("{s:s}", "table", table);
    for (int i = 0; row && i < sqlite3_column_count(st); i++)
        json_object_set_new(row, sqlite3_column_name(st, i), value_of(st, i, bodies));
    _free_ char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    json_decref(row);
    return text ? line(user, text) : -ENOMEM;
}

int erabi_store_export(struct erabi_store *s, bool bodies, int (*line)(void *user, const char *text), void *user)
{
    int r = 0;
    for (int table = 0; r == 0 && table < ERABI_TABLE_COUNT; table++) {
        char sql[SQL_MAX];
        sqlite3_stmt *st = NULL;
        snprintf(sql, sizeof(sql), "SELECT * FROM %s", erabi_store_tables[table].name);
        int code = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
        r = code == SQLITE_OK ? 0 : erabi_store_fault(code);
        while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
            r = export_row(st, erabi_store_tables[table].name, bodies, line, user);
        sqlite3_finalize(st);
        if (r == 0)
            r = erabi_store_fault(code);
    }
    return r;
}
