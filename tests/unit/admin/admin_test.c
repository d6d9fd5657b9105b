#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"

static uv_loop_t loop;
static struct erabi_admin *admin;
static char path[64], folder[] = "/tmp/erab-admin-XXXXXX";

static json_t *health(void *user, const json_t *request, const char **error)
{
    return json_pack("{s:b}", "ready", 1);
}

static json_t *refuse(void *user, const json_t *request, const char **error)
{
    *error = "not today";
    return NULL;
}

static struct erabi_admin_ticket *ticket;

static json_t *wait_for_it(void *user, const json_t *request, const char **error)
{
    ticket = erabi_admin_later(admin);
    *error = ERABI_ADMIN_LATER;
    return NULL;
}

static const struct erabi_admin_verb verbs[] = {{"health", health}, {"party-revoke", refuse}, {"wait", wait_for_it}, {0}};

static int fresh(void **state)
{
    snprintf(path, sizeof(path), "%s/s", folder);
    uv_loop_init(&loop);
    return erabi_admin_new(&admin, &loop, path, verbs, NULL);
}

static int end(void **state)
{
    erabi_admin_stop(admin, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* Turns the loop until a whole line or the end came; returns its size, 0 for the end. */
static size_t answer(int fd, char *to, size_t size)
{
    size_t used = 0;
    for (;;) {
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t n = recv(fd, to + used, size - 1 - used, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return 0;
        used += n > 0 ? (size_t)n : 0;
        to[used] = '\0';
        if (strchr(to, '\n'))
            return used;
    }
}

static void ask(const char *line, const char *expected)
{
    char got[512] = "";
    int fd = dial();
    assert_true(send(fd, line, strlen(line), 0) > 0);
    assert_true(answer(fd, got, sizeof(got)) > 0);
    assert_string_equal(got, expected);
    close(fd);
}

static void a_verb_is_answered(void **state)
{
    ask("{\"verb\":\"health\"}\n", "{\"ready\":true,\"ok\":true}\n");
}

static void a_refusal_says_why(void **state)
{
    ask("{\"verb\":\"party-revoke\"}\n", "{\"ok\":false,\"error\":\"not today\"}\n");
}

static void what_is_no_request_is_refused(void **state)
{
    ask("nonsense\n", "{\"ok\":false,\"error\":\"a request is one JSON object with a member \\\"verb\\\"\"}\n");
    ask("{\"verb\":\"x\"}\n", "{\"ok\":false,\"error\":\"this verb is not known\"}\n");
}

static int asked_to_wait(void)
{
    int fd = dial();
    const char two[] = "{\"verb\":\"wait\"}\n{\"verb\":\"health\"}\n";
    assert_true(send(fd, two, strlen(two), 0) > 0);
    ticket = NULL;
    while (!ticket)
        uv_run(&loop, UV_RUN_NOWAIT);
    char got[64];
    assert_int_equal(recv(fd, got, sizeof(got), 0), -1); /* neither is answered yet */
    return fd;
}

static void an_answer_may_come_later_and_those_after_it_wait(void **state)
{
    char got[512] = "";
    int fd = asked_to_wait();
    erabi_admin_answer(ticket, json_pack("{s:i}", "n", 7), NULL);
    answer(fd, got, sizeof(got));
    assert_ptr_equal(strstr(got, "{\"n\":7,\"ok\":true}\n"), got);
    if (!strstr(got, "ready"))
        assert_true(answer(fd, got, sizeof(got)) > 0);
    assert_non_null(strstr(got, "{\"ready\":true,\"ok\":true}\n"));
    close(fd);
}

static void a_later_refusal_says_why(void **state)
{
    char got[512] = "";
    int fd = asked_to_wait();
    erabi_admin_answer(ticket, NULL, "not kept");
    answer(fd, got, sizeof(got));
    assert_ptr_equal(strstr(got, "{\"ok\":false,\"error\":\"not kept\"}\n"), got);
    close(fd);
}

static void nobody_is_answered_when_the_socket_has_ended(void **state)
{
    int fd = asked_to_wait();
    erabi_admin_stop(admin, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    erabi_admin_answer(ticket, json_pack("{s:i}", "n", 7), NULL);
    close(fd);
    assert_int_equal(erabi_admin_new(&admin, &loop, path, verbs, NULL), 0);
    assert_null(erabi_admin_later(admin));
}

static void the_socket_is_for_its_owner_only(void **state)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_live_socket_is_not_replaced(void **state)
{
    struct erabi_admin *second;
    assert_int_equal(erabi_admin_new(&second, &loop, path, verbs, NULL), -EADDRINUSE);
}

static void a_line_without_end_closes_its_client(void **state)
{
    static char much[ERABI_ADMIN_LINE_MAX + 1];
    memset(much, 'x', sizeof(much));
    int fd = dial();
    size_t sent = 0;
    while (sent < sizeof(much)) {
        ssize_t n = send(fd, much + sent, sizeof(much) - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        sent += n > 0 ? (size_t)n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    char got[16];
    assert_int_equal(answer(fd, got, sizeof(got)), 0);
    close(fd);
}

static void the_seventeenth_client_is_closed(void **state)
{
    int fds[ERABI_ADMIN_CLIENTS + 1];
    char got[16];
    for (int i = 0; i <= ERABI_ADMIN_CLIENTS; i++) {
        fds[i] = dial();
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(answer(fds[ERABI_ADMIN_CLIENTS], got, sizeof(got)), 0);
    for (int i = 0; i <= ERABI_ADMIN_CLIENTS; i++)
        close(fds[i]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, end)

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        T(a_verb_is_answered),
        T(a_refusal_says_why),
        T(what_is_no_request_is_refused),
        T(an_answer_may_come_later_and_those_after_it_wait),
        T(a_later_refusal_says_why),
        T(nobody_is_answered_when_the_socket_has_ended),
        T(the_socket_is_for_its_owner_only),
        T(a_live_socket_is_not_replaced),
        T(a_line_without_end_closes_its_client),
        T(the_seventeenth_client_is_closed),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return r;
}
