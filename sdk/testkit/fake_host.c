/* The host table without a broker. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "testkit/fake_host.h"

void fake_fault(erab_self *self, const char *format, ...)
{
    va_list args;
    if (*self->fault)
        return;
    va_start(args, format);
    vsnprintf(self->fault, sizeof self->fault, format, args);
    va_end(args);
}

static void used(erab_self *self, const char *service, bool in_init)
{
    if (self->phase == ERAB_FAKE_QUIET)
        fake_fault(self, "called %s() after quiesced()", service);
    if (self->phase == ERAB_FAKE_INIT && !in_init)
        fake_fault(self, "called %s() within init; that begins with start", service);
}

static void host_log(erab_self *self, enum erab_log_level level, const char *text)
{
    used(self, "log", true);
    if (!text || (unsigned)level > ERAB_LOG_DEBUG)
        fake_fault(self, "a log line without text or with an unknown level");
    else if (strnlen(text, 1024) == 1024 || strpbrk(text, "\n\r\033"))
        fake_fault(self, "a log line of more than one line or over 1023 bytes");
    if (++self->n_logs > FAKE_LOGS_MAX)
        fake_fault(self, "more than %u log lines", FAKE_LOGS_MAX);
    else if (text && self->ways.on_log)
        self->ways.on_log(self->ways.user, level, text);
}

uint64_t fake_elapsed(const erab_self *self)
{
    return self->ways.real_time ? erabi_clock_ms(CLOCK_MONOTONIC) - self->start_mono : self->now;
}

static uint64_t now_ms(erab_self *self)
{
    return erab_fake_now(self);
}

static uint64_t monotonic_ms(erab_self *self)
{
    return 1000000 + fake_elapsed(self);
}

static bool is_party(const erab_self *self, const char *party)
{
    for (const char *const *p = self->parties; *p; p++)
        if (strcmp(*p, party) == 0)
            return true;
    return false;
}

static int publish(erab_self *self, const struct erab_outgoing_message *m, uint8_t id[ERAB_ID_SIZE])
{
    used(self, "publish", false);
    uint8_t *bytes;
    size_t size;
    if (!m || m->size < sizeof *m || !m->body || !m->to || !erab_addressee_valid(m->to)) {
        fake_fault(self, "published a message without size, body or valid recipient");
        return -EINVAL;
    }
    if (m->from && !is_party(self, m->from)) {
        fake_fault(self, "published for %.63s, which is none of its parties", m->from);
        return -EACCES;
    }
    int r = erab_body_pack(m->body, &bytes, &size);
    if (r)
        return r;
    ProtobufCMessage *again = NULL;
    enum erab_reason reason = ERAB_REASON_NONE;
    r = erab_body_unpack(m->type, (struct erab_bytes){bytes, size}, &again, &reason);
    free(bytes);
    erab_body_free(again);
    if (r) {
        fake_fault(self, "published a body that no receiver takes (%s)", erab_reason_code(reason));
        return -EINVAL;
    }
    uint8_t new_id[ERAB_ID_SIZE];
    erab_id_new(new_id, now_ms(self));
    if (id) /* who does not want to know it gives none */
        erabi_copy_bytes(id, new_id, sizeof new_id);
    if (self->ways.on_publish)
        self->ways.on_publish(self->ways.user, m, new_id);
    return 0;
}

static void complete(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail)
{
    used(self, "complete", false);
    if (!call || call > self->n_calls) {
        fake_fault(self, "completed a call that it was never given");
        return;
    }
    if (state != ERAB_APPLIED && state != ERAB_REFUSED)
        fake_fault(self, "completed a call with a state other than APPLIED or REFUSED");
    if (state == ERAB_REFUSED && (reason == ERAB_REASON_NONE || reason >= ERAB_REASON_COUNT))
        fake_fault(self, "refused a call without a reason");
    if (self->completed[call] < 255)
        self->completed[call]++;
    if (self->completed[call] > 1)
        fake_fault(self, "completed a call twice");
    else if (self->ways.on_complete)
        self->ways.on_complete(self->ways.user, call, state, reason, detail ? detail : "");
}

static erab_timer *timer(erab_self *self, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    used(self, "timer", false);
    erab_timer *t = self->n_handles < FAKE_HANDLES_MAX ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    *t = (erab_timer){.due = fake_elapsed(self) + delay_ms, .fn = fn, .arg = arg};
    TAILQ_INSERT_TAIL(&self->timers, t, entry);
    self->n_handles++;
    return t;
}

static void timer_free(erab_self *self, erab_timer *t)
{
    erab_timer *at;
    if (!t)
        return;
    TAILQ_FOREACH(at, &self->timers, entry)
    if (at == t)
        break;
    if (!at) {
        fake_fault(self, "freed a timer twice");
        return;
    }
    TAILQ_REMOVE(&self->timers, t, entry);
    self->n_handles--;
    free(t);
}

static erab_watch *watch(erab_self *self, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg)
{
    used(self, "watch", false);
    erab_watch *w = self->n_handles < FAKE_HANDLES_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return NULL;
    *w = (erab_watch){.fd = fd, .events = events, .fn = fn, .arg = arg};
    TAILQ_INSERT_TAIL(&self->watches, w, entry);
    self->n_handles++;
    self->watch_changes++;
    return w;
}

static void watch_set(erab_self *self, erab_watch *w, uint32_t events)
{
    used(self, "watch_set", false);
    w->events = events;
}

static void watch_free(erab_self *self, erab_watch *w)
{
    if (!w)
        return;
    TAILQ_REMOVE(&self->watches, w, entry);
    self->n_handles--;
    self->watch_changes++;
    free(w);
}

static int post(erab_self *self, void (*fn)(void *arg), void *arg)
{
    struct posted *p = malloc(sizeof *p);
    if (!p)
        return -ENOMEM;
    *p = (struct posted){.fn = fn, .arg = arg};
    pthread_mutex_lock(&self->lock);
    TAILQ_INSERT_TAIL(&self->posts, p, entry);
    pthread_mutex_unlock(&self->lock);
    (void)!write(self->wake, &(uint64_t){1}, sizeof(uint64_t)); /* full: it is awake */
    return 0;
}

static int store_put(erab_self *self, const char *key, const void *value, size_t size)
{
    used(self, "store_put", true);
    return fake_store_put(&self->store, key, value, size);
}

static int store_get(erab_self *self, const char *key, void *value, size_t *size)
{
    used(self, "store_get", true);
    return fake_store_get(&self->store, key, value, size);
}

static const char *const *parties(erab_self *self)
{
    return self->parties;
}

static void quiesced(erab_self *self)
{
    if (self->phase == ERAB_FAKE_QUIET)
        fake_fault(self, "called quiesced() twice");
    self->phase = ERAB_FAKE_QUIET;
}

/* A stream whose other end has hung up, as of an endpoint that is not there. */
static int connect_stream(erab_self *self, const char *option)
{
    used(self, "connect_stream", false);
    int fds[2];
    if (!option)
        return -EINVAL;
    if (self->ways.connect_stream)
        return self->ways.connect_stream(self->ways.user, option);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -EIO;
    close(fds[1]);
    return fds[0];
}

/* One end of a pair whose other end is kept and never used. */
static int silence(erab_self *self)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -EIO;
    for (size_t i = 0; i < sizeof self->silent / sizeof *self->silent; i++)
        if (self->silent[i] < 0) {
            self->silent[i] = fds[1];
            return fds[0];
        }
    close(fds[0]);
    close(fds[1]);
    return -EAGAIN;
}

/* A network on which nobody answers. */
static int open_datagram(erab_self *self, const struct erab_datagram_options *options, struct erab_datagram_info *info)
{
    used(self, "open_datagram", false);
    if (!options || options->size < offsetof(struct erab_datagram_options, family) || !options->interface || !info || info->size < sizeof *info)
        return -EINVAL;
    struct erab_datagram_options all = {.interface = options->interface, .group = options->group, .port = options->port};
    all.size = sizeof all;
    if (options->size >= sizeof *options)
        all.family = options->family;
    if (self->ways.open_datagram)
        return self->ways.open_datagram(self->ways.user, &all, info);
    bool six = all.family ? all.family == 6 : all.group && strchr(all.group, ':');
    *info = (struct erab_datagram_info){
        .size = sizeof *info, .interface = 1, .address = {192, 0, 2, 10}, .prefix_bits = six ? 64 : 24, .mac = {2}};
    if (six)
        erabi_copy_bytes(info->address, ((const uint8_t[16]){0xfe, 0x80, [8] = 2, [15] = 10}), 16);
    return silence(self);
}

static int listen_streams(erab_self *self, const char *option)
{
    used(self, "listen_streams", false);
    if (!option)
        return -EINVAL;
    return self->ways.listen_streams ? self->ways.listen_streams(self->ways.user, option) : silence(self);
}

static int accept_stream(erab_self *self, int listener, struct erab_accepted *from)
{
    used(self, "accept_stream", false);
    if (!from || from->size < sizeof *from)
        return -EINVAL;
    return self->ways.accept_stream ? self->ways.accept_stream(self->ways.user, listener, from) : -EAGAIN;
}

static void decide(erab_self *self, erab_call call, const struct erab_verdict *verdict)
{
    used(self, "decide", false);
    if (verdict && verdict->size >= sizeof *verdict)
        fake_vote_take(&self->vote, call, verdict);
    else
        fake_fault(self, "decided without a verdict of known size");
}

void erab_fake_ask(erab_self *self, erab_call call)
{
    fake_vote_ask(&self->vote, call);
}

const struct erab_verdict *erab_fake_vote(const erab_self *self)
{
    return self->vote.voted ? &self->vote.verdict : NULL;
}

const struct erab_host erab_fake_host = {.size = sizeof erab_fake_host,
                                    .abi_major = ERAB_ABI_MAJOR,
                                    .abi_minor = ERAB_ABI_MINOR,
                                    .log = host_log,
                                    .now_ms = now_ms,
                                    .monotonic_ms = monotonic_ms,
                                    .publish = publish,
                                    .complete = complete,
                                    .timer = timer,
                                    .timer_free = timer_free,
                                    .watch = watch,
                                    .watch_set = watch_set,
                                    .watch_free = watch_free,
                                    .post = post,
                                    .store_put = store_put,
                                    .store_get = store_get,
                                    .parties = parties,
                                    .quiesced = quiesced,
                                    .connect_stream = connect_stream,
                                    .open_datagram = open_datagram,
                                    .decide = decide,
                                    .listen_streams = listen_streams,
                                    .accept_stream = accept_stream};

erab_self *erab_fake_new(const char *const *party_list)
{
    erab_self *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->parties = party_list;
    self->ways.fd = -1;
    self->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wake < 0) {
        free(self);
        return NULL;
    }
    for (size_t i = 0; i < sizeof self->silent / sizeof *self->silent; i++)
        self->silent[i] = -1;
    self->start_wall = erabi_clock_ms(CLOCK_REALTIME);
    self->start_mono = erabi_clock_ms(CLOCK_MONOTONIC);
    TAILQ_INIT(&self->timers);
    TAILQ_INIT(&self->watches);
    fake_store_init(&self->store);
    TAILQ_INIT(&self->posts);
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

#define FREE_ALL(head, type)                                                                                 \
    for (struct type * at_; (at_ = TAILQ_FIRST(head));) {                                                    \
        TAILQ_REMOVE(head, at_, entry);                                                                      \
        free(at_);                                                                                           \
    }

void erab_fake_free(erab_self *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < sizeof self->silent / sizeof *self->silent; i++)
        erabi_closep(&self->silent[i]);
    FREE_ALL(&self->timers, erab_timer)
    FREE_ALL(&self->watches, erab_watch)
    fake_store_deinit(&self->store);
    erabi_closep(&self->wake);
    FREE_ALL(&self->posts, posted)
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void erab_fake_use(erab_self *self, const struct erab_fake_ways *ways)
{
    self->ways = *ways;
    if (!ways->turn)
        self->ways.fd = -1;
    fake_store_use(&self->store, ways->store);
}

void erab_fake_enter(erab_self *self, enum erab_fake_phase phase)
{
    self->phase = phase;
}

erab_call erab_fake_call(erab_self *self)
{
    return self->n_calls < FAKE_CALLS_MAX ? ++self->n_calls : 0;
}

unsigned erab_fake_completed(const erab_self *self, erab_call call)
{
    return call <= FAKE_CALLS_MAX ? self->completed[call] : 0;
}

bool erab_fake_is_quiet(const erab_self *self)
{
    return self->phase == ERAB_FAKE_QUIET;
}

uint64_t erab_fake_now(const erab_self *self)
{
    return self->ways.real_time ? erabi_clock_ms(CLOCK_REALTIME) : self->start_wall + self->now;
}

unsigned erab_fake_handles(const erab_self *self)
{
    return self->n_handles;
}

const char *erab_fake_fault(const erab_self *self)
{
    return self->fault;
}
