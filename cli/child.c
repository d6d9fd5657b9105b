#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define LINE_MAX_ 65536u
#define LINES_MAX 10000u

struct reader {
    char text[LINE_MAX_];
    size_t used;
    unsigned lines;
    void (*line)(void *user, const json_t *value);
    void *user;
};

void cli_child_say(int out, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    json_decref(value);
    if (text)
        dprintf(out, "%s\n", text);
    free(text);
}

/* What is not a JSON object of one line is left out: the child is not believed. */
static void take_lines(struct reader *r)
{
    char *end;
    while ((end = memchr(r->text, '\n', r->used))) {
        size_t n = (size_t)(end - r->text);
        json_t *value = json_loadb(r->text, n, 0, NULL);
        if (json_is_object(value) && r->lines++ < LINES_MAX)
            r->line(r->user, value);
        json_decref(value);
        r->used -= n + 1;
        memmove(r->text, end + 1, r->used);
    }
    if (r->used == sizeof r->text)
        r->used = 0;
}

static void be_child(void (*fn)(void *arg, int out), void *arg, int out)
{
    const struct rlimit no_core = {0, 0};
    setpgid(0, 0);
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC); /* no network, where the machine lets us */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const struct rlimit memory = {UINT64_C(2) << 30, UINT64_C(2) << 30};
    setrlimit(RLIMIT_AS, &memory);
#endif
    fn(arg, out);
    _exit(0);
}

/* Until the pipe is closed or the process is over, which may leave others that hold the pipe. False when there was no
 * line for so long. */
static bool read_all(struct reader *r, int fd, int process, uint64_t patience_ms)
{
    for (uint64_t end = erabi_clock_ms(CLOCK_MONOTONIC) + patience_ms;;) {
        uint64_t now = erabi_clock_ms(CLOCK_MONOTONIC);
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = process, .events = POLLIN}};
        if (now >= end)
            return false;
        int n = poll(p, 2, (int)(end - now));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        if (!p[0].revents)
            return true;
        ssize_t got = read(fd, r->text + r->used, sizeof r->text - r->used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return true;
        unsigned lines = r->lines;
        r->used += (size_t)got;
        take_lines(r);
        if (r->lines != lines && r->lines < LINES_MAX)
            end = erabi_clock_ms(CLOCK_MONOTONIC) + patience_ms;
    }
}

/* The pipe is closed by the end of the process, which is a moment away, or by a module that closes what is not its
 * own. */
static bool wait_for(pid_t pid, int *status, unsigned turns)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    for (unsigned i = 0; waitpid(pid, status, WNOHANG) == 0; i++) {
        if (i >= turns)
            return false;
        nanosleep(&moment, NULL);
    }
    return true;
}

const char *cli_child(void (*fn)(void *arg, int out), void *arg, unsigned seconds,
                      void (*line)(void *user, const json_t *value), void *user)
{
    static char how[96];
    int fds[2], status = 0;
    if (pipe2(fds, O_CLOEXEC))
        return "no pipe";
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        be_child(fn, arg, fds[1]);
    }
    close(fds[1]);
    struct reader *r = pid > 0 ? calloc(1, sizeof *r) : NULL;
    bool in_time = false;
    if (r) {
        r->line = line;
        r->user = user;
        _close_ int process = (int)syscall(SYS_pidfd_open, pid, 0);
        in_time = read_all(r, fds[0], process, seconds * UINT64_C(1000));
    }
    free(r);
    close(fds[0]);
    if (pid < 0)
        return "no process";
    bool ended = wait_for(pid, &status, in_time ? 200 : 0);
    kill(-pid, SIGKILL); /* the group: the child, if it is still there, and what it started */
    if (!ended) {
        waitpid(pid, &status, 0);
        snprintf(how, sizeof how, "did not come to an end within %u s", seconds);
        return how;
    }
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        snprintf(how, sizeof how, "ended the process with exit code %d", WEXITSTATUS(status));
    else
        return NULL;
    return how;
}
