/* Where a journal keeps its rows: what any store must do. Commits are whole and on disk when they return; each row has a
 * sequence and a hash; the head (head.h) goes with every commit. One thread at a time; only the journal's own files use
 * it. Every call returns 0 or a negative errno. A program links one implementation. */
#ifndef ERABI_JOURNAL_STORE_H
#define ERABI_JOURNAL_STORE_H

#include "journal/head.h"
#include "journal/journal.h"

#define ERABI_STORE_VERSION 2

struct erabi_store;

enum erabi_store_mode {
    ERABI_STORE_USE,  /* creates it, brings an older one to this version; nobody else may have it open */
    ERABI_STORE_READ, /* changes nothing; -EPROTO also for an older version */
};

/* -EBUSY: in use by another process; -EPROTO: of another program or a newer version; -EPERM: of another owner (NULL:
 * any; a new one gets it); -EBADMSG: not to be read at all. */
int erabi_store_open(struct erabi_store **out, const char *path, const char *owner, enum erabi_store_mode mode, char *error,
                     size_t error_size);
void erabi_store_close(struct erabi_store *store);
/* The head of what is committed; borrowed, it changes with each commit. */
const struct erabi_journal_head *erabi_store_head(const struct erabi_store *store);
/* Bytes on disk, and how many are free inside. */
int erabi_store_size(struct erabi_store *store, uint64_t *bytes, uint64_t *unused);

/* Reads everything and tells what is wrong. `row` is a number or a key; "" for a table as a whole. Returns how many
 * findings there were: in tables that say who may do what (revocation, state, the head itself) they are counted in
 * `grave`, too. `thorough`: also what costs much and can only find what was wrong with the file's writing. */
typedef void (*erabi_store_finding)(void *user, const char *table, const char *row, const char *what);
int erabi_store_check(struct erabi_store *store, bool thorough, erabi_store_finding found, void *user, size_t *grave);
/* The highest rows in use. */
int erabi_store_rows(struct erabi_store *store, int64_t *message, int64_t *outbox);
/* `damaged`: what does not hold is left out, and nothing that would be sent is told. */
int erabi_store_load(struct erabi_store *store, uint64_t now_ms, const struct erabi_journal_load *load, bool damaged);
/* Every row as one line of JSON; without `bodies` no header, body, signature or value of a party. */
int erabi_store_export(struct erabi_store *store, bool bodies, int (*line)(void *user, const char *text), void *user);

int erabi_store_begin(struct erabi_store *store);
int erabi_store_commit(struct erabi_store *store);
void erabi_store_rollback(struct erabi_store *store);
int erabi_store_put(struct erabi_store *store, int64_t row, const struct erabi_journal_entry *entry);
int erabi_store_outbox_done(struct erabi_store *store, int64_t row);
int erabi_store_answer(struct erabi_store *store, const uint8_t *id, enum erab_receipt_state state,
                       enum erab_reason reason);
int erabi_store_member(struct erabi_store *store, const uint8_t *id, const char *party, enum erab_receipt_state state,
                       enum erab_reason reason);
int erabi_store_members_done(struct erabi_store *store, const uint8_t *id);
int erabi_store_cancelled(struct erabi_store *store, const uint8_t *id);
int erabi_store_revoke(struct erabi_store *store, const char *party, uint64_t now_ms);
int erabi_store_state(struct erabi_store *store, const char *key, struct erabi_slice value);
/* At most 1,000 rows of each kind, so that what else waits does not wait long. What is still owed to somebody stays, for a
 * day at most. */
int erabi_store_purge(struct erabi_store *store, uint64_t now_ms);
/* Did the last purge leave something for the next? */
bool erabi_store_unpurged(const struct erabi_store *store);
/* Within begin and commit: the journal is taken back into use although it is older than it was. It gets a new id; what
 * was to be sent has expired at `now_ms`, what was live is ended. `floor_ms`: what was issued before may have been taken. */
int erabi_store_accept(struct erabi_store *store, uint64_t now_ms, uint64_t floor_ms);
/* Within begin and commit: it has been seen that this one was accepted. */
void erabi_store_live(struct erabi_store *store);

/* A consistent copy in one new file, made in steps between which commits go on. Step: 1 there is more, 0 done and on
 * disk, else failed (the file is gone). End it in any case. */
struct erabi_store_copy;
int erabi_store_copy_begin(struct erabi_store_copy **out, struct erabi_store *store, const char *path);
int erabi_store_copy_step(struct erabi_store_copy *copy);
void erabi_store_copy_end(struct erabi_store_copy *copy);
#endif
