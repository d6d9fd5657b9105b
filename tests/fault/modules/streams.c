/* Uses the stream that it declared, then more of them than it may. */
#include <sys/socket.h>

#include "shell.h"

static void on_answer(void *arg, uint32_t events)
{
    struct bad *b = arg;
    char text[64];
    ssize_t n = read(b->fd, text, sizeof text - 1);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        say(b, "the stream ended");
        b->host->watch_free(b->self, b->watch);
        b->watch = NULL;
        return;
    }
    text[n] = '\0';
    say(b, "the other end says %s", text);
}

static void began(struct bad *b)
{
    say(b, "not an endpoint: %s", strerror(-b->host->connect_stream(b->self, "interface")));
    say(b, "no such option: %s", strerror(-b->host->connect_stream(b->self, "/etc/passwd")));
    b->fd = b->host->connect_stream(b->self, "endpoint");
    b->watch = b->fd < 0 ? NULL : b->host->watch(b->self, b->fd, ERAB_READABLE, on_answer, b);
    (void)!write(b->fd, "hello", 5);
    int r = 0;
    for (int i = 0; i < 20 && r >= 0; i++)
        r = b->host->connect_stream(b->self, "endpoint");
    say(b, "twenty more: %s", r < 0 ? strerror(-r) : "all worked");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
