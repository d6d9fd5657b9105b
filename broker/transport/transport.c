#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "transport/internal.h"

enum { TOLD_A_SECOND = 20, RESERVED_DESCRIPTORS = 64, RETRY_ACCEPT_MS = 100 };

static const struct erabi_transport_limits defaults = {
    .connections = 8192,
    .connections_per_source = 64,
    .handshakes_per_second = 50,
    .handshake_ms = 3000,
    .connection_age_s = 86400,
    .heartbeat_ms = 5000,
    .heartbeat_timeout_ms = 15000,
    .bytes_per_second = 64u << 20,
    .send_bytes = 1u << 20,
    .kernel_window = 65536,
};

static uint32_t or_default(uint32_t given, uint32_t otherwise)
{
    return given ? given : otherwise;
}

static void set_limits(struct erabi_transport_limits *to, const struct erabi_transport_limits *from)
{
    *to = defaults;
    if (!from)
        return;
    to->connections = or_default(from->connections, to->connections);
    to->connections_per_source = or_default(from->connections_per_source, to->connections_per_source);
    to->handshakes_per_second = or_default(from->handshakes_per_second, to->handshakes_per_second);
    if (to->handshakes_per_second > 1000000)
        to->handshakes_per_second = 1000000; /* the allowance is counted in thousandths */
    to->handshake_ms = or_default(from->handshake_ms, to->handshake_ms);
    to->connection_age_s = or_default(from->connection_age_s, to->connection_age_s);
    to->heartbeat_ms = or_default(from->heartbeat_ms, to->heartbeat_ms);
    to->heartbeat_timeout_ms = or_default(from->heartbeat_timeout_ms, to->heartbeat_timeout_ms);
    to->bytes_per_second = or_default(from->bytes_per_second, to->bytes_per_second);
    to->send_bytes = or_default(from->send_bytes, to->send_bytes);
    to->kernel_window = or_default(from->kernel_window, to->kernel_window);
}

/* Some descriptors are kept for disk, log and admin: connections get only numbers below them. */
static int highest_descriptor(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    int all = (int)limit.rlim_cur;
    return all - (all / 4 < RESERVED_DESCRIPTORS ? all / 4 : RESERVED_DESCRIPTORS) - 1;
}

/* ---- writes, gathered ---- */

static void on_idle(uv_idle_t *handle)
{
    (void)handle; /* its being active is all */
}

void erabi_transport_dirty(struct erabi_transport *t, struct erabi_connection *c)
{
    if (c->dirty || c->state == ERABI_CLOSED)
        return;
    c->dirty = true;
    TAILQ_INSERT_TAIL(&t->dirty, c, dirty_entry);
    t->dirties++;
    if (!t->stopping)
        uv_idle_start(&t->idle, on_idle);
}

void erabi_transport_clean(struct erabi_transport *t, struct erabi_connection *c)
{
    if (!c->dirty)
        return;
    TAILQ_REMOVE(&t->dirty, c, dirty_entry);
    c->dirty = false;
    t->dirties--;
}

static void flush(struct erabi_transport *t)
{
    if (t->callbacks.on_turn)
        t->callbacks.on_turn(t->user);
    /* What becomes dirty meanwhile waits for the next turn, so that a busy link fills its packets. The list
     * stays the transport's own, for a callback in between may end any connection that is still in it. */
    struct erabi_connection *c;
    for (unsigned left = t->dirties; left > 0 && (c = TAILQ_FIRST(&t->dirty)); left--) {
        erabi_transport_clean(t, c);
        erabi_connection_flush(c);
    }
    if (TAILQ_EMPTY(&t->dirty) && !t->stopping)
        uv_idle_stop(&t->idle);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct erabi_transport *t = handle->data;
    t->background_left = ERABI_BACKGROUND_SIZE;
    flush(t);
}

static void on_check(uv_check_t *handle)
{
    flush(handle->data);
}

/* ---- refusals ---- */

static void on_telling(uv_timer_t *timer)
{
    struct erabi_transport *t = timer->data;
    t->told = 0;
    if (!t->untold)
        return;
    snprintf(t->more, sizeof t->more, "and %u more", t->untold);
    struct erabi_transport_event event = {ERAB_REASON_CONNECTION_LIMIT, t->more, "", NULL};
    t->untold = 0;
    uv_timer_start(&t->telling, on_telling, 1000, 0);
    t->callbacks.on_refused(t->user, NULL, &event);
}

void erabi_transport_refused(struct erabi_transport *t, struct erabi_listener *listener,
                             const struct erabi_transport_event *event)
{
    t->stats.refused++;
    if (!t->callbacks.on_refused)
        return;
    if (!uv_is_active((uv_handle_t *)&t->telling) && !t->stopping)
        uv_timer_start(&t->telling, on_telling, 1000, 0);
    if (t->told < TOLD_A_SECOND) {
        t->told++;
        t->callbacks.on_refused(t->user, listener, event);
    } else {
        t->untold++;
    }
}

/* ---- short of descriptors ---- */

static void on_accepting(uv_timer_t *timer)
{
    struct erabi_transport *t = timer->data;
    struct erabi_listener *l;
    t->short_of_descriptors = false;
    LIST_FOREACH(l, &t->listeners, entry)
    {
        if (t->stopping || t->short_of_descriptors)
            break;
        erabi_listener_resume(l);
    }
}

void erabi_transport_descriptors_short(struct erabi_transport *t)
{
    t->short_of_descriptors = true;
    if (!t->stopping)
        uv_timer_start(&t->accepting, on_accepting, RETRY_ACCEPT_MS, 0);
}

/* ---- life ---- */

static void free_transport(struct erabi_transport *t)
{
    struct erabi_listener *l;
    struct erabi_dialer *d;
    while ((l = LIST_FIRST(&t->listeners))) {
        LIST_REMOVE(l, entry);
        erabi_listener_free(l);
    }
    while ((d = LIST_FIRST(&t->dialers))) {
        LIST_REMOVE(d, entry);
        erabi_dialer_free(d);
    }
    erabi_sources_free(t->sources);
    free(t->input);
    free(t->plain);
    free(t);
}

void erabi_transport_unref(struct erabi_transport *t)
{
    if (--t->handles > 0 || !t->stopping)
        return;
    void (*done)(void *) = t->done;
    void *user = t->done_user;
    free_transport(t);
    if (done)
        done(user);
}

static void on_closed(uv_handle_t *handle)
{
    erabi_transport_unref(handle->data);
}

void erabi_transport_stop(struct erabi_transport *t, void (*done)(void *user), void *user)
{
    struct erabi_connection *c;
    struct erabi_listener *l;
    struct erabi_dialer *d;
    if (t->stopping)
        return;
    t->stopping = true;
    t->done = done;
    t->done_user = user;
    LIST_FOREACH(c, &t->connections, entry)
    erabi_connection_end(c, ERAB_REASON_SHUTDOWN, "the broker stops", false);
    LIST_FOREACH(l, &t->listeners, entry)
    erabi_listener_close(l);
    LIST_FOREACH(d, &t->dialers, entry)
    erabi_dialer_close(d);
    uv_close((uv_handle_t *)&t->prepare, on_closed);
    uv_close((uv_handle_t *)&t->check, on_closed);
    uv_close((uv_handle_t *)&t->idle, on_closed);
    uv_close((uv_handle_t *)&t->telling, on_closed);
    uv_close((uv_handle_t *)&t->accepting, on_closed);
}

static void open_handles(struct erabi_transport *t)
{
    uv_prepare_init(t->loop, &t->prepare);
    uv_check_init(t->loop, &t->check);
    uv_idle_init(t->loop, &t->idle);
    uv_timer_init(t->loop, &t->telling);
    uv_timer_init(t->loop, &t->accepting);
    t->prepare.data = t->check.data = t->idle.data = t->telling.data = t->accepting.data = t;
    t->handles = 5;
    uv_prepare_start(&t->prepare, on_prepare);
    uv_check_start(&t->check, on_check);
    uv_unref((uv_handle_t *)&t->prepare);
    uv_unref((uv_handle_t *)&t->check);
    uv_unref((uv_handle_t *)&t->telling);
}

int erabi_transport_new(struct erabi_transport **out, uv_loop_t *loop,
                        const struct erabi_transport_limits *limits,
                        const struct erabi_transport_callbacks *callbacks, void *user)
{
    if (sodium_init() < 0)
        return -ENOSYS;
    struct erabi_transport *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->loop = loop;
    t->callbacks = *callbacks;
    t->user = user;
    set_limits(&t->limits, limits);
    TAILQ_INIT(&t->dirty);
    t->descriptors = highest_descriptor();
    t->input = malloc(ERABI_INPUT_SIZE);
    t->plain = malloc(ERABI_ZMTP_BODY_MAX);
    int r = erabi_sources_new(&t->sources, t->limits.handshakes_per_second, t->limits.connections_per_source);
    if (!t->input || !t->plain || r < 0) {
        free_transport(t);
        return -ENOMEM;
    }
    open_handles(t);
    *out = t;
    return 0;
}

void erabi_transport_stats(const struct erabi_transport *transport, struct erabi_transport_stats *out)
{
    *out = transport->stats;
}

void erabi_transport_limit(struct erabi_transport *transport, uint32_t connections)
{
    transport->limits.connections = connections;
}
