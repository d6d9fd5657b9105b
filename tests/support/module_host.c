/* Runs one adapter module on the fake host of the test kit, in real time and with the runner's own relays, for interop
 * tests: what it publishes and completes goes out as JSON lines, deliveries come in as JSON lines.
 *
 *     module_host MODULE.so ADAPTER STORE_DIRECTORY PARTY,PARTY key=value...
 *
 * stdin: {"do":"telemetry","resource":R,"kw":X} {"do":"opt","order":O,"from":P,"in":true}
 *        {"do":"command","to":P,"action":A,"watts":W or null,"in_ms":T,"for_ms":T,"exercise":false}
 *        {"do":"receipt","about":HEX,"state":N,"reason":CODE} {"do":"receipts","state":N,"reason":CODE} {"do":"stop"}
 * "receipts" sets what every order published is answered with (state 0: nothing, the default). A delivery is answered
 * by {"event":"call","call":N}. A rule of <erab/host.h> that the adapter broke ends it with exit code 1. */
#include <erab/testkit.h>

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "module/module.h"
#include "relay.h"

struct program {
    struct erabi_module *module;
    const struct erab_adapter *adapter;
    void *instance;
    erab_self *self;
    struct erab_config config;
    struct relay *relay;
    const char *parties[9];
    int auto_state;
    char auto_reason[64];
    uv_pipe_t in;
    char line[65536];
    size_t used;
    bool stopped;
};

static struct program program;

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

/* --- what differs from the usual fake host ----------------------------------------------------------------------- */

static void on_log(void *user, enum erab_log_level level, const char *text)
{
    say(json_pack("{s:s,s:i,s:s}", "event", "log", "level", (int)level, "text", text));
}

static void on_complete(void *user, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                        const char *detail)
{
    say(json_pack("{s:s,s:I,s:s,s:s,s:s}", "event", "complete", "call", (json_int_t)call, "state",
                  erab_receipt_state_name(state), "reason", erab_reason_code(reason), "detail", detail));
}

static erab_call deliver(enum erab_type type, const char *from, const char *to, bool exercise, bool receipt,
                         const ProtobufCMessage *body)
{
    uint64_t now = erab_fake_now(program.self);
    struct erab_header header = {
        .type = type, .category = ERAB_OPERATION, .issued_at_ms = now, .expires_at_ms = now + 60000, .exercise = exercise, .version = 1};
    erab_id_new(header.id, now);
    snprintf(header.from, sizeof header.from, "%s", from);
    snprintf(header.to, sizeof header.to, "%s", *to ? to : program.parties[0]);
    uint8_t *bytes;
    size_t size;
    if (erab_body_pack(body, &bytes, &size) < 0)
        return 0;
    struct erab_message m = {.header = &header, .body = {bytes, size}};
    erab_call call = receipt ? 0 : erab_fake_call(program.self);
    if (call)
        say(json_pack("{s:s,s:I,s:s}", "event", "call", "call", (json_int_t)call, "to", header.to));
    int r = program.adapter->deliver(program.instance, call, &m);
    free(bytes);
    if (call && r)
        on_complete(NULL, call, ERAB_REFUSED, (enum erab_reason)r, "");
    return call;
}

static void deliver_receipt(const uint8_t *about, int state, const char *reason)
{
    Erab__V1__Receipt r = ERAB__V1__RECEIPT__INIT;
    r.has_about = true;
    r.about.data = (uint8_t *)about;
    r.about.len = ERAB_ID_SIZE;
    r.state = (Erab__V1__ReceiptState)state;
    r.reason = (char *)reason;
    deliver(ERAB_RECEIPT, "broker", "", false, true, &r.base);
}

struct late {
    uint8_t about[ERAB_ID_SIZE];
};

static void on_late(void *arg)
{
    struct late *l = arg;
    deliver_receipt(l->about, program.auto_state, program.auto_reason);
    free(l);
}

static void on_publish(void *user, const struct erab_outgoing_message *m, const uint8_t id[ERAB_ID_SIZE])
{
    say(json_pack("{s:s,s:s,s:o,s:s,s:s,s:b,s:I,s:o}", "event", "publish", "type", erab_type_name(m->type), "id",
                  hex(id, ERAB_ID_SIZE), "from", m->from ? m->from : program.parties[0], "to", m->to, "exercise",
                  (int)m->exercise, "expires_at_ms", (json_int_t)m->expires_at_ms, "body", body_json(m->body)));
    struct late *l = program.auto_state ? calloc(1, sizeof *l) : NULL;
    for (size_t i = 0; l && i < ERAB_ID_SIZE; i++)
        l->about[i] = id[i];
    if (l && erab_fake_host.post(program.self, on_late, l))
        free(l);
}

static const char *value_of(const char *name)
{
    for (uint32_t i = 0; name && i < program.config.n; i++)
        if (strcmp(program.config.values[i].name, name) == 0)
            return program.config.values[i].text;
    return NULL;
}

static int connect_stream(void *user, const char *option)
{
    const char *endpoint = value_of(option);
    return endpoint ? relay_stream(program.relay, endpoint) : -EINVAL;
}

static int open_datagram(void *user, const struct erab_datagram_options *o, struct erab_datagram_info *info)
{
    const char *interface = value_of(o->interface);
    return interface ? relay_datagram(program.relay, interface, o, info) : -EINVAL;
}

static int turn(void *user)
{
    uv_run(uv_default_loop(), UV_RUN_NOWAIT);
    return uv_backend_timeout(uv_default_loop());
}

static int listen_streams(void *user, const char *option)
{
    const char *endpoint = value_of(option);
    return endpoint ? relay_listen(program.relay, endpoint) : -EINVAL;
}

static int accept_stream(void *user, int listener, struct erab_accepted *from)
{
    return relay_accept(listener, from);
}

static void on_relay(void *user, enum relay_word word, const char *text)
{
    on_log(user, ERAB_LOG_WARNING, text);
}

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

static void stop(void)
{
    if (!program.stopped)
        program.adapter->stop(program.instance);
    program.stopped = true;
}

static void telemetry(json_t *q)
{
    Erab__V1__TelemetryPoint p = ERAB__V1__TELEMETRY_POINT__INIT, *points[] = {&p};
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    p.resource = (char *)text_of(q, "resource", "");
    p.quantity = ERAB__V1__QUANTITY__POWER_KW;
    p.at_ms = erab_fake_now(program.self);
    p.value = json_number_value(json_object_get(q, "kw"));
    t.n_point = 1;
    t.point = points;
    deliver(ERAB_TELEMETRY, "recipient", "", false, false, &t.base);
}

static void device_command(json_t *q)
{
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    const ProtobufCEnumValue *action = protobuf_c_enum_descriptor_get_value_by_name(&erab__v1__device_action__descriptor,
                                                                                   text_of(q, "action", ""));
    const json_t *watts = json_object_get(q, "watts");
    if (!action)
        return;
    c.action = (Erab__V1__DeviceAction)action->value;
    c.has_power_w = json_is_number(watts);
    c.power_w = json_number_value(watts);
    c.start_ms = erab_fake_now(program.self) + (uint64_t)json_integer_value(json_object_get(q, "in_ms"));
    c.end_ms = c.start_ms + (uint64_t)json_integer_value(json_object_get(q, "for_ms"));
    deliver(ERAB_DEVICE_COMMAND, "gateway", text_of(q, "to", ""), json_is_true(json_object_get(q, "exercise")), false,
            &c.base);
}

static void command(json_t *q)
{
    const char *what = text_of(q, "do", "");
    json_int_t state = json_integer_value(json_object_get(q, "state"));
    if (strcmp(what, "telemetry") == 0) {
        telemetry(q);
    } else if (strcmp(what, "command") == 0) {
        device_command(q);
    } else if (strcmp(what, "opt") == 0) {
        Erab__V1__Opt o = ERAB__V1__OPT__INIT;
        o.decision = json_is_true(json_object_get(q, "in")) ? ERAB__V1__OPT_DECISION__OPT_IN : ERAB__V1__OPT_DECISION__OPT_OUT;
        o.order = (char *)text_of(q, "order", "");
        deliver(ERAB_OPT, text_of(q, "from", ""), "", false, false, &o.base);
    } else if (strcmp(what, "receipts") == 0) {
        program.auto_state = (int)state;
        snprintf(program.auto_reason, sizeof program.auto_reason, "%s", text_of(q, "reason", "none"));
    } else if (strcmp(what, "receipt") == 0) {
        uint8_t about[ERAB_ID_SIZE];
        size_t n;
        const char *t = text_of(q, "about", "");
        if (sodium_hex2bin(about, sizeof about, t, strlen(t), NULL, &n, NULL) == 0 && n == ERAB_ID_SIZE)
            deliver_receipt(about, (int)state, text_of(q, "reason", "none"));
    } else if (strcmp(what, "stop") == 0) {
        stop();
    }
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    *b = uv_buf_init(program.line + program.used, (unsigned)(sizeof program.line - program.used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    if (n < 0) {
        uv_read_stop(stream);
        stop();
        return;
    }
    program.used += (size_t)n;
    char *end;
    while ((end = memchr(program.line, '\n', program.used))) {
        json_t *q = json_loadb(program.line, (size_t)(end - program.line), 0, NULL);
        size_t rest = program.used - (size_t)(end + 1 - program.line);
        memmove(program.line, end + 1, rest);
        program.used = rest;
        if (q)
            command(q);
        json_decref(q);
    }
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static bool load(const char *path, const char *name, char **args, struct erab_error *error)
{
    struct erabi_module_file file;
    json_t *options = json_object();
    for (char **a = args; *a; a++) {
        const char *is = strchr(*a, '=');
        if (is)
            json_object_setn_new(options, *a, (size_t)(is - *a), json_string(is + 1));
    }
    bool good = erabi_module_open(&file, path, error) == 0 && erabi_module_load(&program.module, &file, error) == 0 &&
                (program.adapter = erabi_module_adapter(program.module, name, error)) &&
                erabi_module_options(&program.config, program.adapter->options, options, error) == 0 &&
                program.adapter->check(&program.config, error) >= 0 &&
                (program.instance = calloc(1, program.adapter->instance_size));
    json_decref(options);
    return good;
}

static bool quiet(const erab_self *self, void *arg)
{
    return erab_fake_is_quiet(self);
}

static bool start(const char *store, struct erab_error *error)
{
    const struct erab_fake_ways ways = {.size = sizeof ways,
                                        .real_time = true,
                                        .store = store,
                                        .on_log = on_log,
                                        .on_publish = on_publish,
                                        .on_complete = on_complete,
                                        .connect_stream = connect_stream,
                                        .open_datagram = open_datagram,
                                        .listen_streams = listen_streams,
                                        .accept_stream = accept_stream,
                                        .turn = turn,
                                        .fd = uv_backend_fd(uv_default_loop())};
    program.self = erab_fake_new(program.parties);
    if (!program.self || uv_pipe_init(uv_default_loop(), &program.in, 0) < 0 || uv_pipe_open(&program.in, 0) < 0 ||
        relay_new(&program.relay, uv_default_loop(), &RELAY_LIMITS, on_relay, NULL))
        return false;
    erab_fake_use(program.self, &ways);
    if (program.adapter->init(program.instance, program.self, &erab_fake_host, &program.config, error))
        return false;
    erab_fake_enter(program.self, ERAB_FAKE_RUNNING);
    uv_read_start((uv_stream_t *)&program.in, on_alloc, on_read);
    return program.adapter->start(program.instance) == 0;
}

int main(int argc, char **argv)
{
    struct erab_error error = {.size = sizeof error};
    if (argc < 5 || sodium_init() < 0)
        return 2;
    size_t n = 0;
    for (char *p = strtok(argv[4], ","); p && n < 8; p = strtok(NULL, ","))
        program.parties[n++] = p;
    if (!load(argv[1], argv[2], argv + 5, &error) || !start(argv[3], &error)) {
        fprintf(stderr, "module_host: %s\n", error.text);
        return 1;
    }
    erab_fake_run(program.self, UINT64_MAX, quiet, NULL);
    relay_free(program.relay);
    say(json_pack("{s:s}", "event", "quiesced"));
    program.adapter->fini(program.instance);
    free(program.instance);
    const char *fault = erab_fake_fault(program.self);
    if (*fault)
        fprintf(stderr, "module_host: the adapter %s\n", fault);
    int code = *fault != 0;
    erabi_module_options_deinit(&program.config, program.adapter->options);
    erabi_module_free(program.module);
    erab_fake_free(program.self);
    return code;
}
