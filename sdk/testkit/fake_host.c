/* The host table without a broker. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "testkit/fake_store.h"
#include "testkit/fake_vote.h"
#include "testkit/testkit.h"

#define CALLS_MAX   4096u
#define HANDLES_MAX 1024u
#define LOGS_MAX    1000u
#define REAL_WAIT_MS 20 /* for threads and peers, when no timer is set */
#define REAL_WAITS   50u

struct erab_timer {
    TAILQ_ENTRY(erab_timer) entry;
    uint64_t due;
    void (*fn)(void *arg);
    void *arg;
    bool fired;
};

struct erab_watch {
    TAILQ_ENTRY(erab_watch) entry;
    int fd;
    uint32_t events;
    void (*fn)(void *arg, uint32_t events);
    void *arg;
};

struct posted {
    TAILQ_ENTRY(posted) entry;
    void (*fn)(void *arg);
    void *arg;
};

struct erab_self {
    enum fake_phase phase;
    const char *const *parties;
    uint64_t start_wall, now;
    TAILQ_HEAD(, erab_timer) timers;
    TAILQ_HEAD(, erab_watch) watches;
    struct fake_store store;
    pthread_mutex_t lock;
    TAILQ_HEAD(, posted) posts; /* under lock */
    unsigned n_handles, n_logs;
    uint32_t watch_changes;
    erab_call n_calls;
    uint8_t completed[CALLS_MAX + 1];
    struct fake_vote vote;
    int silent[8]; /* other ends of the networks, -1: none */
    char fault[256];
};

__attribute__((format(printf, 2, 3))) static void fault(erab_self *self, const char *format, ...)
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
    if (self->phase == FAKE_QUIET)
        fault(self, "called %s() after quiesced()", service);
    if (self->phase == FAKE_INIT && !in_init)
        fault(self, "called %s() within init; that begins with start", service);
}

static void host_log(erab_self *self, enum erab_log_level level, const char *text)
{
    used(self, "log", true);
    if (!text || (unsigned)level > ERAB_LOG_DEBUG)
        fault(self, "a log line without text or with an unknown level");
    else if (strnlen(text, 1024) == 1024 || strpbrk(text, "\n\r\033"))
        fault(self, "a log line of more than one line or over 1023 bytes");
    if (++self->n_logs > LOGS_MAX)
        fault(self, "more than %u log lines", LOGS_MAX);
}

static uint64_t now_ms(erab_self *self)
{
    return self->start_wall + self->now;
}

static uint64_t monotonic_ms(erab_self *self)
{
    return 1000000 + self->now;
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
        fault(self, "published a message without size, body or valid recipient");
        return -EINVAL;
    }
    if (m->from && !is_party(self, m->from)) {
        fault(self, "published for %.63s, which is none of its parties", m->from);
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
        fault(self, "published a body that no receiver takes (%s)", erab_reason_code(reason));
        return -EINVAL;
    }
    erab_id_new(id, now_ms(self));
    return 0;
}

static void complete(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail)
{
    (void)detail;
    used(self, "complete", false);
    if (!call || call > self->n_calls) {
        fault(self, "completed a call that it was never given");
        return;
    }
    if (state != ERAB_APPLIED && state != ERAB_REFUSED)
        fault(self, "completed a call with a state other than APPLIED or REFUSED");
    if (state == ERAB_REFUSED && (reason == ERAB_REASON_NONE || reason >= ERAB_REASON_COUNT))
        fault(self, "refused a call without a reason");
    if (self->completed[call] < 255)
        self->completed[call]++;
    if (self->completed[call] > 1)
        fault(self, "completed a call twice");
}

static erab_timer *timer(erab_self *self, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    used(self, "timer", false);
    erab_timer *t = self->n_handles < HANDLES_MAX ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    *t = (erab_timer){.due = self->now + delay_ms, .fn = fn, .arg = arg};
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
        fault(self, "freed a timer twice");
        return;
    }
    TAILQ_REMOVE(&self->timers, t, entry);
    self->n_handles--;
    free(t);
}

static erab_watch *watch(erab_self *self, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg)
{
    used(self, "watch", false);
    erab_watch *w = self->n_handles < HANDLES_MAX ? calloc(1, sizeof *w) : NULL;
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
    if (self->phase == FAKE_QUIET)
        fault(self, "called quiesced() twice");
    self->phase = FAKE_QUIET;
}

/* A stream whose other end has hung up, as of an endpoint that is not there. */
static int connect_stream(erab_self *self, const char *option)
{
    used(self, "connect_stream", false);
    int fds[2];
    if (!option)
        return -EINVAL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -EIO;
    close(fds[1]);
    return fds[0];
}

/* A network on which nobody answers. */
static int open_datagram(erab_self *self, const struct erab_datagram_options *options, struct erab_datagram_info *info)
{
    used(self, "open_datagram", false);
    int fds[2];
    if (!options || options->size < sizeof *options || !options->interface || !info || info->size < sizeof *info)
        return -EINVAL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -EIO;
    for (size_t i = 0; i < sizeof self->silent / sizeof *self->silent; i++)
        if (self->silent[i] < 0) {
            self->silent[i] = fds[1];
            *info = (struct erab_datagram_info){
                .size = sizeof *info, .interface = 1, .address = {192, 0, 2, 10}, .prefix_bits = 24, .mac = {2}};
            return fds[0];
        }
    close(fds[0]);
    close(fds[1]);
    return -EAGAIN;
}

static void decide(erab_self *self, erab_call call, const struct erab_verdict *verdict)
{
    used(self, "decide", false);
    if (verdict && verdict->size >= sizeof *verdict)
        fake_vote_take(&self->vote, call, verdict);
    else
        fault(self, "decided without a verdict of known size");
}

void fake_host_ask(erab_self *self, erab_call call)
{
    fake_vote_ask(&self->vote, call);
}

const struct erab_verdict *fake_host_vote(const erab_self *self)
{
    return self->vote.voted ? &self->vote.verdict : NULL;
}

const struct erab_host fake_host = {.size = sizeof fake_host,
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
                                    .decide = decide};

erab_self *fake_host_new(const char *const *party_list)
{
    erab_self *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->parties = party_list;
    for (size_t i = 0; i < sizeof self->silent / sizeof *self->silent; i++)
        self->silent[i] = -1;
    self->start_wall = erabi_clock_ms(CLOCK_REALTIME);
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

void fake_host_free(erab_self *self)
{
    if (!self)
        return;
    for (size_t i = 0; i < sizeof self->silent / sizeof *self->silent; i++)
        erabi_closep(&self->silent[i]);
    FREE_ALL(&self->timers, erab_timer)
    FREE_ALL(&self->watches, erab_watch)
    fake_store_deinit(&self->store);
    FREE_ALL(&self->posts, posted)
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void fake_host_phase(erab_self *self, enum fake_phase phase)
{
    self->phase = phase;
}

erab_call fake_host_call(erab_self *self)
{
    return self->n_calls < CALLS_MAX ? ++self->n_calls : 0;
}

unsigned fake_host_completed(const erab_self *self, erab_call call)
{
    return call <= CALLS_MAX ? self->completed[call] : 0;
}

bool fake_host_is_quiet(const erab_self *self)
{
    return self->phase == FAKE_QUIET;
}

uint64_t fake_host_now(const erab_self *self)
{
    return self->start_wall + self->now;
}

unsigned fake_host_handles(const erab_self *self)
{
    return self->n_handles;
}

const char *fake_host_fault(const erab_self *self)
{
    return self->fault;
}

static bool run_posts(erab_self *self)
{
    bool any = false;
    pthread_mutex_lock(&self->lock);
    for (struct posted *p; (p = TAILQ_FIRST(&self->posts));) {
        TAILQ_REMOVE(&self->posts, p, entry);
        pthread_mutex_unlock(&self->lock);
        p->fn(p->arg);
        free(p);
        any = true;
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return any;
}

/* One callback a turn: what it frees is then out of every list. */
static bool run_watches(erab_self *self, int wait_ms)
{
    struct pollfd fds[HANDLES_MAX];
    erab_watch *at[HANDLES_MAX], *w;
    nfds_t n = 0;
    TAILQ_FOREACH(w, &self->watches, entry)
    {
        at[n] = w;
        fds[n++] = (struct pollfd){.fd = w->events ? w->fd : -1,
                                   .events = (short)((w->events & ERAB_READABLE ? POLLIN : 0) |
                                                     (w->events & ERAB_WRITABLE ? POLLOUT : 0))};
    }
    if (poll(fds, n, wait_ms) <= 0)
        return false;
    uint32_t changes = self->watch_changes;
    bool any = false;
    for (nfds_t i = 0; i < n && changes == self->watch_changes; i++) {
        if (fds[i].revents & POLLNVAL) {
            fault(self, "watched a descriptor that is closed");
            at[i]->events = 0;
        } else if (fds[i].revents) {
            any = true;
            at[i]->fn(at[i]->arg, (fds[i].revents & ~POLLOUT ? (uint32_t)ERAB_READABLE : 0) |
                                      (fds[i].revents & ~POLLIN ? (uint32_t)ERAB_WRITABLE : 0));
        }
    }
    return any;
}

/* Fires the timer that is due first; true when there was one up to `limit`. */
static bool run_timer(erab_self *self, uint64_t limit)
{
    erab_timer *t, *first = NULL;
    TAILQ_FOREACH(t, &self->timers, entry)
    if (!t->fired && (!first || t->due < first->due))
        first = t;
    if (!first || first->due > limit)
        return false;
    if (first->due > self->now)
        self->now = first->due;
    first->fired = true;
    first->fn(first->arg);
    return true;
}

/* Whether anything but a timer could still happen. */
static bool something_may_come(const erab_self *self)
{
    if (!TAILQ_EMPTY(&self->watches))
        return true;
    unsigned threads = 0;
    DIR *d = opendir("/proc/self/task");
    for (const struct dirent *e; d && (e = readdir(d));)
        threads += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return threads != 1;
}

void fake_host_run(erab_self *self, uint64_t for_ms, bool (*done)(const erab_self *self, void *arg), void *arg)
{
    uint64_t end = self->now + for_ms;
    unsigned waits = 0;
    for (unsigned turn = 0; turn < 100000 && waits < REAL_WAITS && !done(self, arg); turn++) {
        if (run_posts(self) || run_watches(self, 0) || run_timer(self, end))
            continue;
        if (!something_may_come(self))
            break;
        if (run_watches(self, REAL_WAIT_MS))
            continue;
        waits++;
    }
    if (self->now < end && !done(self, arg))
        self->now = end;
}
