/* Sends and prints as fast as it can. */
#include "shell.h"

static void more(void *arg)
{
    struct bad *b = arg;
    Erab__V1__TelemetryPoint p = ERAB__V1__TELEMETRY_POINT__INIT, *points[] = {&p};
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    p.resource = (char[]){"alder"};
    p.quantity = ERAB__V1__QUANTITY__POWER_KW;
    p.at_ms = b->host->now_ms(b->self);
    p.value = 1;
    t.n_point = 1;
    t.point = points;
    struct erab_outgoing_message m = {.size = sizeof m,
                                      .type = ERAB_TELEMETRY,
                                      .category = ERAB_SENSOR_GROUP,
                                      .from = b->host->parties(b->self)[0],
                                      .to = "coordinator.rest",
                                      .body = &t.base};
    uint8_t id[ERAB_ID_SIZE];
    for (int i = 0; i < 200; i++) {
        (void)b->host->publish(b->self, &m, id);
        say(b, "again and again %u", b->n++);
    }
    b->host->timer_free(b->self, b->timer);
    b->timer = b->host->timer(b->self, 0, more, b);
}

static void began(struct bad *b)
{
    more(b);
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
