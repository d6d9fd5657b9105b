/* One rule of the policy `safety`: whom it is about, and what it bounds. */
#ifndef ERAB_PLUGINS_SAFETY_RULE_H
#define ERAB_PLUGINS_SAFETY_RULE_H

#include "words.h"

#define SAFETY_HOURS_MAX 4

enum { SAFETY_DISPATCH = 1, SAFETY_COMMAND = 2 };

struct safety_rule {
    char target[WORDS_MAX + 1], resource[WORDS_MAX + 1], product[WORDS_MAX + 1];
    uint32_t kinds;   /* SAFETY_DISPATCH, SAFETY_COMMAND; 0: both */
    uint32_t actions; /* bits of DeviceAction; 0: all */
    enum erab_interface interface;
    bool has_kw, has_value, has_ramp, has_level, deny;
    double min_kw, max_kw, min_value, max_value, ramp_kw_per_min;
    double max_level, max_duration_s, min_notice_s, max_ahead_s, min_interval_s; /* 0: no bound */
    uint32_t n_hours;
    struct {
        uint32_t from, to;
    } hours[SAFETY_HOURS_MAX];
};

/* Fills a struct safety_rule. 0, or -EINVAL with `error`. */
int safety_rule_read(const char *text, uint32_t item, void *rule, struct erab_error *error);

#endif
