/* A vote's frame from a process that is not to be trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "host/policy.h"

static uint8_t frame[ERABI_POLICY_ANSWER_MAX];
static struct erabi_policy_reply vote;

static size_t make(unsigned kind, unsigned ballot, const char *code, const char *section, const char *detail)
{
    const char *texts[] = {code, section, detail};
    struct erabi_writer w = erabi_writer(frame, sizeof(frame));
    erabi_write_u8(&w, (uint8_t)kind);
    erabi_write_u64(&w, 7);
    erabi_write_u8(&w, (uint8_t)ballot);
    for (int i = 0; i < 3; i++) {
        erabi_write_u8(&w, (uint8_t)strlen(texts[i]));
        erabi_write_bytes(&w, texts[i], strlen(texts[i]));
    }
    return w.used;
}

static bool reads(size_t size)
{
    return erabi_policy_reply_read(&vote, erabi_slice(frame, size));
}

static void a_whole_vote_is_read(void **state)
{
    assert_true(reads(make(2, ERAB_DENY, "declined", "3.6.3", "\xe9\x9b\xbb\xe5\x8a\x9b no")));
    assert_int_equal(vote.call, 7);
    assert_int_equal(vote.verdict.reason, ERAB_REASON_DECLINED);
    assert_string_equal(vote.verdict.section, "3.6.3");
    assert_string_equal(vote.verdict.detail, "\xe9\x9b\xbb\xe5\x8a\x9b no");
}

static void every_cut_of_it_is_refused(void **state)
{
    size_t size = make(2, ERAB_DENY, "declined", "3.6.3", "no");
    for (size_t i = 0; i < size; i++)
        assert_false(reads(i));
    assert_false(reads(size + 1));
}

static void other_kinds_and_votes_are_refused(void **state)
{
    assert_false(reads(make(1, ERAB_DENY, "declined", "", "")));
    assert_false(reads(make(2, ERAB_PENDING, "none", "", "")));
    assert_false(reads(make(2, 255, "none", "", "")));
}

static void a_code_that_is_not_known_is_a_plain_denial(void **state)
{
    assert_true(reads(make(2, ERAB_DENY, "of-a-later-version", "", "")));
    assert_int_equal(vote.verdict.reason, ERAB_REASON_POLICY_DENIED);
}

static void texts_that_no_terminal_should_see_are_refused(void **state)
{
    static const char *const bad[] = {"a\nb", "\x1b[2J", "\x7f", "\xc2\x9b", "\xff", "\xe9\x9b", "\xed\xa0\x80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(reads(make(2, ERAB_DENY, "declined", "", bad[i])));
    assert_false(reads(make(2, ERAB_DENY, "declined", "3.6.3.4.5.6.7.8.9", "")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_vote_is_read),
        cmocka_unit_test(every_cut_of_it_is_refused),
        cmocka_unit_test(other_kinds_and_votes_are_refused),
        cmocka_unit_test(a_code_that_is_not_known_is_a_plain_denial),
        cmocka_unit_test(texts_that_no_terminal_should_see_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
