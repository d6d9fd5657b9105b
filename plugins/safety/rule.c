#include "safety/rule.h"

#include <string.h>

#include "base/cursor.h"

static const char *const actions[] = {"",           "charge",   "discharge",    "standby",      "auto",
                                      "restore",    "pv-limit-percent", "pv-limit-w", "ev-charge", "ev-discharge",
                                      "heater-shift", "set-point", "power-limit", "fuel-cell-max", "fuel-cell-follow"};

static const char *take_number(struct safety_rule *r, const char *name, const char *value, bool *known)
{
    const struct {
        const char *name;
        double *to;
        bool *has;
        double least, most;
    } numbers[] = {
        {"min_kw", &r->min_kw, &r->has_kw, -1e7, 1e7},
        {"max_kw", &r->max_kw, &r->has_kw, -1e7, 1e7},
        {"min_value", &r->min_value, &r->has_value, -1e6, 1e6},
        {"max_value", &r->max_value, &r->has_value, -1e6, 1e6},
        {"ramp_kw_per_min", &r->ramp_kw_per_min, &r->has_ramp, 0.001, 1e7},
        {"max_level", &r->max_level, &r->has_level, 0, 3},
        {"max_duration_s", &r->max_duration_s, NULL, 1, 1e7},
        {"min_notice_s", &r->min_notice_s, NULL, 1, 1e7},
        {"max_ahead_s", &r->max_ahead_s, NULL, 1, 1e7},
        {"min_interval_s", &r->min_interval_s, NULL, 1, 1e7},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) != 0)
            continue;
        *known = true;
        if (numbers[i].has)
            *numbers[i].has = true;
        return words_number(value, numbers[i].least, numbers[i].most, numbers[i].to) ? NULL : "no number that is taken here";
    }
    *known = false;
    return NULL;
}

static const char *take_action(struct safety_rule *r, const char *value)
{
    for (uint32_t i = 1; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(value, actions[i]) == 0) {
            r->actions |= 1u << i;
            return NULL;
        }
    return "no action of a device command";
}

static const char *take(void *user, const char *name, const char *value)
{
    struct safety_rule *r = user;
    bool known;
    const char *wrong = take_number(r, name, value, &known);
    if (known)
        return wrong;
    if (strcmp(name, "target") == 0)
        return erabi_copy_text(r->target, sizeof(r->target), value) ? NULL : "too long";
    if (strcmp(name, "resource") == 0)
        return erabi_copy_text(r->resource, sizeof(r->resource), value) ? NULL : "too long";
    if (strcmp(name, "product") == 0)
        return erabi_copy_text(r->product, sizeof(r->product), value) ? NULL : "too long";
    if (strcmp(name, "action") == 0)
        return take_action(r, value);
    if (strcmp(name, "type") == 0) {
        enum erab_type type = erab_type_from_name(value);
        r->kinds |= type == ERAB_DISPATCH ? SAFETY_DISPATCH : type == ERAB_DEVICE_COMMAND ? SAFETY_COMMAND : 0;
        return type == ERAB_DISPATCH || type == ERAB_DEVICE_COMMAND ? NULL : "must be dispatch or device-command";
    }
    if (strcmp(name, "interface") == 0) {
        r->interface = erab_interface_from_name(value);
        return r->interface ? NULL : "no interface";
    }
    if (strcmp(name, "hours") == 0) {
        if (r->n_hours == SAFETY_HOURS_MAX)
            return "at most four of them";
        bool good = words_hours(value, &r->hours[r->n_hours].from, &r->hours[r->n_hours].to);
        r->n_hours++;
        return good ? NULL : "must be as 06:00-22:30";
    }
    if (strcmp(name, "deny") == 0) {
        r->deny = strcmp(value, "yes") == 0;
        return r->deny ? NULL : "only yes can be said";
    }
    return "known are target resource product type action interface min_kw max_kw min_value max_value max_level "
           "ramp_kw_per_min max_duration_s min_notice_s max_ahead_s min_interval_s hours deny";
}

int safety_rule_read(const char *text, uint32_t item, void *rule, struct erab_error *error)
{
    struct safety_rule *r = rule;
    *r = (struct safety_rule){
        .target = "*", .resource = "*", .product = "*", .min_kw = -1e7, .max_kw = 1e7, .min_value = -1e6, .max_value = 1e6};
    int fault = words_read("rules", item, text, take, r, error);
    if (fault < 0)
        return fault;
    if (r->min_kw > r->max_kw || r->min_value > r->max_value)
        return words_fail(error, "rules", item, "the least is above the most");
    if (!(r->has_kw || r->has_value || r->has_ramp || r->has_level || r->deny || r->n_hours || r->max_duration_s > 0 ||
          r->min_notice_s > 0 || r->max_ahead_s > 0 || r->min_interval_s > 0))
        return words_fail(error, "rules", item, "bounds nothing; give for one max_kw=, hours= or deny=yes");
    if (r->actions && r->kinds & SAFETY_DISPATCH)
        return words_fail(error, "rules", item, "a dispatch has no action");
    return 0;
}
