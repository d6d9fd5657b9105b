/* Takes connections where it may listen, tells each who it is and echoes what it says; tries to listen where it may not. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "shell.h"

#define MOST 160

static struct taken {
    erab_watch *watch;
    int fd;
} taken[MOST];
static struct bad *me;

static void on_bytes(void *arg, uint32_t events)
{
    struct taken *t = arg;
    char text[512];
    ssize_t n = read(t->fd, text, sizeof text);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        (void)!send(t->fd, text, (size_t)n, MSG_NOSIGNAL);
        return;
    }
    me->host->watch_free(me->self, t->watch);
    close(t->fd);
    *t = (struct taken){0};
}

static void on_connection(void *arg, uint32_t events)
{
    struct bad *b = arg;
    struct erab_accepted from = {.size = sizeof from};
    char text[INET6_ADDRSTRLEN], line[128];
    int fd = b->host->accept_stream(b->self, b->fd, &from);
    struct taken *t = taken;
    while (t < taken + MOST && t->watch)
        t++;
    if (fd < 0 || t == taken + MOST) {
        if (fd != -EAGAIN)
            say(b, "not accepted: %s", strerror(-fd));
        return;
    }
    inet_ntop(from.family == 6 ? AF_INET6 : AF_INET, from.address, text, sizeof text);
    snprintf(line, sizeof line, "you are %s %u\n", text, from.port);
    (void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
    t->fd = fd;
    t->watch = b->host->watch(b->self, fd, ERAB_READABLE, on_bytes, t);
}

static void began(struct bad *b)
{
    me = b;
    say(b, "where it only connects: %s", strerror(-b->host->listen_streams(b->self, "endpoint")));
    say(b, "no such option: %s", strerror(-b->host->listen_streams(b->self, "tcp://127.0.0.1:1")));
    say(b, "connects where it listens: %s", strerror(-b->host->connect_stream(b->self, "listen")));
    b->fd = b->host->listen_streams(b->self, "listen");
    say(b, "twice: %s", strerror(-b->host->listen_streams(b->self, "listen")));
    b->watch = b->fd < 0 ? NULL : b->host->watch(b->self, b->fd, ERAB_READABLE, on_connection, b);
    say(b, "listening: %s", b->watch ? "yes" : "no");
}

/* The second order ends the listening. */
static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    if (++b->n == 1)
        return apply(b, call);
    b->host->watch_free(b->self, b->watch);
    b->watch = NULL;
    close(b->fd);
    b->fd = -1;
    return apply(b, call);
}
