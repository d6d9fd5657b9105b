#include "host/options.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "config/given.h"
#include "host/module.h"
#include "host/runner.h"

#define PATIENCE_MS 10000u
#define ANSWER_MAX  65536u
#define FD_DOCUMENT 3

struct asking {
    const struct erabi_config *config;
    const char *runner;
    char answer[ANSWER_MAX];
    size_t used;
};

static void note(const struct erabi_given_entry *entry, const char *why)
{
    erabi_config_note(entry->errors, entry->file, entry->mark, "%s '%s': its options were not looked at: %.250s", entry->kind,
                      entry->instance, why);
}

static json_t *document(const struct asking *a, const struct erabi_given_entry *entry, const char *module, const char *name)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "module", module, "kind", entry->kind, "name", name, "options",
                     erabi_host_module_options(entry->options, entry->n_options), "signers",
                     erabi_host_module_signers(a->config));
}

static int start(pid_t *pid, const char *runner, int document_fd, int out)
{
    char *const args[] = {(char *)(uintptr_t)"erab-runner", (char *)(uintptr_t)"--options-fd", (char *)(uintptr_t)"3", NULL};
    char *const env[] = {NULL};
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    /* The document goes to its place last: `out` may be that very number. */
    if (!(r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO)) &&
        !(r = posix_spawn_file_actions_adddup2(&actions, document_fd, FD_DOCUMENT)))
        r = posix_spawn(pid, runner, &actions, NULL, args, env);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Until it closes its output. False: not in time, or too much. */
static bool read_answer(struct asking *a, int fd)
{
    for (uint64_t end = erabi_clock_ms(CLOCK_MONOTONIC) + PATIENCE_MS;;) {
        uint64_t now = erabi_clock_ms(CLOCK_MONOTONIC);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = now < end ? poll(&p, 1, (int)(end - now)) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || a->used == sizeof(a->answer))
            return false;
        ssize_t got = read(fd, a->answer + a->used, sizeof(a->answer) - a->used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        a->used += (size_t)got;
    }
}

/* What comes is of a process with foreign code: whatever is no fault is left out. */
static void take_lines(const struct asking *a, const struct erabi_given_entry *entry)
{
    size_t at = 0;
    for (const char *end; (end = memchr(a->answer + at, '\n', a->used - at)); at = (size_t)(end - a->answer) + 1) {
        json_t *line = json_loadb(a->answer + at, (size_t)(end - a->answer) - at, 0, NULL);
        struct erabi_option_fault fault = {0};
        json_int_t item;
        int is_name;
        if (line && json_unpack(line, "{s:s, s:b, s:I, s:s}", "option", &fault.option, "is_name", &is_name, "item", &item,
                                "text", &fault.text) == 0) {
            char text[400];
            snprintf(text, sizeof(text), "%s", fault.text);
            erabi_plain_text(text, strlen(text));
            fault.text = text;
            fault.is_name = is_name;
            fault.item = item > 0 ? (size_t)item : 0;
            erabi_given_fault(entry, &fault);
        }
        json_decref(line);
    }
}

static void ask(struct asking *a, const struct erabi_given_entry *entry, const char *module, const char *name)
{
    struct erab_error why = {.size = sizeof(why)};
    int out[2], status = 0;
    pid_t pid;
    enum erab_reason reason = erabi_host_module_judge(a->config, module, &why);
    if (reason != ERAB_REASON_NONE) {
        char text[600];
        snprintf(text, sizeof(text), "%s: %s", erab_reason_code(reason), why.text);
        note(entry, text);
        return;
    }
    _close_ int fd = erabi_host_module_document(document(a, entry, module, name));
    if (fd < 0 || pipe2(out, O_CLOEXEC) < 0) {
        note(entry, "no memory or no descriptors");
        return;
    }
    int r = start(&pid, a->runner, fd, out[1]);
    close(out[1]);
    a->used = 0;
    bool good = r == 0 && read_answer(a, out[0]);
    close(out[0]);
    if (r == 0 && !good)
        kill(pid, SIGKILL); /* not reaped yet: the number is still its own */
    while (r == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (good && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        take_lines(a, entry);
    else
        note(entry, r ? strerror(-r) : good ? "its runner refused it or crashed" : "it did not answer in time");
}

int erabi_host_options_check(const struct erabi_config *config, const char *file, const char *runner,
                             struct erabi_config_errors *errors)
{
    char beside[ERABI_RUNNER_PATH] = "erab-runner";
    _free_ struct asking *a = calloc(1, sizeof(*a));
    size_t before = errors->n + errors->more;
    if (!a)
        return -ENOMEM;
    if (!runner)
        (void)erabi_runner_path(beside); /* one that is not there is told by the first start */
    a->config = config;
    a->runner = runner ? runner : beside;
    for (size_t i = 0; i < config->n_adapters; i++) {
        const struct erabi_config_adapter *c = &config->adapters[i];
        const struct erabi_given_entry entry = {"adapter", c->instance, c->mark, c->options, c->n_options, file, errors};
        ask(a, &entry, c->module, c->name);
    }
    for (size_t i = 0; i < config->n_policies; i++) {
        const struct erabi_config_policy *c = &config->policies[i];
        const struct erabi_given_entry entry = {"policy", c->instance, c->mark, c->options, c->n_options, file, errors};
        if (c->module)
            ask(a, &entry, c->module, c->name);
    }
    return errors->n + errors->more == before ? 0 : -EINVAL;
}
