/* The sandboxed half's end of the channel: the handshake of the filter, signs of life, and the services that the
 * supervisor gives. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "channel.h"
#include "relay.h"
#include "runner.h"
#include "sandbox.h"

#define ANSWER_MS 5000

static void alive(erab_self *self, int32_t question)
{
    const struct channel_message m = {.kind = CHANNEL_ALIVE, .value = question};
    (void)channel_send(CHANNEL_FD, &m, -1); /* a lost one is asked for again */
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    erab_self *self = poll->data;
    struct channel_message m;
    (void)status;
    (void)events;
    int r = channel_receive(CHANNEL_FD, &m, NULL);
    if (r == 0 && m.kind == CHANNEL_PING) {
        alive(self, m.value);
    } else if (r && r != -EAGAIN) {
        uv_poll_stop(poll);
        self->exit_code = 1;
        uv_stop(&self->loop);
    }
}

int runner_link_start(erab_self *self)
{
    self->link.data = self;
    int r = uv_poll_init(&self->loop, &self->link, CHANNEL_FD);
    return r ? r : uv_poll_start(&self->link, UV_READABLE, on_channel);
}

void runner_link_tell(uint32_t kind)
{
    const struct channel_message m = {.kind = kind};
    (void)channel_send(CHANNEL_FD, &m, -1);
}

void runner_link_tick(erab_self *self)
{
    if (self->question)
        alive(self, self->question);
    self->question = 0;
}

/* Waits for the next message. An unanswered question of life is kept for the loop: it asks after that. */
static int wait_message(erab_self *self, struct channel_message *m, int *fd, uint32_t kind)
{
    for (;;) {
        struct pollfd p = {.fd = CHANNEL_FD, .events = POLLIN};
        if (poll(&p, 1, ANSWER_MS) == 0)
            return -EIO;
        int r = channel_receive(CHANNEL_FD, m, fd);
        if (r == -EAGAIN)
            continue;
        if (r || m->kind == kind)
            return r ? -EIO : 0;
        if (m->kind == CHANNEL_PING && self)
            self->question = m->value;
    }
}

int runner_link_lock(int parent, struct erab_error *error)
{
    const char *step = "";
    struct channel_message m = {.kind = CHANNEL_NOTIFY};
    int fd = sandbox_lock(parent, &step);
    if (fd < 0) {
        m.kind = CHANNEL_FAILED;
        m.value = -fd;
        erabi_copy_text(m.text, sizeof m.text, step);
        (void)channel_send(CHANNEL_FD, &m, -1);
        return runner_fail(error, fd, "%s: %s", step, strerror(-fd));
    }
    m.value = fd;
    int r = channel_send(CHANNEL_FD, &m, -1);
    if (!r)
        r = wait_message(NULL, &m, NULL, CHANNEL_GO);
    close(fd);
    return r ? runner_fail(error, r, "the supervisor does not answer: %s", strerror(-r)) : 0;
}

static int ask(erab_self *self, struct channel_message *m, int *fd)
{
    *fd = -1;
    int r = channel_send(CHANNEL_FD, m, -1);
    if (!r)
        r = wait_message(self, m, fd, CHANNEL_REPLY);
    if (!r)
        r = m->value < 0 ? m->value : *fd < 0 ? -EIO : 0;
    return r;
}

static int ask_by_option(erab_self *self, uint32_t kind, const char *option)
{
    struct channel_message m = {.kind = kind};
    int fd;
    if (!option || !erabi_copy_text(m.text, sizeof m.text, option))
        return -EINVAL;
    int r = ask(self, &m, &fd);
    return r ? r : fd;
}

int runner_connect_stream(erab_self *self, const char *option)
{
    return ask_by_option(self, CHANNEL_STREAM, option);
}

int runner_listen_streams(erab_self *self, const char *option)
{
    return ask_by_option(self, CHANNEL_LISTEN, option);
}

int runner_accept_stream(erab_self *self, int listener, struct erab_accepted *from)
{
    (void)self;
    return from && from->size >= sizeof *from ? relay_accept(listener, from) : -EINVAL;
}

int runner_open_datagram(erab_self *self, const struct erab_datagram_options *options, struct erab_datagram_info *info)
{
    struct channel_message m = {.kind = CHANNEL_DATAGRAM};
    int fd;
    if (!options || options->size < offsetof(struct erab_datagram_options, family) || !options->interface || !info ||
        !erabi_copy_text(m.text, sizeof m.text, options->interface) ||
        (options->group && !erabi_copy_text(m.group, sizeof m.group, options->group)))
        return -EINVAL;
    m.port = options->port;
    if (options->size >= sizeof *options)
        m.family = options->family;
    int r = ask(self, &m, &fd);
    if (r)
        return r;
    *info = m.info;
    return fd;
}
