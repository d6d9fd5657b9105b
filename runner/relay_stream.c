/* One TCP stream, to a declared endpoint or accepted, carried over a socket pair. Bounded: a side that does not read
 * stops the other one. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "relay.h"

#define CONNECT_MS  20000u
#define ADDRESSES_MAX 4u
#define CHUNK       16384u
#define QUEUE_HIGH  65536u /* bytes on the way to one side above which the other is not read */

struct side {
    struct stream *stream;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_shutdown_t shutdown;
    bool open, paused, ended;
};

struct stream {
    struct relay_part part;
    struct relay_endpoint endpoint;
    struct side outer, inner;
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    struct addrinfo *addresses, *at;
    struct sockaddr_storage source; /* of an accepted one */
    uint32_t idle_ms;               /* of an accepted one, else 0 */
    unsigned tries;
    int status; /* of the last try */
    bool connected;
};

struct chunk {
    uv_write_t uv;
    struct side *to;
    char bytes[];
};

static void on_side_closed(uv_handle_t *handle)
{
    struct side *side = handle->data;
    relay_part_left(&side->stream->part);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    relay_part_left(&s->part);
}

static void close_side(struct side *side)
{
    if (side->open)
        uv_close(&side->uv.handle, on_side_closed);
    side->open = false;
}

static void close_stream(struct relay_part *part)
{
    struct stream *s = (struct stream *)(void *)part;
    if (part->closing)
        return;
    part->closing = true;
    uv_cancel((uv_req_t *)&s->resolve);
    if (s->addresses)
        uv_freeaddrinfo(s->addresses);
    s->addresses = NULL;
    close_side(&s->outer);
    close_side(&s->inner);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

static void fail(struct stream *s, const char *what, int status)
{
    if (s->part.closing)
        return;
    relay_say(s->part.relay, RELAY_LOG, "stream to %s port %s: %s: %s", s->endpoint.host, s->endpoint.port, what,
              uv_strerror(status));
    close_stream(&s->part);
}

static struct side *other(struct side *side)
{
    return side == &side->stream->outer ? &side->stream->inner : &side->stream->outer;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct chunk *c = malloc(sizeof *c + CHUNK);
    *buf = c ? uv_buf_init(c->bytes, CHUNK) : uv_buf_init(NULL, 0);
}

static void on_read(uv_stream_t *from, ssize_t n, const uv_buf_t *buf);

static void on_written(uv_write_t *write, int status)
{
    struct chunk *c = write->data;
    struct side *to = c->to, *from = other(to);
    struct stream *s = to->stream;
    free(c);
    if (status < 0) {
        close_stream(&s->part);
    } else if (!s->part.closing && from->paused && uv_stream_get_write_queue_size(&to->uv.stream) < QUEUE_HIGH / 2) {
        from->paused = false;
        uv_read_start(&from->uv.stream, on_alloc, on_read);
    }
    relay_part_left(&s->part);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct side *side = request->data;
    struct stream *s = side->stream;
    if (status < 0 || (s->outer.ended && s->inner.ended))
        close_stream(&s->part);
    relay_part_left(&s->part);
}

static void end_side(struct side *from)
{
    struct side *to = other(from);
    from->ended = true;
    uv_read_stop(&from->uv.stream);
    to->shutdown.data = to;
    if (uv_shutdown(&to->shutdown, &to->uv.stream, on_shut) == 0)
        to->stream->part.handles++;
    else
        close_stream(&from->stream->part);
}

static void on_silence(uv_timer_t *timer)
{
    struct stream *s = timer->data;
    relay_say(s->part.relay, RELAY_LIMIT, "connection from %s port %s: silent for %u ms, is closed", s->endpoint.host,
              s->endpoint.port, s->idle_ms);
    close_stream(&s->part);
}

static void still_alive(struct stream *s)
{
    if (s->idle_ms)
        uv_timer_start(&s->timer, on_silence, s->idle_ms, 0);
}

static void on_read(uv_stream_t *from_stream, ssize_t n, const uv_buf_t *buf)
{
    struct side *from = from_stream->data, *to = other(from);
    struct chunk *c = buf->base ? (struct chunk *)(void *)(buf->base - offsetof(struct chunk, bytes)) : NULL;
    if (n <= 0) {
        free(c);
        if (n == UV_EOF)
            end_side(from);
        else if (n < 0)
            close_stream(&from->stream->part);
        return;
    }
    uv_buf_t out = uv_buf_init(c->bytes, (unsigned)n);
    c->to = to;
    c->uv.data = c;
    if (uv_write(&c->uv, &to->uv.stream, &out, 1, on_written) < 0) {
        free(c);
        close_stream(&from->stream->part);
        return;
    }
    from->stream->part.handles++;
    still_alive(from->stream);
    if (uv_stream_get_write_queue_size(&to->uv.stream) > QUEUE_HIGH) {
        from->paused = true;
        uv_read_stop(from_stream);
    }
}

static void carry(struct stream *s)
{
    uv_tcp_nodelay(&s->outer.uv.tcp, 1);
    uv_tcp_keepalive(&s->outer.uv.tcp, 1, 60);
    uv_read_start(&s->outer.uv.stream, on_alloc, on_read);
    uv_read_start(&s->inner.uv.stream, on_alloc, on_read);
}

static void try_next(struct stream *s);

static void on_try_closed(uv_handle_t *handle)
{
    struct side *side = handle->data;
    struct stream *s = side->stream;
    if (!s->part.closing)
        try_next(s);
    relay_part_left(&s->part);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct stream *s = request->data;
    if (!s->part.closing && status < 0) {
        s->status = status;
        s->at = s->at->ai_next;
        s->outer.open = false;
        uv_close(&s->outer.uv.handle, on_try_closed);
    } else if (!s->part.closing) {
        s->connected = true;
        uv_timer_stop(&s->timer);
        uv_freeaddrinfo(s->addresses);
        s->addresses = s->at = NULL;
        carry(s);
    }
    relay_part_left(&s->part);
}

static void try_next(struct stream *s)
{
    if (!s->at || ++s->tries > ADDRESSES_MAX) {
        fail(s, "cannot be connected", s->status);
        return;
    }
    uv_tcp_init(relay_loop(s->part.relay), &s->outer.uv.tcp);
    s->outer.uv.handle.data = &s->outer;
    s->outer.open = true;
    s->part.handles++;
    s->connect.data = s;
    int r = uv_tcp_connect(&s->connect, &s->outer.uv.tcp, s->at->ai_addr, on_connected);
    if (r == 0)
        s->part.handles++;
    else
        fail(s, "cannot be connected", r);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct stream *s = request->data;
    if (s->part.closing) {
        uv_freeaddrinfo(addresses);
    } else if (status < 0) {
        fail(s, "cannot be resolved", status);
    } else {
        s->addresses = s->at = addresses;
        s->status = UV_EADDRNOTAVAIL;
        try_next(s);
    }
    relay_part_left(&s->part);
}

static void on_time(uv_timer_t *timer)
{
    struct stream *s = timer->data;
    fail(s, "cannot be connected", UV_ETIMEDOUT);
}

/* With its inner side, and the other end of that in *end. */
static struct stream *stream_new(struct relay *relay, struct relay_list *list, int *end)
{
    int pair[2];
    struct stream *s = calloc(1, sizeof *s);
    if (!s || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair)) {
        free(s);
        return NULL;
    }
    s->part.close = close_stream;
    s->outer.stream = s->inner.stream = s;
    s->timer.data = s->resolve.data = s;
    relay_part_add(relay, list, &s->part);
    uv_timer_init(relay_loop(relay), &s->timer);
    uv_pipe_init(relay_loop(relay), &s->inner.uv.pipe, 0);
    s->outer.uv.handle.data = &s->outer;
    s->inner.uv.handle.data = &s->inner;
    s->inner.open = true;
    s->part.handles = 2;
    if (uv_pipe_open(&s->inner.uv.pipe, pair[0]) < 0) {
        close(pair[0]);
        close(pair[1]);
        close_stream(&s->part);
        return NULL;
    }
    *end = pair[1];
    return s;
}

int relay_stream(struct relay *relay, const char *endpoint)
{
    int end;
    struct relay_endpoint e;
    if (relay_endpoint_parse(endpoint, &e))
        return -EINVAL;
    struct stream *s = relay_streams(relay)->n < RELAY_STREAMS_MAX ? stream_new(relay, relay_streams(relay), &end) : NULL;
    if (!s)
        return -EAGAIN;
    s->endpoint = e;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    if (uv_getaddrinfo(relay_loop(relay), &s->resolve, on_resolved, e.host, e.port, &hints) < 0) {
        close(end);
        close_stream(&s->part);
        return -EIO;
    }
    s->part.handles++;
    uv_timer_start(&s->timer, on_time, CONNECT_MS, 0);
    return end;
}

/* ---- accepted ones ---- */

int relay_stream_take(struct relay *relay, int fd, const struct sockaddr_storage *source, struct relay_part **part)
{
    int end;
    struct stream *s = stream_new(relay, relay_accepted(relay), &end);
    if (!s)
        return -EAGAIN;
    s->source = *source;
    getnameinfo((const struct sockaddr *)source, sizeof *source, s->endpoint.host, sizeof s->endpoint.host, s->endpoint.port,
                sizeof s->endpoint.port, NI_NUMERICHOST | NI_NUMERICSERV);
    uv_tcp_init(relay_loop(relay), &s->outer.uv.tcp);
    s->outer.uv.handle.data = &s->outer;
    s->outer.open = true;
    s->part.handles++;
    if (uv_tcp_open(&s->outer.uv.tcp, fd) < 0) {
        close(end);
        close_stream(&s->part);
        return -EIO;
    }
    s->connected = true;
    s->idle_ms = relay_limits(relay)->idle_ms;
    still_alive(s);
    carry(s);
    *part = &s->part;
    return end;
}

static bool same_source(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 8) == 0;
}

unsigned relay_stream_from(struct relay *relay, const struct sockaddr_storage *source)
{
    unsigned n = 0;
    for (const struct relay_part *p = relay_accepted(relay)->first; p; p = p->next)
        n += !p->closing && same_source(&((const struct stream *)(const void *)p)->source, source);
    return n;
}
