/* The checks of an adapter: the promises of <erab/adapter.h>, one by one. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testkit/testkit.h"

#define CALL_MS 120000u /* a delivery's deadline in these checks */

struct trial {
    const struct erab_adapter *adapter;
    const struct erab_config *config;
    erab_self *self;
    void *instance;
    char fault[256];
};

static const char *const parties[] = {"alder", "alder.device", NULL};
static const enum erab_type types[] = {ERAB_DISPATCH,     ERAB_DISPATCH_CANCEL, ERAB_DEVICE_COMMAND, ERAB_OPT,
                                       ERAB_CAPABILITY,   ERAB_PLAN,            ERAB_BASELINE,       ERAB_REGISTRATION,
                                       ERAB_ADVISORY,     ERAB_RESULT,          ERAB_TELEMETRY,      ERAB_DEVICE_STATE};
#define N_TYPES (sizeof types / sizeof types[0])

static unsigned entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static bool has_children(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    int c = f ? fgetc(f) : EOF;
    if (f)
        fclose(f);
    return c != EOF;
}

static bool quiet(const erab_self *self, void *arg)
{
    (void)arg;
    return erab_fake_is_quiet(self);
}

static bool completed(const erab_self *self, void *arg)
{
    return erab_fake_completed(self, *(const erab_call *)arg) > 0;
}

static bool never(const erab_self *self, void *arg)
{
    (void)self;
    (void)arg;
    return false;
}

static void trial_fault(struct trial *t, const char *text)
{
    if (!*t->fault && !erabi_copy_text(t->fault, sizeof t->fault, text))
        erabi_copy_text(t->fault, sizeof t->fault, "a fault with a long text");
}

static bool trial_init(struct trial *t, const struct erab_adapter *adapter, const struct erab_config *config)
{
    struct erab_error error = {.size = sizeof error};
    *t = (struct trial){.adapter = adapter, .config = config};
    t->self = erab_fake_new(parties);
    t->instance = calloc(1, adapter->instance_size);
    if (!t->self || !t->instance) {
        trial_fault(t, "out of memory");
        return false;
    }
    if (adapter->init(t->instance, t->self, &erab_fake_host, config, &error)) {
        snprintf(t->fault, sizeof t->fault, "init failed: %.200s", error.text);
        return false;
    }
    if (erab_fake_handles(t->self))
        trial_fault(t, "init made timers or watches; that begins with start");
    erab_fake_enter(t->self, ERAB_FAKE_RUNNING);
    return true;
}

static bool trial_start(struct trial *t, const struct erab_adapter *adapter, const struct erab_config *config)
{
    if (!trial_init(t, adapter, config))
        return false;
    int r = adapter->start(t->instance);
    if (r)
        snprintf(t->fault, sizeof t->fault, "start failed: %s", strerror(r < 0 ? -r : r));
    return r == 0;
}

/* Stop, quiet, fini, as a host does it. */
static void trial_stop(struct trial *t)
{
    t->adapter->stop(t->instance);
    erab_fake_run(t->self, ERAB_FAKE_STOP_MS, quiet, NULL);
    if (!erab_fake_is_quiet(t->self))
        trial_fault(t, "did not call quiesced() within 12 s after stop");
    else if (erab_fake_handles(t->self))
        trial_fault(t, "called quiesced() with timers or watches left");
}

static void trial_end(struct trial *t)
{
    if (t->instance && t->self)
        t->adapter->fini(t->instance);
    if (t->self)
        trial_fault(t, erab_fake_fault(t->self));
    if (has_children())
        trial_fault(t, "started a process");
    erab_fake_free(t->self);
    free(t->instance);
    t->self = NULL;
    t->instance = NULL;
}

static struct erab_header header_of(const struct trial *t, enum erab_type type, bool exercise)
{
    struct erab_header h = {.type = type, .category = ERAB_OPERATION, .seq = 1, .version = 1, .exercise = exercise};
    h.issued_at_ms = erab_fake_now(t->self);
    h.expires_at_ms = h.issued_at_ms + CALL_MS;
    erab_id_new(h.id, h.issued_at_ms);
    erabi_copy_text(h.from, sizeof h.from, "hub");
    erabi_copy_text(h.to, sizeof h.to, parties[1]);
    return h;
}

/* Delivers and waits for the end: a refusal, or one completion. A deadline without one is answered by cancel. */
static void deliver(struct trial *t, enum erab_type type, struct erab_bytes body, bool exercise, bool cancel_at_once)
{
    struct erab_header h = header_of(t, type, exercise);
    struct erab_message m = {.header = &h, .body = body};
    erab_call call = erab_fake_call(t->self);
    int r = t->adapter->deliver(t->instance, call, &m);
    if (r < 0 || r >= ERAB_REASON_COUNT) {
        snprintf(t->fault, sizeof t->fault, "deliver of %s returned %d, which is no reason", erab_type_name(type), r);
        return;
    }
    if (r) {
        if (erab_fake_completed(t->self, call))
            trial_fault(t, "refused a delivery and completed it as well");
        return;
    }
    if (!cancel_at_once)
        erab_fake_run(t->self, CALL_MS, completed, &call);
    if (!erab_fake_completed(t->self, call))
        t->adapter->cancel(t->instance, call);
    if (!cancel_at_once && !erab_fake_completed(t->self, call) && erab_type_lane(type) == ERAB_LANE_COMMAND)
        snprintf(t->fault, sizeof t->fault, "a %s was taken and never completed", erab_type_name(type));
}

static void run_init_fini(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    trial_init(t, a, config);
    trial_end(t);
}

static void run_life(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    unsigned files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    if (trial_start(t, a, config)) {
        erab_fake_run(t->self, 3000, never, NULL);
        trial_stop(t);
    }
    trial_end(t);
    if (entries("/proc/self/fd") > files)
        trial_fault(t, "left descriptors open after fini");
    if (entries("/proc/self/task") > threads)
        trial_fault(t, "left threads after fini");
}

static void run_two(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    struct trial other;
    if (a->flags & ERAB_ADAPTER_SINGLETON)
        return;
    bool both = trial_start(t, a, config);
    bool second = trial_init(&other, a, config);
    trial_fault(t, other.fault);
    /* It may not start where both would need the same port or device; that is no fault. */
    if (both && second && a->start(other.instance) == 0) {
        trial_stop(&other);
        if (erab_fake_is_quiet(t->self))
            trial_fault(t, "stopping one instance stopped the other: it keeps globals");
    }
    trial_end(&other);
    trial_fault(t, other.fault);
    if (both)
        trial_stop(t);
    trial_end(t);
}

static void run_garbage(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0x7f, 0x00, 0x0a, 0xff, 0x80, 0x80, 0x01, 0x08};
    if (trial_start(t, a, config)) {
        for (size_t i = 0; i < N_TYPES && !*t->fault; i++) {
            deliver(t, types[i], (struct erab_bytes){garbage, sizeof garbage}, true, false);
            if (!*t->fault)
                deliver(t, types[i], (struct erab_bytes){garbage, 0}, true, false);
        }
        trial_stop(t);
    }
    trial_end(t);
}

/* A well-formed order to switch something, marked exercise so that nothing is switched for it. */
static void command(struct trial *t, bool cancel_at_once)
{
    Erab__V1__DeviceCommand c = ERAB__V1__DEVICE_COMMAND__INIT;
    uint8_t *bytes;
    size_t size;
    uint64_t now = erab_fake_now(t->self);
    c.action = ERAB__V1__DEVICE_ACTION__CHARGE;
    c.has_power_w = 1;
    c.power_w = 500;
    c.start_ms = now;
    c.end_ms = now + 60000;
    if (erab_body_pack(&c.base, &bytes, &size)) {
        trial_fault(t, "the test kit could not pack its command");
        return;
    }
    deliver(t, ERAB_DEVICE_COMMAND, (struct erab_bytes){bytes, size}, true, cancel_at_once);
    free(bytes);
}

static void run_exercise(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    if (trial_start(t, a, config)) {
        for (unsigned i = 0; i < 3 && !*t->fault; i++)
            command(t, false);
        trial_stop(t);
    }
    trial_end(t);
}

static void run_cancel(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    if (trial_start(t, a, config)) {
        for (unsigned i = 0; i < 3 && !*t->fault; i++)
            command(t, true);
        a->cancel(t->instance, 4000); /* a call that it does not know */
        erab_fake_run(t->self, CALL_MS, never, NULL);
        trial_stop(t);
    }
    trial_end(t);
}

static void run_stop_amid(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    if (trial_start(t, a, config)) {
        static const uint8_t nothing[1];
        struct erab_header h = header_of(t, ERAB_DEVICE_COMMAND, true);
        struct erab_message m = {.header = &h, .body = {nothing, 0}};
        a->deliver(t->instance, erab_fake_call(t->self), &m);
        trial_stop(t);
    }
    trial_end(t);
}

static void run_receipt(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    if (trial_start(t, a, config)) {
        Erab__V1__Receipt r = ERAB__V1__RECEIPT__INIT;
        uint8_t id[ERAB_ID_SIZE] = {1}, *bytes;
        size_t size;
        r.has_about = 1;
        r.about = (ProtobufCBinaryData){sizeof id, id};
        r.state = ERAB__V1__RECEIPT_STATE__APPLIED;
        r.reason = (char[]){"none"};
        if (erab_body_pack(&r.base, &bytes, &size) == 0) {
            struct erab_header h = header_of(t, ERAB_RECEIPT, false);
            struct erab_message m = {.header = &h, .body = {bytes, size}};
            a->deliver(t->instance, 0, &m);
            erab_fake_run(t->self, 3000, never, NULL);
            free(bytes);
        }
        trial_stop(t);
    }
    trial_end(t);
}

static void run_health(struct trial *t, const struct erab_adapter *a, const struct erab_config *config)
{
    if (a->health && trial_start(t, a, config)) {
        struct erab_health health = {.size = sizeof health};
        a->health(t->instance, &health);
        if ((unsigned)health.state > ERAB_HEALTH_FAILED || health.in_flight > a->max_in_flight ||
            strnlen(health.note, sizeof health.note) == sizeof health.note)
            trial_fault(t, "health gave an unknown state, more in flight than it holds, or a note without end");
        trial_stop(t);
    }
    if (a->health)
        trial_end(t);
}

static const struct check {
    const char *name;
    void (*run)(struct trial *t, const struct erab_adapter *a, const struct erab_config *config);
} checks[] = {
    {"init-then-fini", run_init_fini},      /* init takes references only; fini after it frees all */
    {"start-stop", run_life},               /* quiet in time; no timer, watch, descriptor, thread left */
    {"two-instances", run_two},             /* no globals */
    {"receipt", run_receipt},               /* call 0: nothing to complete */
    {"broken-bodies", run_garbage},         /* refused or completed once, of every type */
    {"exercise-commands", run_exercise},    /* each ends once */
    {"cancel", run_cancel},                 /* known and unknown calls */
    {"stop-amid-delivery", run_stop_amid},  /* falls silent all the same */
    {"health", run_health},
};

void testkit_adapter(const struct erab_adapter *a, const json_t *options, const struct testkit_report *report)
{
    struct erab_config config;
    report->begin(report->user, a->name, "described");
    const char *missing = testkit_undescribed(a->version, a->vendor, a->options);
    if (!missing && (!a->hardened_for || !*a->hardened_for))
        missing = "hardened_for is not stated";
    if (!missing && !a->max_in_flight)
        missing = "max_in_flight is 0";
    testkit_end(report, a->name, "described", missing ? missing : "");
    if (!testkit_options(&config, a->name, a->options, a->check, options, report))
        return;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        struct trial t = {.adapter = a};
        report->begin(report->user, a->name, checks[i].name);
        checks[i].run(&t, a, &config);
        testkit_end(report, a->name, checks[i].name, t.fault);
    }
    erabi_module_options_deinit(&config, a->options);
}
