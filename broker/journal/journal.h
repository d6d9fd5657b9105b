/* What must survive: accepted messages, the outbox, replay marks, revocations and small states. All calls on the loop
 * thread; a thread of its own commits in groups and fsyncs; callbacks run on the loop thread afterwards. */
#ifndef ERABI_JOURNAL_H
#define ERABI_JOURNAL_H

#include <uv.h>

#include <erab/message.h>

#include "base/cursor.h"
#include "journal/head.h"

struct erabi_journal;

struct erabi_journal_recipient {
    const char *to; /* party id */
    int64_t row;    /* set by erabi_journal_put: the outbox row; 0 for a refused member */
    /* Of a message to a group: the member's state. REFUSED: no outbox row. */
    enum erab_receipt_state state;
    enum erab_reason reason;
};

/* One decided message. A refused one has no recipients and may leave header, body and signature empty (all three).
 * `hash` is the envelope's: it is checked against header and body when the row is read back. */
struct erabi_journal_entry {
    const uint8_t *id;   /* ERAB_ID_SIZE */
    const uint8_t *hash; /* ERAB_HASH_SIZE */
    struct erabi_slice header, body, signature;
    const char *from;
    enum erab_type type;
    enum erab_receipt_state state; /* the answer given: ERAB_ACCEPTED or ERAB_REFUSED ... */
    enum erab_reason reason;
    uint64_t expires_at_ms;
    uint64_t keep_until_ms; /* the later of the two counts. Later than the deadline (orders: the end of the window): the
                               body stays until then; else only until nobody waits for it, then its hash alone */
    const uint8_t *ended; /* the order that this message cancels: marked so in the same commit; NULL: none */
    struct erabi_journal_recipient *recipients;
    size_t n_recipients;
    bool group; /* the recipients' states are kept as well, until erabi_journal_members_done */
};

/* `result` 0: committed and fsynced. -EIO: nothing of it was kept. */
typedef void (*erabi_journal_done_fn)(void *user, int result);

/* Rows read back by erabi_journal_load; views are borrowed for the call. Return 0 to go on, negative to stop. */
struct erabi_journal_pending {
    int64_t row;
    const char *to;
    const uint8_t *id, *hash;
    struct erabi_slice header, body, signature;
    uint64_t expires_at_ms;
};
struct erabi_journal_mark {
    const uint8_t *id, *hash;
    const char *from;
    enum erab_type type;
    enum erab_receipt_state state;
    enum erab_reason reason;
    uint64_t expires_at_ms, keep_until_ms;
    bool cancelled;
    struct erabi_slice header, body, signature; /* live orders are derived from these */
};
/* A member of a message to a group whose last receipt is still owed. Members of one message come in a row; `n` is how
 * many it has. */
struct erabi_journal_member {
    const uint8_t *id, *hash;
    struct erabi_slice header;
    const char *to;
    enum erab_receipt_state state;
    enum erab_reason reason;
    size_t n;
};
struct erabi_journal_load {
    int (*on_pending)(void *user, const struct erabi_journal_pending *row);
    int (*on_mark)(void *user, const struct erabi_journal_mark *row);
    int (*on_revoked)(void *user, const char *party);
    int (*on_state)(void *user, const char *key, struct erabi_slice value);
    void *user;
    int (*on_member)(void *user, const struct erabi_journal_member *row);
};

#define ERABI_JOURNAL_HEAD_SUFFIX ".head" /* of the file beside it that says what was committed last */
#define ERABI_JOURNAL_WAY_OUT     "docs/operation.md says what to do: put back the newest, or `erab journal accept-restore`"

struct erabi_journal_options {
    const char *path;
    const char *owner; /* party id; NULL: any */
    size_t queue;      /* most entries waiting (0 = 16384) */
    void (*found)(void *user, const char *text); /* each thing that is damaged, by name; may be NULL */
    void *user;
};

/* Creates it, or opens it and reads all of it. -EBUSY: in use by another process; -EPROTO: written by a newer version or
 * another program; -EPERM: another owner's; -ESTALE: it is not what was committed last, but a copy, or it lost its end;
 * -EBADMSG: damaged where it says who may do what, or all of it; else a negative errno; `error` (may be NULL) says what.
 * Damage elsewhere: 0, and erabi_journal_damaged. */
int erabi_journal_open(struct erabi_journal **out, uv_loop_t *loop, const struct erabi_journal_options *options, char *error,
                       size_t error_size);
/* Then nothing is written any more, and a load tells only what holds and is not to be sent. */
bool erabi_journal_damaged(const struct erabi_journal *journal);
/* Of the last commit. */
void erabi_journal_head(struct erabi_journal *journal, struct erabi_journal_head *out);
/* Before the first put; synchronous: an accepted journal (head.h) is a usual one from here on. */
int erabi_journal_settle(struct erabi_journal *journal);
/* Before the first put; synchronous. Marks that ended before `now_ms` are left out; rows of the outbox are not, for
 * their senders are still owed a receipt. Order: revocations, states, marks, members, outbox. A callback may put.
 * Any callback may be NULL. The rows were measured against their hashes when it was opened; what is going to be sent is
 * measured once more. -EBADMSG: it does not match. */
int erabi_journal_load(struct erabi_journal *journal, uint64_t now_ms, const struct erabi_journal_load *load);

/* Copies the entry. 0 and `done` will be called exactly once; -EAGAIN: queue full; -EIO: not writable. */
int erabi_journal_put(struct erabi_journal *journal, const struct erabi_journal_entry *entry,
                      erabi_journal_done_fn done, void *user);
/* The rest: queued in order behind earlier puts, same answers as put; `done` may be NULL. What settles a message (the
 * next five) is taken also while nothing can be written, and written when it can be. */
int erabi_journal_outbox_done(struct erabi_journal *journal, int64_t row);
int erabi_journal_answer(struct erabi_journal *journal, const uint8_t id[ERAB_ID_SIZE], enum erab_receipt_state state,
                         enum erab_reason reason);
/* A member of a message to a group has come further; and the last receipt about it was stored. */
int erabi_journal_member(struct erabi_journal *journal, const uint8_t id[ERAB_ID_SIZE], const char *party,
                         enum erab_receipt_state state, enum erab_reason reason);
int erabi_journal_members_done(struct erabi_journal *journal, const uint8_t id[ERAB_ID_SIZE]);
int erabi_journal_cancelled(struct erabi_journal *journal, const uint8_t id[ERAB_ID_SIZE]);
int erabi_journal_revoke(struct erabi_journal *journal, const char *party, uint64_t now_ms, erabi_journal_done_fn done,
                         void *user);
/* A small named value (a breaker's latch, the clock's floor); at most 4,096 bytes; size 0 removes it. */
int erabi_journal_state(struct erabi_journal *journal, const char *key, struct erabi_slice value,
                        erabi_journal_done_fn done, void *user);
/* A consistent copy in a new file, made beside the other work. `done`: -EEXIST: there is a file already; -EBUSY: another
 * copy is being made. It is no journal that a broker takes, until a person accepts it. */
int erabi_journal_copy(struct erabi_journal *journal, const char *path, erabi_journal_done_fn done, void *user);
/* Once a second from the loop's tick: purges what has ended, in batches, and probes a journal that failed. */
void erabi_journal_tick(struct erabi_journal *journal, uint64_t now_ms);

/* False after a failed commit until a probe succeeded. */
bool erabi_journal_writable(const struct erabi_journal *journal);
/* Commits what is queued, runs the callbacks, closes the database, then calls `closed` from the loop. */
void erabi_journal_close(struct erabi_journal *journal, void (*closed)(void *user), void *user);
#endif
