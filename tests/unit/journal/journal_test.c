#include "rig.h"

static void what_was_put_is_there_after_a_restart(void **state)
{
    struct erabi_journal *j = opened();
    int64_t row = 0;
    assert_int_equal(put(j, 1, 100, &row), 0);
    closed(j);
    assert_int_equal(done_calls, 1);
    assert_int_equal(done_result, 0);
    j = opened();
    assert_int_equal(load(j, 50), 0);
    assert_int_equal(seen.pending, 1);
    assert_int_equal(seen.row, row);
    assert_string_equal(seen.to, "birch");
    assert_int_equal(seen.marks, 1);
    int64_t later = 0;
    assert_int_equal(put(j, 2, 100, &later), 0);
    assert_true(later > row);
    closed(j);
}

static void what_has_expired_and_was_settled_does_not_come_back(void **state)
{
    struct erabi_journal *j = opened();
    int64_t row;
    put(j, 1, 100, &row);
    erabi_journal_outbox_done(j, row);
    erabi_journal_tick(j, 500);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.pending + seen.marks, 0);
    closed(j);
}

static size_t body_size(void)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT length(body), length(hash) FROM message", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(st, 1), ERAB_HASH_SIZE);
    size_t size = (size_t)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return size;
}

static void a_body_that_nobody_waits_for_is_erased_and_its_hash_stays(void **state)
{
    struct erabi_journal *j = opened();
    int64_t row;
    put(j, 1, 1000, &row);
    erabi_journal_tick(j, 500);
    closed(j);
    assert_true(body_size() > 0);
    j = opened();
    erabi_journal_outbox_done(j, row);
    erabi_journal_tick(j, 500);
    closed(j);
    assert_int_equal(body_size(), 0);
    j = opened(); /* which reads all of it and finds no damage */
    assert_int_equal(load(j, 600), 0);
    assert_int_equal(seen.marks, 1);
    closed(j);
}

static void a_body_that_is_to_be_kept_stays_until_then(void **state)
{
    struct erabi_journal *j = opened();
    int64_t row;
    put_until(j, 1, 1000, 2000, &row);
    erabi_journal_outbox_done(j, row);
    erabi_journal_tick(j, 1500);
    closed(j);
    assert_true(body_size() > 0);
    j = opened();
    erabi_journal_tick(j, 2500);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.marks, 0);
    closed(j);
}

static void what_expired_and_was_told_to_nobody_comes_back(void **state)
{
    struct erabi_journal *j = opened();
    put(j, 1, 100, NULL);
    erabi_journal_tick(j, 500); /* purges */
    closed(j);
    j = opened();
    assert_int_equal(load(j, 1000), 0);
    assert_int_equal(seen.pending, 1);
    assert_int_equal(seen.marks, 0);
    closed(j);
}

static void what_is_owed_for_over_a_day_is_forgotten(void **state)
{
    struct erabi_journal *j = opened();
    put(j, 1, 100, NULL);
    erabi_journal_tick(j, 100 + 86400000u + 1);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 1000), 0);
    assert_int_equal(seen.pending, 0);
    closed(j);
}

static void members_of_a_group_keep_their_states_until_all_is_told(void **state)
{
    static const uint8_t body[] = "body";
    uint8_t id[ERAB_ID_SIZE] = {9}, hash[ERAB_HASH_SIZE];
    struct erabi_journal_recipient to[] = {
        {.to = "birch", .state = ERAB_ACCEPTED},
        {.to = "cedar", .state = ERAB_REFUSED, .reason = ERAB_REASON_BREAKER_OPEN}};
    struct erabi_journal_entry e = {.id = id,
                                    .hash = hash,
                                    .header = {body, sizeof(body)},
                                    .body = {body, sizeof(body)},
                                    .from = "alder",
                                    .type = ERAB_DISPATCH,
                                    .state = ERAB_ACCEPTED,
                                    .expires_at_ms = 100,
                                    .recipients = to,
                                    .n_recipients = 2,
                                    .group = true};
    erabi_envelope_hash(e.header, e.body, hash);
    struct erabi_journal *j = opened();
    assert_int_equal(erabi_journal_put(j, &e, NULL, NULL), 0);
    assert_true(to[0].row > 0);
    assert_int_equal(to[1].row, 0);
    erabi_journal_member(j, id, "birch", ERAB_DELIVERED, ERAB_REASON_NONE);
    erabi_journal_outbox_done(j, to[0].row);
    erabi_journal_tick(j, 500);
    closed(j);
    j = opened();
    assert_int_equal(load_members(j), 0);
    assert_int_equal(seen.pending, 0);
    assert_int_equal(seen.members, 2);
    assert_int_equal(seen.of, 2);
    assert_int_equal(seen.state, ERAB_DELIVERED);
    assert_int_equal(seen.reason, ERAB_REASON_BREAKER_OPEN);
    erabi_journal_members_done(j, id);
    closed(j);
    j = opened();
    assert_int_equal(load_members(j), 0);
    assert_int_equal(seen.members, 0);
    closed(j);
}

static int put_while_loading(void *user, const struct erabi_journal_pending *p)
{
    return put(user, 7, 1000000, NULL);
}

static void what_is_put_during_a_load_is_kept(void **state)
{
    struct erabi_journal *j = opened();
    put(j, 1, 100, NULL);
    closed(j);
    j = opened();
    struct erabi_journal_load l = {.on_pending = put_while_loading, .user = j};
    assert_int_equal(erabi_journal_load(j, 1000, &l), 0);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.pending, 2);
    closed(j);
}

static void a_settled_recipient_leaves_the_outbox_and_the_mark_stays(void **state)
{
    struct erabi_journal *j = opened();
    int64_t row;
    const uint8_t id[ERAB_ID_SIZE] = {1};
    put(j, 1, 100, &row);
    erabi_journal_outbox_done(j, row);
    erabi_journal_answer(j, id, ERAB_REFUSED, ERAB_REASON_DECLINED);
    erabi_journal_cancelled(j, id);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 50), 0);
    assert_int_equal(seen.pending, 0);
    assert_int_equal(seen.marks, 1);
    assert_int_equal(seen.cancelled, 1);
    assert_int_equal(seen.state, ERAB_REFUSED);
    assert_int_equal(seen.reason, ERAB_REASON_DECLINED);
    closed(j);
}

static void a_cancel_and_the_end_of_its_order_are_one_commit(void **state)
{
    struct erabi_journal *j = opened();
    int64_t row;
    const uint8_t order[ERAB_ID_SIZE] = {1}, id[ERAB_ID_SIZE] = {2}, hash[ERAB_HASH_SIZE] = {2};
    put(j, 1, 100, &row);
    struct erabi_journal_entry cancel = {.id = id, .hash = hash, .from = "alder", .type = ERAB_DISPATCH_CANCEL,
                                         .state = ERAB_ACCEPTED, .expires_at_ms = 100, .ended = order};
    assert_int_equal(erabi_journal_put(j, &cancel, NULL, NULL), 0);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 50), 0);
    assert_int_equal(seen.cancelled, 1);
    closed(j);
}

static long size_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? (long)st.st_size : 0;
}

/* As many again as were taken and purged before need no more room. */
static void what_is_purged_leaves_its_room(void **state)
{
    struct erabi_journal *j;
    long after[4];
    assert_int_equal(erabi_journal_open(&j, &loop, &options, NULL, 0), 0);
    for (int round = 0; round < 4; round++) {
        int64_t row;
        int before = done_calls;
        for (int i = 0; i < 900; i++) {
            assert_int_equal(put(j, (uint8_t)i, 100, &row), 0);
            erabi_journal_outbox_done(j, row);
        }
        while (done_calls < before + 900)
            uv_run(&loop, UV_RUN_ONCE);
        for (int i = 0; i < 4; i++) /* one of them purges */
            erabi_journal_tick(j, 1000);
        assert_int_equal(put(j, 1, 4000000000000u, &row), 0);
        while (done_calls < before + 901)
            uv_run(&loop, UV_RUN_ONCE);
        closed(j);
        after[round] = size_of(path);
        assert_int_equal(erabi_journal_open(&j, &loop, &options, NULL, 0), 0);
    }
    closed(j);
    assert_true(after[3] <= after[1] + 8 * 4096);
}

static void put_and_wait(struct erabi_journal *j, uint16_t number, uint64_t expires)
{
    int before = done_calls;
    int64_t row;
    assert_int_equal(put(j, number, expires, &row), 0);
    erabi_journal_outbox_done(j, row);
    while (done_calls == before)
        uv_run(&loop, UV_RUN_ONCE);
}

static void one_tick_purges_all_that_has_ended_however_much(void **state)
{
    struct erabi_journal *j;
    assert_int_equal(erabi_journal_open(&j, &loop, &options, NULL, 0), 0);
    for (uint16_t i = 0; i < 3500; i++)
        assert_int_equal(put(j, i, 100, NULL), 0);
    put_and_wait(j, 3500, 100);
    erabi_journal_tick(j, 86400000u + 101); /* also what was still owed to somebody */
    for (uint16_t i = 0; i < 8; i++) /* what comes meanwhile goes between the parts */
        put_and_wait(j, (uint16_t)(4000 + i), 4000000000000u);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.marks, 8);
    closed(j);
}

static void revocations_and_states_survive(void **state)
{
    struct erabi_journal *j = opened();
    erabi_journal_revoke(j, "birch", 7, NULL, NULL);
    erabi_journal_state(j, "latch", erabi_slice("abc", 3), NULL, NULL);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.revoked, 1);
    assert_int_equal(seen.states, 1);
    closed(j);
}

static void a_full_queue_says_so(void **state)
{
    struct erabi_journal *j = opened();
    for (uint8_t i = 0; i < 8; i++)
        assert_int_equal(put(j, i, 100, NULL), 0);
    assert_int_equal(put(j, 9, 100, NULL), -EAGAIN);
    closed(j);
    assert_int_equal(done_calls, 8);
}

static void a_database_in_use_is_refused(void **state)
{
    struct erabi_journal *j = opened(), *second;
    assert_int_equal(erabi_journal_open(&second, &loop, &options, NULL, 0), -EBUSY);
    closed(j);
}

static void a_newer_database_is_refused(void **state)
{
    closed(opened());
    exec("PRAGMA user_version = 99");
    struct erabi_journal *j;
    assert_int_equal(erabi_journal_open(&j, &loop, &options, NULL, 0), -EPROTO);
}

static void a_failed_commit_is_told_and_a_probe_recovers(void **state)
{
    struct erabi_journal *j = opened();
    put(j, 1, 100, NULL);
    while (done_calls < 1)
        uv_run(&loop, UV_RUN_ONCE);
    limit_files(4096);
    assert_int_equal(put(j, 2, 100, NULL), 0);
    while (done_calls < 2)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(done_result, -EIO);
    assert_false(erabi_journal_writable(j));
    assert_int_equal(put(j, 3, 100, NULL), -EIO);
    limit_files(RLIM_INFINITY);
    erabi_journal_tick(j, 60);
    while (!erabi_journal_writable(j))
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(put(j, 4, 100, NULL), 0);
    closed(j);
    assert_int_equal(done_result, 0);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.pending, 2);
    closed(j);
}

static void what_is_settled_while_the_disk_is_bad_stays_settled(void **state)
{
    struct erabi_journal *j = opened();
    int64_t rows[2];
    put(j, 1, 100, &rows[0]);
    put(j, 2, 100, &rows[1]);
    while (done_calls < 2)
        uv_run(&loop, UV_RUN_ONCE);
    limit_files(4096);
    erabi_journal_outbox_done(j, rows[0]);
    put(j, 3, 100, NULL);
    while (done_calls < 3)
        uv_run(&loop, UV_RUN_ONCE);
    assert_false(erabi_journal_writable(j));
    assert_int_equal(erabi_journal_outbox_done(j, rows[1]), 0); /* while it is known to be bad */
    limit_files(RLIM_INFINITY);
    erabi_journal_tick(j, 60);
    while (!erabi_journal_writable(j))
        uv_run(&loop, UV_RUN_ONCE);
    closed(j);
    j = opened();
    assert_int_equal(load(j, 0), 0);
    assert_int_equal(seen.pending, 0);
    assert_int_equal(seen.marks, 2);
    closed(j);
}

static void what_was_told_committed_survives_kill_9(void **state)
{
    killed_with(1, false);
    struct erabi_journal *j = opened();
    assert_int_equal(load(j, 50), 0);
    assert_int_equal(seen.pending, 1);
    closed(j);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        T(what_was_put_is_there_after_a_restart),
        T(what_has_expired_and_was_settled_does_not_come_back),
        T(a_body_that_nobody_waits_for_is_erased_and_its_hash_stays),
        T(a_body_that_is_to_be_kept_stays_until_then),
        T(what_expired_and_was_told_to_nobody_comes_back),
        T(what_is_owed_for_over_a_day_is_forgotten),
        T(members_of_a_group_keep_their_states_until_all_is_told),
        T(what_is_put_during_a_load_is_kept),
        T(a_settled_recipient_leaves_the_outbox_and_the_mark_stays),
        T(a_cancel_and_the_end_of_its_order_are_one_commit),
        T(what_is_purged_leaves_its_room),
        T(one_tick_purges_all_that_has_ended_however_much),
        T(revocations_and_states_survive),
        T(a_full_queue_says_so),
        T(a_database_in_use_is_refused),
        T(a_newer_database_is_refused),
        T(a_failed_commit_is_told_and_a_probe_recovers),
        T(what_is_settled_while_the_disk_is_bad_stays_settled),
        T(what_was_told_committed_survives_kill_9),
    };
    return swept(cmocka_run_group_tests(tests, NULL, NULL));
}
