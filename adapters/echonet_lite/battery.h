/* Storage battery, class 027D: what its properties mean, and how a DeviceCommand becomes Sets. Pure. */
#ifndef ERABI_EL_BATTERY_H
#define ERABI_EL_BATTERY_H

#include <erab/message.h>

#include "codec.h"

#define ERABI_EL_BATTERY 0x027D

enum erabi_el_mode {
    ERABI_EL_OTHER = 0x40,
    ERABI_EL_RAPID_CHARGE = 0x41,
    ERABI_EL_CHARGE = 0x42,
    ERABI_EL_DISCHARGE = 0x43,
    ERABI_EL_STANDBY = 0x44,
    ERABI_EL_AUTO = 0x46
};

struct erabi_el_range {
    bool known;
    uint32_t min_w;
    uint32_t max_w;
};

/* What is known of one battery, from its own answers. */
struct erabi_el_battery {
    struct erabi_el_map can_get;
    struct erabi_el_map can_set;
    struct erabi_el_map tells;       /* announced on change */
    struct erabi_el_range charge;    /* C8 */
    struct erabi_el_range discharge; /* C9 */
};

/* What a reading of the battery said; has_* false: not answered. */
struct erabi_el_reading {
    bool has_mode, has_state, has_power, has_soc, has_charged, has_discharged, has_stored, has_fault;
    bool power_no_data, soc_no_data, charged_no_data, discharged_no_data, stored_no_data;
    uint8_t mode;  /* DA: what was set */
    uint8_t state; /* CF: what it does */
    bool fault;
    double power_kw; /* D3, positive when charging */
    double soc_percent;
    double charged_kwh;
    double discharged_kwh;
    double stored_kwh;
};

/* One property of a battery as this adapter knows it. */
struct erabi_el_fact {
    uint8_t epc;
    uint8_t size; /* of its EDT */
    bool poll;    /* part of every reading, where the device has it */
};
/* Ended by EPC 0. */
extern const struct erabi_el_fact erabi_el_battery_facts[];

/* The EPCs to poll of this battery, into `epcs`; returns how many. */
size_t erabi_el_battery_polled(const struct erabi_el_battery *b, uint8_t epcs[16]);
/* Takes what an answer says into the reading and into the ranges. Unreadable properties leave has_* false. */
void erabi_el_battery_read(struct erabi_el_battery *b, const struct erabi_el_frame *answer,
                           struct erabi_el_reading *reading);

/* One SetC: properties in their order, values of at most 4 bytes. */
struct erabi_el_set {
    size_t n;
    struct {
        uint8_t epc;
        uint8_t size;
        uint8_t value[4];
    } property[4];
};

/* A command as SetC frames, sent in order, each only after the one before was taken: first the amounts, then
 * the mode, so that a refused amount never leaves a device running at another. */
struct erabi_el_plan {
    uint8_t mode;       /* DA that is set and read back */
    uint8_t before;     /* what had been ordered before, 0: nothing; going back to automatic must leave it */
    int power_sign;     /* what D3 must show: 1, -1, or 0 for "anything" */
    double expected_kw; /* 0 without an amount */
    bool has_amount;
    size_t n;
    struct erabi_el_set set[2];
};

/* 0, or a positive enum erab_reason with `detail` set to a static text. */
int erabi_el_battery_plan(const struct erabi_el_battery *b, const Erab__V1__DeviceCommand *command,
                          struct erabi_el_plan *plan, const char **detail);
/* The plan that gives a battery back to itself after `before`. */
void erabi_el_battery_restore(const struct erabi_el_battery *b, uint8_t before, struct erabi_el_plan *plan);

/* True when the reading shows that the plan is really carried out. */
bool erabi_el_battery_follows(const struct erabi_el_plan *plan, const struct erabi_el_reading *reading);
/* True when a battery that was given time is as far back in automatic operation as can be told: it may do of
 * its own will what had been ordered before. */
bool erabi_el_battery_settles(const struct erabi_el_plan *plan, const struct erabi_el_reading *reading);
/* True when its working status alone is the one that was ordered. */
bool erabi_el_battery_state_follows(const struct erabi_el_plan *plan, const struct erabi_el_reading *reading);

Erab__V1__DeviceActivity erabi_el_battery_activity(uint8_t state);

#endif
