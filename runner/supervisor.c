#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "channel.h"
#include "logs.h"
#include "notify.h"
#include "relay.h"
#include "runner.h"
#include "sandbox.h"

#define BEATS            4u     /* unanswered questions in a row that make it hung */
#define START_MS         20000u /* for loading, checking and starting the adapter */
#define STOP_MS          13000u /* the other half itself ends after 12 s */
#define INCIDENT_MS      60000u /* one incident in this time; more are counted */
#define MESSAGES_A_TURN  16
#define OPENED_A_BEAT   8u

enum state { STARTING, READY, LEAVING };

struct supervisor {
    uv_loop_t loop;
    struct document document;
    int events, channel;
    pid_t pid;
    int pidfd;
    struct notify notify;
    struct relay *relay;
    struct logs logs;
    uv_poll_t exit_poll, channel_poll, notify_poll, logs_poll;
    uv_timer_t beat, limit;
    uv_signal_t terminate, interrupt;
    enum state state;
    bool stopping, frozen, ending, gone, refused;
    int32_t question;
    unsigned missed, opened;
    struct told {
        uint64_t at_ms; /* of the last one told, 0: none */
        unsigned more;
    } undeclared, limits; /* apart: who floods from outside does not hide what the module tries */
    int exit_code;
};

static void say(struct supervisor *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct supervisor *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    logs_line(&s->logs, text);
}

/* erabd reads lines; when it does not, they are lost rather than waited for. */
static void tell(const struct supervisor *s, const char *what, const char *text)
{
    char line[400];
    int n = snprintf(line, sizeof line, "%s%s%.350s\n", what, *text ? " " : "", text);
    if (s->events >= 0 && n > 0)
        (void)!send(s->events, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Once a minute; further ones are counted. */
static bool is_told(struct supervisor *s, struct told *told)
{
    uint64_t now = uv_now(&s->loop);
    if (told->at_ms && now - told->at_ms < INCIDENT_MS) {
        told->more++;
        return false;
    }
    told->at_ms = now ? now : 1;
    return true;
}

static void on_incident(void *user, const char *text)
{
    struct supervisor *s = user;
    if (!is_told(s, &s->undeclared))
        return;
    say(s, "refused: %s; it is not declared", text);
    tell(s, "incident", text);
}

static void tell_more(struct supervisor *s, struct told *told, const char *what)
{
    uint64_t now = uv_now(&s->loop);
    if (!told->more || now - told->at_ms < INCIDENT_MS)
        return;
    char text[64];
    snprintf(text, sizeof text, "%u more within a minute", told->more);
    told->more = 0;
    told->at_ms = now;
    say(s, "%s: %s", what, text);
    tell(s, "incident", text);
}

static void on_relay(void *user, enum relay_word word, const char *text)
{
    struct supervisor *s = user;
    if (word == RELAY_UNDECLARED) {
        on_incident(s, text);
    } else if (word == RELAY_LOG) {
        say(s, "%s", text);
    } else if (is_told(s, &s->limits)) {
        say(s, "limit: %s", text);
        tell(s, "incident", text);
    }
}

static void end_other_half(struct supervisor *s)
{
    s->ending = true;
    if (!s->gone)
        kill(s->pid, SIGKILL); /* not reaped yet: the number is still its own */
}

/* ---- what the other half asks for ---- */

static const char *option(const struct supervisor *s, const char *name)
{
    return s->document.options ? json_string_value(json_object_get(s->document.options, name)) : NULL;
}

static void reply(struct supervisor *s, struct channel_message *message, int fd)
{
    message->kind = CHANNEL_REPLY;
    message->value = fd < 0 ? fd : 0;
    if (channel_send(s->channel, message, fd))
        end_other_half(s); /* it does not read its answers */
    erabi_closep(&fd);
}

/* Names come from the other half, values only from the configuration. */
static void on_stream(struct supervisor *s, const struct channel_message *m)
{
    struct channel_message answer = {0};
    const char *endpoint = option(s, m->text);
    int fd = !endpoint ? -EINVAL : s->opened >= OPENED_A_BEAT ? -EAGAIN : relay_stream(s->relay, endpoint);
    s->opened++;
    reply(s, &answer, fd);
}

static void on_datagram(struct supervisor *s, const struct channel_message *m)
{
    struct channel_message answer = {0};
    const char *interface = option(s, m->text);
    const struct erab_datagram_options options = {
        .size = sizeof options, .group = m->group, .port = (uint16_t)m->port, .family = (uint16_t)m->family};
    int fd = !interface || m->port > UINT16_MAX || m->family > UINT16_MAX ? -EINVAL
             : s->opened >= OPENED_A_BEAT ? -EAGAIN
                                          : relay_datagram(s->relay, interface, &options, &answer.info);
    s->opened++;
    if (fd >= 0)
        say(s, "UDP port %u on %s%s%s", m->port, interface, *m->group ? ", group " : "", m->group);
    reply(s, &answer, fd);
}

static void on_listen(struct supervisor *s, const struct channel_message *m)
{
    struct channel_message answer = {0};
    const char *endpoint = option(s, m->text);
    int fd = !endpoint ? -EINVAL : s->opened >= OPENED_A_BEAT ? -EAGAIN : relay_listen(s->relay, endpoint);
    s->opened++;
    if (fd >= 0)
        say(s, "listens on %s", endpoint);
    reply(s, &answer, fd);
}

static void on_refused_calls(uv_poll_t *poll, int status, int events)
{
    struct supervisor *s = poll->data;
    if (notify_answer(&s->notify) < 0)
        uv_poll_stop(poll);
}

static void on_notify(struct supervisor *s, int their_fd)
{
    const struct channel_message go = {.kind = CHANNEL_GO};
    int fd = s->notify.fd < 0 ? (int)syscall(SYS_pidfd_getfd, s->pidfd, their_fd, 0) : -1;
    if (fd < 0 || uv_poll_init(&s->loop, &s->notify_poll, fd) < 0) {
        say(s, "the calls that the filter refuses cannot be watched: %s", strerror(errno));
        end_other_half(s);
        return;
    }
    s->notify.fd = fd;
    s->notify_poll.data = s;
    uv_poll_start(&s->notify_poll, UV_READABLE, on_refused_calls);
    channel_send(s->channel, &go, -1);
}

static void on_message(struct supervisor *s, const struct channel_message *m)
{
    switch (m->kind) {
    case CHANNEL_FAILED:
        if (s->state != STARTING || s->refused)
            break;
        s->refused = true;
        say(s, "refuses to start: the sandbox cannot be made: %s: %s (docs/sandbox.md says what it needs)", m->text,
            strerror(m->value));
        tell(s, "refused", m->text);
        break;
    case CHANNEL_NOTIFY:
        on_notify(s, m->value);
        break;
    case CHANNEL_READY:
        if (s->state != STARTING)
            break;
        s->state = READY;
        s->missed = 0;
        tell(s, "ready", "");
        break;
    case CHANNEL_ALIVE:
        if (m->value == s->question)
            s->missed = 0;
        break;
    case CHANNEL_LEAVING:
        s->state = LEAVING;
        s->missed = 0;
        break;
    case CHANNEL_STREAM:
        on_stream(s, m);
        break;
    case CHANNEL_DATAGRAM:
        on_datagram(s, m);
        break;
    case CHANNEL_LISTEN:
        on_listen(s, m);
        break;
    default:
        say(s, "broke its channel; is ended");
        end_other_half(s);
    }
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
    struct supervisor *s = poll->data;
    struct channel_message m;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        int r = channel_receive(s->channel, &m, NULL);
        if (r == -EAGAIN)
            return;
        if (r == 0) {
            on_message(s, &m);
            continue;
        }
        uv_poll_stop(poll);
        if (s->state == READY && !s->ending) { /* one that ends by itself has said so, or is gone in a moment */
            say(s, "%s its channel; is ended", r == -EPIPE ? "closed" : "broke");
            end_other_half(s);
        }
        return;
    }
}

/* ---- life ---- */

/* Counts questions, not time: when this process itself got no processor, nobody is blamed. */
static void on_beat(uv_timer_t *timer)
{
    struct supervisor *s = timer->data;
    uint64_t beat_ms = uv_timer_get_repeat(timer);
    s->opened = 0;
    tell_more(s, &s->undeclared, "refused");
    tell_more(s, &s->limits, "limit");
    logs_tick(&s->logs, uv_now(&s->loop));
    if (sandbox_has_too_many_threads(s->pid)) {
        say(s, "has more than %u threads: is ended", SANDBOX_THREADS);
        end_other_half(s);
    }
    if (s->frozen) {
        end_other_half(s);
        uv_timer_stop(timer);
        return;
    }
    unsigned most = s->state == READY ? BEATS : (unsigned)(START_MS / beat_ms);
    if (++s->missed > most) {
        say(s, "%s: is ended",
            s->state == READY      ? "does not answer: it hangs"
            : s->state == STARTING ? "did not start in time"
                                   : "did not end in time");
        if (s->state == READY) {
            /* Frozen first, ended a beat later: erabd cuts its links before they close by themselves, and nothing
             * comes in between. */
            s->frozen = true;
            kill(s->pid, SIGSTOP);
            tell(s, "hung", "");
            return;
        }
        end_other_half(s);
        uv_timer_stop(timer);
        return;
    }
    const struct channel_message m = {.kind = CHANNEL_PING, .value = ++s->question};
    if (s->state == READY)
        (void)channel_send(s->channel, &m, -1); /* a full channel is an answer that is missed */
}

static void on_gone(uv_poll_t *poll, int status, int events)
{
    struct supervisor *s = poll->data;
    int how;
    if (waitpid(s->pid, &how, WNOHANG) != s->pid)
        return;
    s->gone = true;
    logs_drain(&s->logs, uv_now(&s->loop));
    for (struct channel_message m; channel_receive(s->channel, &m, NULL) == 0;)
        if (m.kind == CHANNEL_FAILED)
            on_message(s, &m);
    if (WIFSIGNALED(how))
        say(s, "died of signal %d (%s)", WTERMSIG(how), strsignal(WTERMSIG(how)));
    s->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    uv_stop(&s->loop);
}

static void on_logs(uv_poll_t *poll, int status, int events)
{
    struct supervisor *s = poll->data;
    if (logs_read(&s->logs, uv_now(&s->loop)) < 0)
        uv_poll_stop(poll);
}

static void on_limit(uv_timer_t *timer)
{
    struct supervisor *s = timer->data;
    say(s, "did not stop in time; is ended");
    end_other_half(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct supervisor *s = handle->data;
    if (s->stopping)
        return;
    s->stopping = true;
    if (!s->gone)
        kill(s->pid, SIGTERM);
    uv_timer_start(&s->limit, on_limit, STOP_MS, 0);
}

/* ---- start ---- */

/* In the forked child: into the sandbox, descriptors to their places, and the program anew. */
__attribute__((noreturn)) static void become_other_half(int document, int channel, int module, int log, pid_t parent)
{
    static const char *const kept[] = {"TZ", "LANG", "LC_ALL", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};
    struct channel_message m = {.kind = CHANNEL_FAILED};
    const char *step = "opening /dev/null";
    char *env[sizeof kept / sizeof *kept + 1] = {0}, number[16];
    size_t n = 0;
    /* What is not dumpable may not map its own user. Keys are not in this memory. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int r = sandbox_isolate(&step);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int from[] = {null, log, log, document, channel, module};
    for (size_t i = 0; i < 6 && !r; i++) /* above all places first, so that none overwrites another */
        r = (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 16)) < 0 ? -errno : 0;
    for (int i = 0; i < 6 && !r; i++)
        r = dup2(from[i], i) < 0 ? -errno : 0;
    if (!r && (syscall(SYS_close_range, 6, ~0u, 0) < 0 || chdir("/") < 0))
        r = -errno;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const char *value = getenv(kept[i]);
        if (value && asprintf(&env[n], "%s=%s", kept[i], value) > 0)
            n++;
    }
    snprintf(number, sizeof number, "%d", (int)parent);
    char *args[] = {(char *)(uintptr_t)"erab-runner", (char *)(uintptr_t)"--sandboxed", number, NULL};
    if (!r) {
        step = "running itself anew";
        execve("/proc/self/exe", args, env);
        r = -errno;
    }
    m.value = -r;
    erabi_copy_text(m.text, sizeof m.text, step);
    channel_send(r && from[4] >= 16 ? from[4] : channel, &m, -1);
    _exit(1);
}

static int start_other_half(struct supervisor *s, int document, int module)
{
    int pair[2], log[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        pipe2(log, O_CLOEXEC) < 0)
        return -errno;
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0)
        become_other_half(document, pair[1], module, log[1], parent);
    int r = s->pid < 0 ? -errno : 0;
    close(pair[1]);
    close(log[1]);
    s->channel = pair[0];
    logs_init(&s->logs, log[0], s->document.instance);
    if (!r && (s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0)) < 0)
        r = -errno;
    return r;
}

static int start_loop(struct supervisor *s)
{
    int r = uv_loop_init(&s->loop);
    if (r < 0)
        return r;
    s->exit_poll.data = s->channel_poll.data = s->logs_poll.data = s->beat.data = s->limit.data = s->terminate.data =
        s->interrupt.data = s;
    uv_timer_init(&s->loop, &s->beat);
    uv_timer_init(&s->loop, &s->limit);
    uint64_t beat_ms = s->document.liveness_ms / (BEATS + 1); /* the first may come just after an answer */
    if ((r = uv_poll_init(&s->loop, &s->exit_poll, s->pidfd)) ||
        (r = uv_poll_init(&s->loop, &s->channel_poll, s->channel)) ||
        (r = uv_poll_init(&s->loop, &s->logs_poll, s->logs.fd)) || (r = uv_signal_init(&s->loop, &s->terminate)) ||
        (r = uv_signal_init(&s->loop, &s->interrupt)) || (r = uv_poll_start(&s->exit_poll, UV_READABLE, on_gone)) ||
        (r = uv_poll_start(&s->channel_poll, UV_READABLE, on_channel)) ||
        (r = uv_poll_start(&s->logs_poll, UV_READABLE, on_logs)) ||
        (r = uv_signal_start(&s->terminate, on_signal, SIGTERM)) ||
        (r = uv_signal_start(&s->interrupt, on_signal, SIGINT)) ||
        (r = relay_new(&s->relay, &s->loop, &RELAY_LIMITS, on_relay, s)))
        return r;
    return uv_timer_start(&s->beat, on_beat, beat_ms, beat_ms);
}

/* Here and not in the other half: there, who owns a file cannot be told from the namespace. 0, or refused and said. */
static int verify_module(struct supervisor *s, struct erabi_module_file *file)
{
    struct erab_error error = {.size = sizeof error};
    const struct document *d = &s->document;
    int r = erabi_module_open(file, d->module, &error);
    if (!r && (r = erabi_module_verify(file, (const uint8_t(*)[ERAB_KEY_SIZE])d->signers, d->n_signers, NULL, &error)))
        erabi_module_close(file);
    if (r)
        say(s, "%s: %s", r > 0 ? erab_reason_code((enum erab_reason)r) : "internal", error.text);
    return r;
}

int supervise(int document_fd, int events_fd)
{
    static struct supervisor s;
    struct erab_error error = {.size = sizeof error};
    s.events = events_fd;
    s.notify.fd = -1;
    logs_init(&s.logs, -1, s.document.instance);
    int r = sandbox_harden();
    _close_ int document = r ? -1 : runner_document_copy(document_fd);
    close(document_fd);
    if (document < 0) {
        fprintf(stderr, "erab-runner: the document cannot be read\n");
        return 1;
    }
    r = runner_document_read(&s.document, document, &error);
    erab_identity_wipe(&s.document.identity); /* only the other half has keys */
    if (r) {
        erabi_plain_text(error.text, strlen(error.text));
        fprintf(stderr, "erab-runner: %s\n", error.text);
        return 1;
    }
    struct erabi_module_file module;
    if (verify_module(&s, &module))
        return 1;
    if (lseek(document, 0, SEEK_SET) < 0 || (r = start_other_half(&s, document, module.fd)) || (r = start_loop(&s))) {
        say(&s, "cannot start: %s", strerror(r ? -r : errno));
        if (s.pid > 0)
            end_other_half(&s);
        return 1;
    }
    close(document); /* it holds keys, and only the other half has them */
    document = -1;
    erabi_module_close(&module);
    s.notify.pid = s.pid;
    s.notify.pidfd = s.pidfd;
    s.notify.broker = strncmp(s.document.endpoint, "ipc://", 6) == 0 ? s.document.endpoint + 6 : "";
    s.notify.incident = on_incident;
    s.notify.user = &s;
    uv_run(&s.loop, UV_RUN_DEFAULT);
    relay_free(s.relay);
    runner_document_deinit(&s.document);
    return s.exit_code;
}
