#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "transport/internal.h"

enum { BACKLOG = 511 };

static int parse_port(const char *text)
{
    int port = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || (port = port * 10 + (*text - '0')) > 65535)
            return -EINVAL;
    }
    return port;
}

static int parse_tcp(struct erabi_endpoint *out, const char *text)
{
    char host[ERABI_ADDRESS_MAX];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return -EINVAL;
    int port = parse_port(colon + 1);
    if (port < 0)
        return port;
    size_t size = (size_t)(colon - text);
    bool six = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    if (six) {
        text++;
        size -= 2;
    }
    erabi_copy_bytes(host, text, size);
    host[size] = '\0';
    return six ? uv_ip6_addr(host, port, &out->at.v6) : uv_ip4_addr(host, port, &out->at.v4);
}

int erabi_endpoint_parse(struct erabi_endpoint *out, const char *text)
{
    *out = (struct erabi_endpoint){0};
    if (strnlen(text, ERABI_ENDPOINT_MAX) >= ERABI_ENDPOINT_MAX)
        return -ENAMETOOLONG;
    if (strncmp(text, "tcp://", 6) == 0)
        return parse_tcp(out, text + 6);
    if (strncmp(text, "ipc:///", 7) != 0)
        return -EINVAL;
    out->local = true;
    return erabi_copy_text(out->path, sizeof out->path, text + 6) ? 0 : -ENAMETOOLONG;
}

void erabi_endpoint_address(const struct sockaddr *at, char *out, size_t size)
{
    int r = at->sa_family == AF_INET6 ? uv_ip6_name((const struct sockaddr_in6 *)(const void *)at, out, size)
                                      : uv_ip4_name((const struct sockaddr_in *)(const void *)at, out, size);
    if (r < 0)
        erabi_copy_text(out, size, "unknown");
}

/* A socket file that nobody listens on any more is removed; anything else at this path stays. */
static int clear_stale(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!erabi_copy_text(at.sun_path, sizeof at.sun_path, path))
        return -ENAMETOOLONG;
    _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0 || errno != ECONNREFUSED)
        return errno == EACCES ? -EACCES : -EADDRINUSE;
    return unlink(path) < 0 ? -errno : 0;
}

static int bind_local(struct erabi_listener *l, const struct erabi_endpoint *e)
{
    int r = clear_stale(e->path);
    if (r == 0)
        r = uv_pipe_bind(&l->io.pipe, e->path);
    if (r == 0 && chmod(e->path, 0600) < 0) /* before listen: until then nobody can connect */
        r = -errno;
    return r;
}

static void name_bound(struct erabi_listener *l)
{
    struct sockaddr_storage at;
    int size = sizeof at, port;
    char address[ERABI_ADDRESS_MAX];
    if (uv_tcp_getsockname(&l->io.tcp, (struct sockaddr *)&at, &size) < 0)
        return;
    erabi_endpoint_address((struct sockaddr *)&at, address, sizeof address);
    bool six = at.ss_family == AF_INET6;
    port = ntohs(six ? ((struct sockaddr_in6 *)(void *)&at)->sin6_port
                     : ((struct sockaddr_in *)(void *)&at)->sin_port);
    snprintf(l->endpoint, sizeof l->endpoint, six ? "tcp://[%s]:%d" : "tcp://%s:%d", address, port);
}

/* ---- accepting ---- */

static void admit_source(struct erabi_connection *c)
{
    struct erabi_transport *t = c->transport;
    struct sockaddr_storage from;
    int size = sizeof from;
    uv_os_fd_t fd;
    if (uv_fileno(&c->io.handle, &fd) < 0 || fd > t->descriptors) {
        erabi_transport_descriptors_short(t);
        erabi_connection_end(c, ERAB_REASON_CONNECTION_LIMIT, "descriptors are short", true);
        return;
    }
    if (!c->local) { /* who may open a local socket of mode 0600 could do worse than connect often */
        if (uv_tcp_getpeername(&c->io.tcp, (struct sockaddr *)&from, &size) < 0) {
            erabi_connection_end(c, ERAB_REASON_CLOSED_BY_PEER, "gone at once", false);
            return;
        }
        erabi_endpoint_address((struct sockaddr *)&from, c->address, sizeof c->address);
        c->source = erabi_sources_enter(t->sources, (struct sockaddr *)&from, uv_now(t->loop));
        if (!c->source) {
            erabi_connection_end(c, ERAB_REASON_CONNECTION_LIMIT, "limit of the source address", true);
            return;
        }
    }
    if (t->stats.connections + t->stats.handshaking > t->limits.connections) {
        erabi_connection_end(c, ERAB_REASON_CONNECTION_LIMIT, "limit of all connections", true);
        return;
    }
    erabi_connection_start(c);
}

static void take(struct erabi_listener *l)
{
    struct erabi_connection *c = erabi_connection_new(l->transport, l, NULL, l->local);
    if (!c) { /* it stays inside libuv; no memory is like no descriptors */
        l->held = true;
        erabi_transport_descriptors_short(l->transport);
        return;
    }
    if (uv_accept(&l->io.stream, &c->io.stream) < 0)
        erabi_connection_end(c, ERAB_REASON_IO_ERROR, "accept failed", false);
    else
        admit_source(c);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct erabi_listener *l = server->data;
    if (status == UV_EMFILE || status == UV_ENFILE)
        erabi_transport_descriptors_short(l->transport);
    if (status < 0 || l->transport->stopping)
        return;
    if (l->transport->short_of_descriptors)
        l->held = true;
    else
        take(l);
}

void erabi_listener_resume(struct erabi_listener *l)
{
    if (!l->held)
        return;
    l->held = false;
    take(l);
}

/* ---- life ---- */

static void on_closed(uv_handle_t *handle)
{
    struct erabi_listener *l = handle->data;
    erabi_transport_unref(l->transport);
}

void erabi_listener_close(struct erabi_listener *l)
{
    if (!uv_is_closing(&l->io.handle))
        uv_close(&l->io.handle, on_closed);
}

void erabi_listener_free(struct erabi_listener *l)
{
    sodium_free(l->secret);
    sodium_free(l->next_secret);
    free(l);
}

int erabi_listener_next_key(struct erabi_listener *l, const uint8_t secret_key[ERABI_KEY_SIZE])
{
    if (l->next_secret)
        return -EEXIST;
    l->next_secret = sodium_malloc(ERABI_KEY_SIZE);
    if (!l->next_secret)
        return -ENOMEM;
    erabi_copy_bytes(l->next_secret, secret_key, ERABI_KEY_SIZE);
    crypto_scalarmult_base(l->next_public, l->next_secret);
    return 0;
}

/* The bytes change in place, for handshakes under way borrow them: theirs fail, and the clients return. */
void erabi_listener_retire_key(struct erabi_listener *l)
{
    struct erabi_connection *c;
    if (!l->next_secret)
        return;
    erabi_copy_bytes(l->secret, l->next_secret, ERABI_KEY_SIZE);
    erabi_copy_bytes(l->public_key, l->next_public, ERABI_KEY_SIZE);
    LIST_FOREACH(c, &l->transport->connections, entry)
    if (c->listener == l)
        erabi_curve_also(&c->curve, NULL, NULL);
    sodium_free(l->next_secret);
    l->next_secret = NULL;
}

/* A listener that could not be opened is freed with the transport, for its handle closes only later. */
static int open_listener(struct erabi_listener *l, const struct erabi_endpoint *e)
{
    int r = e->local ? bind_local(l, e) : uv_tcp_bind(&l->io.tcp, &e->at.any, 0);
    if (r == 0)
        r = uv_listen(&l->io.stream, BACKLOG, on_connection);
    if (r == 0 && !e->local)
        name_bound(l);
    return r;
}

int erabi_transport_listen(struct erabi_transport *t, struct erabi_listener **out, const char *endpoint,
                           const uint8_t secret_key[ERABI_KEY_SIZE], void *tag)
{
    struct erabi_endpoint e;
    int r = erabi_endpoint_parse(&e, endpoint);
    if (r < 0)
        return r;
    struct erabi_listener *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->secret = sodium_malloc(ERABI_KEY_SIZE);
    if (!l->secret) {
        free(l);
        return -ENOMEM;
    }
    erabi_copy_bytes(l->secret, secret_key, ERABI_KEY_SIZE);
    crypto_scalarmult_base(l->public_key, l->secret);
    l->transport = t;
    l->tag = tag;
    l->local = e.local;
    erabi_copy_text(l->endpoint, sizeof l->endpoint, endpoint);
    r = e.local ? uv_pipe_init(t->loop, &l->io.pipe, 0) : uv_tcp_init(t->loop, &l->io.tcp);
    if (r < 0) {
        erabi_listener_free(l);
        return r;
    }
    l->io.handle.data = l;
    t->handles++;
    LIST_INSERT_HEAD(&t->listeners, l, entry);
    r = open_listener(l, &e);
    if (r < 0) {
        erabi_listener_close(l);
        return r;
    }
    *out = l;
    return 0;
}

void *erabi_listener_tag(const struct erabi_listener *listener)
{
    return listener->tag;
}

const char *erabi_listener_endpoint(const struct erabi_listener *listener)
{
    return listener->endpoint;
}
