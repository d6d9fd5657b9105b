/* erab-runner: hosts one adapter instance for erabd, in two processes: a supervisor, and the sandboxed half that holds the
 * module. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "runner.h"
#include "supervisor.h"

#define STOP_MS 12000u /* more than an adapter needs to bring its devices into the safe state */
#define TICK_MS 250u

static const char help[] =
    "erab-runner - hosts one adapter of the ERAB broker in a process of its own\n"
    "\n"
    "  erab-runner --config-fd N [--events-fd M]\n"
    "                               run the instance described on descriptor N (started so by erabd)\n"
    "  erab-runner --policy-fd N    judge by the policy described and asked on socket N (started so by erabd)\n"
    "  erab-runner --options-fd N   look at the options described on descriptor N (started so by erabd -t)\n"
    "  erab-runner --check FILE.so  load a module and print its adapters, options and ABI\n"
    "  erab-runner --help           this text\n"
    "\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong use.\n";

static void on_client(uv_poll_t *poll, int status, int events)
{
    erab_self *self = poll->data;
    (void)status;
    (void)events;
    if (erab_client_step(self->client)) {
        runner_log(self, ERAB_LOG_ERROR, "the connection to the broker failed for good");
        self->exit_code = 1;
        uv_stop(&self->loop);
    }
}

static void on_state(void *user, struct erab_client *client, enum erab_connection_state state)
{
    (void)client;
    runner_log(user, state == ERAB_CONNECTED ? ERAB_LOG_INFO : ERAB_LOG_WARNING,
               state == ERAB_CONNECTED   ? "connected to the broker"
               : state == ERAB_REJECTED ? "the broker refuses this key; is the attachment registered and not revoked?"
                                         : "connection to the broker lost; trying again");
}

static void on_limit(uv_timer_t *timer)
{
    erab_self *self = timer->data;
    runner_log(self, ERAB_LOG_ERROR, "the adapter did not fall silent within 12 s");
    self->exit_code = 1;
    uv_stop(&self->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    erab_self *self = handle->data;
    (void)number;
    if (self->stopping)
        return;
    self->stopping = true;
    uv_timer_start(&self->limit, on_limit, STOP_MS, 0);
    self->adapter->stop(self->instance);
}

static void on_tick(uv_timer_t *timer)
{
    erab_self *self = timer->data;
    runner_link_tick(self);
    if (self->n_calls || self->n_backlog)
        runner_cancel_expired(self);
}

static void on_async(uv_async_t *async)
{
    runner_run_posts(async->data);
}

static int start_loop(erab_self *self)
{
    int r = uv_loop_init(&self->loop);
    if (r)
        return r;
    self->poll.data = self->tick.data = self->limit.data = self->terminate.data = self->interrupt.data =
        self->async.data = self->drain.data = self;
    uv_timer_init(&self->loop, &self->tick);
    uv_timer_init(&self->loop, &self->limit);
    uv_idle_init(&self->loop, &self->drain);
    if ((r = uv_async_init(&self->loop, &self->async, on_async)) ||
        (r = uv_signal_init(&self->loop, &self->terminate)) || (r = uv_signal_init(&self->loop, &self->interrupt)) ||
        (r = uv_signal_start(&self->terminate, on_signal, SIGTERM)) ||
        (r = uv_signal_start(&self->interrupt, on_signal, SIGINT)))
        return r;
    r = runner_link_start(self);
    return r ? r : uv_timer_start(&self->tick, on_tick, TICK_MS, TICK_MS);
}

static int connect_client(erab_self *self)
{
    const struct erab_client_callbacks callbacks = {.size = sizeof callbacks,
                                                    .on_message = runner_on_message,
                                                    .on_receipt = runner_on_receipt,
                                                    .on_state = on_state};
    struct erab_client_options o = {.size = sizeof o,
                                    .endpoint = self->document.endpoint,
                                    .identity = &self->document.identity,
                                    .sign = true,
                                    .trusted = self->document.trusted,
                                    .n_trusted = self->document.n_trusted,
                                    .callbacks = &callbacks,
                                    .user = self,
                                    .software = "erab-runner",
                                    .parties = (const char *const *)self->document.parties};
    for (size_t i = 0; i < ERAB_KEY_SIZE; i++)
        o.server_key[i] = self->document.server_key[i];
    snprintf(o.hub, sizeof o.hub, "%s", self->document.hub);
    int r = erab_client_new(&self->client, &o);
    erab_identity_wipe(&self->document.identity);
    if (!r)
        r = uv_poll_init(&self->loop, &self->poll, erab_client_fd(self->client));
    return r ? r : uv_poll_start(&self->poll, UV_READABLE, on_client);
}

/* What the supervisor verified is what is mapped: the memory file is sealed. */
static int load_module(erab_self *self, struct erab_error *error)
{
    struct erabi_module_file file;
    int r = erabi_module_adopt(&file, self->document.module, CHANNEL_MODULE_FD, error);
    if (!r)
        r = erabi_module_load(&self->module, &file, error);
    if (!r && !(self->adapter = erabi_module_adapter(self->module, self->document.adapter, error)))
        r = ERAB_REASON_MODULE_FILE;
    return r;
}

/* Everything up to a started instance. */
static int prepare(erab_self *self, int fd, struct erab_error *error)
{
    int r = runner_document_read(&self->document, fd, error);
    close(fd);
    if (!r)
        r = runner_files_lock(self, error);
    if (r)
        return r;
    self->store = open(self->document.state_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (self->store < 0)
        return runner_fail(error, -errno, "state_dir %.300s: %s", self->document.state_dir, strerror(errno));
    if ((r = load_module(self, error)))
        return r;
    r = erabi_module_options(&self->config, self->adapter->options, self->document.options, error);
    if (r || (self->adapter->check && (r = self->adapter->check(&self->config, error))))
        return r;
    self->max_calls = self->adapter->max_in_flight;
    if (!self->max_calls || self->max_calls > RUNNER_CALLS_MAX)
        self->max_calls = self->max_calls ? RUNNER_CALLS_MAX : 1;
    self->calls = calloc(self->max_calls, sizeof *self->calls);
    self->instance = calloc(1, self->adapter->instance_size);
    if (!self->calls || !self->instance)
        return runner_fail(error, -ENOMEM, "out of memory");
    if ((r = start_loop(self)) || (r = connect_client(self)))
        return runner_fail(error, r, "cannot start: %s", strerror(-r));
    r = self->adapter->init(self->instance, self, &runner_host, &self->config, error);
    if (r) {
        self->adapter->fini(self->instance);
        return r;
    }
    r = self->adapter->start(self->instance);
    return r ? runner_fail(error, r, "the adapter cannot start: %s", strerror(r < 0 ? -r : EINVAL)) : 0;
}

static int run_sandboxed(int parent)
{
    static erab_self self;
    struct erab_error error = {.size = sizeof error};
    self.store = -1;
    STAILQ_INIT(&self.backlog);
    STAILQ_INIT(&self.posts);
    pthread_mutex_init(&self.lock, NULL);
    int r = runner_link_lock(parent, &error);
    if (!r)
        r = prepare(&self, CHANNEL_DOCUMENT_FD, &error);
    if (r) {
        char text[600];
        snprintf(text, sizeof text, "%s%s%s", r > 0 ? erab_reason_code((enum erab_reason)r) : "", r > 0 ? ": " : "",
                 error.text);
        runner_log(&self, ERAB_LOG_ERROR, text);
        return 1;
    }
    runner_log(&self, ERAB_LOG_INFO, "started");
    runner_link_tell(CHANNEL_READY);
    while (!self.quiet && !self.exit_code)
        uv_run(&self.loop, UV_RUN_DEFAULT);
    runner_link_tell(CHANNEL_LEAVING);
    if (self.quiet) {
        self.adapter->fini(self.instance);
        erab_client_run(self.client, 100); /* the last answers on their way */
        runner_log(&self, ERAB_LOG_INFO, "stopped");
    }
    erab_client_free(self.client);
    runner_deliver_deinit(&self);
    erabi_module_options_deinit(&self.config, self.adapter->options);
    runner_document_deinit(&self.document);
    free(self.instance);
    erabi_module_free(self.module);
    return self.exit_code;
}

static int number(const char *text)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    return !errno && end != text && !*end && n >= 0 && n <= INT_MAX ? (int)n : -1;
}

#ifdef __SANITIZE_ADDRESS__
/* The search for leaks needs what the filter refuses. */
ERAB_API const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return runner_module_print(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--sandboxed") == 0) /* only by the supervisor */
        return run_sandboxed(number(argv[2]));
    bool events = argc == 5 && strcmp(argv[3], "--events-fd") == 0 && number(argv[4]) >= 0;
    if ((argc == 3 || events) && strcmp(argv[1], "--config-fd") == 0 && number(argv[2]) >= 0)
        return supervise(number(argv[2]), events ? number(argv[4]) : -1);
    if (argc == 3 && strcmp(argv[1], "--policy-fd") == 0 && number(argv[2]) >= 0)
        return runner_policy(number(argv[2]));
    if (argc == 3 && strcmp(argv[1], "--options-fd") == 0 && number(argv[2]) >= 0)
        return runner_options(number(argv[2]));
    fputs(help, stderr);
    return 2;
}
