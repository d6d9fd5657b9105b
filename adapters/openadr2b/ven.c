#include "ven.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"

#define STORE_KEY       "openadr2b.registration"
#define POLL_DEFAULT_MS 10000
#define POLL_MIN_MS     1000
#define POLL_MAX_MS     3600000
#define BACKOFF_MAX_MS  300000
#define SAMPLING_MIN_S  1

void erabi_ven_log(struct ven *v, enum erab_log_level level, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->host->log(v->self, level, text);
}

/* --- what survives a restart ------------------------------------------------------------------------------- */

static void save_registration(struct ven *v)
{
    uint8_t bytes[2 * OADR_TEXT];
    erabi_copy_bytes(bytes, v->registration_id, OADR_TEXT);
    erabi_copy_bytes(bytes + OADR_TEXT, v->ven_id, OADR_TEXT);
    if (v->host->store_put(v->self, STORE_KEY, bytes, sizeof bytes) < 0)
        erabi_ven_log(v, ERAB_LOG_ERROR, "registration not stored");
}

static void load_registration(struct ven *v)
{
    uint8_t bytes[2 * OADR_TEXT];
    size_t size = sizeof bytes;
    erabi_copy_text(v->ven_id, sizeof v->ven_id, v->set.ven_id);
    if (v->host->store_get(v->self, STORE_KEY, bytes, &size) < 0 || size != sizeof bytes)
        return;
    bytes[OADR_TEXT - 1] = bytes[2 * OADR_TEXT - 1] = '\0';
    /* Another venID in the configuration means another registration. */
    if (v->set.ven_id[0] && strcmp((const char *)bytes + OADR_TEXT, v->set.ven_id) != 0)
        return;
    erabi_copy_bytes(v->registration_id, bytes, OADR_TEXT);
    erabi_copy_bytes(v->ven_id, bytes + OADR_TEXT, OADR_TEXT);
}

/* --- sending ----------------------------------------------------------------------------------------------- */

static void on_timer(void *arg)
{
    struct ven *v = arg;
    v->host->timer_free(v->self, v->timer);
    v->timer = NULL;
    erabi_ven_step(v);
}

static void arm(struct ven *v, uint64_t now, uint64_t due)
{
    if (v->timer)
        v->host->timer_free(v->self, v->timer);
    v->timer = v->host->timer(v->self, due > now ? due - now : 0, on_timer, v);
}

static void back_off(struct ven *v, const char *why)
{
    uint64_t wait = 1000ull << (v->failures < 10 ? v->failures : 10);
    if (wait > BACKOFF_MAX_MS)
        wait = BACKOFF_MAX_MS;
    if (wait < v->poll_ms)
        wait = v->poll_ms;
    /* A quarter at random, so that VENs do not come back all at once. */
    wait += randombytes_uniform((uint32_t)(wait / 4u) + 1u);
    v->failures++;
    v->not_before = v->host->monotonic_ms(v->self) + wait;
    erabi_ven_log(v, ERAB_LOG_WARNING, "%s: %s; again in %u ms", erabi_oadr_kind_name(v->sent), why, (unsigned)wait);
}

static bool report_is_due(const struct ven *v, uint64_t now)
{
    return v->report_active && v->n_points > 0 && now >= v->report_due;
}

/* The next exchange; OADR_NONE and *due when nothing is to be said before that. */
static enum oadr_kind choose(struct ven *v, uint64_t now, uint64_t *due)
{
    struct oadr_answer answers[OADR_EVENTS_MAX];
    uint64_t receipt = erabi_ven_events_tick(v, now);
    if (v->reply != OADR_NONE)
        return v->reply;
    switch (v->phase) {
    case VEN_QUERY:
        return OADR_QUERY_REGISTRATION;
    case VEN_REGISTER:
        return OADR_CREATE_PARTY_REGISTRATION;
    case VEN_REPORT:
        return OADR_REGISTER_REPORT;
    case VEN_EVENTS:
    case VEN_RUNNING:
        break;
    }
    if (v->reject_code || erabi_ven_answers(v, answers, false) > 0)
        return OADR_CREATED_EVENT;
    if (v->phase == VEN_EVENTS)
        return OADR_REQUEST_EVENT;
    if (report_is_due(v, now))
        return OADR_UPDATE_REPORT;
    *due = receipt;
    /* The answers to events go before the next poll. */
    if (receipt == UINT64_MAX) {
        *due = v->poll_due;
        if (now >= v->poll_due)
            return OADR_POLL;
    }
    if (v->report_active && v->n_points > 0 && v->report_due < *due)
        *due = v->report_due;
    return OADR_NONE;
}

static void fill(struct ven *v, struct oadr_outgoing *m, struct oadr_answer answers[OADR_EVENTS_MAX], uint64_t now)
{
    m->now_ms = v->host->now_ms(v->self);
    switch (m->kind) {
    case OADR_CREATED_EVENT:
        m->request_id = v->reject_code ? v->reject_id : "";
        m->code = v->reject_code ? v->reject_code : 200;
        m->answers = answers;
        m->n_answers = v->reject_code ? 0 : erabi_ven_answers(v, answers, true);
        break;
    case OADR_POLL:
        v->poll_due = now + v->poll_ms;
        break;
    case OADR_REGISTER_REPORT:
        m->report_request_id = "0";
        break;
    case OADR_UPDATE_REPORT:
        v->report_due = now + v->report_back_ms;
        m->report_request_id = v->report_request;
        v->sent_points = v->n_points;
        v->sent_calls = v->n_calls;
        m->points = v->points;
        m->n_points = v->n_points;
        break;
    default:
        break;
    }
    if (m->kind == v->reply) {
        m->request_id = v->reply_id;
        m->code = v->reply_code;
    }
}

static int send_message(struct ven *v, enum oadr_kind kind, uint64_t now)
{
    struct oadr_answer answers[OADR_EVENTS_MAX];
    const char *pending[1] = {v->report_request};
    uint8_t id[ERAB_ID_SIZE];
    char id_text[37];
    erab_id_new(id, v->host->now_ms(v->self));
    erab_id_text(id, id_text);
    struct oadr_outgoing m = {
        .kind = kind, .request_id = id_text, .ven_id = v->ven_id, .ven_name = v->set.ven_name, .code = 200,
        .registration_id = v->registration_id[0] ? v->registration_id : NULL, .specifier_id = "telemetry-usage",
        .rid = "power", .resource = v->set.report_resource, .hertz = v->set.hertz, .voltage = v->set.voltage,
        .sampling_s = SAMPLING_MIN_S, .pending = pending, .n_pending = v->report_active ? 1 : 0};
    fill(v, &m, answers, now);
    struct oadr_text text;
    int r = erabi_oadr_build(&m, &text);
    v->sent = kind;
    if (r == 0)
        r = erabi_oadr_http_post(v->http, erabi_oadr_service(kind), text.data, text.size);
    erabi_oadr_text_free(&text);
    return r;
}

/* The exchange did not take place: what it carried is owed again. */
static void not_delivered(struct ven *v, const char *why)
{
    erabi_ven_answers_done(v, false);
    v->sent_points = v->sent_calls = 0;
    back_off(v, why);
}

void erabi_ven_step(struct ven *v)
{
    if (v->stopping || !v->http || erabi_oadr_http_busy(v->http))
        return;
    uint64_t now = v->host->monotonic_ms(v->self), due = v->not_before;
    enum oadr_kind kind = OADR_NONE;
    if (now >= v->not_before)
        kind = choose(v, now, &due);
    if (kind != OADR_NONE) {
        int r = send_message(v, kind, now);
        if (r == 0)
            return;
        not_delivered(v, strerror(-r));
        due = v->not_before;
    }
    arm(v, now, due);
}

/* --- answers ----------------------------------------------------------------------------------------------- */

static void owe(struct ven *v, enum oadr_kind kind, const char *request_id, uint32_t code)
{
    v->reply = kind;
    v->reply_code = code;
    erabi_copy_text(v->reply_id, sizeof v->reply_id, request_id);
}

static void on_registered(struct ven *v, const struct oadr_message *m)
{
    if (m->poll_ms > 0)
        v->poll_ms = m->poll_ms < POLL_MIN_MS ? POLL_MIN_MS : m->poll_ms > POLL_MAX_MS ? POLL_MAX_MS : m->poll_ms;
    if (v->set.vtn_id[0] && strcmp(v->set.vtn_id, m->vtn_id) != 0) {
        back_off(v, "another vtnID than the configured one");
        return;
    }
    if (v->sent == OADR_QUERY_REGISTRATION) {
        v->phase = VEN_REGISTER;
        return;
    }
    if (m->registration_id[0] == '\0' || m->ven_id[0] == '\0' ||
        (v->set.ven_id[0] && strcmp(m->ven_id, v->set.ven_id) != 0)) {
        back_off(v, "registration without IDs, or for another VEN");
        return;
    }
    erabi_copy_text(v->registration_id, sizeof v->registration_id, m->registration_id);
    erabi_copy_text(v->ven_id, sizeof v->ven_id, m->ven_id);
    save_registration(v);
    v->phase = VEN_REPORT;
    erabi_ven_log(v, ERAB_LOG_INFO, "registered as %s, poll every %u ms", v->ven_id, (unsigned)v->poll_ms);
}

static void on_requests(struct ven *v, const struct oadr_message *m)
{
    uint32_t code = 200;
    for (size_t i = 0; i < m->n_requests; i++) {
        uint32_t one = erabi_ven_report_request(v, &m->requests[i]);
        code = one != 200 ? one : code;
    }
    if (m->n_requests > 0 || m->kind == OADR_CREATE_REPORT)
        owe(v, OADR_CREATED_REPORT, m->request_id, code);
}

static void on_cancelled_registration(struct ven *v, const struct oadr_message *m)
{
    if (strcmp(m->registration_id, v->registration_id) != 0) {
        owe(v, OADR_CANCELED_PARTY_REGISTRATION, m->request_id, 452);
        return;
    }
    owe(v, OADR_CANCELED_PARTY_REGISTRATION, m->request_id, 200);
    v->phase = VEN_QUERY;
}

/* What a VTN may say of its own accord: by poll, or instead of the plain answer. */
static void on_message(struct ven *v, const struct oadr_message *m, const struct oadr_http_answer *a)
{
    switch (m->kind) {
    case OADR_DISTRIBUTE_EVENT:
        erabi_ven_events_apply(v, m, a);
        break;
    case OADR_CREATE_REPORT:
        on_requests(v, m);
        break;
    case OADR_CANCEL_REPORT:
        erabi_ven_report_cancelled(v, m);
        owe(v, OADR_CANCELED_REPORT, m->request_id, 200);
        break;
    case OADR_REGISTER_REPORT:
        owe(v, OADR_REGISTERED_REPORT, m->request_id, 200);
        break;
    case OADR_CANCEL_PARTY_REGISTRATION:
        on_cancelled_registration(v, m);
        break;
    case OADR_REQUEST_REREGISTRATION:
        owe(v, OADR_RESPONSE, "", 200);
        v->phase = VEN_REGISTER;
        break;
    default:
        break;
    }
}

/* The VTN refuses the exchange. */
static void on_refusal(struct ven *v, uint32_t code)
{
    char why[48];
    snprintf(why, sizeof why, "refused with %u", code);
    if (v->sent == OADR_UPDATE_REPORT)
        erabi_ven_report_answered(v, code);
    if (v->sent == OADR_CREATE_PARTY_REGISTRATION && v->registration_id[0]) {
        /* It does not know this registration any more. */
        v->registration_id[0] = '\0';
        erabi_copy_text(v->ven_id, sizeof v->ven_id, v->set.ven_id);
    } else if (code == 463) {
        v->phase = VEN_QUERY;
    } else if (code == 452 && v->sent == OADR_UPDATE_REPORT) {
        erabi_ven_reports_drop(v, ERAB_REASON_NOT_READY);
        v->phase = VEN_REPORT;
    } else if (v->sent == OADR_REGISTER_REPORT) {
        v->phase = VEN_EVENTS; /* no reports then, but events */
    }
    back_off(v, why);
}

static void on_answer(struct ven *v, const struct oadr_message *m, const struct oadr_http_answer *a)
{
    if (m->code >= 400 && m->kind != OADR_DISTRIBUTE_EVENT) {
        on_refusal(v, m->code);
        return;
    }
    v->failures = 0;
    if ((v->sent == OADR_QUERY_REGISTRATION || v->sent == OADR_CREATE_PARTY_REGISTRATION) &&
        m->kind == OADR_CREATED_PARTY_REGISTRATION) {
        on_registered(v, m);
    } else if (v->sent == OADR_REGISTER_REPORT && m->kind == OADR_REGISTERED_REPORT) {
        v->phase = VEN_EVENTS;
        on_requests(v, m);
    } else if (v->sent == OADR_UPDATE_REPORT && m->kind == OADR_UPDATED_REPORT) {
        erabi_ven_report_answered(v, m->code);
        erabi_ven_report_cancelled(v, m);
    } else if (v->sent == OADR_REQUEST_EVENT && (m->kind == OADR_DISTRIBUTE_EVENT || m->kind == OADR_RESPONSE)) {
        /* Some VTNs answer with oadrResponse when there is no event: that is not the empty list. */
        v->phase = VEN_RUNNING;
        on_message(v, m, a);
    } else if (v->sent == OADR_POLL || m->kind == OADR_REQUEST_REREGISTRATION) {
        on_message(v, m, a);
    } else if (m->kind != OADR_RESPONSE || v->phase == VEN_QUERY || v->phase == VEN_REGISTER ||
               v->phase == VEN_REPORT) {
        if (v->reply == OADR_NONE && v->sent != OADR_CREATED_EVENT)
            back_off(v, "unexpected answer");
    }
}

/* What was owed has reached the VTN, whatever it says to it. */
static void delivered(struct ven *v)
{
    if (v->sent == OADR_CREATED_EVENT) {
        erabi_ven_answers_done(v, true);
        v->reject_code = 0;
    }
    if (v->sent == v->reply) {
        bool cancelled = v->reply == OADR_CANCELED_PARTY_REGISTRATION && v->reply_code == 200;
        v->reply = OADR_NONE;
        if (cancelled) {
            v->registration_id[0] = '\0';
            save_registration(v);
            back_off(v, "registration taken back by the VTN");
        }
    }
}

static void on_http(void *arg, const struct oadr_http_answer *a)
{
    struct ven *v = arg;
    struct oadr_message *m = NULL;
    bool replied = v->sent == v->reply;
    char why[32];
    if (a->error < 0) {
        not_delivered(v, a->why);
    } else if (a->status != 200) {
        snprintf(why, sizeof why, "HTTP status %ld", a->status);
        not_delivered(v, why);
    } else if (a->size == 0) {
        /* An empty body acknowledges what is itself an answer; to anything else it says nothing. */
        if (replied || v->sent == OADR_CREATED_EVENT)
            delivered(v);
        else
            not_delivered(v, "empty answer");
    } else if (erabi_oadr_parse(a->data, a->size, v->ven_id, &m) < 0) {
        not_delivered(v, "answer is not a valid OpenADR message");
    } else {
        delivered(v);
        if (!replied || m->kind != OADR_RESPONSE)
            on_answer(v, m, a);
        erabi_oadr_message_free(m);
    }
    erabi_ven_step(v);
}

int erabi_ven_start(struct ven *v)
{
    v->poll_ms = POLL_DEFAULT_MS;
    load_registration(v);
    erabi_ven_events_load(v);
    struct oadr_http_options o = {.url = v->set.vtn_url, .ca_file = v->set.ca_file, .cert_file = v->set.cert_file,
                                  .key_file = v->set.key_file, .timeout_ms = v->set.timeout_ms};
    int r = erabi_oadr_http_new(&v->http, v->self, v->host, &o, on_http, v);
    if (r < 0)
        return r;
    erabi_ven_step(v);
    return 0;
}

void erabi_ven_stop(struct ven *v)
{
    v->stopping = true;
    erabi_oadr_http_free(v->http);
    v->http = NULL;
    if (v->timer)
        v->host->timer_free(v->self, v->timer);
    v->timer = NULL;
    erabi_ven_reports_drop(v, ERAB_REASON_SHUTDOWN);
}
