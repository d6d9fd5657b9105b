/* Runs one adapter module without a broker, for interop tests: what it publishes and completes goes out as JSON lines,
 * deliveries come in as JSON lines.
 *
 *     adapter_host MODULE.so ADAPTER STORE_DIRECTORY PARTY,PARTY key=value...
 *
 * stdin: {"do":"telemetry","resource":R,"kw":X,"call":N} {"do":"opt","order":O,"from":P,"in":true}
 *        {"do":"receipt","about":HEX,"state":N,"reason":CODE} {"do":"receipts","state":N,"reason":CODE} {"do":"stop"}
 * "receipts" sets what every order published is answered with (state 0: nothing, the default). */
#include <erab/adapter.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "relay_host.h"

#define VALUES_MAX 64

struct erab_self {
    const struct erab_adapter *adapter;
    void *instance;
    const char *store;
    const struct erab_config *config;
    struct relay *relay;
    const char *parties[9];
    int auto_state;
    char auto_reason[64];
    uv_pipe_t in;
    char line[65536];
    size_t used;
};

struct erab_timer {
    uv_timer_t uv;
    void (*fn)(void *arg);
    void *arg;
};

struct erab_watch {
    uv_poll_t uv;
    void (*fn)(void *arg, uint32_t events);
    void *arg;
};

static struct erab_self self;

static void say(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(line);
}

static json_t *hex(const uint8_t *data, size_t n)
{
    char text[512];
    if (n > 255)
        n = 255;
    sodium_bin2hex(text, sizeof text, data, n);
    return json_string(text);
}

/* --- any body as JSON, by its descriptor ------------------------------------------------------------------------- */

static json_t *body_json(const ProtobufCMessage *m);

static json_t *value_json(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_UINT32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *e = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)at);
        return json_string(e ? e->name : "?");
    }
    case PROTOBUF_C_TYPE_UINT64:
        return json_integer((json_int_t) * (const uint64_t *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(const char *const *)at);
    case PROTOBUF_C_TYPE_BYTES:
        return hex(((const ProtobufCBinaryData *)at)->data, ((const ProtobufCBinaryData *)at)->len);
    case PROTOBUF_C_TYPE_MESSAGE:
        return body_json(*(const ProtobufCMessage *const *)at);
    default:
        return json_null();
    }
}

static json_t *body_json(const ProtobufCMessage *m)
{
    json_t *out = json_object();
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *at = (const char *)m + f->offset;
        bool pointer = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            json_t *list = json_array();
            size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
            for (size_t k = 0; k < n && pointer; k++)
                json_array_append_new(list, value_json(f, *(const char *const *)(const void *)at + k * sizeof(void *)));
            json_object_set_new(out, f->name, list);
        } else if (pointer ? *(void *const *)(const void *)at != NULL
                           : f->label == PROTOBUF_C_LABEL_REQUIRED ||
                                 *(const protobuf_c_boolean *)((const char *)m + f->quantifier_offset)) {
            json_object_set_new(out, f->name, value_json(f, at));
        }
    }
    return out;
}

/* --- the host ---------------------------------------------------------------------------------------------------- */

static void host_log(erab_self *s, enum erab_log_level level, const char *text)
{
    say(json_pack("{s:s,s:i,s:s}", "event", "log", "level", (int)level, "text", text));
}

static uint64_t host_now(erab_self *s)
{
    return erabi_clock_ms(CLOCK_REALTIME);
}

static uint64_t host_monotonic(erab_self *s)
{
    return erabi_clock_ms(CLOCK_MONOTONIC);
}

static void uv_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_uv_timer(uv_timer_t *t)
{
    erab_timer *timer = t->data;
    timer->fn(timer->arg);
}

static erab_timer *host_timer(erab_self *s, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    erab_timer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    uv_timer_init(uv_default_loop(), &t->uv);
    t->uv.data = t;
    uv_update_time(uv_default_loop());
    uv_timer_start(&t->uv, on_uv_timer, delay_ms, 0);
    return t;
}

static void host_timer_free(erab_self *s, erab_timer *t)
{
    uv_close((uv_handle_t *)&t->uv, uv_timer_closed);
}

static void on_uv_poll(uv_poll_t *p, int status, int events)
{
    erab_watch *w = p->data;
    uint32_t e = (events & UV_READABLE ? ERAB_READABLE : 0u) | (events & UV_WRITABLE ? ERAB_WRITABLE : 0u);
    w->fn(w->arg, status < 0 ? ERAB_READABLE | ERAB_WRITABLE : e);
}

static void host_watch_set(erab_self *s, erab_watch *w, uint32_t events)
{
    int e = (events & ERAB_READABLE ? UV_READABLE : 0) | (events & ERAB_WRITABLE ? UV_WRITABLE : 0);
    uv_poll_start(&w->uv, e, on_uv_poll);
}

static erab_watch *host_watch(erab_self *s, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg)
{
    erab_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->fn = fn;
    w->arg = arg;
    if (uv_poll_init(uv_default_loop(), &w->uv, fd) < 0) {
        free(w);
        return NULL;
    }
    w->uv.data = w;
    host_watch_set(s, w, events);
    return w;
}

static void host_watch_free(erab_self *s, erab_watch *w)
{
    uv_close((uv_handle_t *)&w->uv, uv_timer_closed);
}

static void deliver(erab_call call, enum erab_type type, const char *from, const ProtobufCMessage *body)
{
    struct erab_header header = {.type = type, .category = ERAB_OPERATION, .issued_at_ms = host_now(&self), .version = 1};
    erab_id_new(header.id, header.issued_at_ms);
    header.expires_at_ms = header.issued_at_ms + 60000;
    snprintf(header.from, sizeof header.from, "%s", from);
    snprintf(header.to, sizeof header.to, "%s", self.parties[0]);
    uint8_t *bytes;
    size_t size;
    if (erab_body_pack(body, &bytes, &size) < 0)
        return;
    struct erab_message m = {.header = &header, .body = {bytes, size}};
    int r = self.adapter->deliver(self.instance, call, &m);
    free(bytes);
    if (call != 0 && r != 0)
        say(json_pack("{s:s,s:I,s:s}", "event", "refused", "call", (json_int_t)call, "reason",
                      erab_reason_code((enum erab_reason)r)));
}

static void deliver_receipt(const uint8_t *about, int state, const char *reason)
{
    Erab__V1__Receipt r = ERAB__V1__RECEIPT__INIT;
    r.has_about = true;
    r.about.data = (uint8_t *)about;
    r.about.len = ERAB_ID_SIZE;
    r.state = (Erab__V1__ReceiptState)state;
    r.reason = (char *)reason;
    deliver(0, ERAB_RECEIPT, "broker", &r.base);
}

struct late {
    erab_timer *timer;
    uint8_t about[ERAB_ID_SIZE];
};

static void on_late(void *arg)
{
    struct late *l = arg;
    deliver_receipt(l->about, self.auto_state, self.auto_reason);
    host_timer_free(&self, l->timer);
    free(l);
}

static int host_publish(erab_self *s, const struct erab_outgoing_message *m, uint8_t id[ERAB_ID_SIZE])
{
    uint8_t *bytes;
    size_t size;
    ProtobufCMessage *again = NULL;
    enum erab_reason reason;
    int r = erab_body_pack(m->body, &bytes, &size);
    if (r < 0)
        return r;
    /* What the wire would refuse is refused here. */
    r = erab_body_unpack(m->type, (struct erab_bytes){bytes, size}, &again, &reason);
    free(bytes);
    if (r != 0)
        return -EINVAL;
    erab_body_free(again);
    erab_id_new(id, host_now(s));
    say(json_pack("{s:s,s:s,s:o,s:s,s:s,s:b,s:I,s:o}", "event", "publish", "type", erab_type_name(m->type), "id",
                  hex(id, ERAB_ID_SIZE), "from", m->from, "to", m->to, "exercise", (int)m->exercise, "expires_at_ms",
                  (json_int_t)m->expires_at_ms, "body", body_json(m->body)));
    struct late *l = s->auto_state ? calloc(1, sizeof *l) : NULL;
    if (l) {
        for (size_t i = 0; i < ERAB_ID_SIZE; i++)
            l->about[i] = id[i];
        l->timer = host_timer(s, 1, on_late, l);
    }
    return 0;
}

static void host_complete(erab_self *s, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                          const char *detail)
{
    say(json_pack("{s:s,s:I,s:s,s:s}", "event", "complete", "call", (json_int_t)call, "state",
                  erab_receipt_state_name(state), "reason", erab_reason_code(reason)));
}

static int host_post(erab_self *s, void (*fn)(void *arg), void *arg)
{
    return -ENOMEM; /* no adapter tested here has threads */
}

static int host_store_put(erab_self *s, const char *key, const void *value, size_t size)
{
    char path[512], new_path[520];
    snprintf(path, sizeof path, "%s/%s", s->store, key);
    snprintf(new_path, sizeof new_path, "%s.new", path);
    int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    bool good = write(fd, value, size) == (ssize_t)size && fsync(fd) == 0;
    close(fd);
    return good && rename(new_path, path) == 0 ? 0 : -EIO;
}

static int host_store_get(erab_self *s, const char *key, void *value, size_t *size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", s->store, key);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ENOENT;
    ssize_t n = read(fd, value, *size);
    close(fd);
    if (n < 0)
        return -EIO;
    *size = (size_t)n;
    return (int)n;
}

static const char *const *host_parties(erab_self *s)
{
    return s->parties;
}

static int host_connect_stream(erab_self *s, const char *option)
{
    return relay_host_stream(s->relay, s->config, option);
}

static int host_open_datagram(erab_self *s, const struct erab_datagram_options *o, struct erab_datagram_info *info)
{
    return relay_host_datagram(s->relay, s->config, o, info);
}

static void on_relay(void *user, const char *text)
{
    host_log(user, ERAB_LOG_WARNING, text);
}

static void host_quiesced(erab_self *s)
{
    relay_free(s->relay);
    say(json_pack("{s:s}", "event", "quiesced"));
    uv_close((uv_handle_t *)&s->in, NULL);
}

static const struct erab_host host = {
    .size = sizeof host, .abi_major = ERAB_ABI_MAJOR, .abi_minor = ERAB_ABI_MINOR, .log = host_log, .now_ms = host_now,
    .monotonic_ms = host_monotonic, .publish = host_publish, .complete = host_complete, .timer = host_timer,
    .timer_free = host_timer_free, .watch = host_watch, .watch_set = host_watch_set, .watch_free = host_watch_free,
    .post = host_post, .store_put = host_store_put, .store_get = host_store_get, .parties = host_parties,
    .quiesced = host_quiesced, .connect_stream = host_connect_stream, .open_datagram = host_open_datagram};

/* The runner's supervisor answers a second connect() of a handed stream so; see runner/notify.c. */
ERAB_API int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0 && peer.ss_family == AF_UNIX) {
        errno = EINPROGRESS;
        return -1;
    }
    return (int)syscall(SYS_connect, fd, address, size);
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static const char *text_of(json_t *q, const char *key, const char *otherwise)
{
    const char *t = json_string_value(json_object_get(q, key));
    return t ? t : otherwise;
}

static void command(json_t *q)
{
    const char *what = text_of(q, "do", "");
    json_int_t state = json_integer_value(json_object_get(q, "state"));
    if (strcmp(what, "telemetry") == 0) {
        Erab__V1__TelemetryPoint p = ERAB__V1__TELEMETRY_POINT__INIT, *points[] = {&p};
        Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
        p.resource = (char *)text_of(q, "resource", "");
        p.quantity = ERAB__V1__QUANTITY__POWER_KW;
        p.at_ms = host_now(&self);
        p.value = json_number_value(json_object_get(q, "kw"));
        t.n_point = 1;
        t.point = points;
        deliver((erab_call)json_integer_value(json_object_get(q, "call")), ERAB_TELEMETRY, "recipient", &t.base);
    } else if (strcmp(what, "opt") == 0) {
        Erab__V1__Opt o = ERAB__V1__OPT__INIT;
        o.decision = json_is_true(json_object_get(q, "in")) ? ERAB__V1__OPT_DECISION__OPT_IN : ERAB__V1__OPT_DECISION__OPT_OUT;
        o.order = (char *)text_of(q, "order", "");
        deliver((erab_call)json_integer_value(json_object_get(q, "call")), ERAB_OPT, text_of(q, "from", ""), &o.base);
    } else if (strcmp(what, "receipts") == 0) {
        self.auto_state = (int)state;
        snprintf(self.auto_reason, sizeof self.auto_reason, "%s", text_of(q, "reason", "none"));
    } else if (strcmp(what, "receipt") == 0) {
        uint8_t about[ERAB_ID_SIZE];
        size_t n;
        const char *t = text_of(q, "about", "");
        if (sodium_hex2bin(about, sizeof about, t, strlen(t), NULL, &n, NULL) == 0 && n == ERAB_ID_SIZE)
            deliver_receipt(about, (int)state, text_of(q, "reason", "none"));
    } else if (strcmp(what, "stop") == 0) {
        uv_read_stop((uv_stream_t *)&self.in);
        self.adapter->stop(self.instance);
    }
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    *b = uv_buf_init(self.line + self.used, (unsigned)(sizeof self.line - self.used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    if (n < 0) {
        uv_read_stop(stream);
        self.adapter->stop(self.instance);
        return;
    }
    self.used += (size_t)n;
    char *end;
    while ((end = memchr(self.line, '\n', self.used))) {
        json_t *q = json_loadb(self.line, (size_t)(end - self.line), 0, NULL);
        size_t rest = self.used - (size_t)(end + 1 - self.line);
        memmove(self.line, end + 1, rest);
        self.used = rest;
        if (q)
            command(q);
        json_decref(q);
    }
}

static uint32_t read_values(const struct erab_option *options, char **args, int n, struct erab_config_value *values)
{
    uint32_t used = 0;
    for (const struct erab_option *o = options; o->name && used < VALUES_MAX; o++) {
        const char *t = o->default_value;
        for (int i = 0; i < n; i++)
            if (strncmp(args[i], o->name, strlen(o->name)) == 0 && args[i][strlen(o->name)] == '=')
                t = args[i] + strlen(o->name) + 1;
        if (t)
            values[used++] = (struct erab_config_value){.name = o->name, .text = t, .integer = strtoll(t, NULL, 10)};
    }
    return used;
}

static const struct erab_adapter *load(const char *path, const char *name)
{
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so) {
        fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
    erab_module_fn get;
    *(void **)&get = dlsym(so, "erab_module");
    for (const struct erab_adapter *const *a = get ? get()->adapters : NULL; a && *a; a++)
        if (strcmp((*a)->name, name) == 0)
            return *a;
    return NULL;
}

int main(int argc, char **argv)
{
    struct erab_config_value values[VALUES_MAX];
    struct erab_error error = {.size = sizeof error};
    if (argc < 5 || sodium_init() < 0)
        return 2;
    self.adapter = load(argv[1], argv[2]);
    if (!self.adapter)
        return 1;
    self.store = argv[3];
    size_t n = 0;
    for (char *p = strtok(argv[4], ","); p && n < 8; p = strtok(NULL, ","))
        self.parties[n++] = p;
    struct erab_config config = {.size = sizeof config, .values = values};
    config.n = read_values(self.adapter->options, argv + 5, argc - 5, values);
    if (self.adapter->check(&config, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    self.instance = calloc(1, self.adapter->instance_size);
    uv_pipe_init(uv_default_loop(), &self.in, 0);
    if (!self.instance || uv_pipe_open(&self.in, 0) < 0)
        return 1;
    self.config = &config;
    int r = relay_new(&self.relay, uv_default_loop(), on_relay, on_relay, &self);
    if (r == 0)
        r = self.adapter->init(self.instance, &self, &host, &config, &error);
    if (r == 0)
        r = self.adapter->start(self.instance);
    if (r < 0) {
        fprintf(stderr, "start: %s %s\n", strerror(-r), error.text);
        return 1;
    }
    uv_read_start((uv_stream_t *)&self.in, on_alloc, on_read);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    self.adapter->fini(self.instance);
    free(self.instance);
    return 0;
}
