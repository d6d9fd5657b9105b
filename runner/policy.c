/* A policy of a third party in a process of its own: asked and answering over one socket, whose frames stand in
 * broker/host/policy.h. No keys, no network, no files: what it is asked and its options are all it has. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <seccomp.h>

#include <erab/policy.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "runner.h"
#include "wire/wire.h"

#define DOCUMENT_MAX 131072u
#define FRAME_MAX    (ERAB_BODY_MAX + ERAB_HEADER_MAX + 512u)
#define MEMORY_MAX   (512ull << 20)
#define INSTANCE_MAX (64u << 20)
#define POLICIES_MAX 64u

/* One process holds one policy. `self` is what the host table of adapters knows, for its clocks and timers. */
struct judge {
    erab_self self;
    const struct erab_policy *policy;
    void *instance;
    int fd;
    uv_poll_t poll;
    uint8_t frame[FRAME_MAX];
};

static struct judge judge;

static int limit(struct erab_error *error)
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

static int close_doors(struct erab_error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EACCES));
    int r = filter ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < sizeof open_doors / sizeof open_doors[0]; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, open_doors[i], 0);
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

static int read_document(json_t **root, struct erab_error *error)
{
    _free_ char *text = malloc(DOCUMENT_MAX);
    json_error_t e;
    if (!text)
        return runner_fail(error, -ENOMEM, "out of memory");
    ssize_t n = recv(judge.fd, text, DOCUMENT_MAX, MSG_TRUNC);
    if (n <= 0 || n > (ssize_t)DOCUMENT_MAX)
        return runner_fail(error, -EINVAL, "the document did not come whole");
    *root = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &e);
    return *root ? 0 : runner_fail(error, -EINVAL, "the document is no JSON: %s", e.text);
}

static int find(const struct erab_module *module, const char *name, struct erab_error *error)
{
    for (unsigned i = 0; module->policies && i < POLICIES_MAX && module->policies[i]; i++) {
        const struct erab_policy *p = module->policies[i];
        if (p->size < offsetof(struct erab_policy, cancel) || p->abi_major != ERAB_ABI_MAJOR ||
            p->abi_minor > ERAB_ABI_MINOR)
            return runner_fail(error, -EINVAL, "a policy was built for ABI %u.%u, this host has %d.%d", p->abi_major,
                               p->abi_minor, ERAB_ABI_MAJOR, ERAB_ABI_MINOR);
        if (!p->name || strcmp(p->name, name) != 0)
            continue;
        if (!p->decide || p->instance_size > INSTANCE_MAX)
            return runner_fail(error, -EINVAL, "the policy %s is incomplete", name);
        judge.policy = p;
        return 0;
    }
    return runner_fail(error, -ENOENT, "the module has no policy %s; see erab-runner --check", name);
}

/* ---- votes ---- */

static void write_text(struct erabi_writer *w, const char *text, size_t most)
{
    size_t n = text ? strnlen(text, most + 1) : 0;
    if (n > most)
        for (n = most; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
            ;
    erabi_write_u8(w, (uint8_t)n);
    erabi_write_bytes(w, text, n);
}

static void send_vote(erab_call call, const struct erab_verdict *v)
{
    uint8_t answer[512];
    struct erabi_writer w = erabi_writer(answer, sizeof answer);
    bool good = v && (unsigned)v->vote < ERAB_PENDING;
    erabi_write_u8(&w, 2);
    erabi_write_u64(&w, call);
    erabi_write_u8(&w, (uint8_t)(good ? v->vote : ERAB_DENY));
    write_text(&w, erab_reason_code(good ? v->reason : ERAB_REASON_POLICY_DENIED), 63);
    write_text(&w, good ? v->section : "", 15);
    write_text(&w, good ? v->detail : "the policy gave no valid vote", 127);
    struct pollfd room = {.fd = judge.fd, .events = POLLOUT};
    while (!w.bad && send(judge.fd, answer, w.used, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
        if (poll(&room, 1, 1000) <= 0) /* the broker reads all the time; what does not get through counts as denied */
            break;
}

static void host_decide(erab_self *self, erab_call call, const struct erab_verdict *verdict)
{
    (void)self;
    send_vote(call, verdict);
}

static int no_publish(erab_self *self, const struct erab_outgoing_message *message, uint8_t id[ERAB_ID_SIZE])
{
    (void)self, (void)message, (void)id;
    return -EACCES;
}

static void no_complete(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                        const char *detail)
{
    (void)self, (void)call, (void)state, (void)reason, (void)detail;
}

static int no_put(erab_self *self, const char *key, const void *value, size_t size)
{
    (void)self, (void)key, (void)value, (void)size;
    return -EACCES;
}

static int no_get(erab_self *self, const char *key, void *value, size_t *size)
{
    (void)self, (void)key, (void)value, (void)size;
    return -ENOENT;
}

static const char *const *no_parties(erab_self *self)
{
    static const char *const none[] = {NULL};
    (void)self;
    return none;
}

static void no_quiesced(erab_self *self)
{
    (void)self;
}

/* ---- requests ---- */

static bool read_text(struct erabi_reader *in, char *to, size_t size)
{
    size_t n = erabi_read_u8(in);
    struct erabi_slice s = erabi_read_slice(in, n);
    if (in->bad || n >= size)
        return false;
    erabi_copy_bytes(to, s.data, n);
    to[n] = '\0';
    return true;
}

static bool judge_frame(struct erabi_reader in)
{
    struct erab_header header;
    char from[ERAB_PARTY_MAX + 1], to[ERAB_PARTY_MAX + 1];
    enum erab_reason reason;
    if (erabi_read_u8(&in) != 1)
        return false;
    erab_call call = erabi_read_u64(&in);
    struct erab_policy_request q = {.size = sizeof q, .from = from, .to = to, .header = &header};
    q.stage = erabi_read_u32(&in);
    q.interface = (enum erab_interface)erabi_read_u8(&in);
    q.from_role = (enum erab_role)erabi_read_u8(&in);
    q.to_role = (enum erab_role)erabi_read_u8(&in);
    unsigned marks = erabi_read_u8(&in);
    q.is_signed = marks & 1;
    q.is_local = marks & 2;
    q.now_ms = erabi_read_u64(&in);
    q.body_size = erabi_read_u32(&in);
    if (!read_text(&in, from, sizeof from) || !read_text(&in, to, sizeof to))
        return false;
    size_t n = erabi_read_u16(&in);
    struct erabi_slice head = erabi_read_slice(&in, n);
    if (in.bad || erabi_header_decode(head, &header, &reason))
        return false;
    struct erabi_slice bytes = erabi_read_slice(&in, in.left);
    ProtobufCMessage *body = NULL;
    if (marks & 4 && judge.policy->needs & ERAB_NEEDS_BODY &&
        erab_body_unpack(header.type, (struct erab_bytes){bytes.data, bytes.size}, &body, &reason))
        return false;
    q.body = body;
    struct erab_verdict v = {.size = sizeof v, .section = "", .detail = ""};
    if (judge.policy->stages & q.stage)
        judge.policy->decide(judge.instance, call, &q, &v);
    if (v.vote != ERAB_PENDING)
        send_vote(call, &v);
    erab_body_free(body);
    return true;
}

static void on_frame(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    ssize_t n = recv(judge.fd, judge.frame, sizeof judge.frame, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || n > (ssize_t)sizeof judge.frame || !judge_frame(erabi_reader(judge.frame, (size_t)n))) {
        if (n != 0)
            runner_log(&judge.self, ERAB_LOG_ERROR, "a question that cannot be read");
        uv_poll_stop(poll);
        uv_stop(&judge.self.loop);
    }
}

static void on_async(uv_async_t *async)
{
    (void)async;
    runner_run_posts(&judge.self);
}

static int start_loop(void)
{
    erab_self *self = &judge.self;
    int r = uv_loop_init(&self->loop);
    self->async.data = self;
    if (r == 0)
        r = uv_async_init(&self->loop, &self->async, on_async);
    if (r == 0)
        r = uv_poll_init(&self->loop, &judge.poll, judge.fd);
    return r ? r : uv_poll_start(&judge.poll, UV_READABLE, on_frame);
}

static int prepare(const struct erab_host *host, json_t *root, struct erab_error *error)
{
    const char *instance, *path, *name;
    json_t *options;
    if (json_unpack(root, "{s:s,s:s,s:s,s:o}", "instance", &instance, "module", &path, "policy", &name, "options",
                    &options))
        return runner_fail(error, -EINVAL, "the document is not complete");
    erabi_copy_text(judge.self.document.instance, sizeof judge.self.document.instance, instance);
    const struct erab_module *module = runner_module_load(path, error);
    int r = module ? find(module, name, error) : -EINVAL;
    if (r == 0)
        r = runner_options(&judge.self.config, judge.policy->options, options, error);
    if (r)
        return r;
    size_t size = judge.policy->instance_size;
    judge.instance = calloc(1, size ? size : 1);
    if (!judge.instance)
        return runner_fail(error, -ENOMEM, "out of memory");
    if ((r = start_loop()))
        return runner_fail(error, r, "cannot start: %s", strerror(-r));
    if ((r = close_doors(error)) ||
        (judge.policy->check && (r = judge.policy->check(&judge.self.config, error))))
        return r;
    return judge.policy->init ? judge.policy->init(judge.instance, &judge.self, host, &judge.self.config, error) : 0;
}

void runner_policy_print(const struct erab_module *m)
{
    static const char *const types[] = {"text", "integer", "boolean", "path", "list"};
    for (unsigned i = 0; m->policies && i < POLICIES_MAX && m->policies[i]; i++) {
        const struct erab_policy *p = m->policies[i];
        printf("policy %s %s (%s)\n", p->name ? p->name : "without a name", p->version ? p->version : "",
               p->vendor ? p->vendor : "no vendor");
        for (const struct erab_option *o = p->options; o && o->name; o++)
            printf("  %s: %s%s - %s\n", o->name, (unsigned)o->type <= ERAB_OPTION_LIST ? types[o->type] : "?",
                   o->flags & ERAB_OPTION_REQUIRED ? ", required" : "", o->help ? o->help : "");
    }
}

int runner_policy(int fd)
{
    struct erab_error error = {.size = sizeof error};
    struct erab_host host = runner_host;
    json_t *root = NULL;
    host.publish = no_publish;
    host.complete = no_complete;
    host.store_put = no_put;
    host.store_get = no_get;
    host.parties = no_parties;
    host.quiesced = no_quiesced;
    host.decide = host_decide;
    judge.fd = fd;
    judge.self.store = -1;
    STAILQ_INIT(&judge.self.backlog);
    STAILQ_INIT(&judge.self.posts);
    pthread_mutex_init(&judge.self.lock, NULL);
    erabi_copy_text(judge.self.document.instance, sizeof judge.self.document.instance, "policy");
    if (limit(&error) || read_document(&root, &error) || prepare(&host, root, &error)) {
        runner_log(&judge.self, ERAB_LOG_ERROR, error.text);
        json_decref(root);
        return 1;
    }
    json_decref(root);
    uv_run(&judge.self.loop, UV_RUN_DEFAULT);
    if (judge.policy->fini)
        judge.policy->fini(judge.instance);
    free(judge.instance);
    runner_options_deinit(&judge.self.config);
    return 0;
}
