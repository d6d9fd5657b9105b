/* A home gateway: a command of R4 becomes a new one on R5, which names it as its parent; what the device tells
 * becomes the gateway's own messages on R4. Two connections where R5 is another broker's listener, else one to the
 * home's own broker. */
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "party.h"

#define COMMANDS_MAX 32

struct command {
    bool used;
    uint8_t below[ERAB_ID_SIZE]; /* the command sent on R5 */
    struct erab_header header;   /* the one received on R4 */
    uint8_t hash[ERAB_HASH_SIZE];
    uint64_t end_ms;
    bool answered;
};

struct gateway {
    struct command commands[COMMANDS_MAX];
};

static int check(const struct story_options *o)
{
    if (o->up && o->device && (o->local || (o->r5_endpoint && o->has_r5_server_key)))
        return 0;
    fprintf(stderr, "erab-story: a gateway needs --up, --device and either --local or --r5-endpoint and --r5-server-key\n");
    return -1;
}

/* The connection that leads to the device. */
static struct erab_client *downward(const struct story_party *party)
{
    return party->r5 ? party->r5 : party->client;
}

static struct command *find(struct gateway *g, const uint8_t *below)
{
    for (size_t i = 0; i < COMMANDS_MAX; i++)
        if (g->commands[i].used && memcmp(g->commands[i].below, below, ERAB_ID_SIZE) == 0)
            return &g->commands[i];
    return NULL;
}

static struct command *place(struct gateway *g)
{
    for (size_t i = 0; i < COMMANDS_MAX; i++)
        if (!g->commands[i].used)
            return &g->commands[i];
    return NULL;
}

static int on_command(struct story_party *party, const struct erab_message *message, const Erab__V1__DeviceCommand *from)
{
    struct gateway *g = party->state;
    struct command *c = place(g);
    if (from->end_ms <= story_now_ms())
        return ERAB_REASON_WINDOW_PAST;
    if (!c)
        return ERAB_REASON_BUSY;
    *c = (struct command){.header = *message->header, .end_ms = from->end_ms};
    for (size_t i = 0; i < ERAB_HASH_SIZE; i++)
        c->hash[i] = message->hash[i];
    Erab__V1__DeviceCommand down = *from;
    if (story_send(party, downward(party), party->options->device, ERAB_DEVICE_COMMAND, ERAB_OPERATION,
                   message->header->expires_at_ms, message->header, message->hash, &down.base, c->below))
        return ERAB_REASON_BUSY;
    c->used = true;
    event_begin("device", party->name);
    event_text("device", party->options->device);
    event_text("order", down.order);
    event_count("action", (uint64_t)down.action);
    event_number("power_w", down.has_power_w ? down.power_w : 0);
    event_count("end_ms", down.end_ms);
    event_end();
    return 0;
}

/* The device's values under the home's name: which device made them stays in the home. */
static void pass_telemetry(struct story_party *party, const Erab__V1__Telemetry *from)
{
    enum { MOST = 64 };
    Erab__V1__TelemetryPoint points[MOST], *list[MOST];
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    for (size_t i = 0; i < from->n_point && i < MOST; i++) {
        points[i] = *from->point[i];
        points[i].resource = (char *)(uintptr_t)(party->options->resource ? party->options->resource : party->name);
        list[i] = &points[i];
        t.n_point++;
    }
    t.point = list;
    t.order = from->order;
    if (t.n_point > 0)
        story_send(party, party->client, party->options->up, ERAB_TELEMETRY, ERAB_SENSOR_HOME, 0, NULL, NULL, &t.base,
                   NULL);
}

static int pass_result(struct story_party *party, const Erab__V1__Result *from)
{
    struct command *c = from->about.len == ERAB_ID_SIZE ? find(party->state, from->about.data) : NULL;
    if (!c)
        return ERAB_REASON_PARENT_UNKNOWN;
    Erab__V1__Result up = *from;
    up.about = (ProtobufCBinaryData){.len = ERAB_ID_SIZE, .data = c->header.id};
    story_send(party, party->client, party->options->up, ERAB_RESULT, ERAB_OPERATION, 0, &c->header, c->hash, &up.base,
               NULL);
    return 0;
}

static int from_device(struct story_party *party, const struct erab_message *message, const ProtobufCMessage *body)
{
    switch (message->header->type) {
    case ERAB_TELEMETRY:
        pass_telemetry(party, (const Erab__V1__Telemetry *)body);
        return 0;
    case ERAB_DEVICE_STATE: {
        Erab__V1__DeviceState up = *(const Erab__V1__DeviceState *)body;
        story_send(party, party->client, party->options->up, ERAB_DEVICE_STATE, ERAB_SENSOR_HOME, 0, NULL, NULL,
                   &up.base, NULL);
        return 0;
    }
    case ERAB_REGISTRATION: {
        Erab__V1__Registration up = *(const Erab__V1__Registration *)body;
        story_send(party, party->client, party->options->up, ERAB_REGISTRATION, ERAB_OPERATION, 0, NULL, NULL, &up.base,
                   NULL);
        return 0;
    }
    case ERAB_RESULT:
        return pass_result(party, (const Erab__V1__Result *)body);
    default:
        return ERAB_REASON_NOT_SUPPORTED;
    }
}

static int on_message(struct story_party *party, struct erab_client *client, const struct erab_message *message,
                      const ProtobufCMessage *body)
{
    const struct erab_header *h = message->header;
    if (client == downward(party) && strcmp(h->from, party->options->device) == 0)
        return from_device(party, message, body);
    if (client == party->r5)
        return ERAB_REASON_DECLINED;
    if (strcmp(h->from, party->options->up) != 0)
        return ERAB_REASON_DECLINED;
    if (h->type == ERAB_DEVICE_COMMAND)
        return on_command(party, message, (const Erab__V1__DeviceCommand *)body);
    return h->type == ERAB_BREAKER_NOTICE ? 0 : ERAB_REASON_NOT_SUPPORTED;
}

/* What became of the device's command becomes the answer to the aggregator's. */
static void on_receipt(struct story_party *party, struct erab_client *client, const struct erab_receipt *receipt)
{
    if (client != downward(party) || receipt->state < ERAB_APPLIED)
        return;
    struct command *c = find(party->state, receipt->about);
    if (!c || c->answered)
        return;
    enum erab_reason reason = receipt->reason < ERAB_REASON_COUNT ? receipt->reason : ERAB_REASON_INTERNAL;
    if (receipt->state == ERAB_EXPIRED)
        reason = ERAB_REASON_DEVICE_SILENT;
    c->answered = true;
    erab_client_answer_later(party->client, &c->header, c->hash,
                             receipt->state == ERAB_APPLIED ? ERAB_APPLIED : ERAB_REFUSED,
                             receipt->state == ERAB_APPLIED ? ERAB_REASON_NONE : reason, receipt->detail);
}

static void on_tick(struct story_party *party, uint64_t now)
{
    struct gateway *g = party->state;
    for (size_t i = 0; i < COMMANDS_MAX; i++)
        if (g->commands[i].used && now > g->commands[i].end_ms + 60000)
            g->commands[i].used = false;
}

const struct story_role story_gateway = {
    .name = "gateway",
    .state_size = sizeof(struct gateway),
    .check = check,
    .on_message = on_message,
    .on_receipt = on_receipt,
    .on_tick = on_tick,
};
