/* The loop of the fake host. */
#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "testkit/fake_host.h"

#define REAL_WAIT_MS     20 /* for threads and peers, when no timer is set */
#define REAL_WAITS       50u
#define REAL_WAIT_MAX_MS 60000u

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
    struct pollfd fds[FAKE_HANDLES_MAX + 2];
    erab_watch *at[FAKE_HANDLES_MAX], *w;
    nfds_t n = 0;
    uint64_t posts;
    TAILQ_FOREACH(w, &self->watches, entry)
    {
        at[n] = w;
        fds[n++] = (struct pollfd){.fd = w->events ? w->fd : -1,
                                   .events = (short)((w->events & ERAB_READABLE ? POLLIN : 0) |
                                                     (w->events & ERAB_WRITABLE ? POLLOUT : 0))};
    }
    fds[n] = (struct pollfd){.fd = self->wake, .events = POLLIN};
    fds[n + 1] = (struct pollfd){.fd = self->ways.fd, .events = POLLIN};
    if (poll(fds, n + 2, wait_ms) <= 0)
        return false;
    if (fds[n].revents)
        (void)!read(self->wake, &posts, sizeof posts);
    uint32_t changes = self->watch_changes;
    bool any = false;
    for (nfds_t i = 0; i < n && changes == self->watch_changes; i++) {
        if (fds[i].revents & POLLNVAL) {
            fake_fault(self, "watched a descriptor that is closed");
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

/* By the machine's clock. */
static void run_real(erab_self *self, uint64_t end, bool (*done)(const erab_self *self, void *arg), void *arg)
{
    while (!done(self, arg)) {
        self->now = fake_elapsed(self);
        if (self->now >= end)
            return;
        if (run_posts(self) || run_timer(self, self->now))
            continue;
        int may = self->ways.turn ? self->ways.turn(self->ways.user) : -1;
        uint64_t wait = end - self->now < REAL_WAIT_MAX_MS ? end - self->now : REAL_WAIT_MAX_MS;
        const erab_timer *t;
        TAILQ_FOREACH(t, &self->timers, entry)
        if (!t->fired && t->due < self->now + wait)
            wait = t->due > self->now ? t->due - self->now : 0;
        run_watches(self, may >= 0 && (uint64_t)may < wait ? may : (int)wait);
    }
}

void erab_fake_run(erab_self *self, uint64_t for_ms, bool (*done)(const erab_self *self, void *arg), void *arg)
{
    if (self->ways.real_time) {
        uint64_t now = fake_elapsed(self);
        run_real(self, for_ms < UINT64_MAX - now ? now + for_ms : UINT64_MAX, done, arg);
        return;
    }
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
