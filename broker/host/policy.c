#include "host/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "host/module.h"
#include "host/runner.h"
#include "wire/wire.h"

#define BACKOFF_FIRST_MS 1000u
#define BACKOFF_MAX_MS   60000u
#define MISSED_MAX       3u
#define FRAMES_A_TURN    64u
#define UNSENT_MAX       (8u << 20) /* bytes of questions that its socket does not take yet */

struct unsent {
    struct unsent *next;
    size_t size;
    uint8_t frame[];
};

struct erabi_policy_remote {
    struct erabi_policy_remote *next;
    struct erabi_policy_host *host;
    struct erabi_policy_instance *instance; /* NULL: nobody asks any more */
    char name[ERAB_PARTY_MAX + 1];
    json_t *document; /* without the signers, which a reload may change */
    char *module;
    enum erab_reason refused; /* the module, last time */
    uv_process_t process;
    uv_poll_t poll;
    uv_timer_t timer;
    int fd;
    int handles;
    bool running, polling, stopping;
    uint64_t backoff_ms;
    unsigned missed;
    struct unsent *unsent, **unsent_end;
    size_t unsent_bytes;
    uint8_t frame[ERABI_POLICY_FRAME_MAX];
};

/* What the policy engine sees. */
struct stand_in {
    struct erabi_policy_remote *remote; /* NULL once its process and handles are gone */
};

static void start(struct erabi_policy_remote *r);

static void event(const struct erabi_policy_remote *r, const char *what)
{
    r->host->on_event(r->host->user, r->name, what);
}

static void released(struct erabi_policy_remote *r)
{
    struct erabi_policy_host *host = r->host;
    struct erabi_policy_remote **at = &host->first;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (r->instance)
        ((struct stand_in *)r->instance->memory)->remote = NULL;
    json_decref(r->document);
    free(r->module);
    free(r);
    if (!host->first && host->done) {
        void (*done)(void *user) = host->done;
        host->done = NULL;
        done(host->done_user);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct erabi_policy_remote *r = handle->data;
    if (--r->handles == 0)
        released(r);
}

static void forget_first(struct erabi_policy_remote *r)
{
    struct unsent *u = r->unsent;
    r->unsent = u->next;
    if (!r->unsent)
        r->unsent_end = &r->unsent;
    r->unsent_bytes -= u->size;
    free(u);
}

static void close_poll(struct erabi_policy_remote *r)
{
    while (r->unsent)
        forget_first(r); /* what they asked is denied with the process, or at its deadline */
    if (!r->polling)
        return;
    r->polling = false;
    int fd = r->fd;
    r->fd = -1;
    uv_poll_stop(&r->poll);
    uv_close((uv_handle_t *)&r->poll, on_closed);
    close(fd);
}

static void stop(struct erabi_policy_remote *r)
{
    if (r->stopping)
        return;
    r->stopping = true;
    if (r->running)
        uv_process_kill(&r->process, SIGKILL); /* it holds nothing that it would have to put away */
    close_poll(r);
    uv_close((uv_handle_t *)&r->timer, on_closed);
}

static void later(struct erabi_policy_remote *r);

static void on_process_closed(uv_handle_t *handle)
{
    struct erabi_policy_remote *r = handle->data;
    if (--r->handles == 0)
        released(r);
    else if (!r->stopping)
        later(r);
}

static void on_timer(uv_timer_t *timer)
{
    start(timer->data);
}

static void later(struct erabi_policy_remote *r)
{
    uv_timer_start(&r->timer, on_timer, r->backoff_ms, 0);
    r->backoff_ms = r->backoff_ms * 2 < BACKOFF_MAX_MS ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
    struct erabi_policy_remote *r = process->data;
    r->running = false;
    close_poll(r);
    if (!r->stopping)
        event(r, "ended; is started again");
    if (r->instance)
        erabi_policy_lost(r->host->engine, r->instance, "the policy's process ended");
    uv_close((uv_handle_t *)process, on_process_closed);
}

/* The rest of what it says is not looked at any more. */
static void offend(struct erabi_policy_remote *r, const char *what)
{
    event(r, what);
    if (r->running)
        uv_process_kill(&r->process, SIGKILL);
    close_poll(r);
}

/* A text of an answer: valid, nothing that a terminal would obey. */
static bool read_text(struct erabi_reader *in, char *to, size_t size)
{
    size_t n = erabi_read_u8(in);
    struct erabi_slice s = erabi_read_slice(in, n);
    if (in->bad || n >= size)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s.data[i] < 0x20 || s.data[i] == 0x7f || (s.data[i] == 0xc2 && i + 1 < n && s.data[i + 1] < 0xa0))
            return false;
    json_t *valid = json_stringn(n ? (const char *)s.data : "", n);
    json_decref(valid);
    erabi_copy_bytes(to, s.data, n);
    to[n] = '\0';
    return valid;
}

bool erabi_policy_reply_read(struct erabi_policy_reply *out, struct erabi_slice frame)
{
    struct erabi_reader in = erabi_reader(frame.data, frame.size);
    char code[64];
    *out = (struct erabi_policy_reply){0};
    if (erabi_read_u8(&in) != 2)
        return false;
    out->call = erabi_read_u64(&in);
    unsigned vote = erabi_read_u8(&in);
    if (!read_text(&in, code, sizeof(code)) || !read_text(&in, out->section, sizeof(out->section)) ||
        !read_text(&in, out->detail, sizeof(out->detail)) || !erabi_reader_done(&in) || vote >= ERAB_PENDING)
        return false;
    out->verdict = (struct erab_verdict){.size = sizeof(out->verdict),
                                         .vote = (enum erab_vote)vote,
                                         .reason = erab_reason_from_code(code),
                                         .section = out->section,
                                         .detail = out->detail};
    if (out->verdict.reason == ERAB_REASON_COUNT)
        out->verdict.reason = ERAB_REASON_POLICY_DENIED;
    return true;
}

static bool take_answer(struct erabi_policy_remote *r, struct erabi_slice frame)
{
    struct erabi_policy_reply vote;
    if (!erabi_policy_reply_read(&vote, frame))
        return false;
    r->missed = 0;
    r->backoff_ms = BACKOFF_FIRST_MS;
    if (r->instance)
        erabi_policy_vote(r->host->engine, vote.call, &vote.verdict, r->instance);
    return true;
}

static void on_ready(uv_poll_t *poll, int status, int events);

/* In their order, as far as the socket takes them. */
static void send_unsent(struct erabi_policy_remote *r)
{
    while (r->unsent && send(r->fd, r->unsent->frame, r->unsent->size, MSG_DONTWAIT | MSG_NOSIGNAL) ==
                            (ssize_t)r->unsent->size)
        forget_first(r);
    uv_poll_start(&r->poll, UV_READABLE | (r->unsent ? UV_WRITABLE : 0), on_ready);
}

static bool send_later(struct erabi_policy_remote *r, size_t size)
{
    struct unsent *u = r->unsent_bytes + size <= UNSENT_MAX ? malloc(sizeof(*u) + size) : NULL;
    if (!u)
        return false;
    u->next = NULL;
    u->size = size;
    erabi_copy_bytes(u->frame, r->frame, size);
    *r->unsent_end = u;
    r->unsent_end = &u->next;
    r->unsent_bytes += size;
    uv_poll_start(&r->poll, UV_READABLE | UV_WRITABLE, on_ready);
    return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct erabi_policy_remote *r = poll->data;
    if (events & UV_WRITABLE && r->polling)
        send_unsent(r);
    uint8_t answer[ERABI_POLICY_ANSWER_MAX];
    for (unsigned i = 0; i < FRAMES_A_TURN && r->polling; i++) {
        ssize_t n = recv(r->fd, answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            close_poll(r); /* on_exit_of says the rest; one that closed its end and lives on is killed */
            if (r->running)
                uv_process_kill(&r->process, SIGKILL);
            return;
        }
        if ((size_t)n > sizeof(answer) || !take_answer(r, erabi_slice(answer, (size_t)n)))
            offend(r, "answered what is no answer; killed");
    }
}

static void write_text(struct erabi_writer *w, const char *text)
{
    size_t n = strlen(text);
    erabi_write_u8(w, (uint8_t)n);
    erabi_write_bytes(w, text, n);
}

static bool write_request(struct erabi_writer *w, erab_call call, const struct erab_policy_request *q)
{
    uint8_t header[ERAB_HEADER_MAX];
    size_t n = erabi_header_encode(q->header, header), size = 0;
    _free_ uint8_t *body = NULL;
    if (n == 0 || (q->body && erab_body_pack(q->body, &body, &size) < 0))
        return false;
    erabi_write_u8(w, 1);
    erabi_write_u64(w, call);
    erabi_write_u32(w, q->stage);
    erabi_write_u8(w, (uint8_t)q->interface);
    erabi_write_u8(w, (uint8_t)q->from_role);
    erabi_write_u8(w, (uint8_t)q->to_role);
    erabi_write_u8(w, (uint8_t)((q->is_signed ? 1 : 0) | (q->is_local ? 2 : 0) | (q->body ? 4 : 0)));
    erabi_write_u64(w, q->now_ms);
    erabi_write_u32(w, q->body_size);
    write_text(w, q->from);
    write_text(w, q->to);
    erabi_write_u16(w, (uint16_t)n);
    erabi_write_bytes(w, header, n);
    erabi_write_bytes(w, body, size);
    return !w->bad;
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    struct erabi_policy_remote *r = ((struct stand_in *)instance)->remote;
    verdict->vote = ERAB_DENY;
    verdict->reason = ERAB_REASON_POLICY_DEADLINE;
    verdict->detail = "the policy's process is not running";
    if (!r || !r->running || !r->polling)
        return;
    verdict->detail = "the policy cannot be asked now";
    if (call == 0) {
        verdict->reason = ERAB_REASON_QUEUE_FULL;
        return;
    }
    struct erabi_writer w = erabi_writer(r->frame, sizeof(r->frame));
    if (!write_request(&w, call, request))
        return;
    bool sent = !r->unsent && send(r->fd, r->frame, w.used, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)w.used;
    if (sent || send_later(r, w.used))
        verdict->vote = ERAB_PENDING;
}

static void cancel(void *instance, erab_call call)
{
    struct erabi_policy_remote *r = ((struct stand_in *)instance)->remote;
    if (r && r->running && r->polling && ++r->missed >= MISSED_MAX)
        offend(r, "is silent; killed");
}

static void fini(void *instance)
{
    struct erabi_policy_remote *r = ((struct stand_in *)instance)->remote;
    if (!r)
        return;
    r->instance = NULL;
    stop(r);
}

static const struct erab_policy stand_in = {.size = sizeof(stand_in),
                                            .abi_major = ERAB_ABI_MAJOR,
                                            .abi_minor = ERAB_ABI_MINOR,
                                            .name = "runner",
                                            .version = "1",
                                            .vendor = "erab-broker",
                                            .stages = ERAB_STAGE_INGRESS,
                                            .needs = ERAB_NEEDS_BODY,
                                            .instance_size = sizeof(struct stand_in),
                                            .decide = decide,
                                            .fini = fini,
                                            .cancel = cancel};

static int spawn(struct erabi_policy_remote *r, int theirs)
{
    char path[ERABI_RUNNER_PATH];
    const char *given = r->host->runner;
    int fault = !given ? erabi_runner_path(path) : erabi_copy_text(path, sizeof(path), given) ? 0 : -ENAMETOOLONG;
    if (fault < 0)
        return fault;
    char *args[] = {path, (char *)(uintptr_t)"--policy-fd", (char *)(uintptr_t)"3", NULL};
    char *no_environment[] = {NULL};
    uv_stdio_container_t stdio[4] = {{.flags = UV_IGNORE},
                                     {.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = 2},
                                     {.flags = UV_INHERIT_FD, .data.fd = theirs}};
    uv_process_options_t options = {.exit_cb = on_exit_of,
                                    .file = path,
                                    .args = args,
                                    .env = no_environment,
                                    .stdio = stdio,
                                    .stdio_count = 4};
    fault = uv_spawn(r->host->loop, &r->process, &options);
    r->handles++; /* also after a failed spawn the handle has to be closed */
    r->process.data = r;
    r->running = fault == 0;
    if (fault < 0)
        uv_close((uv_handle_t *)&r->process, on_process_closed);
    return fault < 0 ? 1 : 0; /* 1: on_process_closed tries again */
}

static int connect_to(struct erabi_policy_remote *r)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    _close_ int ours = ends[0];
    _close_ int theirs = ends[1];
    json_object_set_new(r->document, "signers", erabi_host_module_signers(r->host->config));
    _free_ char *document = json_dumps(r->document, JSON_COMPACT);
    size_t size = document ? strlen(document) : 0;
    if (!document || send(ours, document, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        return -EMSGSIZE;
    int fault = spawn(r, theirs);
    if (fault)
        return fault;
    fault = uv_poll_init(r->host->loop, &r->poll, ours);
    if (fault < 0) {
        uv_process_kill(&r->process, SIGKILL);
        return 1;
    }
    r->fd = ours;
    ours = -1;
    r->poll.data = r;
    r->polling = true;
    r->handles++;
    uv_poll_start(&r->poll, UV_READABLE, on_ready);
    return 0;
}

static bool module_refused(struct erabi_policy_remote *r)
{
    struct erab_error error = {.size = sizeof(error)};
    enum erab_reason reason = erabi_host_module_judge(r->host->config, r->module, &error);
    if (reason && reason != r->refused) {
        r->host->say(r->host->user, "policy %s: %s: %s", r->name, erab_reason_code(reason), error.text);
        r->host->on_refused(r->host->user, r->name, r->module, reason);
    }
    r->refused = reason;
    return reason != ERAB_REASON_NONE;
}

static void start(struct erabi_policy_remote *r)
{
    r->missed = 0;
    if (module_refused(r)) {
        later(r);
        return;
    }
    int fault = connect_to(r);
    event(r, fault == 0 ? "started" : "not started");
    if (fault < 0)
        later(r);
}

static json_t *document(const struct erabi_config_policy *entry)
{
    return json_pack("{s:s, s:s, s:s, s:o}", "instance", entry->instance, "module", entry->module, "policy", entry->name,
                     "options", erabi_host_module_options(entry->options, entry->n_options));
}

struct erabi_policy_instance *erabi_policy_host_open(void *user, const struct erabi_config_policy *entry, int *fault)
{
    struct erabi_policy_host *host = user;
    struct erabi_policy_instance *instance = erabi_policy_instance_new(&stand_in, entry->instance, fault);
    if (!instance)
        return NULL;
    *fault = -ENOMEM;
    struct erabi_policy_remote *r = calloc(1, sizeof(*r));
    json_t *text = r ? document(entry) : NULL;
    char *module = text ? strdup(entry->module) : NULL;
    if (!module) {
        json_decref(text);
        free(r);
        erabi_policy_instance_unref(instance);
        return NULL;
    }
    r->host = host;
    r->instance = instance;
    r->document = text;
    r->module = module;
    r->fd = -1;
    r->unsent_end = &r->unsent;
    r->backoff_ms = BACKOFF_FIRST_MS;
    erabi_copy_text(r->name, sizeof(r->name), entry->instance);
    r->next = host->first;
    host->first = r;
    ((struct stand_in *)instance->memory)->remote = r;
    instance->ready = true;
    uv_timer_init(host->loop, &r->timer);
    r->timer.data = r;
    r->handles = 1;
    start(r);
    return instance;
}

void erabi_policy_host_stop(struct erabi_policy_host *host, void (*done)(void *user), void *user)
{
    if (!host->first) {
        done(user);
        return;
    }
    host->done = done;
    host->done_user = user;
    for (struct erabi_policy_remote *r = host->first; r; r = r->next)
        stop(r);
}

void erabi_policy_host_each(const struct erabi_policy_host *host,
                            void (*each)(void *user, const char *instance, bool running), void *user)
{
    for (const struct erabi_policy_remote *r = host->first; r; r = r->next)
        if (r->instance)
            each(user, r->name, r->running);
}
