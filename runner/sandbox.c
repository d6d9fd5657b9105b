#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/cleanup.h"

/* ---- namespaces ---- */

static int write_file(const char *path, const char *text)
{
    _close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t n = strlen(text);
    return write(fd, text, n) == (ssize_t)n ? 0 : -EIO;
}

/* The process keeps its own user and group numbers, and no others. */
static int map_ids(uid_t uid, gid_t gid)
{
    char text[64];
    int r = write_file("/proc/self/setgroups", "deny");
    if (r && r != -ENOENT)
        return r;
    snprintf(text, sizeof text, "%u %u 1", uid, uid);
    if ((r = write_file("/proc/self/uid_map", text)))
        return r;
    snprintf(text, sizeof text, "%u %u 1", gid, gid);
    return write_file("/proc/self/gid_map", text);
}

static int drop_capabilities(void)
{
    for (int c = 0; c <= 63; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
            return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

int sandbox_isolate(const char **step)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    *step = "a user namespace and a network namespace of its own (unshare)";
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0) {
        *step = "mapping its user into the namespace";
        int r = map_ids(uid, gid);
        if (r)
            return r;
    } else if (uid != 0 || unshare(CLONE_NEWNET | CLONE_NEWIPC) < 0) {
        return -errno;
    }
    *step = "giving up capabilities";
    return drop_capabilities();
}

/* ---- limits ---- */

static int limit(int which, rlim_t most)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)which, &now) < 0)
        return -errno;
    if (now.rlim_max < most)
        most = now.rlim_max;
    const struct rlimit next = {most, most};
    return setrlimit((__rlimit_resource_t)which, &next) < 0 ? -errno : 0;
}

static int set_limits(void)
{
    int r = limit(RLIMIT_CORE, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadow memory is larger than any limit */
    if (!r)
        r = limit(RLIMIT_DATA, SANDBOX_DATA_BYTES);
    if (!r)
        r = limit(RLIMIT_AS, SANDBOX_ADDRESS_BYTES);
#endif
    if (!r)
        r = limit(RLIMIT_FSIZE, SANDBOX_FILE_BYTES);
    if (!r)
        r = limit(RLIMIT_NOFILE, SANDBOX_DESCRIPTORS);
    if (!r)
        r = limit(RLIMIT_MEMLOCK, 8ul << 20);
    if (!r)
        r = limit(RLIMIT_NPROC, SANDBOX_THREADS);
    return r;
}

/* ---- system calls ---- */

/* What is not listed does not exist (ENOSYS), so that libraries fall back to older calls. */
static const char *const allowed[] = {
    "read", "write", "readv", "writev", "pread64", "pwrite64", "close", "lseek", "open", "openat", "creat", "stat",
    "fstat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64",
    "getcwd", "unlink", "unlinkat", "rename", "renameat", "renameat2", "ftruncate", "fsync", "fdatasync", "fadvise64",
    "fcntl", "flock", "dup", "dup2", "dup3", "pipe", "pipe2", "statfs", "fstatfs", "memfd_create", "umask",
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
    "epoll_pwait2", "eventfd", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd4",
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "mlock", "mlock2", "munlock", "msync", "membarrier",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack",
    "restart_syscall", "futex", "set_robust_list", "get_robust_list", "set_tid_address", "rseq", "arch_prctl",
    "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "capget", "sched_yield",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "clock_gettime", "clock_getres", "clock_nanosleep",
    "nanosleep", "pause", "gettimeofday", "time", "times", "getrusage", "getrlimit", "sysinfo", "uname", "getrandom", "exit",
    "exit_group", "recvfrom", "recvmsg", "recvmmsg", "getsockopt", "setsockopt", "getsockname", "getpeername",
    "shutdown", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
};

/* Refused plainly: what a library might take ENOSYS of for a broken system. */
static const char *const refused[] = {"fork", "vfork", "execve", "execveat", "ptrace", "unshare", "setns", "mount",
                                      "bind", "listen", "accept", "accept4"};

static int rule(scmp_filter_ctx filter, uint32_t action, const char *name, const struct scmp_arg_cmp *compare)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0) /* not on this machine */
        return 0;
    return compare ? seccomp_rule_add_array(filter, action, number, 1, compare)
                   : seccomp_rule_add_array(filter, action, number, 0, NULL);
}

/* Calls that are right with some arguments only. */
static int argument_rules(scmp_filter_ctx f)
{
    const scmp_datum_t self = (scmp_datum_t)getpid();
    const struct {
        const char *name;
        uint32_t action;
        struct scmp_arg_cmp compare;
    } rules[] = {
        /* threads, and no processes */
        {"clone", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
        {"clone", SCMP_ACT_ERRNO(EPERM), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)},
        /* signals to itself */
        {"kill", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, self)},
        {"kill", SCMP_ACT_ERRNO(EPERM), SCMP_A0(SCMP_CMP_NE, self)},
        {"tgkill", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, self)},
        {"sched_setscheduler", SCMP_ACT_ALLOW, SCMP_A1(SCMP_CMP_EQ, SCHED_OTHER)}, /* libzmq sets what is set */
        {"prlimit64", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, 0)},
        {"prctl", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)},
        {"prctl", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME)},
        {"ioctl", SCMP_ACT_ALLOW, SCMP_A1(SCMP_CMP_EQ, FIONBIO)},
        {"ioctl", SCMP_ACT_ALLOW, SCMP_A1(SCMP_CMP_EQ, FIONREAD)},
        {"ioctl", SCMP_ACT_ALLOW, SCMP_A1(SCMP_CMP_EQ, FIOCLEX)},
        {"ioctl", SCMP_ACT_ERRNO(ENOTTY), SCMP_A1(SCMP_CMP_EQ, TCGETS)},
        /* An internet socket may be made, so that who connects it is seen; it leads nowhere anyway. */
        {"socket", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, AF_UNIX)},
        {"socket", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, AF_INET)},
        {"socket", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, AF_INET6)},
        {"socket", SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_A0(SCMP_CMP_GT, AF_INET6)},
        {"socketpair", SCMP_ACT_ALLOW, SCMP_A0(SCMP_CMP_EQ, AF_UNIX)},
        /* The supervisor sees these; it connects the one local socket itself and never lets a call go on. */
        {"sendto", SCMP_ACT_ALLOW, SCMP_A4(SCMP_CMP_EQ, 0)},
        {"sendto", SCMP_ACT_NOTIFY, SCMP_A4(SCMP_CMP_NE, 0)},
    };
    int r = 0;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !r; i++)
        r = rule(f, rules[i].action, rules[i].name, &rules[i].compare);
    const char *const seen[] = {"connect", "sendmsg", "sendmmsg"};
    for (size_t i = 0; i < sizeof seen / sizeof *seen && !r; i++)
        r = rule(f, SCMP_ACT_NOTIFY, seen[i], NULL);
    return r;
}

static int load_filter(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!f)
        return -ENOMEM;
    int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 1);
    if (!r)
        r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed && !r; i++)
        r = rule(f, SCMP_ACT_ALLOW, allowed[i], NULL);
    for (size_t i = 0; i < sizeof refused / sizeof *refused && !r; i++)
        r = rule(f, SCMP_ACT_ERRNO(EPERM), refused[i], NULL);
    if (!r)
        r = argument_rules(f);
    if (!r)
        r = seccomp_load(f);
    if (!r)
        r = seccomp_notify_fd(f);
    seccomp_release(f);
    return r;
}

int sandbox_lock(int parent, const char **step)
{
    *step = "resource limits";
    int r = set_limits();
    if (r)
        return r;
    *step = "hardening the process (prctl)";
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        return -errno;
    if (getppid() != parent)
        return -ESRCH; /* it is gone already */
    signal(SIGPIPE, SIG_IGN);
    *step = "the filter of system calls (seccomp)";
    return load_filter();
}

bool sandbox_has_too_many_threads(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; at && field < 20; field++)
        at = strchr(at + 1, ' ');
    return at && strtoul(at, NULL, 10) > SANDBOX_THREADS;
}

int sandbox_harden(void)
{
    const struct rlimit none = {0, 0};
    signal(SIGPIPE, SIG_IGN);
    return setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
                   prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0)
               ? -errno
               : 0;
}
