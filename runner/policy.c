/* A policy of a third party in a process of its own: asked and answering over one socket, whose frames stand in
 * broker/host/policy.h. No keys, no network, no files: what it is asked and its options are all it has. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <erab/policy.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "runner.h"
#include "wire/wire.h"

#define DOCUMENT_MAX 131072u
#define FRAME_MAX    (ERAB_BODY_MAX + ERAB_HEADER_MAX + 512u)

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

static int find(const struct erabi_module *module, const char *name, struct erab_error *error)
{
    for (size_t i = 0; i < module->n_policies; i++)
        if (strcmp(module->policies[i].name, name) == 0) {
            judge.policy = &module->policies[i];
            return judge.policy->stages == ERAB_STAGE_INGRESS
                       ? 0
                       : runner_fail(error, ERAB_REASON_MODULE_FILE,
                                     "the policy %s asks for stages that have no wait: a policy in a process of its own "
                                     "judges at INGRESS and nowhere else",
                                     name);
        }
    return runner_fail(error, ERAB_REASON_MODULE_FILE, "the module has no policy %.63s; see erab-runner --check", name);
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

/* The document is erabd's; nothing foreign has had a part in it. */
static int take_document(const json_t *root, const char **path, const char **name, json_t **options,
                         struct erab_error *error)
{
    const char *instance;
    json_t *signers;
    if (json_unpack((json_t *)root, "{s:s,s:s,s:s,s:o,s:o}", "instance", &instance, "module", path, "policy", name,
                    "options", options, "signers", &signers))
        return runner_fail(error, -EINVAL, "the document is not complete");
    erabi_copy_text(judge.self.document.instance, sizeof judge.self.document.instance, instance);
    return runner_document_signers(&judge.self.document, signers, error);
}

static int prepare(const struct erab_host *host, const json_t *root, struct erab_error *error)
{
    const char *path, *name;
    json_t *options;
    int r = take_document(root, &path, &name, &options, error);
    if (r)
        return r;
    if ((r = start_loop()))
        return runner_fail(error, r, "cannot start: %s", strerror(-r));
    if ((r = runner_module_load(&judge.self, path, error)) || (r = runner_doors_close(DOORS_THINKING, error)) ||
        (r = find(judge.self.module, name, error)) ||
        (r = erabi_module_options(&judge.self.config, judge.policy->options, options, error)))
        return r;
    size_t size = judge.policy->instance_size;
    judge.instance = calloc(1, size ? size : 1);
    if (!judge.instance)
        return runner_fail(error, -ENOMEM, "out of memory");
    if (judge.policy->check && (r = judge.policy->check(&judge.self.config, error)))
        return r;
    return judge.policy->init ? judge.policy->init(judge.instance, &judge.self, host, &judge.self.config, error) : 0;
}

static void say_refused(int reason, const struct erab_error *error)
{
    char text[600];
    snprintf(text, sizeof text, "%s%s%s", reason > 0 ? erab_reason_code((enum erab_reason)reason) : "",
             reason > 0 ? ": " : "", error->text);
    runner_log(&judge.self, ERAB_LOG_ERROR, text);
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
    int r = runner_doors_limit(&error);
    if (!r && !(r = read_document(&root, &error)))
        r = prepare(&host, root, &error);
    if (r) {
        say_refused(r, &error);
        json_decref(root);
        return 1;
    }
    json_decref(root);
    uv_run(&judge.self.loop, UV_RUN_DEFAULT);
    if (judge.policy->fini)
        judge.policy->fini(judge.instance);
    free(judge.instance);
    erabi_module_options_deinit(&judge.self.config, judge.policy->options);
    erabi_module_free(judge.self.module);
    free(judge.self.document.signers);
    return 0;
}
