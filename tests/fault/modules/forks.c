/* Tries to become several processes, another program, and the end of others. */
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "shell.h"

static void began(struct bad *b)
{
    char *const args[] = {NULL};
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    say(b, "fork %s", pid < 0 ? strerror(errno) : "worked");
    say(b, "vfork %s", syscall(SYS_vfork) < 0 ? strerror(errno) : "worked");
    say(b, "exec %s", execve("/bin/true", args, args) < 0 ? strerror(errno) : "worked");
    say(b, "kill %s", kill(getppid(), SIGKILL) < 0 ? strerror(errno) : "worked");
    say(b, "ptrace %s", ptrace(PTRACE_SEIZE, getppid(), 0, 0) < 0 ? strerror(errno) : "worked");
    say(b, "unshare %s", unshare(CLONE_NEWUSER) < 0 ? strerror(errno) : "worked");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
