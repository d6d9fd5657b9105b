/* What the tests of the journal share: a journal of a folder of their own, what a load told. */
#ifndef TESTS_JOURNAL_RIG_H
#define TESTS_JOURNAL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "journal/journal.h"
#include "wire/wire.h"

static char folder[] = "/tmp/erab-journal-XXXXXX";
static char path[64];
static const struct erabi_journal_options options = {path, "maple", 0};
static uv_loop_t loop;
static int done_calls, done_result;
static struct {
    int pending, marks, revoked, states, cancelled, members;
    size_t of;
    char to[64];
    enum erab_receipt_state state;
    enum erab_reason reason;
    int64_t row;
} seen;

static inline int fresh(void **state)
{
    static int n;
    snprintf(path, sizeof(path), "%s/%d.db", folder, n++);
    done_calls = done_result = 0;
    return uv_loop_init(&loop);
}

static inline int end(void **state)
{
    return uv_loop_close(&loop);
}

static inline struct erabi_journal *opened(void)
{
    struct erabi_journal *j;
    char error[256] = "";
    int r = erabi_journal_open(&j, &loop, &(struct erabi_journal_options){path, "maple", 8}, error, sizeof(error));
    if (r < 0)
        print_message("%s\n", error);
    assert_int_equal(r, 0);
    return j;
}

static inline void closed(struct erabi_journal *j)
{
    erabi_journal_close(j, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static inline void on_done(void *user, int result)
{
    done_calls++;
    done_result = result;
}

static inline int put_until(struct erabi_journal *j, uint16_t number, uint64_t expires, uint64_t keep, int64_t *row)
{
    static const uint8_t header[] = "header", body[] = "body";
    uint8_t id[ERAB_ID_SIZE] = {(uint8_t)number, (uint8_t)(number >> 8)}, hash[ERAB_HASH_SIZE];
    struct erabi_journal_recipient to = {.to = "birch"};
    struct erabi_journal_entry e = {
        .id = id,
        .hash = hash,
        .header = {header, sizeof(header)},
        .body = {body, sizeof(body)},
        .from = "alder",
        .type = ERAB_DISPATCH,
        .state = ERAB_ACCEPTED,
        .expires_at_ms = expires,
        .keep_until_ms = keep,
        .recipients = &to,
        .n_recipients = 1,
    };
    erabi_envelope_hash(e.header, e.body, hash);
    int r = erabi_journal_put(j, &e, on_done, NULL);
    if (row)
        *row = to.row;
    return r;
}

static inline int put(struct erabi_journal *j, uint16_t number, uint64_t expires, int64_t *row)
{
    return put_until(j, number, expires, 0, row);
}

static inline int on_pending(void *user, const struct erabi_journal_pending *p)
{
    seen.pending++;
    seen.row = p->row;
    snprintf(seen.to, sizeof(seen.to), "%s", p->to);
    return 0;
}

static inline int on_mark(void *user, const struct erabi_journal_mark *m)
{
    seen.marks++;
    seen.cancelled += m->cancelled;
    seen.state = m->state;
    seen.reason = m->reason;
    return 0;
}

static inline int on_revoked(void *user, const char *party)
{
    seen.revoked += strcmp(party, "birch") == 0;
    return 0;
}

static inline int on_state(void *user, const char *key, struct erabi_slice value)
{
    seen.states += strcmp(key, "latch") == 0 && value.size == 3;
    return 0;
}

static inline int load(struct erabi_journal *j, uint64_t now)
{
    const struct erabi_journal_load l = {on_pending, on_mark, on_revoked, on_state, NULL};
    memset(&seen, 0, sizeof(seen));
    return erabi_journal_load(j, now, &l);
}

static inline int on_member(void *user, const struct erabi_journal_member *m)
{
    seen.members++;
    seen.of = m->n;
    if (strcmp(m->to, "birch") == 0)
        seen.state = m->state;
    if (strcmp(m->to, "cedar") == 0)
        seen.reason = m->reason;
    return 0;
}

static inline int load_members(struct erabi_journal *j)
{
    memset(&seen, 0, sizeof(seen));
    struct erabi_journal_load l = {.on_pending = on_pending, .on_member = on_member};
    return erabi_journal_load(j, 0, &l);
}

static inline void exec(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* A file may not grow beyond this: what a full disk does, too. */
static inline void limit_files(rlim_t size)
{
    struct rlimit limit = {size, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static inline void copy_file(const char *from, const char *to)
{
    char buffer[4096];
    size_t n;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
        assert_int_equal(fwrite(buffer, 1, n, out), n);
    fclose(in);
    fclose(out);
}

static inline int sweep_one(const char *name, const struct stat *st, int flag, struct FTW *where)
{
    return remove(name);
}

/* Nothing stays behind; passes the result on. */
static inline int swept(int result)
{
    nftw(folder, sweep_one, 16, FTW_DEPTH | FTW_PHYS);
    return result;
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, end)

/* A child that puts so many, and is killed when the last one was told to be committed; with `settled` later, when the head
 * of those before is on disk beside the database, too. */
static inline void killed_with(int messages, bool settled)
{
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        uv_loop_t own;
        struct erabi_journal *j;
        uv_loop_init(&own);
        if (erabi_journal_open(&j, &own, &options, NULL, 0) < 0)
            _exit(1);
        for (int i = 1; i <= messages; i++) {
            if (put(j, (uint8_t)i, 100, NULL) < 0)
                _exit(1);
            while (done_calls < i)
                uv_run(&own, UV_RUN_ONCE);
        }
        if (settled) /* when this one is told, the head of those before is on disk */
            erabi_journal_state(j, "latch", erabi_slice("abc", 3), on_done, NULL);
        while (done_calls < messages + settled)
            uv_run(&own, UV_RUN_ONCE);
        if (done_result != 0 || write(told[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char c;
    assert_int_equal(read(told[0], &c, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(told[0]);
    close(told[1]);
}

#endif
