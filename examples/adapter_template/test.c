/* The template's own test, on the fake host of the SDK: a minute passes in no time. What it shows is what
 * `erab plugin check` cannot know: that the device is told what was ordered, and that the order ends by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <erab/testkit.h>

ERAB_API const struct erab_module *erab_module(void);

static unsigned reports;
static char last_line[128];

static void on_log(void *user, enum erab_log_level level, const char *text)
{
    (void)user, (void)level;
    snprintf(last_line, sizeof last_line, "%s", text);
}

static void on_publish(void *user, const struct erab_outgoing_message *message, const uint8_t id[ERAB_ID_SIZE])
{
    (void)user, (void)id;
    reports += message->type == ERAB_TELEMETRY;
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "not so: %s; the last line was '%s'\n", what, last_line);
    exit(1);
}

static bool never(const erab_self *self, void *arg)
{
    (void)self, (void)arg;
    return false;
}

static erab_call charge(const struct erab_adapter *adapter, void *instance, erab_self *self, double power_w)
{
    Erab__V1__DeviceCommand command = ERAB__V1__DEVICE_COMMAND__INIT;
    struct erab_header header = {.type = ERAB_DEVICE_COMMAND, .category = ERAB_OPERATION, .version = 1};
    uint8_t *bytes;
    size_t size;
    command.action = ERAB__V1__DEVICE_ACTION__CHARGE;
    command.has_power_w = 1;
    command.power_w = power_w;
    command.start_ms = header.issued_at_ms = erab_fake_now(self);
    command.end_ms = header.expires_at_ms = command.start_ms + 60000;
    must(erab_body_pack(&command.base, &bytes, &size) == 0, "a command can be packed");
    const struct erab_message message = {.header = &header, .body = {bytes, size}};
    erab_call call = erab_fake_call(self);
    int refused = adapter->deliver(instance, call, &message);
    free(bytes);
    return refused ? 0 : call;
}

int main(void)
{
    static const char *const parties[] = {"battery", NULL};
    static const struct erab_config_value values[] = {{.name = "gateway", .text = "home.gw"},
                                                      {.name = "report_s", .text = "10", .integer = 10},
                                                      {.name = "limit_w", .text = "3000", .integer = 3000},
                                                      {.name = "masked_for", .text = "r5"}};
    const struct erab_config config = {.size = sizeof config, .n = 4, .values = values};
    const struct erab_fake_ways ways = {.size = sizeof ways, .on_log = on_log, .on_publish = on_publish};
    const struct erab_adapter *adapter = erab_module()->adapters[0];
    struct erab_error error = {.size = sizeof error};
    erab_self *self = erab_fake_new(parties);
    void *instance = calloc(1, adapter->instance_size);
    must(self && instance, "there is memory");
    erab_fake_use(self, &ways);
    must(adapter->check(&config, &error) == 0 && adapter->init(instance, self, &erab_fake_host, &config, &error) == 0,
         "the options are taken");
    erab_fake_enter(self, ERAB_FAKE_RUNNING);
    must(adapter->start(instance) == 0, "it starts");

    erab_call call = charge(adapter, instance, self, 500);
    must(call && erab_fake_completed(self, call) == 1, "an order is applied once");
    must(strcmp(last_line, "device set to 500 W") == 0, "the device is told");
    must(charge(adapter, instance, self, 3001) == 0, "more than the limit is refused");
    erab_fake_run(self, 61000, never, NULL);
    must(strcmp(last_line, "device set to 0 W") == 0, "the order ends by itself");
    must(reports == 6, "six reports in a minute");

    adapter->stop(instance);
    must(erab_fake_is_quiet(self) && erab_fake_handles(self) == 0, "it falls silent");
    adapter->fini(instance);
    must(!*erab_fake_fault(self), erab_fake_fault(self));
    erab_fake_free(self);
    free(instance);
    return 0;
}
