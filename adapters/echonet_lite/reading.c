/* Reading properties of a device in requests that its node can handle, and its regular reading. */
#include <errno.h>

#include "adapter.h"

enum { BATCH_FIRST = 10, MISSES_ALLOWED = 2 };

static void ask_next(struct erabi_el_device *d);

static void end(struct erabi_el_device *d, int status)
{
    d->getter.busy = false;
    d->getter.done(d, status);
}

static void on_answer(void *arg, int status, const struct erabi_el_frame *answer)
{
    struct erabi_el_device *d = arg;
    struct erabi_el_getter *g = &d->getter;
    if (status) {
        end(d, status);
        return;
    }
    size_t got = 0;
    while (got < g->asked && erabi_el_outcome(answer, g->epcs[g->at + got], NULL) != ERABI_EL_MISSING)
        got++;
    g->take(d, answer);
    if (got < g->asked)
        g->batch = got ? got : g->asked / 2;
    if (g->batch == 0) { /* even a single one is not answered: left out */
        g->batch = 1;
        got = 1;
    }
    g->at += got;
    ask_next(d);
}

static void ask_next(struct erabi_el_device *d)
{
    struct erabi_el_getter *g = &d->getter;
    if (g->at >= g->n) {
        end(d, 0);
        return;
    }
    g->asked = g->n - g->at < g->batch ? g->n - g->at : g->batch;
    int e = erabi_el_get(&d->adapter->session, d->address, g->eoj, g->epcs + g->at, g->asked, on_answer, d);
    if (e)
        end(d, e);
}

bool erabi_el_fetch(struct erabi_el_device *d, uint32_t eoj, const uint8_t *epcs, size_t n,
                    void (*take)(struct erabi_el_device *, const struct erabi_el_frame *),
                    void (*done)(struct erabi_el_device *, int))
{
    struct erabi_el_getter *g = &d->getter;
    if (g->busy || d->adapter->quiet || n == 0 || n > sizeof(g->epcs))
        return false;
    g->busy = true;
    g->eoj = eoj;
    erabi_copy_bytes(g->epcs, epcs, n);
    g->n = n;
    g->at = 0;
    if (g->batch == 0)
        g->batch = BATCH_FIRST;
    g->take = take;
    g->done = done;
    ask_next(d);
    return true;
}

static void take(struct erabi_el_device *d, const struct erabi_el_frame *answer)
{
    erabi_el_battery_read(&d->battery, answer, &d->reading);
}

static void done(struct erabi_el_device *d, int status)
{
    if (status == 0) {
        d->misses = 0;
        d->reachable = true;
    } else if (++d->misses >= MISSES_ALLOWED) {
        d->reachable = false;
    }
    bool publish = d->publish_next;
    d->publish_next = false;
    if (status == 0 && publish)
        erabi_el_report_telemetry(d);
    if (status == 0 || !d->reachable)
        erabi_el_report_state(d);
    erabi_el_run_reading(d, status);
}

bool erabi_el_read(struct erabi_el_device *d)
{
    uint8_t epcs[16];
    if (d->getter.busy || !d->ready)
        return false;
    size_t n = erabi_el_battery_polled(&d->battery, epcs);
    d->reading = (struct erabi_el_reading){0};
    return erabi_el_fetch(d, d->entry.eoj, epcs, n, take, done);
}
