#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <erab/identity.h>

struct place {
    char dir[64];
    char path[96];
    char error[256];
    struct erab_identity id;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    if (!p)
        return -1;
    snprintf(p->dir, sizeof p->dir, "/tmp/erab-identity-XXXXXX");
    if (!mkdtemp(p->dir))
        return -1;
    snprintf(p->path, sizeof p->path, "%s/alder.key", p->dir);
    *state = p;
    return erab_identity_generate(&p->id, "alder");
}

static int teardown(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    rmdir(p->dir);
    free(p);
    return 0;
}

static void write_text(const struct place *p, const char *text, size_t size)
{
    int fd = open(p->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), (ssize_t)size);
    close(fd);
}

/* The saved file as text, to be changed and written back. */
static void saved_text(struct place *p, char *text, size_t size)
{
    assert_int_equal(erab_identity_save(&p->id, p->path, p->error, sizeof p->error), 0);
    int fd = open(p->path, O_RDONLY);
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    assert_true(n > 0);
    text[n] = '\0';
}

static int load(struct place *p, struct erab_identity *out)
{
    return erab_identity_load(out, p->path, p->error, sizeof p->error);
}

static void saved_identity_loads_unchanged(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    struct stat st;
    assert_int_equal(erab_identity_save(&p->id, p->path, p->error, sizeof p->error), 0);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(load(p, &out), 0);
    assert_memory_equal(&out, &p->id, sizeof out);
}

static void save_never_overwrites(void **state)
{
    struct place *p = *state;
    assert_int_equal(erab_identity_save(&p->id, p->path, NULL, 0), 0);
    assert_int_equal(erab_identity_save(&p->id, p->path, p->error, sizeof p->error), -EEXIST);
    assert_non_null(strstr(p->error, p->path));
}

static _Noreturn void load_as_soon_as_it_is_there(struct place *p, int ready)
{
    struct erab_identity out;
    if (write(ready, "", 1) != 1)
        _exit(1);
    while (access(p->path, F_OK) != 0)
        ;
    _exit(erab_identity_load(&out, p->path, NULL, 0) ? 1 : 0);
}

static void saved_file_is_seen_whole_or_not_at_all(void **state)
{
    struct place *p = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    for (int i = 0; i < 300; i++) {
        pid_t reader = fork();
        if (reader == 0)
            load_as_soon_as_it_is_there(p, ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(erab_identity_save(&p->id, p->path, NULL, 0), 0);
        int status = 1;
        assert_int_equal(waitpid(reader, &status, 0), reader);
        assert_int_equal(status, 0);
        unlink(p->path);
    }
    close(ready[0]);
    close(ready[1]);
}

static void file_readable_by_group_is_refused_with_the_way_out(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    erab_identity_save(&p->id, p->path, NULL, 0);
    assert_int_equal(chmod(p->path, 0640), 0);
    assert_int_equal(load(p, &out), -EPERM);
    assert_non_null(strstr(p->error, p->path));
    assert_non_null(strstr(p->error, "chmod 600"));
}

static void file_of_another_user_is_refused_with_the_way_out(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    erab_identity_save(&p->id, p->path, NULL, 0);
    assert_int_equal(chown(p->path, 12345, (gid_t)-1), 0);
    assert_int_equal(load(p, &out), -EPERM);
    assert_non_null(strstr(p->error, p->path));
    assert_non_null(strstr(p->error, "belongs to user 12345"));
    assert_non_null(strstr(p->error, "chown"));
}

static void folder_is_refused(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(load(p, &out), -EINVAL);
    assert_int_equal(rmdir(p->path), 0);
}

static void symbolic_link_is_refused(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    char target[128];
    snprintf(target, sizeof target, "%s/real.key", p->dir);
    assert_int_equal(erab_identity_save(&p->id, target, NULL, 0), 0);
    assert_int_equal(symlink(target, p->path), 0);
    int r = load(p, &out);
    unlink(target);
    assert_int_equal(r, -ELOOP);
    assert_non_null(strstr(p->error, "symbolic link"));
}

static void fifo_is_refused_without_waiting(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(load(p, &out), -EINVAL);
}

static void missing_file_names_the_command(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    assert_int_equal(load(p, &out), -ENOENT);
    assert_non_null(strstr(p->error, "erab key new"));
}

static void oversized_file_is_refused(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    char text[5000];
    memset(text, '#', sizeof text);
    write_text(p, text, sizeof text);
    assert_int_equal(load(p, &out), -EFBIG);
}

static void missing_field_is_named(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    write_text(p, "party: alder\n", 13);
    assert_int_equal(load(p, &out), -EBADMSG);
    assert_non_null(strstr(p->error, "curve_public is missing"));
}

static void duplicate_field_is_refused_with_its_line(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    write_text(p, "party: alder\n# note\nparty: birch\n", 33);
    assert_int_equal(load(p, &out), -EBADMSG);
    assert_non_null(strstr(p->error, ":3: party"));
}

static void comments_quotes_and_crlf_are_taken(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    char text[2048], more[4096];
    saved_text(p, text, sizeof text);
    snprintf(more, sizeof more, "---\r\n# keys\r\n\r\nparty: \"alder\"\r\n%s", strchr(text, '\n') + 1);
    write_text(p, more, strlen(more));
    assert_int_equal(load(p, &out), 0);
    assert_string_equal(out.party, "alder");
}

static void error_never_shows_the_secret(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    char text[2048];
    saved_text(p, text, sizeof text);
    char *secret = strstr(text, "curve_secret: ") + 14;
    secret[63] = 'g';
    write_text(p, text, strlen(text));
    assert_int_equal(load(p, &out), -EBADMSG);
    secret[8] = '\0';
    assert_null(strstr(p->error, secret));
    assert_non_null(strstr(p->error, "curve_secret must be 64 hex digits"));
}

static void keys_of_two_pairs_are_refused(void **state)
{
    struct place *p = *state;
    struct erab_identity out, other;
    erab_identity_generate(&other, "birch");
    memcpy(p->id.sign_public, other.sign_public, sizeof other.sign_public);
    assert_int_equal(erab_identity_save(&p->id, p->path, NULL, 0), 0);
    assert_int_equal(load(p, &out), -EBADMSG);
    struct erab_identity zero = {0};
    assert_memory_equal(&out, &zero, sizeof out);
}

static void descriptor_is_read_without_file_rules(void **state)
{
    struct place *p = *state;
    struct erab_identity out;
    char text[2048];
    int pipe_fd[2];
    saved_text(p, text, sizeof text);
    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(write(pipe_fd[1], text, strlen(text)), (ssize_t)strlen(text));
    close(pipe_fd[1]);
    assert_int_equal(erab_identity_load_fd(&out, pipe_fd[0], p->error, sizeof p->error), 0);
    close(pipe_fd[0]);
    assert_memory_equal(&out, &p->id, sizeof out);
}

static void generate_refuses_a_bad_party(void **state)
{
    (void)state;
    struct erab_identity out;
    assert_int_equal(erab_identity_generate(&out, "Alder"), -EINVAL);
    assert_int_equal(erab_identity_generate(&out, ""), -EINVAL);
}

static void key_text_round_trips_and_rejects_other_lengths(void **state)
{
    struct place *p = *state;
    char text[66];
    uint8_t key[ERAB_KEY_SIZE];
    erab_key_text(p->id.curve_public, text);
    assert_int_equal(erab_key_parse(text, key), 0);
    assert_memory_equal(key, p->id.curve_public, sizeof key);
    text[64] = '0';
    text[65] = '\0';
    assert_int_equal(erab_key_parse(text, key), -EINVAL);
    text[63] = '\0';
    assert_int_equal(erab_key_parse(text, key), -EINVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(saved_identity_loads_unchanged),
        T(save_never_overwrites),
        T(saved_file_is_seen_whole_or_not_at_all),
        T(file_readable_by_group_is_refused_with_the_way_out),
        T(file_of_another_user_is_refused_with_the_way_out),
        T(folder_is_refused),
        T(symbolic_link_is_refused),
        T(fifo_is_refused_without_waiting),
        T(missing_file_names_the_command),
        T(oversized_file_is_refused),
        T(missing_field_is_named),
        T(duplicate_field_is_refused_with_its_line),
        T(comments_quotes_and_crlf_are_taken),
        T(error_never_shows_the_secret),
        T(keys_of_two_pairs_are_refused),
        T(descriptor_is_read_without_file_rules),
        T(generate_refuses_a_bad_party),
        T(key_text_round_trips_and_rejects_other_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
