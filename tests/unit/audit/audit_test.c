#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "audit/last.h"
#include "audit/text.h"
#include "audit/trace.h"
#include "audit/verify.h"

static char folder[] = "/tmp/erab-audit-XXXXXX";
static char path[64], heads[64];
static uint8_t public_key[32], secret[64];
static struct erabi_audit_result result;

static int fresh(void **state)
{
    static int n;
    snprintf(path, sizeof(path), "%s/%d.log", folder, n);
    snprintf(heads, sizeof(heads), "%s/%d.heads", folder, n++);
    return 0;
}

static struct erabi_audit *opened(uint64_t every)
{
    struct erabi_audit *a;
    char error[256] = "";
    int r = erabi_audit_open(&a, path, secret, every, error, sizeof(error));
    if (r < 0)
        print_message("%s\n", error);
    assert_int_equal(r, 0);
    erabi_audit_set_time(a, 1000, 10);
    return a;
}

static void on_head(void *user, const struct erabi_audit_head *head)
{
    char hash[65];
    FILE *f = fopen(heads, "a");
    assert_non_null(f);
    sodium_bin2hex(hash, sizeof(hash), head->hash, sizeof(head->hash));
    fprintf(f, "{\"log\":\"%s\",\"head_seq\":%llu,\"head_hash\":\"%s\"}\n", head->log, (unsigned long long)head->seq,
            hash);
    fclose(f);
}

static void write_some(int n)
{
    struct erabi_audit *a = opened(4);
    erabi_audit_on_head(a, on_head, NULL);
    for (int i = 0; i < n; i++) {
        struct erabi_audit_field f[] = {{"from", "alder", 0}, {"n", NULL, (uint64_t)i}};
        assert_int_equal(erabi_audit_write(a, "message", f, 2), 0);
    }
    assert_int_equal(erabi_audit_flush(a, true), 0);
    erabi_audit_close(a);
}

static long size_of(void)
{
    FILE *f = fopen(path, "r");
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fclose(f);
    return size;
}

static void a_whole_log_holds(void **state)
{
    write_some(10);
    assert_int_equal(erabi_audit_verify(path, heads, public_key, &result), 0);
    assert_true(result.records >= 12);
    assert_true(result.heads >= 3);
    assert_true(result.witnessed >= 2);
}

static void a_log_is_continued_after_a_restart(void **state)
{
    write_some(3);
    write_some(3);
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_true(result.records >= 7);
}

static void a_flipped_byte_names_its_record(void **state)
{
    write_some(10);
    FILE *f = fopen(path, "r+");
    char line[1024];
    for (int i = 0; i < 5; i++)
        assert_non_null(fgets(line, sizeof(line), f));
    assert_non_null(fgets(line, sizeof(line), f));
    long at = ftell(f) - 85; /* in a member of record 6, before its hash */
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c == '1' ? '2' : '1', f);
    fclose(f);
    assert_int_equal(erabi_audit_verify(path, NULL, NULL, &result), 1);
    assert_int_equal(result.bad_seq, 6);
    assert_int_equal(result.records, 5);
}

static void a_torn_tail_is_found_and_not_continued(void **state)
{
    write_some(5);
    assert_int_equal(truncate(path, size_of() - 10), 0);
    assert_int_equal(erabi_audit_verify(path, NULL, NULL, &result), 1);
    assert_non_null(strstr(result.reason, "torn"));
    struct erabi_audit *a;
    assert_int_equal(erabi_audit_open(&a, path, NULL, 0, NULL, 0), -EBADMSG);
}

static void a_cut_tail_is_found_with_the_heads_only(void **state)
{
    write_some(10);
    FILE *f = fopen(path, "r");
    char line[1024];
    for (int i = 0; i < 3; i++)
        assert_non_null(fgets(line, sizeof(line), f));
    long at = ftell(f);
    fclose(f);
    assert_int_equal(truncate(path, at), 0);
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_int_equal(erabi_audit_verify(path, heads, public_key, &result), 1);
    assert_int_equal(result.bad_seq, 4);
}

static void another_key_does_not_confirm_the_heads(void **state)
{
    write_some(5);
    uint8_t other[32], other_secret[64];
    crypto_sign_keypair(other, other_secret);
    assert_int_equal(erabi_audit_verify(path, NULL, other, &result), 1);
    assert_non_null(strstr(result.reason, "signature"));
}

static void a_log_in_use_is_refused(void **state)
{
    struct erabi_audit *a = opened(0), *b;
    assert_int_equal(erabi_audit_open(&b, path, NULL, 0, NULL, 0), -EBUSY);
    erabi_audit_close(a);
}

static void a_members_name_of_the_frame_is_refused(void **state)
{
    struct erabi_audit *a = opened(0);
    struct erabi_audit_field f = {"hash", "x", 0};
    assert_int_equal(erabi_audit_write(a, "message", &f, 1), -EINVAL);
    erabi_audit_close(a);
}

static void a_failed_write_fails_the_log(void **state)
{
    struct erabi_audit *a;
    assert_int_equal(symlink("/dev/full", path), 0);
    assert_true(erabi_audit_open(&a, path, NULL, 0, NULL, 0) < 0); /* links are refused */
    unlink(path);
    a = opened(0);
    struct erabi_audit_field f = {"from", "alder", 0};
    erabi_audit_write(a, "message", &f, 1);
    /* The descriptor is taken away from under it. */
    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[128];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        if (n > 0 && (target[n] = '\0', strcmp(target, path) == 0)) {
            FILE *full = fopen("/dev/full", "w");
            dup2(fileno(full), fd);
            fclose(full);
        }
    }
    assert_true(erabi_audit_flush(a, false) < 0);
    assert_true(erabi_audit_failed(a));
    assert_int_equal(erabi_audit_write(a, "message", &f, 1), 0); /* waits */
    erabi_audit_set_time(a, 3000, 2010);
    assert_true(erabi_audit_flush(a, false) < 0);
    erabi_audit_close(a);
}

static void limit_file(rlim_t size)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static size_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void a_disk_that_was_full_tears_no_record_and_loses_none(void **state)
{
    struct erabi_audit *a = opened(1000);
    struct erabi_audit_field f = {"from", "alder", 0};
    signal(SIGXFSZ, SIG_IGN);
    limit_file(file_size() + 10); /* a part of a record still fits */
    assert_int_equal(erabi_audit_write(a, "message", &f, 1), 0);
    assert_true(erabi_audit_flush(a, false) < 0);
    assert_true(erabi_audit_failed(a));
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_int_equal(erabi_audit_write(a, "admin", &f, 1), 0);
    limit_file(RLIM_INFINITY);
    assert_true(erabi_audit_flush(a, false) < 0); /* not yet: once a second */
    erabi_audit_set_time(a, 2100, 1110);
    assert_int_equal(erabi_audit_flush(a, false), 0);
    assert_false(erabi_audit_failed(a));
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_int_equal(result.records, 4); /* log, message, admin, resumed */
    erabi_audit_close(a);
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
}

static void what_does_not_fit_while_a_disk_is_full_is_counted(void **state)
{
    struct erabi_audit *a = opened(1000);
    static char text[60000];
    memset(text, 'x', sizeof(text) - 1);
    struct erabi_audit_field f = {"note", text, 0};
    limit_file(file_size());
    int kept = 0, lost = 0;
    for (int i = 0; i < 40; i++) {
        int r = erabi_audit_write(a, "message", &f, 1);
        kept += r == 0;
        lost += r == -EIO;
        erabi_audit_flush(a, false);
    }
    assert_int_equal(kept + lost, 40);
    assert_true(kept > 10 && lost > 10);
    limit_file(RLIM_INFINITY);
    erabi_audit_close(a); /* the last try */
    char line[ERABI_AUDIT_LINE_MAX + 1], wanted[32];
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_int_equal(erabi_audit_last(path, "resumed", line, sizeof(line)), 0);
    snprintf(wanted, sizeof(wanted), "\"lost\":%d,", lost);
    assert_non_null(strstr(line, wanted));
}

static void note(struct erabi_audit *a, const char *id, const char *hash, const char *parent, const char *parent_hash)
{
    struct erabi_audit_field f[] = {{"id", id, 0}, {"message_hash", hash, 0}, {"parent", parent, 0},
                                    {"parent_hash", parent_hash, 0}};
    assert_int_equal(erabi_audit_write(a, "message", f, parent ? 4 : 2), 0);
}

static void a_trace_follows_parents_and_children_across_logs(void **state)
{
    char first[64];
    snprintf(first, sizeof(first), "%s", path);
    struct erabi_audit *a = opened(0);
    note(a, "top", "aa", NULL, NULL);
    note(a, "other", "ff", NULL, NULL);
    erabi_audit_close(a);
    fresh(NULL);
    a = opened(0);
    erabi_audit_set_time(a, 2000, 20);
    note(a, "middle", "bb", "top", "aa");
    note(a, "low", "cc", "middle", "XX");
    erabi_audit_close(a);
    const char *files[] = {first, path};
    json_t *hops;
    char error[256];
    assert_int_equal(erabi_audit_trace(&hops, "middle", files, 2, error, sizeof(error)), 0);
    assert_int_equal(json_array_size(hops), 3);
    const json_t *top = json_array_get(hops, 0), *middle = json_array_get(hops, 1), *low = json_array_get(hops, 2);
    assert_string_equal(json_string_value(json_object_get(top, "id")), "top");
    assert_int_equal(json_integer_value(json_object_get(top, "depth")), -1);
    assert_true(json_is_false(json_object_get(top, "reported")));
    assert_true(json_is_true(json_object_get(middle, "reported")));
    assert_true(json_is_true(json_object_get(middle, "parent_holds")));
    assert_true(json_is_false(json_object_get(low, "parent_holds")));
    json_decref(hops);
}

/* Records of a `what` (and, when not NULL, of a peer) in the log, and the sum of their `records`. */
static int count(const char *what, const char *peer, json_int_t *sum)
{
    char line[ERABI_AUDIT_LINE_MAX + 2];
    FILE *f = fopen(path, "r");
    int n = 0;
    *sum = 0;
    while (fgets(line, sizeof(line), f)) {
        json_t *json = json_loads(line, 0, NULL);
        assert_non_null(json);
        const char *said = json_string_value(json_object_get(json, "peer"));
        if (strcmp(json_string_value(json_object_get(json, "what")), what) == 0 && (!peer || strcmp(said, peer) == 0)) {
            n++;
            *sum += json_integer_value(json_object_get(json, "records"));
        }
        json_decref(json);
    }
    fclose(f);
    return n;
}

static void refuse(struct erabi_audit *a, const char *peer, const char *reason, int n)
{
    struct erabi_audit_field f[] = {{"peer", peer, 0}};
    struct erabi_audit_kind kind = {peer, "refused", reason};
    for (int i = 0; i < n; i++)
        assert_int_equal(erabi_audit_write_counted(a, "refused", &kind, f, 1), 0);
}

static void a_flood_is_counted_and_others_are_written_all_the_same(void **state)
{
    struct erabi_audit *a = opened(0);
    json_int_t more;
    refuse(a, "alder", "quota", 100000);
    refuse(a, "birch", "quota", 3);
    erabi_audit_set_time(a, 2000, 1010);
    erabi_audit_flush(a, false);
    assert_int_equal(count("refused", "alder", &more), ERABI_AUDIT_ONE_BY_ONE);
    assert_int_equal(count("refused", "birch", &more), 3);
    assert_int_equal(count("more", "alder", &more), 1);
    assert_int_equal(more, 100000 - ERABI_AUDIT_ONE_BY_ONE);
    assert_int_equal(count("more", NULL, &more), 1);
    refuse(a, "alder", "quota", 2); /* another second */
    erabi_audit_close(a);
    assert_int_equal(count("refused", "alder", &more), ERABI_AUDIT_ONE_BY_ONE + 2);
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
}

static void a_flood_of_kinds_is_bounded_and_none_is_lost(void **state)
{
    struct erabi_audit *a = opened(0);
    json_int_t more;
    for (int i = 0; i < 20000; i++) {
        char peer[16];
        snprintf(peer, sizeof(peer), "p-%d", i);
        refuse(a, peer, "quota", 1);
    }
    erabi_audit_close(a);
    assert_int_equal(count("refused", NULL, &more), 8192 + ERABI_AUDIT_ONE_BY_ONE);
    assert_int_equal(count("more", NULL, &more), 1);
    assert_int_equal(more, 20000 - 8192 - ERABI_AUDIT_ONE_BY_ONE);
}

static void no_text_breaks_a_line_or_reaches_a_terminal(void **state)
{
    static const char *const texts[] = {"a\nb\r\n", "\"},{\"seq\":1", "\x1b]0;x\a\x1b[2J", "\xc2\x9b" "31m",
                                        "\x7f", "\xff\xfe", "\xe2\x80\xa8\xe2\x80\xae", "\\u0000", "\xed\xa0\x80"};
    struct erabi_audit *a = opened(0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct erabi_audit_field f[] = {{"detail", texts[i], 0}};
        assert_int_equal(erabi_audit_write(a, "message", f, 1), 0);
    }
    erabi_audit_close(a);
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_int_equal(result.records, 2 + sizeof(texts) / sizeof(texts[0]));
    FILE *f = fopen(path, "r");
    for (int c; (c = fgetc(f)) != EOF;)
        assert_true(c == '\n' || (c >= ' ' && c < 127));
    fclose(f);
}

static void a_record_with_too_long_texts_is_written_cut(void **state)
{
    static char text[2][70000];
    for (size_t i = 0; i + 3 < sizeof(text[0]); i += 3)
        memcpy(text[0] + i, "\xe3\x81\x82", 3);
    memset(text[1], '\xff', sizeof(text[1]) - 1);
    struct erabi_audit_field f[] = {{"detail", text[0], 0}, {"note", text[1], 0}, {"from", "alder", 0}};
    struct erabi_audit *a = opened(0);
    assert_int_equal(erabi_audit_write(a, "message", f, 3), 0);
    erabi_audit_close(a);
    assert_int_equal(erabi_audit_verify(path, NULL, public_key, &result), 0);
    assert_int_equal(result.records, 3);
}

/* What a reader's own library makes of the same bytes. */
static void expect_like_jansson(const char *bytes, size_t n)
{
    char out[256], hex[64];
    struct erabi_writer w = erabi_writer(out, sizeof(out) - 1);
    erabi_text_string(&w, bytes, 64);
    assert_false(w.bad);
    out[w.used] = '\0';
    json_t *value = memchr(bytes, 127, n) ? NULL : json_stringn(bytes, n);
    if (!value)
        value = json_string(sodium_bin2hex(hex, sizeof(hex), (const unsigned char *)bytes, n));
    char *said = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    assert_string_equal(out, said);
    free(said);
    json_decref(value);
}

static void a_text_is_written_as_jansson_writes_it(void **state)
{
    static const char pieces[] = "a\"\\/\b\f\n\r\t\x01\x1f\x7f\x80\xbf\xc2\xc3\xe0\xa0\xe3\x81\x82\xed\x9f\xf0\x9f\x98\xf4\x8f\xff";
    uint64_t random = 1;
    for (int i = 0; i < 300000; i++) {
        char text[16] = "";
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t n = random >> 60;
        for (size_t k = 0; k < n; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            text[k] = pieces[(random >> 33) % (sizeof(pieces) - 1)];
        }
        expect_like_jansson(text, n);
    }
    expect_like_jansson("\xf0\x9f\x98\x80 \xe3\x81\x82", 8);
}

static void a_cut_halves_no_character(void **state)
{
    char out[64];
    struct erabi_writer w = erabi_writer(out, sizeof(out));
    erabi_text_string(&w, "ab\xe3\x81\x82", 4);
    assert_int_equal(w.used, 4);
    assert_memory_equal(out, "\"ab\"", 4);
}

static void a_name_stands_once_in_a_record(void **state)
{
    struct erabi_audit *a = opened(0);
    struct erabi_audit_field f[] = {{"from", "alder", 0}, {"to", "birch", 0}, {"from", "cedar", 0}};
    assert_int_equal(erabi_audit_write(a, "message", f, 3), -EINVAL);
    erabi_audit_close(a);
}

static void a_trace_of_an_unknown_message_gives_nothing(void **state)
{
    write_some(3);
    const char *files[] = {path};
    json_t *hops = json_null();
    char error[256];
    assert_int_equal(erabi_audit_trace(&hops, "nobody", files, 1, error, sizeof(error)), 1);
    assert_null(hops);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
    if (sodium_init() < 0 || !mkdtemp(folder))
        return 1;
    crypto_sign_keypair(public_key, secret);
    const struct CMUnitTest tests[] = {
        T(a_whole_log_holds),
        T(a_log_is_continued_after_a_restart),
        T(a_flipped_byte_names_its_record),
        T(a_torn_tail_is_found_and_not_continued),
        T(a_cut_tail_is_found_with_the_heads_only),
        T(another_key_does_not_confirm_the_heads),
        T(a_log_in_use_is_refused),
        T(a_members_name_of_the_frame_is_refused),
        T(a_failed_write_fails_the_log),
        T(a_disk_that_was_full_tears_no_record_and_loses_none),
        T(what_does_not_fit_while_a_disk_is_full_is_counted),
        T(a_flood_is_counted_and_others_are_written_all_the_same),
        T(a_flood_of_kinds_is_bounded_and_none_is_lost),
        T(no_text_breaks_a_line_or_reaches_a_terminal),
        T(a_record_with_too_long_texts_is_written_cut),
        T(a_text_is_written_as_jansson_writes_it),
        T(a_cut_halves_no_character),
        T(a_name_stands_once_in_a_record),
        T(a_trace_of_an_unknown_message_gives_nothing),
        T(a_trace_follows_parents_and_children_across_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
