/* The inside of the fake host: fake_host.c has the table of services, fake_run.c its loop. */
#ifndef ERABI_FAKE_HOST_H
#define ERABI_FAKE_HOST_H

#include <pthread.h>
#include <sys/queue.h>

#include <erab/testkit.h>

#include "testkit/fake_store.h"
#include "testkit/fake_vote.h"

#define FAKE_CALLS_MAX   4096u
#define FAKE_HANDLES_MAX 1024u
#define FAKE_LOGS_MAX    1000u
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
    enum erab_fake_phase phase;
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
    uint8_t completed[FAKE_CALLS_MAX + 1];
    struct fake_vote vote;
    int silent[8]; /* other ends of the networks, -1: none */
    int wake; /* an eventfd that post writes to */
    uint64_t start_mono; /* in real time */
    struct erab_fake_ways ways;
    char fault[256];
};

__attribute__((format(printf, 2, 3))) void fake_fault(erab_self *self, const char *format, ...);
/* Its time since it was made. */
uint64_t fake_elapsed(const erab_self *self);

#endif
