#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <erab/invitation.h>
#include <sodium.h>

static char dir[] = "/tmp/erab-invitation-XXXXXX", path[128], error[512];
static struct erab_invitation good;

static int setup(void **state)
{
    good = (struct erab_invitation){.party = "cedar", .role = ERAB_ROLE_RA, .hub = "coordinator.rest",
                                    .endpoint = "tcp://192.0.2.10:7003", .expires_at_ms = 1795430000000};
    crypto_box_keypair(good.server_key, good.hub_sign_key);
    crypto_box_keypair(good.seed_public, good.seed_secret);
    error[0] = '\0';
    return erab_invitation_save(&good, path, error, sizeof(error));
}

static int teardown(void **state)
{
    unlink(path);
    return 0;
}

static int load(struct erab_invitation *out)
{
    return erab_invitation_load(out, path, error, sizeof(error));
}

/* Writes the file again with the first `from` in place of `to`. */
static void change(const char *from, const char *to)
{
    char text[4096], *at;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    at = strstr(text, from);
    assert_non_null(at);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    fclose(f);
}

static void it_is_read_as_it_was_written_and_is_private(void **state)
{
    struct erab_invitation out;
    struct stat st;
    assert_int_equal(load(&out), 0);
    assert_memory_equal(&out, &good, sizeof(out));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void it_is_never_overwritten(void **state)
{
    assert_int_equal(erab_invitation_save(&good, path, error, sizeof(error)), -EEXIST);
}

static void a_wider_mode_is_refused_with_the_way_out(void **state)
{
    struct erab_invitation out;
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(load(&out), -EPERM);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "chmod 600"));
}

static void a_missing_file_names_the_command(void **state)
{
    struct erab_invitation out;
    unlink(path);
    assert_int_equal(load(&out), -ENOENT);
    assert_non_null(strstr(error, "erab party invite"));
}

static void a_broken_line_is_told_with_its_number(void **state)
{
    struct erab_invitation out;
    change("role: ra", "role: queen");
    assert_int_equal(load(&out), -EBADMSG);
    assert_non_null(strstr(error, ":3: "));
    assert_true(sodium_is_zero(out.seed_secret, sizeof(out.seed_secret)));
}

static void a_line_twice_or_missing_is_refused(void **state)
{
    struct erab_invitation out;
    change("role: ra\n", "role: ra\nrole: ra\n");
    assert_int_equal(load(&out), -EBADMSG);
    change("role: ra\nrole: ra\n", "");
    assert_int_equal(load(&out), -EBADMSG);
    assert_non_null(strstr(error, "role is missing"));
}

static void an_endpoint_that_is_no_tcp_is_refused(void **state)
{
    struct erab_invitation out;
    change("tcp://", "ipc://");
    assert_int_equal(load(&out), -EBADMSG);
}

static void halves_of_two_seeds_are_refused(void **state)
{
    struct erab_invitation out;
    char text[65];
    uint8_t other[32], secret[32];
    crypto_box_keypair(other, secret);
    sodium_bin2hex(text, sizeof(text), good.seed_public, 32);
    char fresh[65];
    sodium_bin2hex(fresh, sizeof(fresh), other, 32);
    change(text, fresh);
    assert_int_equal(load(&out), -EBADMSG);
    assert_non_null(strstr(error, "halves"));
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    struct erab_invitation out;
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    for (int i = 0; i < 3000; i++)
        fputc('#', f);
    fclose(f);
    assert_int_equal(load(&out), -EFBIG);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/invitation", dir);
    const struct CMUnitTest tests[] = {
        T(it_is_read_as_it_was_written_and_is_private),
        T(it_is_never_overwritten),
        T(a_wider_mode_is_refused_with_the_way_out),
        T(a_missing_file_names_the_command),
        T(a_broken_line_is_told_with_its_number),
        T(a_line_twice_or_missing_is_refused),
        T(an_endpoint_that_is_no_tcp_is_refused),
        T(halves_of_two_seeds_are_refused),
        T(a_file_that_is_too_large_is_refused),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return r;
}
