/* The client against the broker's own transport, which does not know its key. argv: the echo server. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <erab/client.h>

static const char *server_path;

static void unknown_key_is_told_as_rejected(void **state)
{
    char line[512], endpoint[256], key[65];
    struct erab_identity me, other;
    (void)state;
    erab_identity_generate(&me, "alder");
    erab_identity_generate(&other, "birch");
    char known[65];
    erab_key_text(other.curve_public, known);
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(server_path, server_path, "tcp://127.0.0.1:0", known, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *server = fdopen(out[0], "r");
    assert_non_null(server);
    assert_non_null(fgets(line, sizeof line, server));
    assert_int_equal(sscanf(line, "%255s %64s", endpoint, key), 2);
    struct erab_client_options o = {.size = sizeof o, .endpoint = endpoint, .hub = "hub", .identity = &me, .sign = true};
    assert_int_equal(erab_key_parse(key, o.server_key), 0);
    struct erab_client *client;
    assert_int_equal(erab_client_new(&client, &o), 0);
    for (unsigned i = 0; i < 1000 && erab_client_state(client) != ERAB_REJECTED; i++) {
        struct pollfd p = {.fd = erab_client_fd(client), .events = POLLIN};
        if (poll(&p, 1, 10) > 0)
            assert_int_equal(erab_client_step(client), 0);
    }
    assert_int_equal(erab_client_state(client), ERAB_REJECTED);
    erab_client_free(client);
    close(in[0]);
    close(in[1]); /* the server ends with its standard input */
    waitpid(pid, NULL, 0);
    fclose(server);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unknown_key_is_told_as_rejected)};
    if (argc != 2)
        return 2;
    server_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
