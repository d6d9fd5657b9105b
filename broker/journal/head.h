/* What a journal holds, in a few bytes: which journal it is, whose, how many commits it has seen, and for each table the
 * number of rows and the sum of their hashes. It is kept in the store, and in a file of its own beside it: a store that
 * lost its tail, or an older copy, is behind that file. */
#ifndef ERABI_JOURNAL_HEAD_H
#define ERABI_JOURNAL_HEAD_H

#include <erab/types.h>

#include "base/cursor.h"

#define ERABI_JOURNAL_ID_SIZE 16
#define ERABI_ROW_HASH_SIZE   16 /* BLAKE2b-128: found are faults, not forgers, who could write all of it anew */
#define ERABI_HEAD_SIZE       512

enum erabi_journal_table {
    ERABI_TABLE_MESSAGE,
    ERABI_TABLE_OUTBOX,
    ERABI_TABLE_MEMBER,
    ERABI_TABLE_REVOCATION,
    ERABI_TABLE_STATE,
    ERABI_TABLE_COUNT
};

enum erabi_journal_kind {
    ERABI_JOURNAL_LIVE,
    ERABI_JOURNAL_BACKUP,   /* made by `erab journal backup`; not to be used as it is */
    ERABI_JOURNAL_ACCEPTED, /* an older one that a person took back into use */
    ERABI_JOURNAL_KINDS
};

struct erabi_journal_head {
    uint8_t journal[ERABI_JOURNAL_ID_SIZE];
    char owner[ERAB_PARTY_MAX + 1];
    enum erabi_journal_kind kind;
    uint64_t generation;  /* commits so far */
    uint64_t sequence;    /* the newest row's */
    uint64_t accepted_ms; /* when an older journal was taken back into use; 0: never */
    struct {
        uint64_t rows, sum[2]; /* order does not matter: rows go in any */
    } tables[ERABI_TABLE_COUNT];
};

/* Fixed size, with a hash of its own at the end. */
void erabi_journal_head_encode(const struct erabi_journal_head *head, uint8_t out[ERABI_HEAD_SIZE]);
/* 0 or -EBADMSG. */
int erabi_journal_head_decode(struct erabi_journal_head *out, struct erabi_slice bytes);
/* A row comes into a table or leaves it. */
void erabi_journal_head_add(struct erabi_journal_head *head, enum erabi_journal_table table,
                            const uint8_t hash[ERABI_ROW_HASH_SIZE]);
void erabi_journal_head_drop(struct erabi_journal_head *head, enum erabi_journal_table table,
                             const uint8_t hash[ERABI_ROW_HASH_SIZE]);

/* The file beside the store: two places written in turn, each synced, so that one of them always holds. */
struct erabi_journal_head_file {
    int fd;
    int next; /* the place that is written next */
};

/* Never creates it. 0 and the newer of both places in `out`; -ENOENT: no file; -EBADMSG: neither place holds. */
int erabi_journal_head_read(const char *path, struct erabi_journal_head *out);
/* Opens or creates (0600). */
int erabi_journal_head_open(struct erabi_journal_head_file *file, const char *path);
int erabi_journal_head_write(struct erabi_journal_head_file *file, const struct erabi_journal_head *head);
void erabi_journal_head_close(struct erabi_journal_head_file *file);

/* NULL: the store is what was committed last, or newer by what had no time to reach the file. Else what is wrong.
 * `kept` NULL: there is no file. */
const char *erabi_journal_head_judge(const struct erabi_journal_head *store, const struct erabi_journal_head *kept);
#endif
