/* A host for one adapter instance on libuv: loads a module, runs its first adapter, takes commands as lines
 * on standard input and prints what the adapter does as JSON lines. For interop tests.
 *
 *   echonet_host MODULE.so name=value... name+=item...       (state of the adapter: folder in $STORE)
 * Lines: command PARTY ACTION WATTS START_MS LENGTH_MS [exercise]   (times from now; WATTS - for none)
 *        stop
 * Each command prints {"call":N,"party":...}; answers carry the same number. */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <erab/adapter.h>

#include "base/clock.h"
#include "relay_host.h"

enum { VALUES_MAX = 32, LIST_MAX = 32 };

struct erab_timer {
    uv_timer_t handle;
    void (*fn)(void *);
    void *arg;
};

struct erab_watch {
    uv_poll_t handle;
    void (*fn)(void *, uint32_t);
    void *arg;
};

struct erab_self {
    uv_loop_t loop;
    const struct erab_config *config;
    struct relay *relay;
    uv_pipe_t input;
    char line[512];
    size_t line_used;
    const struct erab_adapter *adapter;
    void *instance;
    uint64_t calls;
    bool over;
};

static struct erab_self self_;

static void print(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(o);
}

static void host_log(erab_self *self, enum erab_log_level level, const char *text)
{
    print(json_pack("{s:s,s:i,s:s}", "event", "log", "level", (int)level, "text", text));
}

static uint64_t host_now(erab_self *self)
{
    return erabi_clock_ms(CLOCK_REALTIME);
}

static uint64_t host_monotonic(erab_self *self)
{
    return erabi_clock_ms(CLOCK_MONOTONIC);
}

static void on_timer(uv_timer_t *h)
{
    struct erab_timer *t = h->data;
    t->fn(t->arg);
}

static erab_timer *host_timer(erab_self *self, uint64_t delay_ms, void (*fn)(void *), void *arg)
{
    struct erab_timer *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    uv_timer_init(&self->loop, &t->handle);
    t->handle.data = t;
    uv_update_time(&self->loop);
    uv_timer_start(&t->handle, on_timer, delay_ms, 0);
    return t;
}

static void free_handle(uv_handle_t *h)
{
    free(h->data);
}

static void host_timer_free(erab_self *self, erab_timer *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->handle, free_handle);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct erab_watch *w = h->data;
    w->fn(w->arg, (events & UV_READABLE ? ERAB_READABLE : 0u) | (events & UV_WRITABLE ? ERAB_WRITABLE : 0u));
}

static void host_watch_set(erab_self *self, erab_watch *w, uint32_t events)
{
    uv_poll_start(&w->handle,
                  (events & ERAB_READABLE ? UV_READABLE : 0) | (events & ERAB_WRITABLE ? UV_WRITABLE : 0),
                  on_poll);
}

static erab_watch *host_watch(erab_self *self, int fd, uint32_t events, void (*fn)(void *, uint32_t),
                              void *arg)
{
    struct erab_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->fn = fn;
    w->arg = arg;
    if (uv_poll_init(&self->loop, &w->handle, fd)) {
        free(w);
        return NULL;
    }
    w->handle.data = w;
    host_watch_set(self, w, events);
    return w;
}

static void host_watch_free(erab_self *self, erab_watch *w)
{
    if (w)
        uv_close((uv_handle_t *)&w->handle, free_handle);
}

static json_t *telemetry(const Erab__V1__Telemetry *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->n_point; i++)
        json_array_append_new(list, json_pack("{s:i,s:f,s:i}", "quantity", (int)t->point[i]->quantity,
                                              "value", t->point[i]->value, "quality",
                                              t->point[i]->has_quality ? (int)t->point[i]->quality : 1));
    return list;
}

static json_t *body_json(enum erab_type type, const ProtobufCMessage *body)
{
    const Erab__V1__DeviceState *s = (const void *)body;
    const Erab__V1__Result *r = (const void *)body;
    const Erab__V1__Registration *g = (const void *)body;
    switch (type) {
    case ERAB_TELEMETRY:
        return telemetry((const void *)body);
    case ERAB_DEVICE_STATE:
        return json_pack("{s:b,s:i}", "reachable", (int)s->reachable, "action",
                         s->has_action ? (int)s->action : 0);
    case ERAB_RESULT:
        return json_pack("{s:i,s:s,s:f,s:f,s:b}", "outcome", (int)r->outcome, "reason", r->reason, "expected",
                         r->expected_kw, "achieved", r->achieved_kw, "has_achieved", (int)r->has_achieved_kw);
    case ERAB_REGISTRATION:
        return json_pack("{s:s,s:s?,s:f,s:f,s:b,s:s?}", "kind", g->kind, "maker", g->maker, "up", g->up_kw,
                         "capacity", g->capacity_kwh, "protected", (int)g->protected_link, "serial", g->serial);
    default:
        return json_null();
    }
}

static int host_publish(erab_self *self, const struct erab_outgoing_message *m, uint8_t id[ERAB_ID_SIZE])
{
    uint8_t *packed = NULL;
    size_t size;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_NONE;
    int e = erab_body_pack(m->body, &packed, &size);
    /* What is published must be what a receiver would take. */
    bool valid = e == 0 && erab_body_unpack(m->type, (struct erab_bytes){packed, size}, &body, &reason) == 0;
    print(json_pack("{s:s,s:s,s:s,s:s,s:b,s:o}", "event", "publish", "type", erab_type_name(m->type), "from",
                    m->from, "to", m->to, "valid", (int)valid, "body", body_json(m->type, m->body)));
    erab_body_free(body);
    free(packed);
    return e;
}

static void host_complete(erab_self *self, erab_call call, enum erab_receipt_state state,
                          enum erab_reason reason, const char *detail)
{
    print(json_pack("{s:s,s:I,s:s,s:s,s:s}", "event", "complete", "call", (json_int_t)call, "state",
                    erab_receipt_state_name(state), "reason", erab_reason_code(reason), "detail",
                    detail ? detail : ""));
}

static int host_post(erab_self *self, void (*fn)(void *), void *arg)
{
    return -ENOSYS;
}

/* One file a key in the folder $STORE; without it nothing is kept. As strict about keys as the real host. */
static bool store_path(const char *key, char *path, size_t size)
{
    const char *folder = getenv("STORE");
    bool valid = key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
    return folder && valid && strlen(key) <= 64 && snprintf(path, size, "%s/%s", folder, key) < (int)size;
}

static int host_store_put(erab_self *self, const char *key, const void *value, size_t size)
{
    char path[512];
    if (!store_path(key, path, sizeof(path)))
        return getenv("STORE") ? -EINVAL : 0;
    FILE *f = fopen(path, "wb");
    if (!f)
        return -errno;
    size_t n = fwrite(value, 1, size, f);
    return fclose(f) == 0 && n == size ? 0 : -EIO;
}

static int host_store_get(erab_self *self, const char *key, void *value, size_t *size)
{
    char path[512];
    FILE *f = store_path(key, path, sizeof(path)) ? fopen(path, "rb") : NULL;
    if (!f)
        return -ENOENT;
    *size = fread(value, 1, *size, f);
    fclose(f);
    return (int)*size;
}

static const char *const *host_parties(erab_self *self)
{
    static const char *const none[] = {NULL};
    return none;
}

static void close_all(uv_handle_t *h, void *arg)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static int host_connect_stream(erab_self *self, const char *option)
{
    return relay_host_stream(self->relay, self->config, option);
}

static int host_open_datagram(erab_self *self, const struct erab_datagram_options *o, struct erab_datagram_info *info)
{
    return relay_host_datagram(self->relay, self->config, o, info);
}

static void on_relay(void *user, const char *text)
{
    host_log(user, ERAB_LOG_WARNING, text);
}

static void host_quiesced(erab_self *self)
{
    relay_free(self->relay);
    print(json_pack("{s:s}", "event", "quiesced"));
    self->over = true;
    uv_close((uv_handle_t *)&self->input, NULL);
}

static const struct erab_host host = {
    .size = sizeof(host),
    .abi_major = ERAB_ABI_MAJOR,
    .abi_minor = ERAB_ABI_MINOR,
    .log = host_log,
    .now_ms = host_now,
    .monotonic_ms = host_monotonic,
    .publish = host_publish,
    .complete = host_complete,
    .timer = host_timer,
    .timer_free = host_timer_free,
    .watch = host_watch,
    .watch_set = host_watch_set,
    .watch_free = host_watch_free,
    .post = host_post,
    .store_put = host_store_put,
    .store_get = host_store_get,
    .parties = host_parties,
    .quiesced = host_quiesced,
    .connect_stream = host_connect_stream,
    .open_datagram = host_open_datagram,
};

static Erab__V1__DeviceAction action_of(const char *name)
{
    static const char *const names[] = {"charge", "discharge", "standby",
                                        "auto",   "restore",   "pv-limit-percent"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return (Erab__V1__DeviceAction)(i + 1);
    return ERAB__V1__DEVICE_ACTION__POWER_LIMIT;
}

static void command(erab_self *self, const char *party, const char *action, const char *watts, int64_t start,
                    int64_t length, bool exercise)
{
    uint64_t now = host_now(self);
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    c.action = action_of(action);
    c.has_power_w = strcmp(watts, "-") != 0;
    c.power_w = strtod(watts, NULL);
    c.start_ms = now + (uint64_t)start;
    c.end_ms = c.start_ms + (uint64_t)length;
    uint8_t *packed = NULL;
    size_t size = 0;
    if (erab_body_pack(&c.base, &packed, &size))
        return;
    struct erab_header h = {.from = "gateway", .type = ERAB_DEVICE_COMMAND, .exercise = exercise};
    erab_id_new(h.id, now);
    snprintf(h.to, sizeof(h.to), "%s", party);
    h.issued_at_ms = now;
    h.expires_at_ms = now + 60000;
    struct erab_message m = {.header = &h, .body = {packed, size}};
    erab_call call = ++self->calls;
    print(json_pack("{s:s,s:I,s:s}", "event", "call", "call", (json_int_t)call, "party", party));
    int r = self->adapter->deliver(self->instance, call, &m);
    if (r)
        host_complete(self, call, ERAB_REFUSED, (enum erab_reason)r, "");
    free(packed);
}

static void on_line(erab_self *self, char *line)
{
    char party[64], action[32], watts[32], last[32] = "";
    int64_t start, length;
    if (strcmp(line, "stop") == 0)
        self->adapter->stop(self->instance);
    else if (sscanf(line, "command %63s %31s %31s %" SCNd64 " %" SCNd64 " %31s", party, action, watts, &start,
                    &length, last) >= 5)
        command(self, party, action, watts, start, length, strcmp(last, "exercise") == 0);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
    buf->base = self_.line + self_.line_used;
    buf->len = sizeof(self_.line) - self_.line_used - 1;
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        uv_read_stop(s);
        if (!self_.over)
            self_.adapter->stop(self_.instance);
        return;
    }
    self_.line_used += (size_t)n;
    self_.line[self_.line_used] = '\0';
    char *at = self_.line, *end;
    while ((end = strchr(at, '\n'))) {
        *end = '\0';
        on_line(&self_, at);
        at = end + 1;
    }
    self_.line_used = strlen(at);
    memmove(self_.line, at, self_.line_used + 1);
}

/* name=value and name+=item into option values; integers by the adapter's own table. */
static void options(const struct erab_adapter *a, int argc, char **argv, struct erab_config_value *values,
                    uint32_t *n)
{
    static const char *lists[VALUES_MAX][LIST_MAX + 1];
    for (int i = 2; i < argc && *n < VALUES_MAX; i++) {
        char *eq = strchr(argv[i], '=');
        if (!eq || eq == argv[i])
            continue;
        bool list = eq[-1] == '+';
        eq[list ? -1 : 0] = '\0';
        uint32_t k = 0;
        while (k < *n && strcmp(values[k].name, argv[i]) != 0)
            k++;
        values[k].name = argv[i];
        if (k == *n)
            (*n)++;
        if (list) {
            size_t used = 0;
            while (lists[k][used] && used < LIST_MAX - 1)
                used++;
            lists[k][used] = eq + 1;
            values[k].list = lists[k];
        } else {
            values[k].text = eq + 1;
            values[k].integer = strtoll(eq + 1, NULL, 10);
        }
    }
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    erab_module_fn fn = library ? (erab_module_fn)dlsym(library, "erab_module") : NULL;
    if (!fn) {
        fprintf(stderr, "echonet_host: no module: %s\n", argc > 1 ? dlerror() : "give its path");
        return 2;
    }
    const struct erab_adapter *a = fn()->adapters[0];
    struct erab_config_value values[VALUES_MAX] = {0};
    struct erab_config config = {.size = sizeof(config), .values = values};
    struct erab_error error = {.size = sizeof(error)};
    options(a, argc, argv, values, &config.n);
    self_.adapter = a;
    self_.instance = calloc(1, a->instance_size);
    self_.config = &config;
    if (uv_loop_init(&self_.loop) || relay_new(&self_.relay, &self_.loop, on_relay, on_relay, &self_))
        return 2;
    if (a->check(&config, &error) || a->init(self_.instance, &self_, &host, &config, &error)) {
        fprintf(stderr, "echonet_host: %s\n", error.text);
        return 2;
    }
    uv_pipe_init(&self_.loop, &self_.input, 0);
    uv_pipe_open(&self_.input, 0);
    uv_read_start((uv_stream_t *)&self_.input, on_alloc, on_input);
    int e = a->start(self_.instance);
    if (e)
        return 1;
    uv_run(&self_.loop, UV_RUN_DEFAULT);
    a->fini(self_.instance);
    uv_walk(&self_.loop, close_all, NULL);
    uv_run(&self_.loop, UV_RUN_DEFAULT);
    uv_loop_close(&self_.loop);
    free(self_.instance);
    return 0;
}
