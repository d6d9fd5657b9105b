/* The ECHONET Lite adapter: storage batteries on one interface, each one party of the broker. */
#include "adapter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void erabi_el_log(struct erabi_el_adapter *a, enum erab_log_level level, const char *format, ...)
{
    char text[240];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    a->host->log(a->self, level, text);
}

void erabi_el_disarm(struct erabi_el_adapter *a, erab_timer **timer)
{
    if (*timer)
        a->host->timer_free(a->self, *timer);
    *timer = NULL;
}

void erabi_el_arm(struct erabi_el_adapter *a, erab_timer **timer, uint64_t delay_ms, void (*fn)(void *arg),
                  void *arg)
{
    erabi_el_disarm(a, timer);
    *timer = a->host->timer(a->self, delay_ms, fn, arg);
    if (!*timer)
        erabi_el_log(a, ERAB_LOG_ERROR, "no timer: out of memory");
}

static int check(const struct erab_config *config, struct erab_error *error)
{
    struct erabi_el_settings settings;
    return erabi_el_settings_read(config, &settings, error);
}

static int init(void *instance, erab_self *self, const struct erab_host *host,
                const struct erab_config *config, struct erab_error *error)
{
    struct erabi_el_adapter *a = instance;
    a->host = host;
    a->self = self;
    a->session.fd = -1;
    int e = erabi_el_settings_read(config, &a->settings, error);
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        struct erabi_el_device *d = &a->devices[i];
        d->adapter = a;
        d->entry = a->settings.devices[i];
        d->address = d->entry.address;
    }
    return e;
}

static void on_frame(void *user, in_addr_t from, const struct erabi_el_frame *frame)
{
    struct erabi_el_adapter *a = user;
    if (!a->stopping)
        erabi_el_discovery_frame(a, from, frame);
}

static void poll_all(void *arg)
{
    struct erabi_el_adapter *a = arg;
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        a->devices[i].publish_next = true;
        erabi_el_read(&a->devices[i]);
    }
    erabi_el_arm(a, &a->poll_timer, a->settings.poll_ms, poll_all, a);
}

static int start(void *instance)
{
    struct erabi_el_adapter *a = instance;
    struct erabi_el_session_options options = {
        .interface = a->settings.interface,
        .timeout_ms = a->settings.timeout_ms,
        .tries = a->settings.tries,
        .on_frame = on_frame,
        .user = a,
    };
    int e = erabi_el_session_open(&a->session, a->host, a->self, &options);
    if (e)
        return e;
    a->opened = true;
    erabi_el_discovery_start(a);
    erabi_el_arm(a, &a->poll_timer, a->settings.poll_ms, poll_all, a);
    return 0;
}

static struct erabi_el_device *device_of(struct erabi_el_adapter *a, const char *party)
{
    for (size_t i = 0; i < a->settings.n_devices; i++)
        if (strcmp(a->devices[i].entry.party, party) == 0)
            return &a->devices[i];
    return NULL;
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    struct erabi_el_adapter *a = instance;
    if (message->header->type == ERAB_RECEIPT)
        return 0;
    if (message->header->type != ERAB_DEVICE_COMMAND)
        return ERAB_REASON_NOT_SUPPORTED;
    struct erabi_el_device *d = device_of(a, message->header->to);
    if (!d)
        return ERAB_REASON_DEVICE_UNKNOWN;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_INTERNAL;
    if (erab_body_unpack(ERAB_DEVICE_COMMAND, message->body, &body, &reason))
        return (int)reason;
    int r = erabi_el_run_deliver(d, call, message, (const Erab__V1__DeviceCommand *)body);
    erab_body_free(body);
    return r;
}

static void cancel(void *instance, erab_call call)
{
    struct erabi_el_adapter *a = instance;
    for (size_t i = 0; i < a->settings.n_devices; i++)
        if (a->devices[i].run.has_call && a->devices[i].run.call == call)
            erabi_el_run_cancel(&a->devices[i]);
}

static void health(void *instance, struct erab_health *out)
{
    const struct erabi_el_adapter *a = instance;
    size_t found = 0, changed = 0;
    out->in_flight = 0;
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        const struct erabi_el_device *d = &a->devices[i];
        found += d->ready && d->reachable;
        changed += d->id_changed;
        out->in_flight += d->run.has_call;
    }
    out->state = !a->opened                                 ? ERAB_HEALTH_FAILED
                 : found < a->settings.n_devices || changed ? ERAB_HEALTH_DEGRADED
                                                            : ERAB_HEALTH_OK;
    snprintf(out->note, sizeof(out->note), "%zu of %zu devices reachable%s", found, a->settings.n_devices,
             changed ? ", another node at a known address" : "");
}

/* From a timer of its own, so that nothing of the instance is on the stack when the host frees it. */
static void end(void *arg)
{
    struct erabi_el_adapter *a = arg;
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        struct erabi_el_device *d = &a->devices[i];
        if (!erabi_el_run_rests(d))
            erabi_el_log(a, ERAB_LOG_ERROR, "%s: stopped without having been given back", d->entry.party);
        erabi_el_disarm(a, &d->run.timer);
    }
    a->quiet = true;
    erabi_el_disarm(a, &a->stop_timer);
    erabi_el_session_close(&a->session);
    a->host->quiesced(a->self);
}

void erabi_el_adapter_rested(struct erabi_el_adapter *a)
{
    if (!a->stopping || a->quiet)
        return;
    for (size_t i = 0; i < a->settings.n_devices; i++)
        if (!erabi_el_run_rests(&a->devices[i]))
            return;
    erabi_el_arm(a, &a->stop_timer, 0, end, a);
}

static void stop(void *instance)
{
    struct erabi_el_adapter *a = instance;
    if (a->stopping)
        return;
    a->stopping = true;
    erabi_el_disarm(a, &a->search_timer);
    erabi_el_disarm(a, &a->poll_timer);
    erabi_el_arm(a, &a->stop_timer, a->settings.stop_ms, end, a);
    for (size_t i = 0; i < a->settings.n_devices; i++)
        erabi_el_run_stop(&a->devices[i]);
    erabi_el_adapter_rested(a);
}

static void fini(void *instance)
{
    struct erabi_el_adapter *a = instance;
    if (a->opened)
        erabi_el_session_close(&a->session);
}

static const struct erab_adapter adapter = {
    .size = sizeof(struct erab_adapter),
    .abi_major = 0,
    .abi_minor = 2,
    .name = "echonet_lite",
    .version = "0.1.0",
    .vendor = "erab",
    .hardened_for =
        "a home network with hostile hosts: bounded and checked, but the protocol has no authentication",
    .flags = 0,
    .max_in_flight = ERABI_EL_DEVICES_MAX,
    .options = erabi_el_options,
    .instance_size = sizeof(struct erabi_el_adapter),
    .check = check,
    .init = init,
    .start = start,
    .deliver = deliver,
    .cancel = cancel,
    .health = health,
    .stop = stop,
    .fini = fini,
};

static const struct erab_adapter *const adapters[] = {&adapter, NULL};

ERAB_MODULE(0, 2, "echonet_lite 0.1.0", adapters, NULL);
