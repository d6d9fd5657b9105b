/* A journal that is not what was written: found, named, and nothing of it is sent. */
#include "rig.h"

#include "journal/store.h"

static char found[512];
static int n_found;

static void on_found(void *user, const char *text)
{
    if (n_found++ == 0)
        snprintf(found, sizeof(found), "%s", text);
}

/* With three rows of the outbox, a revocation and a state; then changed behind the journal's back. */
static int reopened(struct erabi_journal **j, const char *sql)
{
    *j = opened();
    for (uint8_t i = 1; i <= 3; i++)
        put(*j, i, 100, NULL);
    erabi_journal_revoke(*j, "birch", 7, NULL, NULL);
    erabi_journal_state(*j, "latch", erabi_slice("abc", 3), NULL, NULL);
    closed(*j);
    if (sql)
        exec(sql);
    n_found = 0;
    return erabi_journal_open(j, &loop, &(struct erabi_journal_options){path, "maple", 8, on_found, NULL}, NULL, 0);
}

static void damaged_by(const char *sql, const char *said)
{
    struct erabi_journal *j;
    assert_int_equal(reopened(&j, sql), 0);
    assert_true(erabi_journal_damaged(j));
    assert_false(erabi_journal_writable(j));
    assert_non_null(strstr(found, said));
    assert_non_null(strstr(found, path));
    assert_int_equal(put(j, 9, 100, NULL), -EIO);
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.pending, 0); /* nothing of it is sent */
    assert_int_equal(seen.revoked, 1);
    closed(j);
}

static void a_changed_row_is_found_and_named(void **state)
{
    damaged_by("UPDATE message SET body = x'00' WHERE row = 2", "table message, row 2: does not match its hash");
    assert_int_equal(seen.marks, 2);
}

static void a_changed_answer_is_found(void **state)
{
    damaged_by("UPDATE message SET cancelled = 1 WHERE row = 3", "table message, row 3");
}

static void a_changed_recipient_is_found(void **state)
{
    damaged_by("UPDATE outbox SET recipient = 'cedar' WHERE row = 1", "table outbox, row 1");
}

static void a_row_that_is_gone_is_missed(void **state)
{
    damaged_by("DELETE FROM outbox WHERE row = 2", "table outbox: lacks rows");
}

static void a_row_in_the_place_of_another_is_found(void **state)
{
    damaged_by("DELETE FROM outbox WHERE row = 3; INSERT INTO outbox SELECT 3,message,recipient,expires,seq,sum FROM outbox"
               " WHERE row = 2", "table outbox, row 3");
}

/* The bytes of an id stand in the table and once more in its index: the second place is changed. */
static void an_index_that_differs_is_found(void **state)
{
    static const uint8_t id[ERAB_ID_SIZE] = {2};
    struct erabi_journal *j;
    char *bytes = NULL, *at, *last = NULL;
    assert_int_equal(reopened(&j, NULL), 0);
    closed(j);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    bytes = malloc(size);
    rewind(f);
    assert_int_equal(fread(bytes, 1, size, f), size);
    for (at = bytes; (at = memmem(at, size - (size_t)(at - bytes), id, sizeof(id))); at++)
        last = at;
    assert_non_null(last);
    fseek(f, last - bytes + 5, SEEK_SET);
    fputc(1, f);
    fclose(f);
    free(bytes);
    n_found = 0;
    assert_int_equal(erabi_journal_open(&j, &loop, &(struct erabi_journal_options){path, "maple", 8, on_found, NULL}, NULL, 0), 0);
    assert_true(erabi_journal_damaged(j));
    assert_non_null(strstr(found, "does not match one of its indexes"));
    closed(j);
}

static void who_may_come_in_is_believed_whole_or_not_at_all(void **state)
{
    static const char *const sql[] = {"UPDATE revocation SET party = 'cedar'", "DELETE FROM revocation",
                                      "UPDATE state SET value = x'00'", "DELETE FROM state", "UPDATE head SET value = x'00'"};
    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        struct erabi_journal *j;
        assert_int_equal(reopened(&j, sql[i]), -EBADMSG);
        unlink(path);
        char head[80];
        snprintf(head, sizeof(head), "%s.head", path);
        unlink(head);
    }
}

static void foreign_tables_are_refused(void **state)
{
    struct erabi_journal *j;
    assert_int_equal(reopened(&j, "CREATE TRIGGER no BEFORE INSERT ON message BEGIN SELECT RAISE(ABORT, 'no'); END"), -EBADMSG);
}

/* Each bit of the file in turn would take long: some of each page. What is not found must change nothing that is read. */
static void a_flipped_bit_is_found_or_means_nothing(void **state)
{
    struct erabi_journal *j;
    assert_int_equal(reopened(&j, NULL), 0);
    assert_int_equal(load(j, 0), 0);
    size_t marks = (size_t)seen.marks, pending = (size_t)seen.pending;
    closed(j);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    unsigned detected = 0;
    for (long at = 0; at < size; at += 37) {
        fseek(f, at, SEEK_SET);
        int was = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(was ^ 1 << at % 8, f);
        fflush(f);
        struct erabi_journal_options o = {path, "maple", 8, on_found, NULL};
        int r = erabi_journal_open(&j, &loop, &o, NULL, 0);
        if (r == 0 && !erabi_journal_damaged(j)) {
            assert_int_equal(load(j, 0), 0);
            assert_int_equal(seen.marks, marks);
            assert_int_equal(seen.pending, pending);
            assert_int_equal(seen.revoked, 1);
            assert_int_equal(seen.states, 1);
        } else {
            detected++;
        }
        if (r == 0)
            closed(j);
        fseek(f, at, SEEK_SET);
        fputc(was, f);
        fflush(f);
    }
    fclose(f);
    print_message("%u of %ld flips found\n", detected, size / 37 + 1);
    assert_true(detected > 20);
}

static void an_older_copy_is_refused(void **state)
{
    char older[80];
    struct erabi_journal *j;
    snprintf(older, sizeof(older), "%s.older", path);
    assert_int_equal(reopened(&j, NULL), 0);
    closed(j);
    copy_file(path, older);
    j = opened();
    put(j, 7, 100, NULL);
    closed(j);
    copy_file(older, path);
    char error[512] = "";
    assert_int_equal(erabi_journal_open(&j, &loop, &options, error, sizeof(error)), -ESTALE);
    assert_non_null(strstr(error, "is older than what was committed last"));
    assert_non_null(strstr(error, "accept-restore"));
}

/* SQLite alone drops what follows a flipped bit there, and says nothing. */
static void a_flipped_bit_in_the_log_beside_it_loses_nothing_in_silence(void **state)
{
    const char *const ends[] = {"", "-wal", ".head"};
    char name[80], kept[80];
    struct erabi_journal *j;
    unsigned refused = 0;
    killed_with(6, true);
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        snprintf(kept, sizeof(kept), "%s%s.kept", path, ends[i]);
        copy_file(name, kept);
    }
    snprintf(kept, sizeof(kept), "%s-wal.kept", path);
    struct stat st;
    assert_int_equal(stat(kept, &st), 0);
    assert_true(st.st_size > 20000);
    for (long at = 0; at < st.st_size; at += 397) {
        for (size_t i = 0; i < 3; i++) {
            snprintf(name, sizeof(name), "%s%s", path, ends[i]);
            snprintf(kept, sizeof(kept), "%s%s.kept", path, ends[i]);
            copy_file(kept, name);
        }
        snprintf(name, sizeof(name), "%s-wal", path);
        FILE *f = fopen(name, "r+b");
        fseek(f, at, SEEK_SET);
        int was = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(was ^ 1 << at % 8, f);
        fclose(f);
        int r = erabi_journal_open(&j, &loop, &options, NULL, 0);
        refused += r < 0;
        if (r < 0)
            continue;
        bool damaged = erabi_journal_damaged(j);
        assert_int_equal(load(j, 0), 0);
        closed(j);
        assert_true(damaged || seen.pending == 6);
    }
    print_message("%u flips in the log refused\n", refused);
    assert_true(refused > 10);
}

static void without_its_head_file_it_is_refused(void **state)
{
    char head[80];
    struct erabi_journal *j;
    assert_int_equal(reopened(&j, NULL), 0);
    closed(j);
    snprintf(head, sizeof(head), "%s.head", path);
    unlink(head);
    assert_int_equal(erabi_journal_open(&j, &loop, &options, NULL, 0), -ESTALE);
}

/* The state of a kill between a commit and the head's file. */
static void a_head_one_commit_behind_is_usual(void **state)
{
    char head[80], older[80];
    struct erabi_journal *j = opened();
    put(j, 1, 100, NULL);
    closed(j);
    snprintf(head, sizeof(head), "%s.head", path);
    snprintf(older, sizeof(older), "%s.older", path);
    copy_file(head, older);
    j = opened();
    put(j, 2, 100, NULL);
    closed(j);
    copy_file(older, head);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.pending, 2);
    closed(j);
}

static void another_owners_journal_is_refused(void **state)
{
    struct erabi_journal *j;
    closed(opened());
    assert_int_equal(erabi_journal_open(&j, &loop, &(struct erabi_journal_options){path, "alder", 8}, NULL, 0), -EPERM);
}

static void the_first_version_is_brought_over_whole(void **state)
{
    copy_file(FIXTURES "/version_1.journal", path);
    struct erabi_journal *j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.marks, 3);
    assert_int_equal(seen.pending, 2);
    assert_int_equal(seen.cancelled, 1);
    assert_int_equal(seen.revoked, 1);
    assert_int_equal(seen.states, 1);
    put(j, 9, 100, NULL);
    closed(j);
    j = opened();
    assert_int_equal(load_members(j), 0);
    assert_int_equal(seen.members, 2);
    assert_int_equal(seen.pending, 3);
    closed(j);
}

/* However far the disk lets it come, it is one version or the other. */
static void a_migration_that_fails_changes_nothing(void **state)
{
    char error[256];
    int failed = 0;
    for (rlim_t size = 4096; size < 4096 * 64; size += 4096) {
        char more[80];
        const char *const ends[] = {"-wal", ".head", ""};
        for (size_t i = 0; i < 3; i++) {
            snprintf(more, sizeof(more), "%s%s", path, ends[i]);
            unlink(more);
        }
        copy_file(FIXTURES "/version_1.journal", path);
        limit_files(size);
        struct erabi_journal *j;
        int r = erabi_journal_open(&j, &loop, &options, error, sizeof(error));
        if (r == 0)
            closed(j);
        limit_files(RLIM_INFINITY);
        failed += r < 0;
        j = opened();
        assert_int_equal(load(j, 0), 0);
        assert_int_equal(seen.marks, 3);
        assert_int_equal(seen.pending, 2);
        closed(j);
    }
    assert_true(failed > 0);
}

static void on_copied(void *user, int r)
{
    *(bool *)user = r == 0;
}

static void a_copy_is_whole_and_no_journal_to_go_on_with(void **state)
{
    char copy[80];
    struct erabi_journal *j;
    assert_int_equal(reopened(&j, NULL), 0);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    done_calls = 0;
    assert_int_equal(erabi_journal_copy(j, copy, on_done, NULL), 0);
    while (!done_calls)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(done_result, 0);
    assert_int_equal(erabi_journal_copy(j, copy, on_done, NULL), 0);
    while (done_calls < 2)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(done_result, -EEXIST);
    put(j, 8, 100, NULL);
    closed(j);
    copy_file(copy, path);
    char error[512];
    assert_int_equal(erabi_journal_open(&j, &loop, &options, error, sizeof(error)), -ESTALE);
    assert_non_null(strstr(error, "is a backup"));
}

static void a_copy_made_beside_commits_is_one_state(void **state)
{
    char copy[80], error[256];
    struct erabi_journal *j;
    struct erabi_store *store;
    bool copied = false;
    size_t grave;
    assert_int_equal(erabi_journal_open(&j, &loop, &options, NULL, 0), 0);
    for (int i = 0; i < 6000; i++)
        assert_int_equal(put(j, (uint8_t)i, 100, NULL), 0);
    while (done_calls < 6000)
        uv_run(&loop, UV_RUN_ONCE);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    assert_int_equal(erabi_journal_copy(j, copy, on_copied, &copied), 0);
    for (int i = 0; i < 500; i++) /* between its steps */
        assert_int_equal(put(j, (uint8_t)i, 100, NULL), 0);
    while (!copied || done_calls < 6500)
        uv_run(&loop, UV_RUN_ONCE);
    closed(j);
    assert_int_equal(erabi_store_open(&store, copy, NULL, ERABI_STORE_READ, error, sizeof(error)), 0);
    assert_int_equal(erabi_store_check(store, true, NULL, NULL, &grave), 0);
    assert_true(erabi_store_head(store)->tables[ERABI_TABLE_OUTBOX].rows >= 6000);
    assert_int_equal(erabi_store_head(store)->kind, ERABI_JOURNAL_BACKUP);
    erabi_store_close(store);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        T(a_changed_row_is_found_and_named),
        T(a_changed_answer_is_found),
        T(a_changed_recipient_is_found),
        T(a_row_that_is_gone_is_missed),
        T(a_row_in_the_place_of_another_is_found),
        T(an_index_that_differs_is_found),
        T(who_may_come_in_is_believed_whole_or_not_at_all),
        T(foreign_tables_are_refused),
        T(a_flipped_bit_is_found_or_means_nothing),
        T(an_older_copy_is_refused),
        T(a_flipped_bit_in_the_log_beside_it_loses_nothing_in_silence),
        T(without_its_head_file_it_is_refused),
        T(a_head_one_commit_behind_is_usual),
        T(another_owners_journal_is_refused),
        T(the_first_version_is_brought_over_whole),
        T(a_migration_that_fails_changes_nothing),
        T(a_copy_is_whole_and_no_journal_to_go_on_with),
        T(a_copy_made_beside_commits_is_one_state),
    };
    return swept(cmocka_run_group_tests(tests, NULL, NULL));
}
