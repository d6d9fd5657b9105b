#include <string.h>

#include "base/cursor.h"
#include "ven.h"

#define SPECIFIER "telemetry-usage"
#define RID       "power"

int erabi_ven_telemetry(struct ven *v, erab_call call, const Erab__V1__Telemetry *t)
{
    size_t before = v->n_points;
    if (!v->report_active)
        return ERAB_REASON_NOT_READY;
    if (v->n_calls == VEN_CALLS_MAX)
        return ERAB_REASON_BUSY;
    for (size_t i = 0; i < t->n_point; i++) {
        const Erab__V1__TelemetryPoint *p = t->point[i];
        if (p->quantity != ERAB__V1__QUANTITY__POWER_KW || strcmp(p->resource, v->set.report_resource) != 0 ||
            (p->has_quality && p->quality == ERAB__V1__QUALITY__NO_DATA))
            continue;
        if (v->n_points == VEN_POINTS_MAX) {
            v->n_points = before;
            return ERAB_REASON_BUSY;
        }
        struct oadr_point *to = &v->points[v->n_points];
        *to = (struct oadr_point){.at_ms = p->at_ms, .value_kw = p->value};
        erabi_copy_text(to->rid, sizeof to->rid, RID);
        v->point_calls[v->n_points++] = call;
    }
    if (v->n_points == before)
        return ERAB_REASON_NOT_SUPPORTED;
    v->calls[v->n_calls++] = call;
    erabi_ven_step(v);
    return 0;
}

/* Removes the points of one delivery that are not under way. */
void erabi_ven_telemetry_cancel(struct ven *v, erab_call call)
{
    size_t kept = v->sent_points;
    for (size_t i = v->sent_points; i < v->n_points; i++) {
        if (v->point_calls[i] == call)
            continue;
        v->points[kept] = v->points[i];
        v->point_calls[kept++] = v->point_calls[i];
    }
    v->n_points = kept;
    kept = v->sent_calls;
    for (size_t i = v->sent_calls; i < v->n_calls; i++)
        if (v->calls[i] != call)
            v->calls[kept++] = v->calls[i];
    v->n_calls = kept;
}

uint32_t erabi_ven_report_request(struct ven *v, const struct oadr_report_request *r)
{
    if (strcmp(r->specifier, SPECIFIER) != 0 || r->n_rids == 0)
        return 461;
    for (size_t i = 0; i < r->n_rids; i++)
        if (strcmp(r->rids[i], RID) != 0)
            return 461;
    erabi_copy_text(v->report_request, sizeof v->report_request, r->id);
    v->report_active = true;
    v->report_back_ms = r->back_ms;
    v->report_once = r->back_ms == 0;
    v->report_due = 0;
    erabi_ven_log(v, ERAB_LOG_INFO, "report %s asked for every %u s", r->id, (unsigned)(r->back_ms / 1000u));
    return 200;
}

void erabi_ven_report_cancelled(struct ven *v, const struct oadr_message *m)
{
    for (size_t i = 0; i < m->n_cancelled; i++)
        if (v->report_active && strcmp(m->cancelled[i], v->report_request) == 0)
            erabi_ven_reports_drop(v, ERAB_REASON_CANCELLED);
}

/* The running oadrUpdateReport has been answered. */
void erabi_ven_report_answered(struct ven *v, uint32_t code)
{
    size_t calls = v->sent_calls, points = v->sent_points;
    erab_call done[VEN_CALLS_MAX];
    for (size_t i = 0; i < calls; i++)
        done[i] = v->calls[i];
    for (size_t i = points; i < v->n_points; i++) {
        v->points[i - points] = v->points[i];
        v->point_calls[i - points] = v->point_calls[i];
    }
    for (size_t i = calls; i < v->n_calls; i++)
        v->calls[i - calls] = v->calls[i];
    v->n_points -= points;
    v->n_calls -= calls;
    v->sent_points = v->sent_calls = 0;
    if (code == 200 && v->report_once)
        v->report_active = false;
    for (size_t i = 0; i < calls; i++)
        v->host->complete(v->self, done[i], code == 200 ? ERAB_APPLIED : ERAB_REFUSED,
                          code == 200 ? ERAB_REASON_NONE : ERAB_REASON_DECLINED,
                          code == 200 ? NULL : "report refused by the VTN");
}

void erabi_ven_reports_drop(struct ven *v, enum erab_reason reason)
{
    erab_call done[VEN_CALLS_MAX];
    size_t n = v->n_calls;
    for (size_t i = 0; i < n; i++)
        done[i] = v->calls[i];
    v->n_calls = v->n_points = v->sent_calls = v->sent_points = 0;
    v->report_active = false;
    for (size_t i = 0; i < n; i++)
        v->host->complete(v->self, done[i], ERAB_REFUSED, reason, NULL);
}
