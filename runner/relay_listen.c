/* A listening socket of a module: accepted here, in the outer network, and handed on as the end of a socket pair together
 * with its source. Who floods it is turned away in small portions, so that everything else of the loop goes on. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "relay.h"

#define BACKLOG         64
#define ACCEPTED_A_TURN 16
#define PAUSE_MS        50u /* after one that was turned away; the kernel's queue is the bound meanwhile */
#define SCHEME          "listen://"

struct listener {
    struct relay_part part;
    uv_poll_t outer, inner;
    uv_timer_t pause;
    int outer_fd, inner_fd;
    char name[96];
};

union room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void on_outer_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    close(l->outer_fd);
    relay_part_left(&l->part);
}

static void on_inner_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    close(l->inner_fd);
    relay_part_left(&l->part);
}

static void on_pause_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    relay_part_left(&l->part);
}

static void close_listener(struct relay_part *part)
{
    struct listener *l = (struct listener *)(void *)part;
    if (part->closing)
        return;
    part->closing = true;
    uv_close((uv_handle_t *)&l->outer, on_outer_closed);
    uv_close((uv_handle_t *)&l->inner, on_inner_closed);
    uv_close((uv_handle_t *)&l->pause, on_pause_closed);
}

/* ---- accepting ---- */

static void on_outer(uv_poll_t *poll, int status, int events);

static void on_pause(uv_timer_t *timer)
{
    struct listener *l = timer->data;
    uv_poll_start(&l->outer, UV_READABLE, on_outer);
}

static void rest(struct listener *l)
{
    uv_poll_stop(&l->outer);
    uv_timer_start(&l->pause, on_pause, PAUSE_MS, 0);
}

static void describe(const struct sockaddr_storage *from, struct erab_accepted *out)
{
    *out = (struct erab_accepted){.size = sizeof *out, .family = from->ss_family == AF_INET6 ? 6 : 4};
    if (out->family == 6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)from;
        erabi_copy_bytes(out->address, &six->sin6_addr, sizeof six->sin6_addr);
        out->port = ntohs(six->sin6_port);
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)from;
        erabi_copy_bytes(out->address, &four->sin_addr, sizeof four->sin_addr);
        out->port = ntohs(four->sin_port);
    }
}

static int hand_on(const struct listener *l, const struct erab_accepted *accepted, int end)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)accepted, .iov_len = sizeof *accepted};
    union room room = {0};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof end);
    erabi_copy_bytes(CMSG_DATA(c), &end, sizeof end);
    return sendmsg(l->inner_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* True: it is handed on. `fd` is taken over. */
static bool take(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct relay *relay = l->part.relay;
    struct erab_accepted accepted;
    char text[INET6_ADDRSTRLEN] = "?";
    describe(from, &accepted);
    inet_ntop(from->ss_family, accepted.address, text, sizeof text);
    unsigned most = relay_limits(relay)->accepted_source;
    if (relay_stream_from(relay, from) >= most) {
        relay_say(relay, RELAY_LIMIT, "%s: more than %u connections from %s", l->name, most, text);
        close(fd);
        return false;
    }
    struct relay_part *stream;
    int end = relay_stream_take(relay, fd, from, &stream);
    if (end < 0) {
        relay_say(relay, RELAY_LOG, "%s: a connection from %s cannot be carried: %s", l->name, text, strerror(-end));
        close(fd);
        return false;
    }
    int r = hand_on(l, &accepted, end);
    close(end); /* the module has its own */
    if (r) {
        stream->close(stream);
        relay_say(relay, RELAY_LIMIT, "%s: connections wait that the module does not take", l->name);
    }
    return r == 0;
}

static void on_outer(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    struct relay *relay = l->part.relay;
    for (int i = 0; i < ACCEPTED_A_TURN; i++) {
        if (relay_accepted(relay)->n >= relay_limits(relay)->accepted) {
            relay_say(relay, RELAY_LIMIT, "%s: %u connections in all; further ones wait", l->name,
                      relay_limits(relay)->accepted);
            rest(l);
            return;
        }
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        int fd = accept4(l->outer_fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0)
            relay_say(relay, RELAY_LOG, "%s: cannot accept: %s", l->name, strerror(errno));
        if (fd < 0 || !take(l, fd, &from)) {
            rest(l);
            return;
        }
    }
}

/* The module has nothing to say here; that it closes its end is what counts. */
static void on_inner(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    char byte;
    ssize_t n = recv(l->inner_fd, &byte, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    close_listener(&l->part);
}

/* ---- opening ---- */

int relay_listen_parse(const char *text, struct sockaddr_storage *out)
{
    struct relay_endpoint e;
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)out;
    *out = (struct sockaddr_storage){0};
    if (strncmp(text, SCHEME, sizeof SCHEME - 1) != 0)
        return -EINVAL;
    text += sizeof SCHEME - 1;
    if (strpbrk(text, "/?#") || relay_endpoint_parse(text, &e))
        return -EINVAL;
    in_port_t port = htons((uint16_t)strtoul(e.port, NULL, 10));
    if (*text == '[' && inet_pton(AF_INET6, e.host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = port;
        return 0;
    }
    if (*text == '[' || inet_pton(AF_INET, e.host, &four->sin_addr) != 1)
        return -EINVAL;
    four->sin_family = AF_INET;
    four->sin_port = port;
    return 0;
}

static int open_socket(const struct sockaddr_storage *at)
{
    const int one = 1;
    bool six = at->ss_family == AF_INET6;
    _close_ int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* One that has just ended may leave its connections in TIME_WAIT. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        (six && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one)) ||
        bind(fd, (const struct sockaddr *)at, six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) ||
        listen(fd, BACKLOG))
        return -errno;
    int out = fd;
    fd = -1;
    return out;
}

static int begin(struct relay *relay, struct listener *l)
{
    uv_loop_t *loop = relay_loop(relay);
    l->part.close = close_listener;
    l->outer.data = l->inner.data = l->pause.data = l;
    int r = uv_poll_init(loop, &l->outer, l->outer_fd);
    if (r < 0)
        return r; /* nothing is the loop's yet */
    uv_timer_init(loop, &l->pause);
    relay_part_add(relay, relay_listeners(relay), &l->part);
    l->part.handles = 3;
    if ((r = uv_poll_init(loop, &l->inner, l->inner_fd)) < 0) {
        close(l->inner_fd);
        l->part.handles = 2;
        l->part.closing = true;
        uv_close((uv_handle_t *)&l->outer, on_outer_closed);
        uv_close((uv_handle_t *)&l->pause, on_pause_closed);
        return 1;
    }
    uv_poll_start(&l->outer, UV_READABLE, on_outer);
    uv_poll_start(&l->inner, UV_READABLE | UV_DISCONNECT, on_inner);
    return 0;
}

int relay_listen(struct relay *relay, const char *endpoint)
{
    struct sockaddr_storage at;
    int pair[2];
    if (relay_listen_parse(endpoint, &at))
        return -EINVAL;
    if (relay_listeners(relay)->n >= RELAY_LISTENERS_MAX)
        return -EAGAIN;
    struct listener *l = calloc(1, sizeof *l);
    if (!l)
        return -EAGAIN;
    snprintf(l->name, sizeof l->name, "%s", endpoint);
    l->outer_fd = open_socket(&at);
    if (l->outer_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
        int r = l->outer_fd < 0 ? l->outer_fd : -EIO;
        erabi_closep(&l->outer_fd);
        free(l);
        return r;
    }
    l->inner_fd = pair[0];
    int r = begin(relay, l);
    if (r == 0)
        return pair[1];
    close(pair[1]);
    if (r < 0) {
        close(l->inner_fd);
        close(l->outer_fd);
        free(l);
    }
    return -EIO;
}

/* ---- the module's end ---- */

int relay_accept(int listener, struct erab_accepted *from)
{
    struct erab_accepted accepted = {0};
    struct iovec iov = {.iov_base = &accepted, .iov_len = sizeof accepted};
    union room room = {0};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    ssize_t n = recvmsg(listener, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    if (n == 0)
        return -EPIPE;
    int fd = -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
        erabi_copy_bytes(&fd, CMSG_DATA(c), sizeof fd);
    if (fd < 0 || n != sizeof accepted) { /* the process has no room for another descriptor */
        erabi_closep(&fd);
        return -EMFILE;
    }
    *from = accepted;
    return fd;
}
