/* What a connection sends: frames gather in `out` during a turn and go out in one write at its end. */
#include <errno.h>
#include <stdlib.h>

#include "transport/internal.h"

enum { OUT_MIN = 512 };

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status; /* the peer's end of file or the timer closes */
}

static void shut_when_empty(struct erabi_connection *c)
{
    if (c->state != ERABI_DRAINING || c->shut || c->writing || c->out_used)
        return;
    c->shut = true;
    if (uv_shutdown(&c->request.shutdown, &c->io.stream, on_shut) < 0)
        erabi_connection_end(c, c->reason, c->detail, false);
}

size_t erabi_connection_queued(const struct erabi_connection *c)
{
    return c->out_used + (c->writing ? uv_stream_get_write_queue_size(&c->io.stream) : 0);
}

struct erabi_writer erabi_connection_reserve(struct erabi_connection *c, size_t n)
{
    if (n > c->out_size - c->out_used) {
        size_t size = c->out_size * 2 > c->out_used + n ? c->out_size * 2 : c->out_used + n;
        if (size < OUT_MIN)
            size = OUT_MIN;
        uint8_t *grown = realloc(c->out, size);
        if (!grown) {
            struct erabi_writer none = erabi_writer(NULL, 0);
            none.bad = true;
            return none;
        }
        c->out = grown;
        c->out_size = size;
    }
    return erabi_writer(c->out + c->out_used, c->out_size - c->out_used);
}

void erabi_connection_commit(struct erabi_connection *c, const struct erabi_writer *w)
{
    if (w->bad || w->used == 0)
        return;
    c->out_used += w->used;
    c->transport->stats.bytes_out += w->used;
    erabi_transport_dirty(c->transport, c);
}

static void drained(struct erabi_connection *c)
{
    struct erabi_transport *t = c->transport;
    if (c->state == ERABI_UP && t->callbacks.on_drained)
        t->callbacks.on_drained(t->user, c);
    else
        shut_when_empty(c);
}

static void on_written(uv_write_t *request, int status)
{
    struct erabi_connection *c = request->handle->data;
    free(c->writing);
    c->writing = NULL;
    if (c->state == ERABI_CLOSED)
        return;
    if (status < 0)
        erabi_connection_end(c, ERAB_REASON_IO_ERROR, "write failed", false);
    else if (c->out_used)
        erabi_connection_flush(c);
    else
        drained(c);
}

void erabi_connection_flush(struct erabi_connection *c)
{
    erabi_connection_resume(c);
    if (c->writing || c->state == ERABI_CONNECTING || c->state == ERABI_CLOSED)
        return;
    if (c->out_used == 0) {
        shut_when_empty(c);
        return;
    }
    uv_buf_t buf = uv_buf_init((char *)c->out, (unsigned)c->out_used);
    int n = uv_try_write(&c->io.stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        erabi_connection_end(
            c, n == UV_EPIPE || n == UV_ECONNRESET ? ERAB_REASON_CLOSED_BY_PEER : ERAB_REASON_IO_ERROR,
            "write failed", false);
        return;
    }
    size_t gone = n > 0 ? (size_t)n : 0;
    uint8_t *whole = c->out;
    size_t used = c->out_used;
    c->out = NULL;
    c->out_size = c->out_used = 0;
    if (gone == used) {
        free(whole);
        drained(c);
        return;
    }
    c->writing = whole;
    buf = uv_buf_init((char *)whole + gone, (unsigned)(used - gone));
    if (uv_write(&c->request.write, &c->io.stream, &buf, 1, on_written) < 0)
        erabi_connection_end(c, ERAB_REASON_IO_ERROR, "write failed", false);
}

int erabi_connection_send(struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    if (c->state != ERABI_UP)
        return -EPIPE;
    if (size == 0 || size > ERABI_PACKET_MAX)
        return -EMSGSIZE;
    size_t sealed = erabi_curve_sealed_size(size);
    size_t queued = erabi_connection_queued(c);
    if (queued && queued + sealed > c->transport->limits.send_bytes)
        return -EAGAIN;
    struct erabi_writer w = erabi_connection_reserve(c, sealed);
    if (w.bad)
        return -ENOMEM;
    int r = erabi_curve_seal(&c->curve, &w, packet, size);
    if (r < 0)
        return r;
    c->transport->stats.packets_out++;
    erabi_connection_commit(c, &w);
    return 0;
}
