/* What the misbehaving adapters share: everything but the misbehaviour. Each defines `began` (called once, from
 * the loop, after start) and `commanded` (0 or a reason; completes by itself). */
#ifndef ERAB_FAULT_SHELL_H
#define ERAB_FAULT_SHELL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <erab/adapter.h>

struct bad {
    erab_self *self;
    const struct erab_host *host;
    erab_timer *timer;
    erab_watch *watch;
    int fd;
    unsigned n;
};

static void began(struct bad *b);
static int commanded(struct bad *b, erab_call call, const struct erab_message *message);

__attribute__((format(printf, 2, 3), unused)) static void say(struct bad *b, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->host->log(b->self, ERAB_LOG_INFO, text);
}

__attribute__((unused)) static int apply(struct bad *b, erab_call call)
{
    b->host->complete(b->self, call, ERAB_APPLIED, ERAB_REASON_NONE, NULL);
    return 0;
}

/* True once in the life of the state folder. */
__attribute__((unused)) static bool first_time(struct bad *b)
{
    char value[8];
    size_t size = sizeof value;
    if (b->host->store_get(b->self, "done", value, &size) >= 0)
        return false;
    return b->host->store_put(b->self, "done", "yes", 3) == 0;
}

static void on_began(void *arg)
{
    struct bad *b = arg;
    b->host->timer_free(b->self, b->timer);
    b->timer = NULL;
    began(b);
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct bad *b = instance;
    *b = (struct bad){.self = self, .host = host, .fd = -1};
    return 0;
}

static int start(void *instance)
{
    struct bad *b = instance;
    b->timer = b->host->timer(b->self, 1, on_began, b);
    return b->timer ? 0 : -ENOMEM;
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    return call ? commanded(instance, call, message) : 0;
}

static void cancel(void *instance, erab_call call)
{
}

static void stop(void *instance)
{
    struct bad *b = instance;
    b->host->timer_free(b->self, b->timer);
    b->host->watch_free(b->self, b->watch);
    b->timer = NULL;
    b->watch = NULL;
    b->host->quiesced(b->self);
}

static void fini(void *instance)
{
}

static const struct erab_option options[] = {
    {.name = "endpoint", .type = ERAB_OPTION_TEXT, .help = "HOST:PORT"},
    {.name = "listen", .type = ERAB_OPTION_TEXT, .help = "listen://ADDRESS:PORT"},
    {.name = "interface", .type = ERAB_OPTION_TEXT, .help = "a network interface"},
    {.name = NULL},
};

static const struct erab_adapter bad = {.size = sizeof bad,
                                        .abi_major = ERAB_ABI_MAJOR,
                                        .abi_minor = ERAB_ABI_MINOR,
                                        .name = "bad",
                                        .version = "1",
                                        .vendor = "tests",
                                        .hardened_for = "nothing",
                                        .max_in_flight = 4,
                                        .options = options,
                                        .instance_size = sizeof(struct bad),
                                        .init = init,
                                        .start = start,
                                        .deliver = deliver,
                                        .cancel = cancel,
                                        .stop = stop,
                                        .fini = fini};

static const struct erab_adapter *const adapters[] = {&bad, NULL};

ERAB_MODULE(0, 3, "fault", adapters, NULL);

#endif
