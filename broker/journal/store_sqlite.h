/* The journal's rows in SQLite: WAL, synchronous FULL, exclusively locked. One thread at a time; only journal.c uses it.
 * Every call returns 0 or a negative errno. */
#ifndef ERABI_STORE_SQLITE_H
#define ERABI_STORE_SQLITE_H

#include "journal/journal.h"

struct erabi_store;

int erabi_store_open(struct erabi_store **out, const char *path, char *error, size_t error_size);
void erabi_store_close(struct erabi_store *store);
/* The highest rows in use. */
int erabi_store_rows(struct erabi_store *store, int64_t *message, int64_t *outbox);
int erabi_store_load(struct erabi_store *store, uint64_t now_ms, const struct erabi_journal_load *load);

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
/* At most 1,000 rows of each kind. What is still owed to somebody stays, for a day at most. */
int erabi_store_purge(struct erabi_store *store, uint64_t now_ms);
#endif
