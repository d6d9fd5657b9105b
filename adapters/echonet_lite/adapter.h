/* The parts of the ECHONET Lite adapter and what they share: one instance, its devices, their commands.
 * All on the instance's one thread. */
#ifndef ERABI_EL_ADAPTER_H
#define ERABI_EL_ADAPTER_H

#include <erab/adapter.h>

#include "battery.h"
#include "session.h"

#define ERABI_EL_DEVICES_MAX 16
#define ERABI_EL_PROBES_MAX  16

struct erabi_el_adapter;
struct erabi_el_device;

/* Keys of the store: one letter and the party, for a host takes keys of 64 characters. S: was set, must be
 * given back. N: identification of the node first seen at its address. */
#define ERABI_EL_KEY_SIZE (ERAB_PARTY_MAX + 2)

/* One entry of the option `devices`: party=EOJ@address or party=EOJ@id:HEX. */
struct erabi_el_entry {
    char party[ERAB_PARTY_MAX + 1];
    uint32_t eoj;
    bool by_id;
    in_addr_t address;
    uint8_t id[17];
};

struct erabi_el_settings {
    const char *interface;
    const char *gateway;
    uint32_t allowed; /* categories that may be told, as erab_privacy_allowed */
    uint32_t poll_ms, timeout_ms, verify_ms, stop_ms;
    uint8_t tries;
    size_t n_devices;
    struct erabi_el_entry devices[ERABI_EL_DEVICES_MAX];
};

extern const struct erab_option erabi_el_options[];
/* 0, or -EINVAL with `error` filled. */
int erabi_el_settings_read(const struct erab_config *config, struct erabi_el_settings *out,
                           struct erab_error *error);

/* Reads many properties of one object, in as few requests as the node can handle. */
struct erabi_el_getter {
    bool busy;
    uint32_t eoj;
    uint8_t epcs[16];
    size_t n, at, asked;
    size_t batch; /* how many at once, lowered when the node answered fewer */
    void (*take)(struct erabi_el_device *d, const struct erabi_el_frame *answer);
    void (*done)(struct erabi_el_device *d, int status);
};

enum erabi_el_phase {
    ERABI_EL_IDLE,
    ERABI_EL_WAITING,   /* for the command's start */
    ERABI_EL_SETTING,   /* Sets are out */
    ERABI_EL_VERIFYING, /* set; what the device does is read until it follows */
    ERABI_EL_RUNNING,   /* it follows, until the command's end */
    ERABI_EL_RESTORING, /* the Set back to automatic is out, or to be tried again */
    ERABI_EL_RESTORED   /* taken; being read back */
};

/* The command of a device and how it goes. A later command replaces it. */
struct erabi_el_run {
    enum erabi_el_phase phase;
    bool awaiting;              /* the answer to a Set is out */
    uint32_t stale;             /* answers still to come to Sets of commands that were replaced */
    bool has_call, has_command; /* has_command: its Result is still owed */
    bool touched;               /* something was set that must be taken back */
    bool inherited;             /* ... by a command before this one */
    erab_call call;
    struct erab_header header;
    uint8_t hash[ERAB_HASH_SIZE];
    uint64_t start_ms, end_ms, began_ms;
    uint64_t verify_until; /* monotonic */
    size_t step;
    uint32_t restore_tries;
    struct erabi_el_plan plan, restore;
    double power_sum;
    uint32_t power_samples, good, bad;
    Erab__V1__Outcome outcome;
    enum erab_reason reason;
    const char *detail;
    erab_timer *timer;
};

struct erabi_el_device {
    struct erabi_el_adapter *adapter;
    struct erabi_el_entry entry;
    in_addr_t address; /* 0: not found yet */
    bool identifying, ready, registered, id_changed;
    bool id_matches, object_there;
    bool reachable;
    bool told, told_reachable; /* what the last DeviceState said */
    uint64_t held_back;        /* types, as bits, that could not be told: their log line stands */
    uint8_t told_state;
    bool publish_next;
    uint32_t misses;
    uint64_t hint_at; /* monotonic, of the last announcement followed */
    uint8_t maker[3];
    char model[13], serial[13];
    int64_t capacity_wh;
    struct erabi_el_battery battery;
    struct erabi_el_reading reading;
    struct erabi_el_getter getter;
    struct erabi_el_run run;
};

/* A node that was heard of and is asked for its identification. */
struct erabi_el_probe {
    struct erabi_el_adapter *adapter;
    in_addr_t address; /* 0: free */
};

struct erabi_el_adapter {
    const struct erab_host *host;
    erab_self *self;
    struct erabi_el_settings settings;
    struct erabi_el_session session;
    bool opened, stopping, quiet;
    struct erabi_el_device devices[ERABI_EL_DEVICES_MAX];
    struct erabi_el_probe probes[ERABI_EL_PROBES_MAX];
    uint16_t searches[4]; /* transactions of the last ones */
    size_t n_searches;
    erab_timer *search_timer, *poll_timer, *stop_timer;
};

__attribute__((format(printf, 3, 4))) void erabi_el_log(struct erabi_el_adapter *a, enum erab_log_level level,
                                                        const char *format, ...);
/* (Re)arms a one-shot timer held in *timer. */
void erabi_el_arm(struct erabi_el_adapter *a, erab_timer **timer, uint64_t delay_ms, void (*fn)(void *arg),
                  void *arg);
void erabi_el_disarm(struct erabi_el_adapter *a, erab_timer **timer);
/* Called by the runs whenever one has come to rest: ends a stop when all have. */
void erabi_el_adapter_rested(struct erabi_el_adapter *a);

/* discovery.c */
void erabi_el_discovery_start(struct erabi_el_adapter *a);
void erabi_el_discovery_frame(struct erabi_el_adapter *a, in_addr_t from, const struct erabi_el_frame *frame);

/* reading.c */
/* Begins to read `n` EPCs of an object; false when a read is going on or cannot begin. */
bool erabi_el_fetch(struct erabi_el_device *d, uint32_t eoj, const uint8_t *epcs, size_t n,
                    void (*take)(struct erabi_el_device *, const struct erabi_el_frame *),
                    void (*done)(struct erabi_el_device *, int));
/* Begins a reading of the battery; its end goes to the reports and to the run. */
bool erabi_el_read(struct erabi_el_device *d);

/* report.c */
void erabi_el_report_registration(struct erabi_el_device *d);
void erabi_el_report_telemetry(struct erabi_el_device *d);
void erabi_el_report_state(struct erabi_el_device *d);
void erabi_el_report_result(struct erabi_el_device *d);

/* run.c */
/* As deliver() of the adapter, for a DeviceCommand of this device. */
int erabi_el_run_deliver(struct erabi_el_device *d, erab_call call, const struct erab_message *message,
                         const Erab__V1__DeviceCommand *command);
void erabi_el_run_cancel(struct erabi_el_device *d);
/* A reading has ended: 0 and d->reading holds it, or a negative errno. */
void erabi_el_run_reading(struct erabi_el_device *d, int status);
/* The device has become ready: takes back what an earlier process left set. */
void erabi_el_run_ready(struct erabi_el_device *d);
/* Begins to give the device back; at rest when erabi_el_run_rests() says so. */
void erabi_el_run_stop(struct erabi_el_device *d);
bool erabi_el_run_rests(const struct erabi_el_device *d);

#endif
