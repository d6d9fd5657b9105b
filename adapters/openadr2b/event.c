#include "event.h"

#include <string.h>

static void problem(struct oadr_event *e, uint32_t code, const char *why)
{
    if (e->problem == 0) {
        e->problem = code;
        e->why = why;
    }
}

static enum oadr_status status_of(const xmlNode *node)
{
    if (erabi_xml_text_is(node, "active"))
        return OADR_ACTIVE;
    if (erabi_xml_text_is(node, "completed"))
        return OADR_COMPLETED;
    if (erabi_xml_text_is(node, "cancelled"))
        return OADR_CANCELLED;
    return OADR_PENDING;
}

static void descriptor(struct erabi_xml *x, const xmlNode *node, struct oadr_event *e)
{
    erabi_xml_text(x, erabi_xml_need(x, node, EI_NS, "eventID"), e->id, sizeof e->id);
    e->modification = erabi_xml_u32(x, erabi_xml_need(x, node, EI_NS, "modificationNumber"));
    if (e->id[0] == '\0')
        x->bad = true;
    struct erabi_xml lenient = {0};
    xmlNode *priority = erabi_xml_child(&lenient, node, EI_NS, "priority");
    if (priority)
        e->priority = erabi_xml_u32(&lenient, priority);
    xmlNode *context = erabi_xml_child(&lenient, node, EI_NS, "eiMarketContext");
    erabi_xml_text(&lenient, erabi_xml_child(&lenient, context, EMIX_NS, "marketContext"), e->market_context,
                   sizeof e->market_context);
    e->status = status_of(erabi_xml_need(&lenient, node, EI_NS, "eventStatus"));
    xmlNode *test = erabi_xml_child(&lenient, node, EI_NS, "testEvent");
    e->test = test && !erabi_xml_text_is(test, "false");
    if (lenient.bad)
        problem(e, 454, "event descriptor");
}

static void period(struct oadr_event *e, const xmlNode *event)
{
    struct erabi_xml x = {0};
    xmlNode *properties =
        erabi_xml_need(&x, erabi_xml_need(&x, event, EI_NS, "eiActivePeriod"), XCAL_NS, "properties");
    xmlNode *start = erabi_xml_need(&x, properties, XCAL_NS, "dtstart");
    xmlNode *length = erabi_xml_need(&x, properties, XCAL_NS, "duration");
    if (!start || !length) {
        problem(e, 454, "active period");
        return;
    }
    e->start_ms = erabi_xml_time(&x, erabi_xml_need(&x, start, XCAL_NS, "date-time"));
    e->end_ms = e->start_ms + erabi_xml_duration(&x, erabi_xml_need(&x, length, XCAL_NS, "duration"));
    if (x.bad)
        problem(e, 454, "active period");
}

static void target(struct erabi_xml *x, const xmlNode *node, const char *ven_id, struct oadr_event *e)
{
    char id[OADR_TEXT];
    for (xmlNode *n = erabi_xml_next(node, NULL, EI_NS, "venID"); n; n = erabi_xml_next(node, n, EI_NS, "venID")) {
        erabi_xml_text(x, n, id, sizeof id);
        e->targets_vens = true;
        e->targets_us = e->targets_us || (!x->bad && strcmp(id, ven_id) == 0);
    }
    for (xmlNode *n = erabi_xml_next(node, NULL, EI_NS, "resourceID"); n;
         n = erabi_xml_next(node, n, EI_NS, "resourceID")) {
        if (e->n_resources == OADR_TARGETS_MAX) {
            x->bad = true;
            return;
        }
        erabi_xml_text(x, n, e->resources[e->n_resources++], OADR_TEXT);
    }
}

/* How many kW one unit of the signal is; kW when the signal names no unit. 0: not a real power. */
static double unit_kw(const xmlNode *signal)
{
    static const struct {
        const char *code;
        double factor;
    } scales[] = {{"none", 1e-3}, {"k", 1}, {"M", 1e3}, {"G", 1e6}, {"m", 1e-6}};
    struct erabi_xml x = {0};
    xmlNode *power = erabi_xml_child(&x, signal, POWER_NS, "powerReal");
    xmlNode *custom = erabi_xml_child(&x, signal, OADR_NS, "customUnit");
    /* Any other item of the emix and oadr namespaces is not a power in watts. */
    for (const xmlNode *n = signal->children; n; n = n->next)
        if (n != power && n != custom && n->type == XML_ELEMENT_NODE && n->ns &&
            (strcmp((const char *)n->ns->href, POWER_NS) == 0 || strcmp((const char *)n->ns->href, OADR_NS) == 0 ||
             strcmp((const char *)n->ns->href, EMIX_NS) == 0))
            return 0;
    if (!power && !custom)
        return 1;
    const xmlNode *item = power ? power : custom;
    xmlNode *units = erabi_xml_child(&x, item, power ? POWER_NS : OADR_NS, "itemUnits");
    xmlNode *scale = erabi_xml_child(&x, item, SCALE_NS, "siScaleCode");
    if (x.bad || (power && custom) || !units || !scale || !erabi_xml_text_is(units, "W"))
        return 0;
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (erabi_xml_text_is(scale, scales[i].code))
            return scales[i].factor;
    return 0;
}

/* One interval; returns where it ends, given where it has to begin. */
static uint64_t interval(struct erabi_xml *x, const xmlNode *node, uint64_t at, struct oadr_slot *slot)
{
    xmlNode *start = erabi_xml_child(x, node, XCAL_NS, "dtstart");
    if (start && erabi_xml_time(x, erabi_xml_need(x, start, XCAL_NS, "date-time")) != at)
        x->bad = true;
    xmlNode *length = erabi_xml_need(x, node, XCAL_NS, "duration");
    xmlNode *payload = erabi_xml_need(x, node, EI_NS, "signalPayload");
    xmlNode *number = erabi_xml_need(x, payload, EI_NS, "payloadFloat");
    if (x->bad)
        return at;
    slot->start_ms = at;
    slot->end_ms = at + erabi_xml_duration(x, erabi_xml_need(x, length, XCAL_NS, "duration"));
    slot->value = erabi_xml_float(x, erabi_xml_need(x, number, EI_NS, "value"));
    return slot->end_ms;
}

static bool level_valid(double v)
{
    return v >= 0 && v <= 3 && v == (double)(unsigned)v;
}

static void intervals(struct oadr_event *e, const xmlNode *signal, double factor)
{
    struct erabi_xml x = {0};
    bool open = e->end_ms == e->start_ms;
    xmlNode *list = erabi_xml_need(&x, signal, STRM_NS, "intervals");
    uint64_t at = e->start_ms;
    for (xmlNode *n = erabi_xml_next(list, NULL, EI_NS, "interval"); n && !x.bad;
         n = erabi_xml_next(list, n, EI_NS, "interval")) {
        /* An interval without a length is open: nothing can follow it. */
        if (e->n_slots == OADR_SLOTS_MAX || (e->n_slots > 0 && e->slots[e->n_slots - 1].end_ms == at &&
                                             e->slots[e->n_slots - 1].start_ms == at)) {
            x.bad = true;
            break;
        }
        struct oadr_slot *slot = &e->slots[e->n_slots++];
        at = interval(&x, n, at, slot);
        if (e->mode == OADR_LEVEL && !level_valid(slot->value))
            x.bad = true;
        slot->value *= factor;
    }
    if (x.bad || e->n_slots == 0) {
        problem(e, 454, "intervals");
        return;
    }
    const struct oadr_slot *last = &e->slots[e->n_slots - 1];
    if (open && last->end_ms != last->start_ms)
        e->end_ms = at; /* finite intervals bound the event */
    else if (!open && (at != e->end_ms || last->end_ms == last->start_ms))
        problem(e, 454, "intervals do not fill the active period");
}

/* The signal that is understood; LOAD_DISPATCH goes before SIMPLE, which a VTN may send beside it. */
static void signals(struct oadr_event *e, const xmlNode *event)
{
    struct erabi_xml x = {0};
    xmlNode *list = erabi_xml_need(&x, event, EI_NS, "eiEventSignals");
    const xmlNode *chosen = NULL;
    unsigned dispatches = 0, levels = 0;
    for (xmlNode *n = erabi_xml_next(list, NULL, EI_NS, "eiEventSignal"); n;
         n = erabi_xml_next(list, n, EI_NS, "eiEventSignal")) {
        xmlNode *name = erabi_xml_need(&x, n, EI_NS, "signalName");
        xmlNode *type = erabi_xml_need(&x, n, EI_NS, "signalType");
        bool setpoint = erabi_xml_text_is(type, "setpoint");
        if (erabi_xml_text_is(name, "LOAD_DISPATCH") && (setpoint || erabi_xml_text_is(type, "delta"))) {
            chosen = n;
            dispatches++;
            e->mode = setpoint ? OADR_SETPOINT : OADR_DELTA;
        } else if ((erabi_xml_text_is(name, "SIMPLE") || erabi_xml_text_is(name, "simple")) &&
                   erabi_xml_text_is(type, "level")) {
            levels++;
            if (dispatches == 0) {
                chosen = n;
                e->mode = OADR_LEVEL;
            }
        }
    }
    double factor = chosen && e->mode != OADR_LEVEL ? unit_kw(chosen) : 1;
    if (x.bad)
        problem(e, 454, "signal");
    else if (!chosen)
        problem(e, 460, "no signal that is supported");
    else if (dispatches > 1 || (dispatches == 0 && levels > 1))
        problem(e, 454, "more than one signal of a kind");
    else if (factor == 0)
        problem(e, 460, "unit is not a real power");
    else
        intervals(e, chosen, factor);
}

void erabi_oadr_event_parse(struct erabi_xml *x, const xmlNode *node, const char *ven_id, struct oadr_event *e)
{
    xmlNode *event = erabi_xml_need(x, node, EI_NS, "eiEvent");
    descriptor(x, erabi_xml_need(x, event, EI_NS, "eventDescriptor"), e);
    xmlNode *required = erabi_xml_need(x, node, OADR_NS, "oadrResponseRequired");
    e->answer_required = required && erabi_xml_text_is(required, "always");
    if (required && !e->answer_required && !erabi_xml_text_is(required, "never"))
        x->bad = true;
    if (x->bad)
        return;
    struct erabi_xml lenient = {0};
    target(&lenient, erabi_xml_child(&lenient, event, EI_NS, "eiTarget"), ven_id, e);
    if (lenient.bad)
        problem(e, 454, "target");
    period(e, event);
    /* Of what is over, only the identity matters. */
    if (e->problem == 0 && (e->status == OADR_PENDING || e->status == OADR_ACTIVE))
        signals(e, event);
}
