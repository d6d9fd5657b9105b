#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "transport/internal.h"

enum { BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 30000, STEADY_MS = 10000 };

static void attempt(struct erabi_dialer *d);

static void on_due(uv_timer_t *timer)
{
    attempt(timer->data);
}

/* Half of the wait is fixed and half is chance, so that the peers of a dead broker do not return as one. */
static void wait_and_retry(struct erabi_dialer *d)
{
    uint32_t half = d->backoff_ms / 2;
    uv_timer_start(&d->timer, on_due, half + randombytes_uniform(half + 1), 0);
    d->backoff_ms = d->backoff_ms < BACKOFF_MAX_MS / 2 ? d->backoff_ms * 2 : BACKOFF_MAX_MS;
}

void erabi_dialer_ended(struct erabi_dialer *d, uint64_t lasted_ms)
{
    if (lasted_ms >= STEADY_MS)
        d->backoff_ms = BACKOFF_MIN_MS;
    if (!uv_is_closing((uv_handle_t *)&d->timer))
        wait_and_retry(d);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct erabi_connection *c = request->handle->data;
    if (c->state != ERABI_CONNECTING)
        return;
    if (status < 0)
        erabi_connection_end(c, ERAB_REASON_IO_ERROR, "cannot connect", false);
    else
        erabi_connection_start(c);
}

static void attempt(struct erabi_dialer *d)
{
    struct erabi_connection *c = erabi_connection_new(d->transport, NULL, d, d->endpoint.local);
    if (!c) {
        wait_and_retry(d);
        return;
    }
    c->known = true; /* whom we dial we know */
    erabi_copy_text(c->address, sizeof c->address, d->address);
    if (d->endpoint.local)
        uv_pipe_connect(&c->request.connect, &c->io.pipe, d->endpoint.path, on_connected);
    else if (uv_tcp_connect(&c->request.connect, &c->io.tcp, &d->endpoint.at.any, on_connected) < 0)
        erabi_connection_end(c, ERAB_REASON_IO_ERROR, "cannot connect", false);
}

static void on_closed(uv_handle_t *handle)
{
    struct erabi_dialer *d = handle->data;
    erabi_transport_unref(d->transport);
}

void erabi_dialer_close(struct erabi_dialer *d)
{
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

void erabi_dialer_free(struct erabi_dialer *d)
{
    sodium_free(d->secret);
    free(d);
}

int erabi_transport_dial(struct erabi_transport *t, struct erabi_dialer **out, const char *endpoint,
                         const uint8_t server_key[ERABI_KEY_SIZE], const uint8_t secret_key[ERABI_KEY_SIZE],
                         void *tag)
{
    struct erabi_endpoint e;
    int r = erabi_endpoint_parse(&e, endpoint);
    if (r < 0)
        return r;
    struct erabi_dialer *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->secret = sodium_malloc(ERABI_KEY_SIZE);
    if (!d->secret) {
        free(d);
        return -ENOMEM;
    }
    erabi_copy_bytes(d->secret, secret_key, ERABI_KEY_SIZE);
    erabi_copy_bytes(d->server_key, server_key, ERABI_KEY_SIZE);
    d->transport = t;
    d->endpoint = e;
    d->tag = tag;
    d->backoff_ms = BACKOFF_MIN_MS;
    if (e.local)
        erabi_copy_text(d->address, sizeof d->address, "local");
    else
        erabi_endpoint_address(&e.at.any, d->address, sizeof d->address);
    uv_timer_init(t->loop, &d->timer);
    d->timer.data = d;
    t->handles++;
    LIST_INSERT_HEAD(&t->dialers, d, entry);
    uv_timer_start(&d->timer, on_due, 0, 0);
    *out = d;
    return 0;
}

void *erabi_dialer_tag(const struct erabi_dialer *dialer)
{
    return dialer->tag;
}

/* Bytes change in place: a handshake under way fails at worst, and the dialer tries again. */
void erabi_dialer_follow(struct erabi_dialer *d, const uint8_t *server_key, const uint8_t *secret_key)
{
    if (server_key)
        erabi_copy_bytes(d->server_key, server_key, ERABI_KEY_SIZE);
    if (secret_key)
        erabi_copy_bytes(d->secret, secret_key, ERABI_KEY_SIZE);
}
