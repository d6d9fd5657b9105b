/* The host table on libuv. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "runner.h"

struct erab_timer {
    uv_timer_t uv;
    erab_self *self;
    void (*fn)(void *arg);
    void *arg;
};

struct erab_watch {
    uv_poll_t uv;
    erab_self *self;
    void (*fn)(void *arg, uint32_t events);
    void *arg;
};

void runner_log(erab_self *self, enum erab_log_level level, const char *text)
{
    static const char *const names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
    char line[1024];
    size_t n = strnlen(text, sizeof line - 1);
    erabi_copy_bytes(line, text, n);
    line[n] = '\0';
    erabi_plain_text(line, n); /* one line, and nothing that a terminal would obey */
    fprintf(stderr, "%s %s: %s\n", (unsigned)level <= ERAB_LOG_DEBUG ? names[level] : names[0],
            self->document.instance, line);
}

static uint64_t now_ms(erab_self *self)
{
    (void)self;
    return erabi_clock_ms(CLOCK_REALTIME);
}

static uint64_t monotonic_ms(erab_self *self)
{
    (void)self;
    return erabi_clock_ms(CLOCK_MONOTONIC);
}

static bool speaks_for(const erab_self *self, const char *party)
{
    for (char **p = self->document.parties; *p; p++)
        if (strcmp(*p, party) == 0)
            return true;
    return false;
}

static int publish(erab_self *self, const struct erab_outgoing_message *m, uint8_t id[ERAB_ID_SIZE])
{
    if (!m || m->size < sizeof *m || !self->client)
        return -EINVAL;
    if (m->from && !speaks_for(self, m->from))
        return -EACCES;
    const struct erab_outgoing out = {.size = sizeof out,
                                      .from = m->from,
                                      .to = m->to,
                                      .type = m->type,
                                      .category = m->category,
                                      .expires_at_ms = m->expires_at_ms,
                                      .parent_id = m->parent_id,
                                      .parent_hash = m->parent_hash,
                                      .exercise = m->exercise,
                                      .trace_id = m->trace_id,
                                      .body = m->body};
    return erab_client_send(self->client, &out, id);
}

static void on_timer(uv_timer_t *uv)
{
    const erab_timer *t = uv->data;
    t->fn(t->arg);
}

static erab_timer *timer(erab_self *self, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    erab_timer *t = self->n_handles < RUNNER_HANDLES_MAX ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->self = self;
    t->fn = fn;
    t->arg = arg;
    t->uv.data = t;
    uv_timer_init(&self->loop, &t->uv);
    uv_update_time(&self->loop);
    /* Never at once: a timer that begins the next one would keep everything else from running. */
    uv_timer_start(&t->uv, on_timer, delay_ms ? delay_ms : 1, 0);
    self->n_handles++;
    return t;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_free(erab_self *self, erab_timer *t)
{
    if (!t)
        return;
    self->n_handles--;
    uv_close((uv_handle_t *)&t->uv, free_handle);
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    const erab_watch *w = uv->data;
    uint32_t out = 0;
    if (events & UV_READABLE)
        out |= ERAB_READABLE;
    if (events & UV_WRITABLE)
        out |= ERAB_WRITABLE;
    /* An error shows itself to whoever reads or writes. */
    w->fn(w->arg, status < 0 ? ERAB_READABLE | ERAB_WRITABLE : out);
}

static void watch_set(erab_self *self, erab_watch *w, uint32_t events)
{
    (void)self;
    int uv_events = 0;
    if (events & ERAB_READABLE)
        uv_events |= UV_READABLE;
    if (events & ERAB_WRITABLE)
        uv_events |= UV_WRITABLE;
    if (uv_events)
        uv_poll_start(&w->uv, uv_events, on_poll);
    else
        uv_poll_stop(&w->uv);
}

static erab_watch *watch(erab_self *self, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg)
{
    erab_watch *w = self->n_handles < RUNNER_HANDLES_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return NULL;
    w->self = self;
    w->fn = fn;
    w->arg = arg;
    w->uv.data = w;
    if (uv_poll_init(&self->loop, &w->uv, fd)) {
        free(w);
        return NULL;
    }
    self->n_handles++;
    watch_set(self, w, events);
    return w;
}

static void watch_free(erab_self *self, erab_watch *w)
{
    if (!w)
        return;
    self->n_handles--;
    uv_poll_stop(&w->uv);
    uv_close((uv_handle_t *)&w->uv, free_handle);
}

static int post(erab_self *self, void (*fn)(void *arg), void *arg)
{
    struct posted *p = malloc(sizeof *p);
    if (!p)
        return -ENOMEM;
    *p = (struct posted){.fn = fn, .arg = arg};
    pthread_mutex_lock(&self->lock);
    bool room = self->n_posts < RUNNER_POSTS_MAX;
    if (room) {
        STAILQ_INSERT_TAIL(&self->posts, p, entry);
        self->n_posts++;
    }
    pthread_mutex_unlock(&self->lock);
    if (!room) {
        free(p);
        return -ENOMEM;
    }
    uv_async_send(&self->async);
    return 0;
}

void runner_run_posts(erab_self *self)
{
    /* As many as there were: what they post themselves waits for the next turn. */
    pthread_mutex_lock(&self->lock);
    size_t n = self->n_posts;
    pthread_mutex_unlock(&self->lock);
    while (n--) {
        pthread_mutex_lock(&self->lock);
        struct posted *p = STAILQ_FIRST(&self->posts);
        STAILQ_REMOVE_HEAD(&self->posts, entry);
        self->n_posts--;
        pthread_mutex_unlock(&self->lock);
        p->fn(p->arg);
        free(p);
    }
}

static const char *const *parties(erab_self *self)
{
    return (const char *const *)self->document.parties;
}

static void quiesced(erab_self *self)
{
    self->quiet = true;
    uv_stop(&self->loop);
}

const struct erab_host runner_host = {.size = sizeof runner_host,
                                      .abi_major = ERAB_ABI_MAJOR,
                                      .abi_minor = ERAB_ABI_MINOR,
                                      .log = runner_log,
                                      .now_ms = now_ms,
                                      .monotonic_ms = monotonic_ms,
                                      .publish = publish,
                                      .complete = runner_complete,
                                      .timer = timer,
                                      .timer_free = timer_free,
                                      .watch = watch,
                                      .watch_set = watch_set,
                                      .watch_free = watch_free,
                                      .post = post,
                                      .store_put = runner_store_put,
                                      .store_get = runner_store_get,
                                      .parties = parties,
                                      .quiesced = quiesced,
                                      .connect_stream = runner_connect_stream,
                                      .open_datagram = runner_open_datagram,
                                      .listen_streams = runner_listen_streams,
                                      .accept_stream = runner_accept_stream};
