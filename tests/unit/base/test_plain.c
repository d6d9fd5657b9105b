#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/cursor.h"

static void becomes(const char *from, size_t n, const char *to)
{
    char text[64];
    erabi_copy_bytes(text, from, n);
    text[n] = '\0';
    erabi_plain_text(text, n);
    assert_memory_equal(text, to, n);
}

#define PLAIN(from, to)                              \
    do {                                             \
        assert_int_equal(sizeof(from), sizeof(to));  \
        becomes(from, sizeof(from) - 1, to);         \
    } while (0)

static void printable_text_of_any_script_stays(void **state)
{
    PLAIN("alder 1", "alder 1");
    PLAIN("\xe9\x9b\xbb\xe5\x8a\x9b \xc3\xa4 \xf0\x9f\x94\x8b", "\xe9\x9b\xbb\xe5\x8a\x9b \xc3\xa4 \xf0\x9f\x94\x8b");
}

static void control_characters_are_replaced(void **state)
{
    PLAIN("a\nb\r\tc", "a?b??c");
    PLAIN("\x1b[2J\x7f", "?[2J?");
    PLAIN("\xc2\x9b" "31m", "??31m");
    PLAIN("\0x", "?x");
}

static void what_is_no_utf8_is_replaced(void **state)
{
    PLAIN("\xff\xfe", "??");
    PLAIN("\xc0\xaf", "??");         /* overlong */
    PLAIN("\xe0\x80\xaf", "???");    /* overlong */
    PLAIN("\xed\xa0\x80", "???");    /* half of a pair */
    PLAIN("\xf4\x90\x80\x80", "????");
    PLAIN("a\xe3\x81", "a??");       /* cut */
    PLAIN("\xc2", "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_of_any_script_stays),
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(what_is_no_utf8_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
