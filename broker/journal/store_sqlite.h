/* The store in SQLite, inside: WAL, synchronous FULL, exclusively locked. Only store_sqlite*.c include this. */
#ifndef ERABI_STORE_SQLITE_H
#define ERABI_STORE_SQLITE_H

#include <sqlite3.h>

#include "journal/store.h"

#define SEQUENCE "?20" /* a number beyond all others: where a row's sequence goes */
#define PURGE_ROWS "1000" /* of a kind */

#define STATEMENTS(X)                                                                                         \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                               \
    X(COMMIT, "COMMIT")                                                                                       \
    X(ROLLBACK, "ROLLBACK")                                                                                   \
    X(HEAD, "UPDATE head SET value = ?1 WHERE one = 1")                                                       \
    X(PUT, "INSERT INTO message VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,0,?20,"                         \
           "erab_row(0,?20,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,0))")                                        \
    X(PUT_OUT, "INSERT INTO outbox VALUES (?1,?2,?3,?4,?20,erab_row(1,?20,?1,?2,?3,?4))")                       \
    X(OUT_DONE, "DELETE FROM outbox WHERE row = ?1")                                                          \
    X(ANSWER, "UPDATE message SET state = ?2, reason = ?3, seq = ?20, sum = erab_row(0,?20,row,id,hash,header," \
              "body,signature,sender,type,?2,?3,expires,ends,cancelled) WHERE id = ?1")                       \
    X(CANCELLED, "UPDATE message SET cancelled = 1, seq = ?20, sum = erab_row(0,?20,row,id,hash,header,body,"   \
                 "signature,sender,type,state,reason,expires,ends,1) WHERE id = ?1")                          \
    X(REVOKE, "INSERT OR IGNORE INTO revocation VALUES (?1,?2,?20,erab_row(3,?20,?1,?2))")                      \
    X(STATE, "INSERT INTO state VALUES (?1,?2,?20,erab_row(4,?20,?1,?2)) ON CONFLICT (key) DO UPDATE SET "      \
             "value = excluded.value, seq = excluded.seq, sum = excluded.sum")                                \
    X(STATE_DROP, "DELETE FROM state WHERE key = ?1")                                                         \
    X(PUT_MEMBER, "INSERT INTO member VALUES (?1,?2,?3,?4,?20,erab_row(2,?20,?1,?2,?3,?4))")                    \
    X(MEMBER, "UPDATE member SET state = ?3, reason = ?4, seq = ?20, sum = erab_row(2,?20,message,party,?3,?4) " \
              "WHERE message = (SELECT row FROM message WHERE id = ?1) AND party = ?2")                       \
    X(MEMBERS_DONE, "DELETE FROM member WHERE message = (SELECT row FROM message WHERE id = ?1)")             \
    X(PURGE_OUT, "DELETE FROM outbox WHERE row IN (SELECT row FROM outbox WHERE expires < ?1 LIMIT " PURGE_ROWS ")") \
    X(PURGE_MEMBERS, "DELETE FROM member WHERE message IN (SELECT row FROM message WHERE ends < ?1 "          \
                     "LIMIT " PURGE_ROWS ")")                                                                 \
    X(PURGE, "DELETE FROM message WHERE row IN (SELECT row FROM message m WHERE ends < ?1 AND NOT EXISTS "    \
             "(SELECT 1 FROM outbox o WHERE o.message = m.row) AND NOT EXISTS (SELECT 1 FROM member WHERE "   \
             "member.message = m.row) LIMIT " PURGE_ROWS ")")                                                 \
    X(ACCEPT_OUT, "UPDATE outbox SET expires = min(expires,?1), seq = ?20, sum = erab_row(1,?20,row,message,"   \
                  "recipient,min(expires,?1))")                                                               \
    X(ACCEPT_LIVE, "UPDATE message SET cancelled = 1, seq = ?20, sum = erab_row(0,?20,row,id,hash,header,body," \
                   "signature,sender,type,state,reason,expires,ends,1)")                                      \
    X(ERASE, "UPDATE message SET body = x'', seq = ?20, sum = erab_row(0,?20,row,id,hash,header,x'',signature," \
             "sender,type,state,reason,expires,ends,cancelled) WHERE row > ?1 AND row <= ?2 AND ends = expires "   \
             "AND length(body) > 0 AND length(header) > 0 AND NOT EXISTS (SELECT 1 FROM outbox o WHERE "          \
             "o.message = message.row) AND NOT EXISTS (SELECT 1 FROM member m WHERE m.message = message.row)")    \
    X(EDGES, "SELECT ifnull(min(row),0), ifnull(max(row),0) FROM message")                                   \
    X(ROWS, "SELECT (SELECT ifnull(max(row),0) FROM message), (SELECT ifnull(max(row),0) FROM outbox)")       \
    X(MARKS, "SELECT id,hash,header,body,signature,sender,type,state,reason,expires,ends,cancelled,sum,"      \
             "CASE WHEN ?2 THEN erab_row(0,seq,row,id,hash,header,body,signature,sender,type,state,reason,"     \
             "expires,ends,cancelled) ELSE sum END,?2 FROM message WHERE ends >= ?1 ORDER BY row")                                  \
    X(MEMBERS, "SELECT m.id,m.hash,m.header,m.body,p.party,p.state,p.reason,(SELECT count(*) FROM member c "  \
               "WHERE c.message = m.row) FROM message m JOIN member p ON p.message = m.row ORDER BY m.row")   \
    X(PENDING, "SELECT o.row,o.recipient,o.expires,m.id,m.hash,m.header,m.body,m.signature FROM outbox o "    \
               "JOIN message m ON m.row = o.message ORDER BY o.row")                                          \
    X(REVOKED, "SELECT party FROM revocation")                                                                \
    X(STATES, "SELECT key,value FROM state")

enum statement {
#define ENUM(name, sql) S_##name,
    STATEMENTS(ENUM)
#undef ENUM
        S_COUNT
};

struct erabi_store {
    sqlite3 *db;
    sqlite3_stmt *statements[S_COUNT];
    struct erabi_journal_head head, committed; /* head: with what the open transaction has done so far */
    bool changed;                              /* by the open transaction */
    bool unpurged;                             /* the last purge ended at its limit */
    int64_t erased;                            /* up to this row it was looked at in this round */
};

/* A table: its key, and the columns that its rows' hashes cover, in order. */
struct erabi_store_table {
    const char *name, *key, *columns;
};
extern const struct erabi_store_table erabi_store_tables[ERABI_TABLE_COUNT];

/* store_sqlite.c */
int erabi_store_fault(int code);
int erabi_store_exec(sqlite3 *db, const char *sql);

/* store_sqlite_schema.c: the functions erab_row, erab_in and erab_out. */
int erabi_store_functions(struct erabi_store *s);
/* Makes, checks or migrates the tables, within a transaction; `why` says what failed. */
int erabi_store_prepare(struct erabi_store *s, const char *owner, enum erabi_store_mode mode, const char **why);
/* From here on what comes and goes is counted in the head. */
int erabi_store_watch(sqlite3 *db);
/* True when the tables and indexes are exactly those of this version. */
bool erabi_store_schema_holds(sqlite3 *db);
/* Does this message's hash hold for its header and body? An erased body is none: then the row's own hash says all. */
bool erabi_store_row_holds(struct erabi_slice id, struct erabi_slice hash, struct erabi_slice header,
                           struct erabi_slice body);
/* One index entry's part of a sum over all of them; the id where there is one, else the number. */
uint64_t erabi_store_total(struct erabi_slice id, uint64_t number, uint64_t row);
struct erabi_slice erabi_store_column(sqlite3_stmt *st, int at);
const char *erabi_store_text(sqlite3_stmt *st, int at);
#endif
