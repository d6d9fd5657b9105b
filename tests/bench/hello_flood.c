/* What a flood of HELLOs costs the server. The server is a process of its own, so that its CPU time is its own; the
 * attacker sends one recorded HELLO again and again, which costs it no cryptography at all.
 *   hello_flood NUMBER
 * Prints the server's CPU in microseconds for each connection that: only greets; sends HELLO and gets WELCOME; comes
 * over the limit of its source address (with the default limits). */
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/curve_ends.h"
#include "../support/transport_kind.h"
#include "transport/transport.h"

enum mode { GREET, HELLO, OVER_THE_LIMIT };

static enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason)
{
    return ERABI_REFUSE;
}

static void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
{
}

static void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
{
}

static void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *event)
{
}

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void on_end(uv_poll_t *poll, int status, int events)
{
    uv_poll_stop(poll);
    uv_stop(poll->loop);
}

/* Tells its port, works until its input ends, then tells its CPU time. */
static void serve(int in, int out, enum mode mode, const struct keys *keys)
{
    static const struct erabi_transport_callbacks callbacks = {on_key, on_open, on_packet, NULL, on_close, NULL};
    struct erabi_transport_limits limits = {0};
    struct erabi_transport *t;
    struct erabi_listener *l;
    uv_loop_t loop;
    uv_poll_t end;
    unsigned port = 0;
    if (mode != OVER_THE_LIMIT)
        limits.handshakes_per_second = limits.connections_per_source = 1000000;
    uv_loop_init(&loop);
    if (erabi_transport_new(&t, &loop, &limits, &callbacks, NULL) < 0 ||
        erabi_transport_listen(t, &l, "tcp://127.0.0.1:0", keys->server_secret, NULL) < 0 ||
        sscanf(erabi_listener_endpoint(l), "tcp://127.0.0.1:%u", &port) != 1)
        _exit(1);
    uv_poll_init(&loop, &end, in);
    uv_poll_start(&end, UV_READABLE | UV_DISCONNECT, on_end);
    double before = cpu_us();
    if (write(out, &port, sizeof port) != sizeof port)
        _exit(1);
    uv_run(&loop, UV_RUN_DEFAULT);
    double used = cpu_us() - before;
    _exit(write(out, &used, sizeof used) == sizeof used ? 0 : 1);
}

static size_t hear(int fd, size_t most)
{
    uint8_t sink[512];
    size_t all = 0;
    ssize_t n;
    while (all < most && (n = recv(fd, sink, sizeof sink, 0)) > 0)
        all += (size_t)n;
    return all;
}

/* One connection; false when the server did not answer as it must. */
static bool once(unsigned port, enum mode mode, const struct end *client, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {5, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    bool fine = fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    if (fine && mode == GREET)
        fine = send(fd, client->out, 64, MSG_NOSIGNAL) == 64 && hear(fd, 64) == 64;
    else if (fine && mode == HELLO)
        fine = send(fd, client->out, size, MSG_NOSIGNAL) == (ssize_t)size && hear(fd, 64 + 170) == 64 + 170;
    else if (fine) {
        send(fd, client->out, size, MSG_NOSIGNAL);
        hear(fd, 64 + 170);
    }
    close(fd);
    return fine;
}

static double measure(enum mode mode, unsigned number, const struct keys *keys, const struct end *client, size_t size)
{
    int in[2], out[2], status = 0;
    unsigned port = 0;
    double used = -1;
    if (pipe(in) != 0 || pipe(out) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(in[1]);
        close(out[0]);
        serve(in[0], out[1], mode, keys);
    }
    close(in[0]);
    close(out[1]);
    bool fine = pid > 0 && read(out[0], &port, sizeof port) == sizeof port;
    for (unsigned i = 0; i < number && fine; i++)
        fine = once(port, mode, client, size);
    close(in[1]);
    if (!fine || read(out[0], &used, sizeof used) != sizeof used)
        used = -1;
    close(out[0]);
    if (pid > 0)
        waitpid(pid, &status, 0);
    return used < 0 || status != 0 ? -1 : used / number;
}

int main(int argc, char **argv)
{
    static struct end client, server;
    struct keys keys;
    unsigned number = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    if (number == 0) {
        fprintf(stderr, "usage: hello_flood NUMBER\n");
        return 2;
    }
    keys_init(&keys);
    end_init_client(&client, &keys);
    end_init_server(&server, &keys);
    uint8_t greeting[64];
    erabi_copy_bytes(greeting, server.out, sizeof greeting);
    end_feed(&client, greeting, sizeof greeting); /* `out` now holds our greeting and HELLO */
    double greet = measure(GREET, number, &keys, &client, client.used);
    double hello = measure(HELLO, number, &keys, &client, client.used);
    double over = transport_is_router ? 0 : measure(OVER_THE_LIMIT, number, &keys, &client, client.used);
    if (greet < 0 || hello < 0 || over < 0) {
        fprintf(stderr, "hello_flood: the server did not answer\n");
        return 1;
    }
    printf("%.1f %.1f %.1f\n", greet, hello, over);
    return 0;
}
