/* erab-embedded-host --mode thread|loop|step [--runner ERAB-RUNNER] [-c CONFIG]...
 *
 * Brokers inside one process, all in one of the ways of <erab/broker.h>. With -c it may stand in erabd's place: the same
 * lines, the same signals, the same exit codes. On standard input: `start CONFIG`, `stop PARTY`, `reload PARTY`. Ends
 * when a signal says so. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <uv.h>

#include <erab/broker.h>

#define BROKERS_MAX 8

enum mode { NO_MODE, THREAD, LOOP, STEP };

struct hosted {
    struct erab_broker *broker;
    char party[ERAB_PARTY_MAX + 1];
    bool over;
};

static struct {
    enum mode mode;
    const char *runner;
    struct hosted brokers[BROKERS_MAX];
    size_t n;
    int signals;
    char line[4096];
    size_t used;
    bool ending, no_input, failed;
    uv_loop_t loop;
    uv_poll_t polls[2];
} host;

static void on_log(void *user, enum erab_broker_line kind, const char *text)
{
    fprintf(stderr, "%s%s\n", kind == ERAB_BROKER_FINDING ? "" : "erabd: ", text);
}

static void on_done(void *user)
{
    ((struct hosted *)user)->over = true;
}

static void start(const char *config)
{
    struct erab_broker_options options = {.size = sizeof(options), .config = config, .runner = host.runner, .log = on_log};
    struct hosted *h = &host.brokers[host.n];
    if (host.n == BROKERS_MAX || erab_broker_new(&h->broker, &options) < 0) {
        host.failed = true;
        return;
    }
    host.n++;
    int r = host.mode == THREAD  ? erab_broker_start(h->broker)
            : host.mode == LOOP ? erab_broker_attach(h->broker, &host.loop)
                                : erab_broker_open(h->broker);
    host.failed = host.failed || r < 0;
    if (r < 0) {
        h->over = host.mode != LOOP;
        erab_broker_detach(h->broker, on_done, h);
        return;
    }
    snprintf(h->party, sizeof(h->party), "%s", erab_broker_owner(h->broker));
    fprintf(stderr, "erabd: %s is ready\n", h->party);
}

static void stop(struct hosted *h)
{
    if (h->over)
        return;
    if (host.mode == THREAD) {
        erab_broker_stop(h->broker);
        h->over = true;
    } else if (host.mode == LOOP) {
        erab_broker_detach(h->broker, on_done, h);
    } else {
        erab_broker_close(h->broker);
    }
}

static void obey(char *line)
{
    char *word = strchr(line, ' ');
    if (!word)
        return;
    *word++ = '\0';
    if (strcmp(line, "start") == 0)
        start(word);
    for (size_t i = 0; i < host.n; i++) {
        if (strcmp(host.brokers[i].party, word) != 0 || host.brokers[i].over)
            continue;
        if (strcmp(line, "stop") == 0)
            stop(&host.brokers[i]);
        if (strcmp(line, "reload") == 0)
            erab_broker_reload(host.brokers[i].broker);
    }
}

static void on_input(void)
{
    ssize_t n = read(0, host.line + host.used, sizeof(host.line) - host.used);
    host.no_input = n <= 0;
    host.used += n > 0 ? (size_t)n : 0;
    for (char *end; (end = memchr(host.line, '\n', host.used));) {
        *end = '\0';
        obey(host.line);
        size_t size = (size_t)(end - host.line) + 1;
        host.used -= size;
        memmove(host.line, end + 1, host.used);
    }
}

static void on_signal(void)
{
    struct signalfd_siginfo info;
    if (read(host.signals, &info, sizeof(info)) != sizeof(info))
        return;
    for (size_t i = 0; i < host.n; i++) {
        if (info.ssi_signo == SIGHUP)
            erab_broker_reload(host.brokers[i].broker);
        else
            stop(&host.brokers[i]);
    }
    host.ending = host.ending || info.ssi_signo != SIGHUP;
}

static bool all_over(void)
{
    for (size_t i = 0; i < host.n; i++)
        if (!host.brokers[i].over)
            return false;
    return true;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    if (poll == &host.polls[0])
        on_signal();
    else
        on_input();
    if (host.no_input)
        uv_poll_stop(&host.polls[1]);
    if (host.ending) {
        uv_poll_stop(&host.polls[0]);
        uv_poll_stop(&host.polls[1]);
    }
}

/* Way 2: everything in one loop of the host. */
static void run_loop(void)
{
    uv_poll_init(&host.loop, &host.polls[0], host.signals);
    uv_poll_start(&host.polls[0], UV_READABLE, on_poll);
    if (uv_poll_init(&host.loop, &host.polls[1], 0) == 0)
        uv_poll_start(&host.polls[1], UV_READABLE, on_poll);
    uv_run(&host.loop, UV_RUN_DEFAULT);
}

/* Ways 1 and 3: a loop without libuv. */
static void run_poll(void)
{
    while (!host.ending || !all_over()) {
        struct pollfd fds[BROKERS_MAX + 2] = {{host.signals, POLLIN, 0}, {host.no_input ? -1 : 0, POLLIN, 0}};
        int timeout = -1;
        size_t n = host.n;
        for (size_t i = 0; i < n; i++) {
            bool step = host.mode == STEP && !host.brokers[i].over;
            int wanted = step ? erab_broker_timeout_ms(host.brokers[i].broker) : -1;
            fds[i + 2] = (struct pollfd){step ? erab_broker_fd(host.brokers[i].broker) : -1, POLLIN, 0};
            timeout = wanted >= 0 && (timeout < 0 || wanted < timeout) ? wanted : timeout;
        }
        if (poll(fds, n + 2, timeout) < 0 && errno != EINTR)
            return;
        for (size_t i = 0; i < n && host.mode == STEP; i++)
            if (!host.brokers[i].over && !erab_broker_step(host.brokers[i].broker))
                host.brokers[i].over = true;
        if (fds[0].revents)
            on_signal();
        if (fds[1].revents)
            on_input();
    }
}

int main(int argc, char **argv)
{
    const char *const modes[] = {"", "thread", "loop", "step"};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    host.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    uv_loop_init(&host.loop);
    for (int i = 1; i + 1 < argc; i += 2) {
        for (unsigned k = THREAD; k <= STEP && strcmp(argv[i], "--mode") == 0; k++)
            if (strcmp(argv[i + 1], modes[k]) == 0)
                host.mode = (enum mode)k;
        if (strcmp(argv[i], "--runner") == 0)
            host.runner = argv[i + 1];
    }
    if (!host.mode || host.signals < 0)
        return 2;
    if (host.mode != THREAD) /* in their own threads the brokers see to it themselves */
        signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "-c") == 0)
            start(argv[i + 1]);
    host.ending = host.failed;
    for (size_t i = 0; i < host.n && host.failed; i++)
        stop(&host.brokers[i]);
    if (host.mode == LOOP && !host.failed)
        run_loop();
    else if (host.mode == LOOP)
        uv_run(&host.loop, UV_RUN_DEFAULT);
    else
        run_poll();
    for (size_t i = 0; i < host.n; i++)
        erab_broker_free(host.brokers[i].broker);
    uv_loop_close(&host.loop);
    uv_library_shutdown();
    return host.failed;
}
