/* A template for an adapter: it stands between the broker and a device that is only simulated here, in
 * switch_device(). It uses the installed headers and nothing else of the broker.
 *
 * What to keep when you make it yours: one instance is one struct, no globals; every order ends by itself at its end
 * time, with or without the broker; an exercise never reaches the device; stop brings the device into its safe state
 * before it says quiesced. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <erab/adapter.h>
#include <erab/privacy.h>

struct template {
    erab_self *self;
    const struct erab_host *host;
    const char *gateway; /* who is told how the device is */
    uint32_t allowed;    /* categories of data that may be told */
    uint64_t report_ms;
    double limit_w;
    erab_timer *report, *end;
    bool registered;
    double power_w; /* what the device does now */
};

static const char *const masks[] = {"r1", "r2", "r3", "r4", "r5", "internal", NULL};

static const struct erab_option options[] = {
    {"gateway", ERAB_OPTION_TEXT, 0, "gateway", 1, ERAB_PARTY_MAX, NULL, "party that device states are sent to"},
    {"report_s", ERAB_OPTION_INTEGER, 0, "10", 1, 3600, NULL, "seconds between two device states"},
    {"limit_w", ERAB_OPTION_INTEGER, 0, "3000", 1, 100000, NULL, "largest power that the device takes or gives"},
    {"masked_for", ERAB_OPTION_TEXT, 0, "r5", 0, 0, masks, "interface whose privacy table holds for what is told"},
    {NULL, ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL},
};

enum { GATEWAY, REPORT_S, LIMIT_W, MASKED_FOR }; /* the host gives the values in the table's order */

static int check(const struct erab_config *config, struct erab_error *error)
{
    if (erab_party_valid(config->values[GATEWAY].text))
        return 0;
    snprintf(error->text, sizeof error->text, "gateway: must be a party id as home-1.gw");
    return -EINVAL;
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct template *t = instance;
    (void)error;
    t->self = self;
    t->host = host;
    t->gateway = config->values[GATEWAY].text;
    t->report_ms = (uint64_t)config->values[REPORT_S].integer * 1000u;
    t->limit_w = (double)config->values[LIMIT_W].integer;
    t->allowed = erab_privacy_allowed(erab_interface_from_name(config->values[MASKED_FOR].text));
    return 0;
}

/* Here the device would be spoken to. */
static void switch_device(struct template *t, double power_w)
{
    char text[64];
    t->power_w = power_w;
    snprintf(text, sizeof text, "device set to %.0f W", power_w);
    t->host->log(t->self, ERAB_LOG_INFO, text);
}

static void disarm(struct template *t, erab_timer **timer)
{
    t->host->timer_free(t->self, *timer);
    *timer = NULL;
}

/* Everything that is told goes through here: what may not be told is left out before the host signs it, for nobody on
 * the way may take it out; and where a number that is needed may not be told, nothing is. */
static void publish(struct template *t, enum erab_type type, enum erab_category category, ProtobufCMessage *body)
{
    char text[160];
    const char *field = "";
    uint8_t id[ERAB_ID_SIZE];
    const struct erab_outgoing_message m = {.size = sizeof m,
                                            .type = type,
                                            .category = category,
                                            .from = t->host->parties(t->self)[0],
                                            .to = t->gateway,
                                            .body = body};
    if (erab_privacy_mask(body, category, t->allowed, 0, &field) < 0)
        snprintf(text, sizeof text, "%s is not sent: its %s may not be told", erab_type_name(type), field);
    else if (t->host->publish(t->self, &m, id))
        snprintf(text, sizeof text, "%s could not be sent", erab_type_name(type));
    else
        return;
    t->host->log(t->self, ERAB_LOG_WARNING, text);
}

static void publish_registration(struct template *t)
{
    Erab__V1__Registration body = ERAB__V1__REGISTRATION__INIT;
    body.resource = (char *)t->host->parties(t->self)[0];
    body.kind = "storage-battery";
    body.maker = "template";
    body.serial = "T-0001"; /* tells of one home: on R5 it may, further up it may not */
    body.has_up_kw = body.has_down_kw = true;
    body.up_kw = body.down_kw = t->limit_w / 1000.0;
    publish(t, ERAB_REGISTRATION, ERAB_OPERATION, &body.base);
}

static void publish_telemetry(struct template *t)
{
    const char *party = t->host->parties(t->self)[0];
    Erab__V1__TelemetryPoint point = ERAB__V1__TELEMETRY_POINT__INIT, *points[] = {&point};
    Erab__V1__Telemetry body = ERAB__V1__TELEMETRY__INIT;
    point.resource = (char *)party;
    point.quantity = ERAB__V1__QUANTITY__POWER_KW;
    point.at_ms = t->host->now_ms(t->self);
    point.value = t->power_w / 1000.0;
    body.n_point = 1;
    body.point = points;
    publish(t, ERAB_TELEMETRY, ERAB_SENSOR_HOME, &body.base);
}

static void on_report(void *arg)
{
    struct template *t = arg;
    disarm(t, &t->report);
    if (!t->registered)
        publish_registration(t);
    t->registered = true;
    publish_telemetry(t);
    t->report = t->host->timer(t->self, t->report_ms, on_report, t);
}

static int start(void *instance)
{
    struct template *t = instance;
    t->report = t->host->timer(t->self, t->report_ms, on_report, t);
    return t->report ? 0 : -ENOMEM;
}

/* The order is over, whether or not the broker is still there. */
static void on_end(void *arg)
{
    struct template *t = arg;
    disarm(t, &t->end);
    switch_device(t, 0);
}

static int carry_out(struct template *t, erab_call call, const struct erab_message *m,
                     const Erab__V1__DeviceCommand *command)
{
    uint64_t now = t->host->now_ms(t->self);
    double power_w = command->has_power_w ? command->power_w : 0;
    if (command->end_ms <= now)
        return ERAB_REASON_WINDOW_PAST;
    if (power_w < 0 || power_w > t->limit_w)
        return ERAB_REASON_OUT_OF_RANGE;
    if (m->header->exercise)
        return ERAB_REASON_EXERCISE;
    switch (command->action) {
    case ERAB__V1__DEVICE_ACTION__CHARGE:
        break;
    case ERAB__V1__DEVICE_ACTION__DISCHARGE:
        power_w = -power_w;
        break;
    case ERAB__V1__DEVICE_ACTION__STANDBY:
    case ERAB__V1__DEVICE_ACTION__RESTORE:
        power_w = 0;
        break;
    default:
        return ERAB_REASON_NOT_SUPPORTED;
    }
    disarm(t, &t->end);
    t->end = t->host->timer(t->self, command->end_ms - now, on_end, t);
    if (!t->end)
        return ERAB_REASON_BUSY;
    switch_device(t, power_w);
    t->host->complete(t->self, call, ERAB_APPLIED, ERAB_REASON_NONE, NULL);
    return 0;
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    struct template *t = instance;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_INTERNAL;
    if (!call)
        return 0; /* a receipt about something that this instance published */
    if (message->header->type != ERAB_DEVICE_COMMAND)
        return ERAB_REASON_NOT_SUPPORTED;
    if (erab_body_unpack(ERAB_DEVICE_COMMAND, message->body, &body, &reason))
        return (int)reason;
    int r = carry_out(t, call, message, (const Erab__V1__DeviceCommand *)body);
    erab_body_free(body);
    return r;
}

static void cancel(void *instance, erab_call call)
{
    (void)instance; /* every call is completed within deliver */
    (void)call;
}

static void health(void *instance, struct erab_health *out)
{
    const struct template *t = instance;
    out->state = ERAB_HEALTH_OK;
    out->in_flight = 0;
    snprintf(out->note, sizeof out->note, "%.0f W", t->power_w);
}

static void stop(void *instance)
{
    struct template *t = instance;
    disarm(t, &t->report);
    disarm(t, &t->end);
    switch_device(t, 0);
    t->host->quiesced(t->self);
}

static void fini(void *instance)
{
    (void)instance; /* nothing of its own on the heap */
}

static const struct erab_adapter adapter = {
    .size = sizeof(struct erab_adapter),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "template",
    .version = "0.1.0",
    .vendor = "your name",
    .hardened_for = "nothing: it speaks to no device",
    .max_in_flight = 1,
    .options = options,
    .instance_size = sizeof(struct template),
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

ERAB_MODULE(0, 1, "adapter template 0.1.0", adapters, NULL);
