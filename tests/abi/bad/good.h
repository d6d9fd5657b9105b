/* What every module here is but for its one fault, which it defines before it includes this: an adapter named "bad"
 * that applies each command at once. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <erab/adapter.h>

struct bad {
    erab_self *self;
    const struct erab_host *host;
};

#ifndef BAD_INIT
#define BAD_INIT return 0;
#endif
#ifndef BAD_START
#define BAD_START return 0;
#endif
#ifndef BAD_DELIVER
#define BAD_DELIVER                                                                                          \
    if (call)                                                                                                \
        b->host->complete(b->self, call, ERAB_APPLIED, ERAB_REASON_NONE, NULL);                              \
    return 0;
#endif
#ifndef BAD_STOP
#define BAD_STOP b->host->quiesced(b->self);
#endif
#ifndef BAD_MAJOR
#define BAD_MAJOR 0
#endif
#ifndef BAD_MINOR
#define BAD_MINOR 1
#endif
#ifndef BAD_SIZE
#define BAD_SIZE sizeof(struct erab_adapter)
#endif

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct bad *b = instance;
    b->self = self;
    b->host = host;
    (void)config;
    (void)error;
    BAD_INIT
}

static int start(void *instance)
{
    struct bad *b = instance;
    (void)b;
    BAD_START
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    struct bad *b = instance;
    (void)message;
    (void)b;
    BAD_DELIVER
}

static void cancel(void *instance, erab_call call)
{
    (void)instance;
    (void)call;
}

static void stop(void *instance)
{
    struct bad *b = instance;
    (void)b;
    BAD_STOP
}

static void fini(void *instance)
{
    (void)instance;
}

static const struct erab_adapter bad = {.size = BAD_SIZE,
                                        .abi_major = BAD_MAJOR,
                                        .abi_minor = BAD_MINOR,
                                        .name = "bad",
                                        .version = "1",
                                        .vendor = "tests",
                                        .hardened_for = "nothing",
                                        .max_in_flight = 4,
                                        .instance_size = sizeof(struct bad),
                                        .init = init,
                                        .start = start,
                                        .deliver = deliver,
                                        .cancel = cancel,
                                        .stop = stop,
                                        .fini = fini};

static const struct erab_adapter *const adapters[] = {&bad, NULL};

/* Says on the runner's own stderr that code of the module has run. */
__attribute__((constructor)) static void at_load(void)
{
    if (write(2, "the module's code runs\n", 23) < 0)
        return;
}

#ifndef BAD_OWN_MODULE
#define BAD_NUMBERS(major, minor) ERAB_MODULE(major, minor, "bad", adapters, NULL)
BAD_NUMBERS(BAD_MAJOR, BAD_MINOR);
#endif
