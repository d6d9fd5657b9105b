/* The process of a policy, or of a check, is shut in two steps: before the module is mapped, and once it is. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <seccomp.h>

#include "runner.h"

#define MEMORY_MAX (512ull << 20)

int runner_doors_limit(struct erab_error *error)
{
    const struct rlimit none = {0, 0}, memory = {MEMORY_MAX, MEMORY_MAX}, files = {64, 64};
    setrlimit(RLIMIT_NOFILE, &files);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadow alone is larger */
    setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory;
#endif
    signal(SIGPIPE, SIG_IGN);
    if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        return runner_fail(error, -errno, "the process cannot be hardened: %s", strerror(errno));
    return 0;
}

/* What a policy needs to think, to keep time and to answer; everything else is refused: no new socket, file,
 * process or program, no look into others, no lifted limit. */
static const int open_doors[] = {
    SCMP_SYS(read),           SCMP_SYS(write),         SCMP_SYS(readv),          SCMP_SYS(writev),
    SCMP_SYS(close),          SCMP_SYS(fstat),         SCMP_SYS(lseek),          SCMP_SYS(mmap),
    SCMP_SYS(munmap),         SCMP_SYS(mprotect),      SCMP_SYS(mremap),         SCMP_SYS(madvise),
    SCMP_SYS(brk),            SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),    SCMP_SYS(futex),         SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(clock_gettime),  SCMP_SYS(clock_getres),  SCMP_SYS(gettimeofday),   SCMP_SYS(time),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),    SCMP_SYS(pause),          SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),         SCMP_SYS(gettid),        SCMP_SYS(getuid),         SCMP_SYS(geteuid),
    SCMP_SYS(getgid),         SCMP_SYS(getegid),       SCMP_SYS(getrandom),      SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),           SCMP_SYS(ppoll),         SCMP_SYS(recvfrom),       SCMP_SYS(sendto),
    SCMP_SYS(recvmsg),        SCMP_SYS(sendmsg),       SCMP_SYS(eventfd2),       SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* What the loader needs besides: libraries are opened (Landlock says which), and the next filter is set. */
static const int loading_doors[] = {
    SCMP_SYS(open),   SCMP_SYS(openat),   SCMP_SYS(newfstatat), SCMP_SYS(stat),  SCMP_SYS(statx),   SCMP_SYS(pread64),
    SCMP_SYS(access), SCMP_SYS(readlink), SCMP_SYS(getcwd),     SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(seccomp),
};

int runner_doors_close(enum doors doors, struct erab_error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EACCES));
    int r = filter ? 0 : -ENOMEM;
    if (r == 0 && doors == DOORS_THINKING) /* threads that the module made while it was loaded */
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0) /* it is set already */
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    for (size_t i = 0; r == 0 && i < sizeof open_doors / sizeof open_doors[0]; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, open_doors[i], 0);
    for (size_t i = 0; r == 0 && doors == DOORS_LOADING && i < sizeof loading_doors / sizeof loading_doors[0]; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, loading_doors[i], 0);
    /* Threads may be made, processes not; clone3 cannot be looked into, so the older call has to do. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, 0x00010000, 0x00010000)); /* CLONE_THREAD */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (r == 0) /* abort() */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0) /* a descriptor that is to be watched */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONBIO));
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r == 0 ? 0 : runner_fail(error, r, "the system calls cannot be limited: %s", strerror(-r));
}
