#include "host/runner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <sodium.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "host/module.h"

#define BACKOFF_FIRST_MS 1000u
#define BACKOFF_MAX_MS   60000u
#define STOP_MS          14000u /* the runner itself ends after 12 s */
#define STEADY_MS        60000u /* of work after which an end is no longer of a series */

struct erabi_runner {
    uv_loop_t *loop;
    const struct erabi_config_adapter *adapter;
    struct erabi_runner_wiring wiring;
    uv_process_t process;
    uv_timer_t timer;
    uv_pipe_t events; /* lines from the process */
    char line[512];
    size_t used;
    uint64_t ready_ms; /* since when it works; 0: it does not */
    uint64_t backoff_ms;
    enum erab_reason refused; /* the module, last time */
    bool running, stopping, failed; /* failed: it could not be spawned */
    int open_handles;
    void (*done)(void *user);
    void *done_user;
};

static json_t *hex(const uint8_t *bytes, size_t size)
{
    char text[2 * ERAB_SIGN_SECRET + 1];
    sodium_bin2hex(text, sizeof(text), bytes, size);
    json_t *value = json_string(text);
    sodium_memzero(text, sizeof(text));
    return value;
}

static json_t *trusted_parties(const struct erabi_runner *runner)
{
    const struct erabi_config *config = runner->wiring.config;
    json_t *trusted = json_array();
    json_array_append_new(trusted, json_pack("{s:s, s:o}", "party", config->owner.party, "sign_key",
                                             hex(runner->wiring.owner_sign_key, ERAB_KEY_SIZE)));
    for (size_t i = 0; i < config->n_parties; i++)
        for (size_t k = 0; k < config->parties[i].n_sign_keys; k++)
            json_array_append_new(trusted, json_pack("{s:s, s:o}", "party", config->parties[i].id, "sign_key",
                                                     hex(config->parties[i].sign_keys[k], ERAB_KEY_SIZE)));
    return trusted;
}

/* A folder of its own: what an adapter keeps never meets the broker's files. */
static int state_folder(const struct erabi_runner *runner, char path[ERABI_RUNNER_PATH])
{
    if (snprintf(path, ERABI_RUNNER_PATH, "%s/adapter-%s", runner->wiring.config->state_dir, runner->adapter->instance) >=
        (int)ERABI_RUNNER_PATH)
        return -ENAMETOOLONG;
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static json_t *document(const struct erabi_runner *runner)
{
    const struct erabi_config_adapter *adapter = runner->adapter;
    const struct erab_identity *keys = &runner->wiring.keys;
    char state[ERABI_RUNNER_PATH];
    if (state_folder(runner, state) < 0)
        return NULL;
    json_t *parties = json_array();
    json_t *options = erabi_host_module_options(adapter->options, adapter->n_options);
    for (size_t i = 0; i < adapter->n_parties; i++)
        json_array_append_new(parties, json_string(adapter->parties[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:I}", "instance",
                     adapter->instance, "module", adapter->module, "adapter", adapter->name, "endpoint",
                     runner->wiring.endpoint, "server_key", hex(runner->wiring.server_key, ERAB_KEY_SIZE), "hub",
                     runner->wiring.hub, "curve_public", hex(keys->curve_public, ERAB_KEY_SIZE), "curve_secret",
                     hex(keys->curve_secret, ERAB_KEY_SIZE), "sign_public", hex(keys->sign_public, ERAB_KEY_SIZE),
                     "sign_secret", hex(keys->sign_secret, ERAB_SIGN_SECRET), "parties", parties, "trusted",
                     trusted_parties(runner), "signers", erabi_host_module_signers(runner->wiring.config), "options",
                     options, "state_dir", state, "liveness_ms", (json_int_t)adapter->liveness_ms);
}

int erabi_runner_path(char path[ERABI_RUNNER_PATH])
{
    char exe[ERABI_RUNNER_PATH];
    size_t size = sizeof(exe);
    int r = uv_exepath(exe, &size);
    if (r < 0)
        return r;
    char *slash = strrchr(exe, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';
    const char *const places[] = {"erab-runner", "../runner/erab-runner"};
    for (size_t i = 0; i < 2; i++)
        if (snprintf(path, ERABI_RUNNER_PATH, "%s/%s", exe, places[i]) < (int)ERABI_RUNNER_PATH && access(path, X_OK) == 0)
            return 0;
    return -ENOENT;
}

static void start_process(struct erabi_runner *runner);

static void on_handle_closed(uv_handle_t *handle)
{
    struct erabi_runner *runner = handle->data;
    if (--runner->open_handles > 0)
        return;
    void (*done)(void *user) = runner->done;
    void *user = runner->done_user;
    sodium_memzero(&runner->wiring.keys, sizeof(runner->wiring.keys));
    free(runner);
    if (done)
        done(user);
}

static void close_all(struct erabi_runner *runner)
{
    uv_close((uv_handle_t *)&runner->timer, on_handle_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct erabi_runner *runner = timer->data;
    if (runner->stopping && runner->running)
        uv_process_kill(&runner->process, SIGKILL);
    else if (!runner->stopping)
        start_process(runner);
}

/* With jitter, so that many adapters that fail together do not come back together. */
static void later(struct erabi_runner *runner)
{
    uint64_t now = uv_now(runner->loop);
    if (runner->ready_ms && now - runner->ready_ms >= STEADY_MS)
        runner->backoff_ms = BACKOFF_FIRST_MS;
    runner->ready_ms = 0;
    uint64_t half = runner->backoff_ms / 2;
    uv_timer_start(&runner->timer, on_timer, runner->backoff_ms - half / 2 + randombytes_uniform((uint32_t)half), 0);
    runner->backoff_ms = runner->backoff_ms * 2 < BACKOFF_MAX_MS ? runner->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* The process is reaped and all that it said is read: only now it has ended, so that the lines of the audit keep
 * their order. */
static void on_part_closed(uv_handle_t *handle)
{
    struct erabi_runner *runner = handle->data;
    if (--runner->open_handles > 1)
        return;
    runner->running = false;
    if (!runner->failed)
        runner->wiring.on_event(runner->wiring.user, runner->adapter->instance, "ended", "");
    if (runner->stopping)
        close_all(runner);
    else
        later(runner);
}

static void on_line(struct erabi_runner *runner, char *line)
{
    static const char *const known[] = {"ready", "hung", "incident", "refused"};
    char *detail = strchr(line, ' ');
    if (detail)
        *detail++ = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(line, known[i]) == 0) {
            if (i == 0)
                runner->ready_ms = uv_now(runner->loop);
            runner->wiring.on_event(runner->wiring.user, runner->adapter->instance, known[i], detail ? detail : "");
        }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct erabi_runner *runner = handle->data;
    if (runner->used == sizeof(runner->line) - 1)
        runner->used = 0; /* no line is so long: it is dropped */
    *buf = uv_buf_init(runner->line + runner->used, (unsigned)(sizeof(runner->line) - 1 - runner->used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct erabi_runner *runner = stream->data;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, on_part_closed);
        return;
    }
    runner->used += (size_t)n;
    runner->line[runner->used] = '\0';
    char *at = runner->line, *end;
    while ((end = strchr(at, '\n'))) {
        *end = '\0';
        on_line(runner, at);
        at = end + 1;
    }
    runner->used = strlen(at);
    memmove(runner->line, at, runner->used + 1);
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
    struct erabi_runner *runner = process->data;
    runner->wiring.say(runner->wiring.user, "adapter %s ended (status %d, signal %d)%s", runner->adapter->instance,
                       (int)status, signal, runner->stopping ? "" : ", is started again");
    runner->running = false;
    uv_close((uv_handle_t *)process, on_part_closed);
}

static int spawn(struct erabi_runner *runner, char *path, int fd)
{
    char *args[] = {path, (char *)(uintptr_t)"--config-fd", (char *)(uintptr_t)"3", (char *)(uintptr_t)"--events-fd",
                    (char *)(uintptr_t)"4", NULL};
    uv_pipe_init(runner->loop, &runner->events, 0);
    runner->events.data = runner->process.data = runner;
    runner->used = 0;
    uv_stdio_container_t stdio[5] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
        {.flags = UV_INHERIT_FD, .data.fd = fd},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&runner->events}};
    uv_process_options_t options = {
        .exit_cb = on_exit_of, .file = path, .args = args, .stdio = stdio, .stdio_count = 5};
    int r = uv_spawn(runner->loop, &runner->process, &options);
    runner->open_handles += 2; /* also after a failed spawn the handles have to be closed */
    runner->failed = r < 0;
    if (r < 0) {
        uv_close((uv_handle_t *)&runner->process, on_part_closed);
        uv_close((uv_handle_t *)&runner->events, on_part_closed);
    } else {
        uv_read_start((uv_stream_t *)&runner->events, on_alloc, on_read);
    }
    return r;
}

/* True when the module was refused: tried again later, as after an end. */
static bool module_refused(struct erabi_runner *runner)
{
    struct erab_error error = {.size = sizeof(error)};
    enum erab_reason reason = erabi_host_module_judge(runner->wiring.config, runner->adapter->module, &error);
    if (reason && reason != runner->refused) {
        runner->wiring.say(runner->wiring.user, "adapter %s: %s: %s", runner->adapter->instance, erab_reason_code(reason),
                           error.text);
        runner->wiring.on_refused(runner->wiring.user, runner->adapter->instance, runner->adapter->module, reason);
    }
    runner->refused = reason;
    if (reason)
        later(runner);
    return reason != ERAB_REASON_NONE;
}

static void start_process(struct erabi_runner *runner)
{
    if (module_refused(runner))
        return;
    char path[ERABI_RUNNER_PATH];
    const char *given = runner->wiring.runner;
    int r = !given ? erabi_runner_path(path) : erabi_copy_text(path, sizeof(path), given) ? 0 : -ENAMETOOLONG;
    _close_ int fd = r < 0 ? -1 : erabi_host_module_document(document(runner));
    if (r == 0 && fd < 0)
        r = fd;
    if (r == 0)
        r = spawn(runner, path, fd);
    else
        later(runner);
    runner->running = r == 0;
    if (r < 0)
        runner->wiring.say(runner->wiring.user, "adapter %s: erab-runner cannot be started: %s",
                           runner->adapter->instance, strerror(-r));
    runner->wiring.on_event(runner->wiring.user, runner->adapter->instance, r < 0 ? "not started" : "started", "");
}

int erabi_runner_new(struct erabi_runner **out, uv_loop_t *loop, const struct erabi_config_adapter *adapter,
                     const struct erabi_runner_wiring *wiring)
{
    struct erabi_runner *runner = calloc(1, sizeof(*runner));
    if (!runner)
        return -ENOMEM;
    runner->loop = loop;
    runner->adapter = adapter;
    runner->wiring = *wiring;
    runner->backoff_ms = BACKOFF_FIRST_MS;
    uv_timer_init(loop, &runner->timer);
    runner->timer.data = runner;
    runner->open_handles = 1;
    start_process(runner);
    *out = runner;
    return 0;
}

void erabi_runner_rewire(struct erabi_runner *runner, const struct erabi_config *config,
                         const struct erabi_config_adapter *adapter, bool restart)
{
    runner->wiring.config = config;
    runner->adapter = adapter;
    if (restart && runner->running && !runner->stopping)
        uv_process_kill(&runner->process, SIGTERM);
}

void erabi_runner_stop(struct erabi_runner *runner, void (*done)(void *user), void *user)
{
    runner->stopping = true;
    runner->done = done;
    runner->done_user = user;
    if (runner->running) {
        uv_process_kill(&runner->process, SIGTERM);
        uv_timer_start(&runner->timer, on_timer, STOP_MS, 0);
    } else if (runner->open_handles == 1) {
        close_all(runner);
    } /* else the closing of the failed process goes on in on_part_closed */
}

bool erabi_runner_works(const struct erabi_runner *runner)
{
    return runner->ready_ms != 0;
}

const char *erabi_runner_instance(const struct erabi_runner *runner)
{
    return runner->adapter->instance;
}
