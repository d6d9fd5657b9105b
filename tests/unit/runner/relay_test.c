/* The relays of the supervisor: which texts are endpoints, and a stream in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"

#define BYTES (3u << 20)

static void endpoint(const char *text, const char *host, const char *port)
{
    struct relay_endpoint e;
    assert_int_equal(relay_endpoint_parse(text, &e), 0);
    assert_string_equal(e.host, host);
    assert_string_equal(e.port, port);
}

static void endpoints_are_read(void **state)
{
    endpoint("https://vtn.example", "vtn.example", "443");
    endpoint("https://vtn.example/OpenADR2/Simple", "vtn.example", "443");
    endpoint("https://vtn.example:8443/a:b", "vtn.example", "8443");
    endpoint("https://vtn.example?q=1", "vtn.example", "443");
    endpoint("tcp://192.0.2.7:502", "192.0.2.7", "502");
    endpoint("localhost:80", "localhost", "80");
    endpoint("https://[2001:db8::1]/x", "2001:db8::1", "443");
    endpoint("[2001:db8::1]:4000", "2001:db8::1", "4000");
}

static void what_is_no_endpoint_is_refused(void **state)
{
    const char *const wrong[] = {"", "vtn.example", "https://", "https://user@vtn.example", "host:", "host:0", "host:65536",
                                 "host:12x", "host:-1", ":80", "a b:80", "host\n:80", "2001:db8::1", "[2001:db8::1", "[::1]x:80",
                                 "tcp://host", "host:80:90", "/etc/passwd", "ipc:///run/x"};
    struct relay_endpoint e;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (relay_endpoint_parse(wrong[i], &e) != -EINVAL)
            fail_msg("taken as an endpoint: \"%s\"", wrong[i]);
    char longest[400];
    memset(longest, 'a', sizeof longest);
    strcpy(longest + sizeof longest - 4, ":80");
    assert_int_equal(relay_endpoint_parse(longest, &e), -EINVAL);
}

/* ---- a stream ---- */

struct end {
    int fd;
    bool good;
    uv_async_t *done;
};

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static bool send_all(int fd)
{
    static const size_t step = 10007;
    uint8_t bytes[10007];
    for (size_t at = 0; at < BYTES;) {
        size_t n = BYTES - at < step ? BYTES - at : step;
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(at + i);
        for (size_t sent = 0; sent < n;) {
            ssize_t r = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL);
            if (r <= 0)
                return false;
            sent += (size_t)r;
        }
        at += n;
    }
    return shutdown(fd, SHUT_WR) == 0;
}

static bool receive_all(int fd)
{
    uint8_t bytes[4096];
    size_t at = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            if (bytes[i] != pattern(at))
                return false;
    return n == 0 && at == BYTES;
}

static void *far_end(void *arg)
{
    struct end *e = arg;
    int fd = accept(e->fd, NULL, NULL);
    e->good = receive_all(fd) && send_all(fd);
    close(fd);
    return NULL;
}

static void *near_end(void *arg)
{
    struct end *e = arg;
    fcntl(e->fd, F_SETFL, 0);
    e->good = send_all(e->fd) && receive_all(e->fd);
    uv_async_send(e->done);
    return NULL;
}

static char limit_said[256];

static void on_text(void *user, enum relay_word word, const char *text)
{
    print_message("%s\n", text);
    if (word == RELAY_LIMIT)
        snprintf(limit_said, sizeof limit_said, "%s", text);
}

static void on_done(uv_async_t *async)
{
    uv_stop(async->loop);
}

static int listener(char endpoint_text[32])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    snprintf(endpoint_text, 32, "127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

static void a_stream_carries_both_ways_and_its_ends(void **state)
{
    uv_loop_t loop;
    uv_async_t done;
    struct relay *relay;
    char text[32];
    pthread_t threads[2];
    struct end far = {.fd = listener(text)}, near = {.done = &done};
    uv_loop_init(&loop);
    uv_async_init(&loop, &done, on_done);
    assert_int_equal(relay_new(&relay, &loop, &RELAY_LIMITS, on_text, NULL), 0);
    near.fd = relay_stream(relay, text);
    assert_true(near.fd >= 0);
    pthread_create(&threads[0], NULL, far_end, &far);
    pthread_create(&threads[1], NULL, near_end, &near);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(far.good);
    assert_true(near.good);
    relay_free(relay);
    uv_close((uv_handle_t *)&done, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing of the relay is left */
    close(near.fd);
    close(far.fd);
}

static void what_is_open_at_the_end_is_closed(void **state)
{
    uv_loop_t loop;
    struct relay *relay;
    char text[32];
    int server = listener(text), ends[RELAY_STREAMS_MAX + 1];
    uv_loop_init(&loop);
    assert_int_equal(relay_new(&relay, &loop, &RELAY_LIMITS, on_text, NULL), 0);
    for (size_t i = 0; i < RELAY_STREAMS_MAX; i++)
        assert_true((ends[i] = relay_stream(relay, text)) >= 0);
    assert_int_equal(relay_stream(relay, text), -EAGAIN);
    relay_free(relay); /* while names are being resolved */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    char c;
    for (size_t i = 0; i < RELAY_STREAMS_MAX; i++) {
        assert_int_equal(read(ends[i], &c, 1), 0);
        close(ends[i]);
    }
    close(server);
}

/* ---- accepted ones ---- */

static void addresses_to_listen_on_are_read(void **state)
{
    struct sockaddr_storage at;
    const char *const wrong[] = {"127.0.0.1:80", "tcp://127.0.0.1:80", "listen://127.0.0.1", "listen://localhost:80",
                                 "listen://127.0.0.1:0", "listen://127.0.0.1:80/x", "listen://::1:80", "listen://[127.0.0.1]:80",
                                 "listen://[::1]", "listen://", "listen://:80", "https://127.0.0.1:80", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (relay_listen_parse(wrong[i], &at) != -EINVAL)
            fail_msg("taken as an address to listen on: \"%s\"", wrong[i]);
    assert_int_equal(relay_listen_parse("listen://0.0.0.0:8443", &at), 0);
    assert_int_equal(at.ss_family, AF_INET);
    assert_int_equal(ntohs(((struct sockaddr_in *)&at)->sin_port), 8443);
    assert_int_equal(relay_listen_parse("listen://[::]:8443", &at), 0);
    assert_int_equal(at.ss_family, AF_INET6);
}

/* Nobody else has it: it is bound and not listening. */
static int a_port_of_our_own(char text[48])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    snprintf(text, 48, "listen://127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

static int knock(const char *text)
{
    struct sockaddr_storage at;
    assert_int_equal(relay_listen_parse(text, &at), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(struct sockaddr_in)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void a_silent_connection_is_closed_and_told(void **state)
{
    uv_loop_t loop;
    struct relay *relay;
    char text[48], c;
    const struct relay_limits limits = {.accepted = 2, .accepted_source = 2, .idle_ms = 30};
    struct erab_accepted from = {.size = sizeof from};
    int port = a_port_of_our_own(text), inner = -EAGAIN;
    ssize_t n = -1;
    uv_loop_init(&loop);
    assert_int_equal(relay_new(&relay, &loop, &limits, on_text, NULL), 0);
    int end = relay_listen(relay, text);
    assert_true(end >= 0);
    assert_int_equal(relay_accept(end, &from), -EAGAIN);
    int outer = knock(text);
    while (inner == -EAGAIN) {
        uv_run(&loop, UV_RUN_ONCE);
        inner = relay_accept(end, &from);
    }
    assert_true(inner >= 0);
    assert_int_equal(from.family, 4);
    assert_memory_equal(from.address, "\177\0\0\1", 4);
    limit_said[0] = '\0';
    while ((n = read(outer, &c, 1)) < 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(n, 0);
    assert_non_null(strstr(limit_said, "silent for 30 ms"));
    relay_free(relay);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(relay_accept(end, &from), -EPIPE);
    close(end), close(inner), close(outer), close(port);
}

static void what_is_not_taken_is_turned_away(void **state)
{
    enum { MANY = 600 };
    uv_loop_t loop;
    struct relay *relay;
    char text[48];
    const struct relay_limits limits = {.accepted = MANY, .accepted_source = MANY, .idle_ms = 60000};
    int port = a_port_of_our_own(text), n = 0, outer[MANY];
    uv_loop_init(&loop);
    assert_int_equal(relay_new(&relay, &loop, &limits, on_text, NULL), 0);
    int end = relay_listen(relay, text);
    assert_true(end >= 0);
    limit_said[0] = '\0';
    while (!limit_said[0] && n < MANY) {
        outer[n++] = knock(text);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_non_null(strstr(limit_said, "does not take"));
    relay_free(relay);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    while (n)
        close(outer[--n]);
    close(end), close(port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read),
        cmocka_unit_test(what_is_no_endpoint_is_refused),
        cmocka_unit_test(a_stream_carries_both_ways_and_its_ends),
        cmocka_unit_test(what_is_open_at_the_end_is_closed),
        cmocka_unit_test(addresses_to_listen_on_are_read),
        cmocka_unit_test(a_silent_connection_is_closed_and_told),
        cmocka_unit_test(what_is_not_taken_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
