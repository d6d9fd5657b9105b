/* How simulated streams come to be and end: libuv's calls for TCP and Unix sockets. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stream.h"

/* ---- opening and closing ---- */

static int stream_init(uv_loop_t *loop, uv_handle_t *h, uv_handle_type type)
{
    h->loop = loop;
    h->type = type;
    h->flags = 0;
    h->close_cb = NULL;
    memset(&h->u, 0, sizeof(h->u));
    h->u.reserved[STREAM] = sim_stream_new(sim_node_of(loop), (uv_stream_t *)h);
    return 0;
}

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *h)
{
    return stream_init(loop, (uv_handle_t *)h, UV_TCP);
}

int uv_pipe_init(uv_loop_t *loop, uv_pipe_t *h, int ipc)
{
    (void)ipc;
    return stream_init(loop, (uv_handle_t *)h, UV_NAMED_PIPE);
}

static void fail_writes(struct stream *s)
{
    struct writing *w;
    while ((w = STAILQ_FIRST(&s->out))) {
        STAILQ_REMOVE_HEAD(&s->out, entry);
        if (w->done)
            w->done(w->request, UV_ECANCELED);
        free(w);
    }
    s->out_bytes = 0;
}

static void refuse(struct stream *waiting)
{
    sim_stream_tear(waiting);
    sim_stream_unref(waiting);
}

void sim_stream_close(uv_handle_t *h)
{
    struct stream *s = sim_stream_of(h), *w;
    s->refs++;
    fail_writes(s);
    s->handle = NULL;
    s->reading = false;
    while ((w = STAILQ_FIRST(&s->backlog))) {
        STAILQ_REMOVE_HEAD(&s->backlog, waiting);
        refuse(w);
    }
    if (s->listening && s->address[0] == '/')
        unlink(s->address);
    s->address[0] = '\0';
    if (s->peer) {
        if (s->linger_none) {
            sim_stream_drop_input(s->peer);
            sim_stream_put(s->peer, RESET, NULL, 0, s->node);
        } else if (!s->shut) {
            sim_stream_put(s->peer, END, NULL, 0, s->node);
        }
    }
    sim_stream_detach(s);
    sim_stream_unref(s);
    sim_stream_unref(s);
}

static uint16_t port_of(const struct sockaddr *at)
{
    return ntohs(((const struct sockaddr_in *)(const void *)at)->sin_port);
}

int uv_tcp_bind(uv_tcp_t *h, const struct sockaddr *at, unsigned flags)
{
    (void)flags;
    snprintf(sim_stream_of(h)->address, sizeof(sim_stream_of(h)->address), "port %u", port_of(at));
    return 0;
}

int uv_pipe_bind(uv_pipe_t *h, const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    snprintf(sim_stream_of(h)->address, sizeof(sim_stream_of(h)->address), "%s", path);
    return 0;
}

int uv_listen(uv_stream_t *h, int backlog, uv_connection_cb fn)
{
    (void)backlog;
    sim_stream_of(h)->listening = true;
    sim_stream_of(h)->on_connection = fn;
    return 0;
}

static struct stream *find_listener(const char *address)
{
    struct stream *s;
    LIST_FOREACH(s, &sim_net.all, entry)
    {
        if (s->listening && s->handle && !s->node->dead && strcmp(s->address, address) == 0)
            return s;
    }
    return NULL;
}

static void on_connected(void *arg)
{
    struct stream *s = arg;
    if (s->handle && s->connect) {
        uv_connect_t *request = s->connect;
        s->connect = NULL;
        s->connected = s->peer != NULL;
        s->on_connect(request, s->peer ? 0 : UV_ECONNREFUSED);
    }
    sim_stream_unref(s);
}

static void call_listener(void *arg)
{
    struct stream *l = arg;
    if (l->handle && !STAILQ_EMPTY(&l->backlog))
        l->on_connection(l->handle, 0);
    sim_stream_unref(l);
}

/* At the dialling side's node, when the network has carried its first packet. */
static void arrive(void *arg)
{
    struct stream *s = arg;
    struct stream *l = s->handle && !s->node->dead ? find_listener(s->address) : NULL;
    if (l) {
        struct stream *other = sim_stream_new(l->node, NULL);
        other->connected = true;
        other->peer = s;
        s->peer = other;
        s->refs++;
        other->refs++;
        STAILQ_INSERT_TAIL(&l->backlog, other, waiting);
        sim_stream_at(l, sim_us(), call_listener);
        sim_stream_at(s, sim_arrival(l->node, s->node), on_connected);
    } else {
        sim_stream_at(s, sim_us() + 1000, on_connected);
    }
    sim_stream_unref(s);
}

static void connect_to(uv_connect_t *request, uv_stream_t *h, uv_connect_cb done)
{
    struct stream *s = sim_stream_of(h);
    struct stream *l = find_listener(s->address);
    request->handle = h;
    s->connect = request;
    s->on_connect = done;
    sim_stream_at(s, l ? sim_arrival(s->node, l->node) : sim_us() + 1000, arrive);
}

int uv_tcp_connect(uv_connect_t *request, uv_tcp_t *h, const struct sockaddr *at, uv_connect_cb done)
{
    uv_tcp_bind(h, at, 0);
    connect_to(request, (uv_stream_t *)h, done);
    return 0;
}

void uv_pipe_connect(uv_connect_t *request, uv_pipe_t *h, const char *path, uv_connect_cb done)
{
    snprintf(sim_stream_of(h)->address, sizeof(sim_stream_of(h)->address), "%s", path);
    connect_to(request, (uv_stream_t *)h, done);
}

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
    struct stream *l = sim_stream_of(server);
    struct stream *s = STAILQ_FIRST(&l->backlog);
    if (!s)
        return UV_EAGAIN;
    STAILQ_REMOVE_HEAD(&l->backlog, waiting);
    struct stream *blank = sim_stream_of(client);
    blank->handle = NULL;
    sim_stream_unref(blank);
    client->u.reserved[STREAM] = s;
    s->handle = client;
    if (!STAILQ_EMPTY(&l->backlog))
        sim_stream_at(l, sim_us(), call_listener);
    return 0;
}

/* ---- small answers ---- */

int uv_tcp_nodelay(uv_tcp_t *h, int on)
{
    (void)h;
    (void)on;
    return 0;
}

static int name_of(unsigned node, uint16_t port, struct sockaddr *name, int *size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(0x7F000001u + node);
    memcpy(name, &at, sizeof(at));
    *size = sizeof(at);
    return 0;
}

int uv_tcp_getsockname(const uv_tcp_t *h, struct sockaddr *name, int *size)
{
    const struct stream *s = sim_stream_of(h);
    unsigned port = 0;
    sscanf(s->address, "port %u", &port);
    return name_of(0, (uint16_t)port, name, size);
}

int uv_tcp_getpeername(const uv_tcp_t *h, struct sockaddr *name, int *size)
{
    const struct stream *s = sim_stream_of(h);
    return s->peer ? name_of(s->peer->node->index, 40000, name, size) : UV_ENOTCONN;
}

/* Not a descriptor, but a number that no descriptor has: below zero. */
int uv_fileno(const uv_handle_t *h, uv_os_fd_t *fd)
{
    *fd = -2 - (int)sim_stream_of(h)->number;
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    if (fd >= -1)
        return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
    struct stream *s;
    LIST_FOREACH(s, &sim_net.all, entry)
    {
        if (s->number == (uint32_t)(-2 - fd) && level == SOL_SOCKET && name == SO_LINGER)
            s->linger_none = true;
    }
    return 0;
}
