/* The life of a command: set, read back, run to its end, give the device back. The device is never left set
 * by a command that failed, ended or was replaced by nothing. */
#include <errno.h>
#include <stdio.h>

#include "adapter.h"

enum {
    VERIFY_EVERY_MS = 500,
    BUSY_AGAIN_MS = 100,
    LOOK_AGAIN_MS = 60000,
    RESTORE_AGAIN_MS = 5000,
    RESTORE_AGAIN_MAX_MS = 60000
};

static void on_timer(void *arg);
static void send_restore(struct erabi_el_device *d);

static uint64_t wall(struct erabi_el_device *d)
{
    return d->adapter->host->now_ms(d->adapter->self);
}

static uint64_t monotonic(struct erabi_el_device *d)
{
    return d->adapter->host->monotonic_ms(d->adapter->self);
}

static void wait_ms(struct erabi_el_device *d, uint64_t ms)
{
    erabi_el_arm(d->adapter, &d->run.timer, ms, on_timer, d);
}

/* Wall-clock times are looked at again at least every minute, for timers do not know of clock changes. */
static void wait_until(struct erabi_el_device *d, uint64_t at_ms)
{
    uint64_t now = wall(d), left = at_ms > now ? at_ms - now : 0;
    wait_ms(d, left < LOOK_AGAIN_MS ? left : LOOK_AGAIN_MS);
}

/* Remembers over a crash that the device is set and must be given back. */
static void mark(struct erabi_el_device *d, uint8_t set)
{
    char key[ERAB_PARTY_MAX + 8];
    snprintf(key, sizeof(key), "set:%s", d->entry.party);
    int e = d->adapter->host->store_put(d->adapter->self, key, &set, sizeof(set));
    if (e)
        erabi_el_log(d->adapter, ERAB_LOG_WARNING, "%s: state not stored: %d", d->entry.party, e);
}

static void complete(struct erabi_el_device *d, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail)
{
    if (!d->run.has_call)
        return;
    d->run.has_call = false;
    d->adapter->host->complete(d->adapter->self, d->run.call, state, reason, detail);
}

static void result(struct erabi_el_device *d, Erab__V1__Outcome outcome, enum erab_reason reason,
                   const char *detail)
{
    if (!d->run.has_command)
        return;
    d->run.has_command = false;
    d->run.outcome = outcome;
    d->run.reason = reason;
    d->run.detail = detail;
    erabi_el_report_result(d);
}

/* What the readings during the run say about it. */
static void result_of_run(struct erabi_el_device *d)
{
    struct erabi_el_run *r = &d->run;
    if (r->bad == 0)
        result(d, ERAB__V1__OUTCOME__DONE, ERAB_REASON_NONE, "");
    else
        result(d, r->good ? ERAB__V1__OUTCOME__PARTLY : ERAB__V1__OUTCOME__FAILED,
               ERAB_REASON_DEVICE_DEVIATES, "the device did not follow all the time");
}

static void rest(struct erabi_el_device *d)
{
    d->run.phase = ERABI_EL_IDLE;
    erabi_el_disarm(d->adapter, &d->run.timer);
    erabi_el_adapter_rested(d->adapter);
}

static void give_back(struct erabi_el_device *d)
{
    struct erabi_el_run *r = &d->run;
    if (!r->touched) {
        rest(d);
        return;
    }
    if (r->awaiting) {
        r->awaiting = false;
        r->stale++;
    }
    r->restore_tries = 0;
    erabi_el_battery_restore(&d->battery, r->plan.mode, &r->restore);
    send_restore(d);
}

static void fail(struct erabi_el_device *d, enum erab_reason reason, const char *detail)
{
    complete(d, ERAB_REFUSED, reason, detail);
    d->run.has_command = false;
    give_back(d);
}

static void deviates(struct erabi_el_device *d)
{
    bool moved = erabi_el_battery_state_follows(&d->run.plan, &d->reading);
    const char *detail = moved ? "its measured power has not the ordered direction"
                               : "its working status never became what was set";
    complete(d, ERAB_REFUSED, ERAB_REASON_DEVICE_DEVIATES, detail);
    if (d->reading.has_power && !d->reading.power_no_data) {
        d->run.power_sum = d->reading.power_kw;
        d->run.power_samples = 1;
    }
    result(d, moved ? ERAB__V1__OUTCOME__PARTLY : ERAB__V1__OUTCOME__FAILED, ERAB_REASON_DEVICE_DEVIATES,
           detail);
    give_back(d);
}

/* How many properties of the Set were taken. */
static size_t taken(const struct erabi_el_set *set, const struct erabi_el_frame *answer)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        n += erabi_el_outcome(answer, set->property[i].epc, NULL) == ERABI_EL_TAKEN;
    return n;
}

static bool all_taken(const struct erabi_el_set *set, const struct erabi_el_frame *answer)
{
    return taken(set, answer) == set->n;
}

static void refused(struct erabi_el_device *d, const struct erabi_el_frame *answer)
{
    struct erabi_el_run *r = &d->run;
    /* A device that took nothing has nothing to be taken back. */
    if (!r->inherited && r->step == 0 && taken(&r->plan.set[0], answer) == 0) {
        r->touched = false;
        mark(d, 0);
    }
    fail(d, ERAB_REASON_DEVICE_REFUSED, "the device refused a Set");
}

static void on_set(void *arg, int status, const struct erabi_el_frame *answer);

static int send_set(struct erabi_el_device *d, const struct erabi_el_set *set)
{
    struct erabi_el_property p[4];
    for (size_t i = 0; i < set->n; i++)
        p[i] = (struct erabi_el_property){.epc = set->property[i].epc,
                                          .edt = erabi_slice(set->property[i].value, set->property[i].size)};
    d->run.awaiting = true;
    int e = erabi_el_ask(&d->adapter->session, d->address, d->entry.eoj, ERABI_EL_SETC, p, set->n, true,
                         on_set, d);
    if (e)
        d->run.awaiting = false;
    return e;
}

static void send_step(struct erabi_el_device *d)
{
    struct erabi_el_run *r = &d->run;
    r->phase = ERABI_EL_SETTING;
    if (!r->touched) {
        r->touched = true;
        mark(d, 1);
    }
    if (send_set(d, &r->plan.set[r->step]))
        fail(d, ERAB_REASON_BUSY, "too many requests are waiting for this node");
}

static void verify(struct erabi_el_device *d, enum erabi_el_phase phase)
{
    d->run.phase = phase;
    d->run.verify_until = monotonic(d) + d->adapter->settings.verify_ms;
    wait_ms(d, 0);
}

static void restore_failed(struct erabi_el_device *d, const char *why)
{
    struct erabi_el_run *r = &d->run;
    erabi_el_log(d->adapter, ERAB_LOG_ERROR, "%s: could not be given back to itself (%s); trying again",
                 d->entry.party, why);
    result(d, ERAB__V1__OUTCOME__PARTLY, ERAB_REASON_DEVICE_SILENT,
           "not confirmed to have gone back to automatic operation");
    r->phase = ERABI_EL_RESTORING;
    uint64_t pause = (uint64_t)RESTORE_AGAIN_MS << (r->restore_tries < 4 ? r->restore_tries : 4);
    r->restore_tries++;
    wait_ms(d, pause < RESTORE_AGAIN_MAX_MS ? pause : RESTORE_AGAIN_MAX_MS);
}

static void send_restore(struct erabi_el_device *d)
{
    d->run.phase = ERABI_EL_RESTORING;
    erabi_el_disarm(d->adapter, &d->run.timer);
    if (send_set(d, &d->run.restore.set[0]))
        restore_failed(d, "busy");
}

static void on_set(void *arg, int status, const struct erabi_el_frame *answer)
{
    struct erabi_el_device *d = arg;
    struct erabi_el_run *r = &d->run;
    if (r->stale) {
        r->stale--;
        return;
    }
    r->awaiting = false;
    if (r->phase == ERABI_EL_RESTORING) {
        if (status || !all_taken(&r->restore.set[0], answer))
            restore_failed(d, status ? "silent" : "refused");
        else
            verify(d, ERABI_EL_RESTORED);
        return;
    }
    if (r->phase != ERABI_EL_SETTING)
        return;
    if (status)
        fail(d, ERAB_REASON_DEVICE_SILENT, "no answer to a Set");
    else if (!all_taken(&r->plan.set[r->step], answer))
        refused(d, answer);
    else if (++r->step < r->plan.n)
        send_step(d);
    else
        verify(d, ERABI_EL_VERIFYING);
}

static void sample(struct erabi_el_device *d)
{
    if (!d->reading.has_power || d->reading.power_no_data)
        return;
    d->run.power_sum += d->reading.power_kw;
    d->run.power_samples++;
}

static void applied(struct erabi_el_device *d)
{
    struct erabi_el_run *r = &d->run;
    r->began_ms = wall(d);
    complete(d, ERAB_APPLIED, ERAB_REASON_NONE, "");
    if (r->plan.mode == ERABI_EL_AUTO) {
        r->touched = false;
        mark(d, 0);
        result(d, ERAB__V1__OUTCOME__DONE, ERAB_REASON_NONE, "");
        rest(d);
        return;
    }
    r->good = 1;
    sample(d);
    r->phase = ERABI_EL_RUNNING;
    wait_until(d, r->end_ms);
}

static void given_back(struct erabi_el_device *d)
{
    d->run.touched = false;
    mark(d, 0);
    result_of_run(d);
    rest(d);
}

static bool follows(struct erabi_el_device *d, const struct erabi_el_plan *plan, int status, bool late)
{
    return status == 0 && (erabi_el_battery_follows(plan, &d->reading) ||
                           (late && erabi_el_battery_settles(plan, &d->reading)));
}

void erabi_el_run_reading(struct erabi_el_device *d, int status)
{
    struct erabi_el_run *r = &d->run;
    bool late = monotonic(d) >= r->verify_until;
    switch (r->phase) {
    case ERABI_EL_VERIFYING:
        if (follows(d, &r->plan, status, late))
            applied(d);
        else if (!late)
            wait_ms(d, VERIFY_EVERY_MS);
        else if (status)
            fail(d, ERAB_REASON_DEVICE_SILENT, "took the Set, then no answer");
        else
            deviates(d);
        break;
    case ERABI_EL_RESTORED:
        if (follows(d, &r->restore, status, late))
            given_back(d);
        else if (late)
            restore_failed(d, "does not follow");
        else
            wait_ms(d, VERIFY_EVERY_MS);
        break;
    case ERABI_EL_RUNNING:
        if (follows(d, &r->plan, status, false))
            r->good++;
        else
            r->bad++;
        if (status == 0)
            sample(d);
        break;
    default:
        break;
    }
}

static void on_timer(void *arg)
{
    struct erabi_el_device *d = arg;
    struct erabi_el_run *r = &d->run;
    erabi_el_disarm(d->adapter, &r->timer);
    switch (r->phase) {
    case ERABI_EL_WAITING:
        if (wall(d) < r->start_ms)
            wait_until(d, r->start_ms);
        else if (wall(d) >= r->end_ms)
            fail(d, ERAB_REASON_EXPIRED, "the window ended before it could begin");
        else
            send_step(d);
        break;
    case ERABI_EL_RUNNING:
        if (wall(d) >= r->end_ms)
            give_back(d);
        else
            wait_until(d, r->end_ms);
        break;
    case ERABI_EL_RESTORING:
        send_restore(d);
        break;
    case ERABI_EL_VERIFYING:
    case ERABI_EL_RESTORED:
        if (erabi_el_read(d))
            break;
        if (d->getter.busy) /* its end is bounded; what it reads may be too old to judge by */
            wait_ms(d, BUSY_AGAIN_MS);
        else
            erabi_el_run_reading(d, -ENODEV);
        break;
    default:
        break;
    }
}

/* Checks in the order in which they cost; 0 or a reason. Nothing has been sent. */
static int check(struct erabi_el_device *d, const struct erab_message *m, const Erab__V1__DeviceCommand *c,
                 struct erabi_el_plan *plan, const char **detail)
{
    uint64_t now = wall(d);
    const struct erabi_el_run *r = &d->run;
    *detail = "";
    if (m->header->exercise) {
        *detail = "an exercise: no device is switched";
        return ERAB_REASON_EXERCISE;
    }
    bool restore = c->action == ERAB__V1__DEVICE_ACTION__RESTORE;
    if (m->header->expires_at_ms <= now || (!restore && c->end_ms <= now))
        return ERAB_REASON_EXPIRED;
    if (!restore && c->end_ms <= c->start_ms) {
        *detail = "the window ends before it starts";
        return ERAB_REASON_MALFORMED;
    }
    if (d->adapter->stopping)
        return ERAB_REASON_SHUTDOWN;
    if (!d->ready || d->id_changed) {
        *detail = d->id_changed ? "another node answers at its address" : "not found on the network yet";
        return ERAB_REASON_DEVICE_UNKNOWN;
    }
    if (!restore && c->start_ms > now && r->touched && c->start_ms > r->end_ms) {
        *detail = "another command is running and ends before this one starts";
        return ERAB_REASON_BUSY;
    }
    return erabi_el_battery_plan(&d->battery, c, plan, detail);
}

static void replace(struct erabi_el_device *d)
{
    struct erabi_el_run *r = &d->run;
    bool began = r->phase != ERABI_EL_IDLE && r->phase != ERABI_EL_WAITING;
    complete(d, ERAB_REFUSED, ERAB_REASON_SUPERSEDED, "a newer command for this device");
    if (r->phase == ERABI_EL_RESTORING || r->phase == ERABI_EL_RESTORED)
        result_of_run(d);
    else if (began)
        result(d, ERAB__V1__OUTCOME__PARTLY, ERAB_REASON_SUPERSEDED, "replaced by a newer command");
    if (r->awaiting)
        r->stale++;
    erabi_el_disarm(d->adapter, &r->timer);
    *r = (struct erabi_el_run){.stale = r->stale, .touched = r->touched, .inherited = r->touched};
}

int erabi_el_run_deliver(struct erabi_el_device *d, erab_call call, const struct erab_message *m,
                         const Erab__V1__DeviceCommand *c)
{
    struct erabi_el_run *r = &d->run;
    struct erabi_el_plan plan;
    const char *detail;
    int reason = check(d, m, c, &plan, &detail);
    if (reason) {
        d->adapter->host->complete(d->adapter->self, call, ERAB_REFUSED, (enum erab_reason)reason, detail);
        return 0;
    }
    plan.before = r->touched ? r->plan.mode : 0;
    replace(d);
    r->has_call = r->has_command = true;
    r->call = call;
    r->header = *m->header;
    erabi_copy_bytes(r->hash, m->hash, ERAB_HASH_SIZE);
    r->plan = plan;
    r->start_ms = c->start_ms;
    r->end_ms = c->end_ms;
    r->phase = ERABI_EL_WAITING;
    if (c->action == ERAB__V1__DEVICE_ACTION__RESTORE || wall(d) >= c->start_ms)
        send_step(d);
    else
        wait_until(d, c->start_ms);
    return 0;
}

void erabi_el_run_cancel(struct erabi_el_device *d)
{
    d->run.has_call = false;
    d->run.has_command = false;
    if (d->run.phase == ERABI_EL_WAITING || d->run.phase == ERABI_EL_SETTING ||
        d->run.phase == ERABI_EL_VERIFYING)
        give_back(d);
}

void erabi_el_run_ready(struct erabi_el_device *d)
{
    char key[ERAB_PARTY_MAX + 8];
    uint8_t was_set = 0;
    size_t size = sizeof(was_set);
    snprintf(key, sizeof(key), "set:%s", d->entry.party);
    if (d->adapter->host->store_get(d->adapter->self, key, &was_set, &size) || !was_set ||
        d->run.phase != ERABI_EL_IDLE)
        return;
    erabi_el_log(d->adapter, ERAB_LOG_WARNING, "%s: was left set by an earlier run; given back",
                 d->entry.party);
    d->run.touched = true;
    give_back(d);
}

void erabi_el_run_stop(struct erabi_el_device *d)
{
    complete(d, ERAB_REFUSED, ERAB_REASON_SHUTDOWN, "the adapter stops");
    if (d->run.phase == ERABI_EL_RUNNING || d->run.phase == ERABI_EL_VERIFYING)
        result(d, ERAB__V1__OUTCOME__PARTLY, ERAB_REASON_SHUTDOWN, "ended early: the adapter stops");
    if (d->run.phase != ERABI_EL_RESTORING && d->run.phase != ERABI_EL_RESTORED)
        give_back(d);
    else if (!d->run.awaiting && d->run.phase == ERABI_EL_RESTORING)
        send_restore(d);
}

bool erabi_el_run_rests(const struct erabi_el_device *d)
{
    return d->run.phase == ERABI_EL_IDLE && !d->run.touched;
}
