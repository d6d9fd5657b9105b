/* A small adapter: applies every command, and refuses those that the option `refuse` says; that it started is
 * noted in the store. */
#include <stdlib.h>
#include <string.h>

#include <erab/adapter.h>

struct echo {
    erab_self *self;
    const struct erab_host *host;
    erab_timer *timer;
    erab_call call;
    bool refuse;
};

static const struct erab_option options[] = {
    {.name = "refuse", .type = ERAB_OPTION_BOOLEAN, .default_value = "false", .help = "refuse every command"},
    {.name = NULL},
};

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct echo *e = instance;
    (void)error;
    *e = (struct echo){.self = self, .host = host, .refuse = config->values[0].integer != 0};
    return 0;
}

static int start(void *instance)
{
    struct echo *e = instance;
    return e->host->store_put(e->self, "started", "yes", 3);
}

static void later(void *arg)
{
    struct echo *e = arg;
    e->host->timer_free(e->self, e->timer);
    e->timer = NULL;
    e->host->complete(e->self, e->call, ERAB_APPLIED, ERAB_REASON_NONE, "echoed");
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    struct echo *e = instance;
    (void)message;
    if (!call)
        return 0;
    if (e->refuse)
        return ERAB_REASON_DECLINED;
    e->call = call;
    e->timer = e->host->timer(e->self, 1, later, e);
    return e->timer ? 0 : ERAB_REASON_BUSY;
}

static void cancel(void *instance, erab_call call)
{
    struct echo *e = instance;
    if (e->call != call)
        return;
    e->host->timer_free(e->self, e->timer);
    e->timer = NULL;
}

static void stop(void *instance)
{
    struct echo *e = instance;
    e->host->timer_free(e->self, e->timer);
    e->timer = NULL;
    e->host->quiesced(e->self);
}

static void fini(void *instance)
{
    (void)instance;
}

static const struct erab_adapter echo = {.size = sizeof echo,
                                         .abi_major = 0,
                                         .abi_minor = 1,
                                         .name = "echo",
                                         .version = "1",
                                         .vendor = "tests",
                                         .hardened_for = "tests",
                                         .max_in_flight = 1,
                                         .options = options,
                                         .instance_size = sizeof(struct echo),
                                         .init = init,
                                         .start = start,
                                         .deliver = deliver,
                                         .cancel = cancel,
                                         .stop = stop,
                                         .fini = fini};

static const struct erab_adapter *const adapters[] = {&echo, NULL};

ERAB_MODULE(0, 1, "test", adapters, NULL);
