#include "battery.h"

enum {
    EPC_FAULT = 0x88,
    EPC_REMOTE = 0x93,
    EPC_CHARGED = 0xA8,
    EPC_DISCHARGED = 0xA9,
    EPC_CHARGE_METHOD = 0xC1,
    EPC_DISCHARGE_METHOD = 0xC2,
    EPC_CHARGE_RANGE = 0xC8,
    EPC_DISCHARGE_RANGE = 0xC9,
    EPC_STATE = 0xCF,
    EPC_POWER = 0xD3,
    EPC_MODE = 0xDA,
    EPC_STORED = 0xE2,
    EPC_SOC = 0xE4,
    EPC_CHARGE_W = 0xEB,
    EPC_DISCHARGE_W = 0xEC
};

enum { METHOD_MAX = 1, METHOD_WATTS = 3, REMOTE_PUBLIC = 0x42, FAULT_YES = 0x41 };

const struct erabi_el_fact erabi_el_battery_facts[] = {
    {EPC_MODE, 1, true},           {EPC_STATE, 1, true},
    {EPC_POWER, 4, true},          {EPC_SOC, 1, true},
    {EPC_CHARGED, 4, true},        {EPC_DISCHARGED, 4, true},
    {EPC_STORED, 4, true},         {EPC_FAULT, 1, true},
    {EPC_CHARGE_RANGE, 8, true},   {EPC_DISCHARGE_RANGE, 8, true},
    {EPC_CHARGE_METHOD, 1, false}, {EPC_DISCHARGE_METHOD, 1, false},
    {EPC_CHARGE_W, 4, false},      {EPC_DISCHARGE_W, 4, false},
    {EPC_REMOTE, 1, false},        {0, 0, false},
};

size_t erabi_el_battery_polled(const struct erabi_el_battery *b, uint8_t epcs[16])
{
    size_t n = 0;
    for (const struct erabi_el_fact *f = erabi_el_battery_facts; f->epc; f++)
        if (f->poll && erabi_el_map_has(&b->can_get, f->epc))
            epcs[n++] = f->epc;
    return n;
}

static size_t fact_size(uint8_t epc)
{
    for (const struct erabi_el_fact *f = erabi_el_battery_facts; f->epc; f++)
        if (f->epc == epc)
            return f->size;
    return 0;
}

/* A value of the right size, or false. */
static bool value_of(const struct erabi_el_frame *answer, uint8_t epc, struct erabi_slice *value)
{
    return erabi_el_outcome(answer, epc, value) == ERABI_EL_TAKEN && value->size == fact_size(epc);
}

static void read_scaled(const struct erabi_el_frame *answer, uint8_t epc, enum erabi_el_number type,
                        double scale, bool *has, bool *no_data, double *out)
{
    struct erabi_slice v;
    int64_t n;
    if (!value_of(answer, epc, &v))
        return;
    *has = true;
    *no_data = erabi_el_number(v, type, &n) != ERABI_EL_GOOD;
    *out = *no_data ? 0 : (double)n * scale;
}

static void read_range(const struct erabi_el_frame *answer, uint8_t epc, struct erabi_el_range *range)
{
    struct erabi_slice v;
    int64_t min, max;
    if (!value_of(answer, epc, &v))
        return;
    range->known = erabi_el_number(erabi_slice(v.data, 4), ERABI_EL_U32, &min) == ERABI_EL_GOOD &&
                   erabi_el_number(erabi_slice(v.data + 4, 4), ERABI_EL_U32, &max) == ERABI_EL_GOOD &&
                   min <= max;
    range->min_w = range->known ? (uint32_t)min : 0;
    range->max_w = range->known ? (uint32_t)max : 0;
}

void erabi_el_battery_read(struct erabi_el_battery *b, const struct erabi_el_frame *a,
                           struct erabi_el_reading *r)
{
    struct erabi_slice v;
    if (value_of(a, EPC_MODE, &v)) {
        r->has_mode = true;
        r->mode = v.data[0];
    }
    if (value_of(a, EPC_STATE, &v)) {
        r->has_state = true;
        r->state = v.data[0];
    }
    if (value_of(a, EPC_FAULT, &v)) {
        r->has_fault = true;
        r->fault = v.data[0] == FAULT_YES;
    }
    read_scaled(a, EPC_POWER, ERABI_EL_S32, 0.001, &r->has_power, &r->power_no_data, &r->power_kw);
    read_scaled(a, EPC_SOC, ERABI_EL_U8, 1, &r->has_soc, &r->soc_no_data, &r->soc_percent);
    if (r->has_soc && !r->soc_no_data && r->soc_percent > 100) {
        r->soc_no_data = true;
        r->soc_percent = 0;
    }
    read_scaled(a, EPC_CHARGED, ERABI_EL_U32, 0.001, &r->has_charged, &r->charged_no_data, &r->charged_kwh);
    read_scaled(a, EPC_DISCHARGED, ERABI_EL_U32, 0.001, &r->has_discharged, &r->discharged_no_data,
                &r->discharged_kwh);
    read_scaled(a, EPC_STORED, ERABI_EL_U32, 0.001, &r->has_stored, &r->stored_no_data, &r->stored_kwh);
    read_range(a, EPC_CHARGE_RANGE, &b->charge);
    read_range(a, EPC_DISCHARGE_RANGE, &b->discharge);
}

static void add_byte(struct erabi_el_set *set, uint8_t epc, uint8_t value)
{
    size_t i = set->n++;
    set->property[i].epc = epc;
    set->property[i].size = 1;
    set->property[i].value[0] = value;
}

static void add_watts(struct erabi_el_set *set, uint8_t epc, uint32_t watts)
{
    size_t i = set->n++;
    set->property[i].epc = epc;
    set->property[i].size = 4;
    struct erabi_writer w = erabi_writer(set->property[i].value, 4);
    erabi_write_u32(&w, watts);
}

/* Every frame that controls is marked as coming over a public network, as the class asks. */
static struct erabi_el_set *new_set(const struct erabi_el_battery *b, struct erabi_el_plan *plan)
{
    struct erabi_el_set *set = &plan->set[plan->n++];
    set->n = 0;
    if (erabi_el_map_has(&b->can_set, EPC_REMOTE))
        add_byte(set, EPC_REMOTE, REMOTE_PUBLIC);
    return set;
}

static int plan_power(const struct erabi_el_battery *b, const Erab__V1__DeviceCommand *c, bool charge,
                      struct erabi_el_plan *plan, const char **detail)
{
    const struct erabi_el_range *range = charge ? &b->charge : &b->discharge;
    uint8_t watts_epc = charge ? EPC_CHARGE_W : EPC_DISCHARGE_W;
    uint8_t method_epc = charge ? EPC_CHARGE_METHOD : EPC_DISCHARGE_METHOD;
    bool method = erabi_el_map_has(&b->can_set, method_epc);
    plan->power_sign = charge ? 1 : -1;
    if (!c->has_power_w) {
        if (method)
            add_byte(new_set(b, plan), method_epc, METHOD_MAX);
        return 0;
    }
    if (!erabi_el_map_has(&b->can_set, watts_epc)) {
        *detail = "the device does not let its power be set";
        return ERAB_REASON_NOT_SUPPORTED;
    }
    if (!range->known) {
        *detail = "the device does not tell its power range";
        return ERAB_REASON_NOT_SUPPORTED;
    }
    if (!(c->power_w >= range->min_w && c->power_w <= range->max_w)) {
        *detail = "power outside the device's own range";
        return ERAB_REASON_OUT_OF_RANGE;
    }
    struct erabi_el_set *set = new_set(b, plan);
    uint32_t watts = (uint32_t)(c->power_w + 0.5);
    add_watts(set, watts_epc, watts);
    if (method)
        add_byte(set, method_epc, METHOD_WATTS);
    plan->has_amount = true;
    plan->expected_kw = (charge ? 1 : -1) * (double)watts / 1000.0;
    if (watts == 0)
        plan->power_sign = 0;
    return 0;
}

int erabi_el_battery_plan(const struct erabi_el_battery *b, const Erab__V1__DeviceCommand *c,
                          struct erabi_el_plan *plan, const char **detail)
{
    *plan = (struct erabi_el_plan){0};
    *detail = "";
    int reason = 0;
    if (!erabi_el_map_has(&b->can_set, EPC_MODE) || !erabi_el_map_has(&b->can_get, EPC_MODE) ||
        !erabi_el_map_has(&b->can_get, EPC_STATE)) {
        *detail = "the device's operation mode cannot be set and read back";
        return ERAB_REASON_NOT_SUPPORTED;
    }
    switch (c->action) {
    case ERAB__V1__DEVICE_ACTION__CHARGE:
        plan->mode = ERABI_EL_CHARGE;
        reason = plan_power(b, c, true, plan, detail);
        break;
    case ERAB__V1__DEVICE_ACTION__DISCHARGE:
        plan->mode = ERABI_EL_DISCHARGE;
        reason = plan_power(b, c, false, plan, detail);
        break;
    case ERAB__V1__DEVICE_ACTION__STANDBY:
        plan->mode = ERABI_EL_STANDBY;
        plan->has_amount = true;
        break;
    case ERAB__V1__DEVICE_ACTION__AUTO:
    case ERAB__V1__DEVICE_ACTION__RESTORE:
        plan->mode = ERABI_EL_AUTO;
        break;
    default:
        *detail = "not an action of a storage battery";
        return ERAB_REASON_NOT_SUPPORTED;
    }
    if (reason)
        return reason;
    add_byte(new_set(b, plan), EPC_MODE, plan->mode);
    return 0;
}

void erabi_el_battery_restore(const struct erabi_el_battery *b, uint8_t before, struct erabi_el_plan *plan)
{
    *plan = (struct erabi_el_plan){.mode = ERABI_EL_AUTO, .before = before};
    add_byte(new_set(b, plan), EPC_MODE, ERABI_EL_AUTO);
}

bool erabi_el_battery_state_follows(const struct erabi_el_plan *plan, const struct erabi_el_reading *r)
{
    if (!r->has_state)
        return false;
    switch (plan->mode) {
    case ERABI_EL_CHARGE:
        return r->state == ERABI_EL_CHARGE || r->state == ERABI_EL_RAPID_CHARGE;
    case ERABI_EL_AUTO:
        /* In automatic mode the device decides, and shows either the mode or what it does. */
        return r->state == ERABI_EL_AUTO ||
               (r->state >= ERABI_EL_RAPID_CHARGE && r->state <= ERABI_EL_STANDBY);
    default:
        return r->state == plan->mode;
    }
}

bool erabi_el_battery_follows(const struct erabi_el_plan *plan, const struct erabi_el_reading *r)
{
    if (!r->has_mode || r->mode != plan->mode || !erabi_el_battery_state_follows(plan, r))
        return false;
    if (plan->mode == ERABI_EL_AUTO && plan->before && r->state == plan->before)
        return false;
    if (plan->power_sign == 0 || !r->has_power || r->power_no_data)
        return true;
    return plan->power_sign > 0 ? r->power_kw > 0 : r->power_kw < 0;
}

bool erabi_el_battery_settles(const struct erabi_el_plan *plan, const struct erabi_el_reading *r)
{
    return plan->mode == ERABI_EL_AUTO && r->has_mode && r->mode == ERABI_EL_AUTO &&
           erabi_el_battery_state_follows(plan, r);
}

Erab__V1__DeviceActivity erabi_el_battery_activity(uint8_t state)
{
    switch (state) {
    case ERABI_EL_RAPID_CHARGE:
    case ERABI_EL_CHARGE:
        return ERAB__V1__DEVICE_ACTIVITY__IS_CHARGING;
    case ERABI_EL_DISCHARGE:
        return ERAB__V1__DEVICE_ACTIVITY__IS_DISCHARGING;
    case ERABI_EL_STANDBY:
        return ERAB__V1__DEVICE_ACTIVITY__IS_STANDBY;
    case ERABI_EL_AUTO:
        return ERAB__V1__DEVICE_ACTIVITY__IS_AUTO;
    default:
        return ERAB__V1__DEVICE_ACTIVITY__IS_OTHER;
    }
}
