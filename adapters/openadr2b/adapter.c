/* The module: options, life cycle, deliveries. */
#include <erab/adapter.h>

#include <curl/curl.h>
#include <errno.h>
#include <libxml/parser.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "ven.h"

static const struct erab_option options[] = {
    {"vtn_url", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL,
     "base address of the VTN, https://host[:port][/path]; /OpenADR2/Simple/2.0b/... is added"},
    {"ca_file", ERAB_OPTION_PATH, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "certificates that the VTN's must come from (PEM)"},
    {"cert_file", ERAB_OPTION_PATH, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "certificate of this VEN (PEM)"},
    {"key_file", ERAB_OPTION_PATH, ERAB_OPTION_REQUIRED | ERAB_OPTION_SECRET, NULL, 0, 0, NULL, "its key (PEM)"},
    {"vtn_id", ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, "vtnID that must be in every list of events"},
    {"ven_name", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "name told at registration"},
    {"ven_id", ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, "venID agreed beforehand; else the VTN gives one"},
    {"tso", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "party for which the VTN's orders are sent"},
    {"recipient", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "party that gets them"},
    {"product", ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, "product named in orders"},
    {"resource", ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, "resource or group that orders are for"},
    {"report_resource", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL, "resource whose power is reported"},
    {"open_ended_block_s", ERAB_OPTION_INTEGER, 0, "0", 0, 86400, NULL,
     "seconds after which an open-ended event ends; 0 refuses such events"},
    {"hertz", ERAB_OPTION_INTEGER, 0, "50", 50, 60, NULL, "grid frequency told in reports"},
    {"voltage", ERAB_OPTION_INTEGER, 0, "200", 1, 500000, NULL, "voltage told in reports"},
    {"timeout_s", ERAB_OPTION_INTEGER, 0, "20", 1, 120, NULL, "longest time for one exchange"},
    {NULL, ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL}};

static const struct erab_config_value *value(const struct erab_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->n; i++)
        if (strcmp(config->values[i].name, name) == 0)
            return &config->values[i];
    return NULL;
}

static const char *text(const struct erab_config *config, const char *name)
{
    const struct erab_config_value *v = value(config, name);
    return v && v->text ? v->text : "";
}

/* The host fills defaults in; a host that does not is given them here. */
static int64_t integer(const struct erab_config *config, const char *name, int64_t otherwise)
{
    const struct erab_config_value *v = value(config, name);
    return v ? v->integer : otherwise;
}

static int fail(struct erab_error *error, const char *format, const char *what)
{
    if (error)
        snprintf(error->text, sizeof error->text, format, what);
    return -EINVAL;
}

static int check(const struct erab_config *config, struct erab_error *error)
{
    for (const struct erab_option *o = options; o->name; o++)
        if ((o->flags & ERAB_OPTION_REQUIRED) && text(config, o->name)[0] == '\0')
            return fail(error, "%s is missing", o->name);
    if (strncmp(text(config, "vtn_url"), "https://", 8) != 0)
        return fail(error, "vtn_url must begin with https://, not \"%s\"", text(config, "vtn_url"));
    static const char *const parties[] = {"tso", "recipient"};
    for (size_t i = 0; i < 2; i++)
        if (!erab_party_valid(text(config, parties[i])))
            return fail(error, "%s must be a party id", parties[i]);
    if (strcmp(text(config, "tso"), text(config, "recipient")) == 0)
        return fail(error, "%s and tso must be two parties", "recipient");
    static const char *const ids[] = {"ven_id", "vtn_id", "ven_name", "report_resource", "resource"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (strlen(text(config, ids[i])) >= OADR_TEXT)
            return fail(error, "%s is too long", ids[i]);
    return 0;
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct ven *v = instance;
    if (check(config, error) < 0)
        return -EINVAL;
    if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -EIO;
    xmlInitParser();
    v->self = self;
    v->host = host;
    v->set = (struct ven_settings){
        .vtn_url = text(config, "vtn_url"), .ca_file = text(config, "ca_file"), .cert_file = text(config, "cert_file"),
        .key_file = text(config, "key_file"), .vtn_id = text(config, "vtn_id"), .ven_name = text(config, "ven_name"),
        .ven_id = text(config, "ven_id"), .tso = text(config, "tso"), .recipient = text(config, "recipient"),
        .product = text(config, "product"), .resource = text(config, "resource"),
        .report_resource = text(config, "report_resource"),
        .open_ended_ms = (uint64_t)integer(config, "open_ended_block_s", 0) * 1000u,
        .hertz = (uint32_t)integer(config, "hertz", 50), .voltage = (uint32_t)integer(config, "voltage", 200),
        .timeout_ms = (uint32_t)integer(config, "timeout_s", 20) * 1000u};
    return 0;
}

static int start(void *instance)
{
    return erabi_ven_start(instance);
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    struct ven *v = instance;
    enum erab_reason reason = ERAB_REASON_INTERNAL;
    ProtobufCMessage *body = NULL;
    if (v->stopping)
        return ERAB_REASON_SHUTDOWN;
    if (message->header->type == ERAB_RECEIPT || message->header->type == ERAB_TELEMETRY ||
        message->header->type == ERAB_OPT) {
        int r = erab_body_unpack(message->header->type, message->body, &body, &reason);
        if (r != 0)
            return (int)reason;
    }
    int result = 0;
    switch (message->header->type) {
    case ERAB_RECEIPT:
        erabi_ven_receipt(v, (const Erab__V1__Receipt *)body);
        break;
    case ERAB_TELEMETRY:
        result = erabi_ven_telemetry(v, call, (const Erab__V1__Telemetry *)body);
        call = 0; /* completed when the VTN has it */
        break;
    case ERAB_OPT:
        if (strcmp(message->header->from, v->set.recipient) == 0)
            erabi_ven_opt(v, (const Erab__V1__Opt *)body);
        else
            result = ERAB_REASON_FLOW_REFUSED;
        break;
    case ERAB_RESULT:
        break; /* the profile has no message for it */
    default:
        result = ERAB_REASON_NOT_SUPPORTED;
    }
    erab_body_free(body);
    if (result == 0 && call != 0)
        v->host->complete(v->self, call, ERAB_APPLIED, ERAB_REASON_NONE, NULL);
    return result;
}

static void cancel(void *instance, erab_call call)
{
    erabi_ven_telemetry_cancel(instance, call);
}

static void health(void *instance, struct erab_health *out)
{
    const struct ven *v = instance;
    out->state = v->phase == VEN_RUNNING && v->failures == 0 ? ERAB_HEALTH_OK : ERAB_HEALTH_DEGRADED;
    out->in_flight = (uint32_t)v->n_calls;
    snprintf(out->note, sizeof out->note, v->phase == VEN_RUNNING ? "%zu events, %u failures" : "not registered: %zu events, %u failures",
             v->n_events, v->failures);
}

static void stop(void *instance)
{
    struct ven *v = instance;
    erabi_ven_stop(v);
    v->host->quiesced(v->self);
}

static void fini(void *instance)
{
    struct ven *v = instance;
    erabi_oadr_http_free(v->http);
    v->http = NULL;
}

static const struct erab_adapter openadr2b = {
    .size = sizeof openadr2b,
    .abi_major = ERAB_ABI_MAJOR,
    .abi_minor = 2,
    .name = "openadr2b",
    .version = "0.1.0",
    .vendor = "ERAB broker",
    .hardened_for = "untrusted network, mutual TLS",
    .max_in_flight = VEN_CALLS_MAX,
    .options = options,
    .instance_size = sizeof(struct ven),
    .check = check,
    .init = init,
    .start = start,
    .deliver = deliver,
    .cancel = cancel,
    .health = health,
    .stop = stop,
    .fini = fini,
};

static const struct erab_adapter *const adapters[] = {&openadr2b, NULL};
ERAB_MODULE(0, 2, "openadr2b 0.1.0", adapters, NULL);
