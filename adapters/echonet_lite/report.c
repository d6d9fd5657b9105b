/* What the adapter tells about its devices. */
#include <stdio.h>

#include <erab/privacy.h>

#include "adapter.h"

enum { POINTS_MAX = 8 };

static uint64_t now_ms(struct erabi_el_device *d)
{
    return d->adapter->host->now_ms(d->adapter->self);
}

/* Leaves out what may not be told. False: nothing would be left of it; the log says so once a type. */
static bool mask(struct erabi_el_device *d, enum erab_type type, enum erab_category category, ProtobufCMessage *body)
{
    const char *field = "";
    if (erab_privacy_mask(body, category, d->adapter->settings.allowed, 0, &field) >= 0)
        return true;
    if (!(d->held_back >> type & 1))
        erabi_el_log(d->adapter, ERAB_LOG_WARNING, "%s: %s is not sent: its %s may not be told (masked_for)",
                     d->entry.party, erab_type_name(type), field);
    d->held_back |= UINT64_C(1) << type;
    return false;
}

static void publish(struct erabi_el_device *d, enum erab_type type, enum erab_category category,
                    ProtobufCMessage *body, const struct erabi_el_run *parent)
{
    if (!mask(d, type, category, body))
        return;
    struct erab_outgoing_message m = {
        .size = sizeof(m),
        .type = type,
        .category = category,
        .from = d->entry.party,
        .to = parent ? parent->header.from : d->adapter->settings.gateway,
        .parent_id = parent ? parent->header.id : NULL,
        .parent_hash = parent ? parent->hash : NULL,
        .trace_id = parent && parent->header.has_trace ? parent->header.trace_id : NULL,
        .body = body,
    };
    int e = d->adapter->host->publish(d->adapter->self, &m, NULL);
    if (e)
        erabi_el_log(d->adapter, ERAB_LOG_WARNING, "%s: %s not published: %d", d->entry.party,
                     erab_type_name(type), e);
}

struct points {
    size_t n;
    Erab__V1__TelemetryPoint point[POINTS_MAX];
    Erab__V1__TelemetryPoint *list[POINTS_MAX];
};

static void add(struct points *p, struct erabi_el_device *d, bool has, bool no_data,
                Erab__V1__Quantity quantity, double value)
{
    if (!has || p->n == POINTS_MAX)
        return;
    Erab__V1__TelemetryPoint *t = &p->point[p->n];
    erab__v1__telemetry_point__init(t);
    t->resource = d->entry.party;
    t->quantity = quantity;
    t->at_ms = now_ms(d);
    t->value = no_data ? 0 : value;
    t->has_quality = no_data;
    t->quality = ERAB__V1__QUALITY__NO_DATA;
    p->list[p->n++] = t;
}

void erabi_el_report_telemetry(struct erabi_el_device *d)
{
    const struct erabi_el_reading *r = &d->reading;
    struct points p = {0};
    add(&p, d, r->has_power, r->power_no_data, ERAB__V1__QUANTITY__POWER_KW, r->power_kw);
    add(&p, d, r->has_soc, r->soc_no_data, ERAB__V1__QUANTITY__STATE_OF_CHARGE_PERCENT, r->soc_percent);
    add(&p, d, r->has_charged, r->charged_no_data, ERAB__V1__QUANTITY__ENERGY_KWH, r->charged_kwh);
    add(&p, d, r->has_discharged, r->discharged_no_data, ERAB__V1__QUANTITY__ENERGY_OUT_KWH,
        r->discharged_kwh);
    add(&p, d, r->has_stored, r->stored_no_data, ERAB__V1__QUANTITY__STORED_KWH, r->stored_kwh);
    if (p.n == 0)
        return;
    Erab__V1__Telemetry t = ERAB__V1__TELEMETRY__INIT;
    t.n_point = p.n;
    t.point = p.list;
    publish(d, ERAB_TELEMETRY, ERAB_SENSOR_HOME, &t.base, NULL);
}

void erabi_el_report_state(struct erabi_el_device *d)
{
    const struct erabi_el_reading *r = &d->reading;
    uint8_t state = r->has_state ? r->state : 0;
    bool moved = d->reachable && r->has_state && state != d->told_state;
    if (d->told && d->told_reachable == d->reachable && !moved)
        return;
    char names[2][16];
    Erab__V1__DeviceProperty property[2], *list[2];
    uint8_t values[2] = {r->mode, r->state};
    size_t n = 0;
    for (size_t i = 0; i < 2; i++) {
        if (!d->reachable || !(i ? r->has_state : r->has_mode))
            continue;
        snprintf(names[n], sizeof(names[n]), "%06X/%s", (unsigned)(d->entry.eoj & 0xFFFFFF), i ? "CF" : "DA");
        erab__v1__device_property__init(&property[n]);
        property[n].name = names[n];
        property[n].value = (ProtobufCBinaryData){.len = 1, .data = &values[i]};
        list[n] = &property[n];
        n++;
    }
    Erab__V1__DeviceState s = ERAB__V1__DEVICE_STATE__INIT;
    s.device = d->entry.party;
    s.reachable = d->reachable;
    s.at_ms = now_ms(d);
    s.has_action = d->reachable && r->has_state;
    s.action = erabi_el_battery_activity(r->state);
    s.has_fault = d->reachable && r->has_fault;
    s.fault = r->fault;
    s.n_property = n;
    s.property = list;
    d->told = true;
    d->told_reachable = d->reachable;
    d->told_state = state;
    publish(d, ERAB_DEVICE_STATE, ERAB_SENSOR_HOME, &s.base, NULL);
}

void erabi_el_report_registration(struct erabi_el_device *d)
{
    char maker[7];
    snprintf(maker, sizeof(maker), "%02X%02X%02X", d->maker[0], d->maker[1], d->maker[2]);
    Erab__V1__Registration r = ERAB__V1__REGISTRATION__INIT;
    r.resource = d->entry.party;
    r.kind = "storage-battery";
    r.maker = maker;
    r.model = d->model[0] ? d->model : NULL;
    r.serial = d->serial[0] ? d->serial : NULL;
    r.has_up_kw = d->battery.charge.known;
    r.up_kw = d->battery.charge.max_w / 1000.0;
    r.has_down_kw = d->battery.discharge.known;
    r.down_kw = d->battery.discharge.max_w / 1000.0;
    r.has_capacity_kwh = d->capacity_wh > 0;
    r.capacity_kwh = (double)d->capacity_wh / 1000.0;
    r.has_protected_link = true; /* the protocol neither authenticates nor encrypts */
    r.protected_link = false;
    publish(d, ERAB_REGISTRATION, ERAB_OPERATION, &r.base, NULL);
}

void erabi_el_report_result(struct erabi_el_device *d)
{
    const struct erabi_el_run *run = &d->run;
    Erab__V1__Result r = ERAB__V1__RESULT__INIT;
    r.about = (ProtobufCBinaryData){.len = ERAB_ID_SIZE, .data = (uint8_t *)(uintptr_t)run->header.id};
    r.outcome = run->outcome;
    r.reason = (char *)(uintptr_t)erab_reason_code(run->reason);
    r.detail = run->detail && *run->detail ? (char *)(uintptr_t)run->detail : NULL;
    r.has_expected_kw = run->plan.has_amount;
    r.expected_kw = run->plan.expected_kw;
    r.has_achieved_kw = run->power_samples > 0;
    r.achieved_kw = run->power_samples ? run->power_sum / run->power_samples : 0;
    r.has_from_ms = run->began_ms > 0;
    r.from_ms = run->began_ms;
    r.has_until_ms = true;
    r.until_ms = now_ms(d);
    publish(d, ERAB_RESULT, ERAB_OPERATION, &r.base, run);
}
