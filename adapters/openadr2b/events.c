#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include <erab/privacy.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "ven.h"

#define STORE_KEY     "openadr2b.events"
#define STORE_VERSION 1
/* One row: two texts of OADR_TEXT at most, and 64 bytes. */
#define STORE_MAX     (2 + OADR_EVENTS_MAX * (2 * OADR_TEXT + 64))
#define RECEIPT_WAIT_MS 10000
#define COMMAND_LIFE_MS 60000
#define COMPLETED_SLACK_MS 5000

static void write_text(struct erabi_writer *w, const char *text)
{
    size_t n = strlen(text);
    erabi_write_u8(w, (uint8_t)n);
    erabi_write_bytes(w, text, n);
}

static void read_text(struct erabi_reader *r, char out[OADR_TEXT])
{
    size_t n = erabi_read_u8(r);
    struct erabi_slice s = erabi_read_slice(r, n < OADR_TEXT ? n : SIZE_MAX);
    if (s.data)
        erabi_copy_bytes(out, s.data, s.size);
    out[s.size] = '\0';
}

static void save(struct ven *v)
{
    _free_ uint8_t *bytes = malloc(STORE_MAX);
    if (!bytes)
        return;
    struct erabi_writer w = erabi_writer(bytes, STORE_MAX);
    erabi_write_u8(&w, STORE_VERSION);
    erabi_write_u8(&w, (uint8_t)v->n_events);
    for (size_t i = 0; i < v->n_events; i++) {
        const struct ven_event *e = &v->events[i];
        write_text(&w, e->id);
        write_text(&w, e->request_id);
        erabi_write_u32(&w, e->modification);
        erabi_write_u64(&w, e->end_ms);
        erabi_write_u8(&w, (uint8_t)((e->published ? 1 : 0) | (e->decided ? 2 : 0) | (e->opt_in ? 4 : 0) |
                                     (e->test ? 8 : 0)));
        erabi_write_u32(&w, e->code);
        erabi_write_bytes(&w, e->dispatch_id, sizeof e->dispatch_id);
        erabi_write_u32(&w, e->dispatch_modification);
    }
    if (w.bad || v->host->store_put(v->self, STORE_KEY, bytes, w.used) < 0)
        erabi_ven_log(v, ERAB_LOG_ERROR, "known events not stored");
}

void erabi_ven_events_load(struct ven *v)
{
    _free_ uint8_t *bytes = malloc(STORE_MAX);
    size_t size = STORE_MAX;
    if (!bytes || v->host->store_get(v->self, STORE_KEY, bytes, &size) < 0)
        return;
    struct erabi_reader r = erabi_reader(bytes, size);
    uint8_t version = erabi_read_u8(&r);
    size_t n = erabi_read_u8(&r);
    if (version != STORE_VERSION || n > OADR_EVENTS_MAX)
        n = 0;
    for (size_t i = 0; i < n; i++) {
        struct ven_event *e = &v->events[i];
        read_text(&r, e->id);
        read_text(&r, e->request_id);
        e->modification = erabi_read_u32(&r);
        e->end_ms = erabi_read_u64(&r);
        uint8_t flags = erabi_read_u8(&r);
        e->published = flags & 1;
        e->decided = flags & 2;
        e->opt_in = flags & 4;
        e->test = flags & 8;
        e->code = erabi_read_u32(&r);
        erabi_read_bytes(&r, e->dispatch_id, sizeof e->dispatch_id);
        e->dispatch_modification = erabi_read_u32(&r);
    }
    if (n > 0 && erabi_reader_done(&r))
        v->n_events = n;
    else if (n > 0 || version != STORE_VERSION)
        erabi_ven_log(v, ERAB_LOG_WARNING, "stored events are not readable; the VTN is asked for all of them");
}

static void decide(struct ven *v, struct ven_event *e, uint32_t code, bool opt_in, const char *why)
{
    e->decided = true;
    e->opt_in = opt_in;
    e->code = code;
    e->answer = e->answer_required ? VEN_READY : VEN_NO_ANSWER;
    erabi_ven_log(v, opt_in ? ERAB_LOG_INFO : ERAB_LOG_WARNING, "event %s modification %u: %s %u %s", e->id,
                  e->modification, opt_in ? "optIn" : "optOut", code, why);
}

/* What the VTN names goes no further than R1 carries: the rest is left out before it is signed. */
static int publish(struct ven *v, const struct erab_outgoing_message *m, ProtobufCMessage *body,
                   uint8_t id[ERAB_ID_SIZE])
{
    const char *field = "";
    if (erab_privacy_mask(body, m->category, erab_privacy_allowed(ERAB_IF_R1), 0, &field) >= 0)
        return v->host->publish(v->self, m, id);
    erabi_ven_log(v, ERAB_LOG_ERROR, "%s is not sent: its %s may not be told", erab_type_name(m->type), field);
    return -EACCES;
}

static void cancel_order(struct ven *v, struct ven_event *e, bool implied, const char *why)
{
    if (!e->published)
        return;
    e->published = false;
    if (e->end_ms <= v->host->now_ms(v->self))
        return; /* it has ended by itself */
    Erab__V1__DispatchCancel body = ERAB__V1__DISPATCH_CANCEL__INIT;
    body.order = e->id;
    body.dispatch_id.data = e->dispatch_id;
    body.dispatch_id.len = sizeof e->dispatch_id;
    /* An order that merely vanished has no number of its own. */
    body.modification = implied ? e->dispatch_modification : e->modification;
    body.reason = (char *)why;
    body.has_implied = implied;
    body.implied = implied;
    struct erab_outgoing_message m = {.size = sizeof m, .type = ERAB_DISPATCH_CANCEL, .category = ERAB_OPERATION,
                                      .exercise = e->test, .from = v->set.tso, .to = v->set.recipient,
                                      .body = &body.base};
    uint8_t id[ERAB_ID_SIZE];
    int r = publish(v, &m, &body.base, id);
    if (r < 0) {
        /* Kept as published: the next list tries again. */
        e->published = true;
        erabi_ven_log(v, ERAB_LOG_ERROR, "cancel of event %s not sent: %s", e->id, strerror(-r));
    }
}

static size_t fill_slots(const struct oadr_event *e, uint64_t end, Erab__V1__DispatchSlot *slots,
                         Erab__V1__DispatchSlot **rows)
{
    for (size_t i = 0; i < e->n_slots; i++) {
        const struct oadr_slot *s = &e->slots[i];
        erab__v1__dispatch_slot__init(&slots[i]);
        slots[i].start_ms = s->start_ms;
        slots[i].end_ms = s->end_ms == s->start_ms ? end : s->end_ms;
        if (slots[i].end_ms <= slots[i].start_ms)
            return 0;
        slots[i].has_level = e->mode == OADR_LEVEL;
        slots[i].level = e->mode == OADR_LEVEL ? (uint32_t)s->value : 0;
        slots[i].has_target_kw = e->mode != OADR_LEVEL;
        slots[i].target_kw = e->mode == OADR_LEVEL ? 0 : s->value;
        rows[i] = &slots[i];
    }
    return e->n_slots;
}

/* Which of our resources the event means. False: it means something that we are not. */
static bool find_resource(const struct ven *v, const struct oadr_event *e, const char **resource)
{
    *resource = v->set.resource[0] ? v->set.resource : NULL;
    if (e->targets_vens && !e->targets_us)
        return false;
    if (e->n_resources == 0)
        return true;
    for (size_t i = 0; i < e->n_resources; i++)
        if (strcmp(e->resources[i], v->set.resource) == 0 || strcmp(e->resources[i], v->set.report_resource) == 0)
            return true;
    if (v->set.resource[0] || e->n_resources > 1)
        return false;
    *resource = e->resources[0];
    return true;
}

static int publish_order(struct ven *v, struct ven_event *k, const struct oadr_event *e, const char *resource,
                         const struct oadr_http_answer *source)
{
    Erab__V1__DispatchSlot slots[OADR_SLOTS_MAX], *rows[OADR_SLOTS_MAX];
    uint8_t document[32];
    Erab__V1__Origin origin = ERAB__V1__ORIGIN__INIT;
    Erab__V1__Dispatch body = ERAB__V1__DISPATCH__INIT;
    crypto_hash_sha256(document, source->data, source->size);
    origin.protocol = "openadr-2.0b";
    origin.id = (char *)e->id;
    origin.has_certificate_sha256 = source->has_certificate;
    origin.certificate_sha256.data = (uint8_t *)source->certificate_sha256;
    origin.certificate_sha256.len = source->has_certificate ? 32 : 0;
    origin.has_document_sha256 = true;
    origin.document_sha256.data = document;
    origin.document_sha256.len = sizeof document;
    body.order = (char *)e->id;
    body.modification = e->modification;
    body.mode = (Erab__V1__DispatchMode)e->mode;
    body.start_ms = e->start_ms;
    body.end_ms = k->end_ms;
    body.n_slot = fill_slots(e, k->end_ms, slots, rows);
    body.slot = rows;
    body.product = v->set.product[0] ? (char *)v->set.product : NULL;
    body.market_context = e->market_context[0] ? (char *)e->market_context : NULL;
    body.resource = (char *)resource;
    body.has_priority = e->priority > 0;
    body.priority = e->priority;
    body.origin = &origin;
    if (body.n_slot == 0)
        return -EINVAL;
    uint64_t now = v->host->now_ms(v->self);
    struct erab_outgoing_message m = {
        .size = sizeof m, .type = ERAB_DISPATCH, .category = ERAB_OPERATION, .exercise = e->test, .from = v->set.tso,
        .to = v->set.recipient, .body = &body.base,
        .expires_at_ms = k->end_ms < now + COMMAND_LIFE_MS ? k->end_ms : now + COMMAND_LIFE_MS};
    return publish(v, &m, &body.base, k->dispatch_id);
}

/* A modification that cannot be followed ends what it was to replace. */
static void refuse(struct ven *v, struct ven_event *k, uint32_t code, const char *why)
{
    cancel_order(v, k, false, why);
    decide(v, k, code, false, why);
}

/* A status alone can end an order: cancelled, or completed well before its time (clocks differ a little). */
static bool ends_order(const struct ven *v, const struct ven_event *k, const struct oadr_event *e)
{
    return e->status == OADR_CANCELLED ||
           (e->status == OADR_COMPLETED && k->end_ms > v->host->now_ms(v->self) + COMPLETED_SLACK_MS);
}

static void take_event(struct ven *v, struct ven_event *k, const struct oadr_event *e,
                       const struct oadr_http_answer *source)
{
    uint64_t now = v->host->now_ms(v->self);
    const char *resource;
    k->modification = e->modification;
    k->test = e->test;
    uint64_t end = e->end_ms > e->start_ms ? e->end_ms : e->start_ms + v->set.open_ended_ms;
    if (e->status == OADR_CANCELLED) {
        cancel_order(v, k, false, "cancelled");
        decide(v, k, 200, true, "cancelled");
    } else if (e->status == OADR_COMPLETED) {
        if (ends_order(v, k, e))
            cancel_order(v, k, false, "completed early");
        decide(v, k, 200, true, "completed");
    } else if (e->problem) {
        refuse(v, k, e->problem, e->why);
    } else if (!find_resource(v, e, &resource)) {
        refuse(v, k, 462, "target is not ours");
    } else if (end == e->start_ms) {
        refuse(v, k, 454, "open-ended");
    } else if (end <= now) {
        refuse(v, k, 454, "window is past");
    } else {
        uint64_t before = k->end_ms;
        k->end_ms = end;
        int r = publish_order(v, k, e, resource, source);
        if (r < 0) {
            k->end_ms = before;
            refuse(v, k, r == -EINVAL || r == -EMSGSIZE ? 454 : 469, strerror(-r));
            return;
        }
        k->published = true;
        k->dispatch_modification = e->modification;
        k->decided = false;
        k->answer = VEN_AWAIT;
        k->receipt_due = v->host->monotonic_ms(v->self) + RECEIPT_WAIT_MS;
    }
}

static struct ven_event *find(struct ven *v, const char *id)
{
    for (size_t i = 0; i < v->n_events; i++)
        if (strcmp(v->events[i].id, id) == 0)
            return &v->events[i];
    return NULL;
}

/* Absence from the list cancels. */
static void drop_missing(struct ven *v, const struct oadr_message *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_events; i++) {
        struct ven_event *k = find(v, m->events[i].id);
        if (k)
            k->seen = true;
    }
    for (size_t i = 0; i < v->n_events; i++) {
        struct ven_event *k = &v->events[i];
        if (!k->seen)
            cancel_order(v, k, true, "no longer in the list");
        /* Not sent: the row stays, so that it is tried again. */
        if (k->seen || k->published)
            v->events[kept++] = *k;
    }
    for (size_t i = 0; i < kept; i++)
        v->events[i].seen = false;
    v->n_events = kept;
}

void erabi_ven_events_apply(struct ven *v, const struct oadr_message *m, const struct oadr_http_answer *source)
{
    if (v->set.vtn_id[0] && strcmp(m->vtn_id, v->set.vtn_id) != 0) {
        erabi_ven_log(v, ERAB_LOG_WARNING, "events of another VTN refused");
        erabi_copy_text(v->reject_id, sizeof v->reject_id, m->request_id);
        v->reject_code = 452;
        return;
    }
    if (m->code != 0 && m->code != 200) {
        erabi_ven_log(v, ERAB_LOG_WARNING, "list of events with response code %u not applied", m->code);
        return;
    }
    drop_missing(v, m);
    for (size_t i = 0; i < m->n_events; i++) {
        const struct oadr_event *e = &m->events[i];
        struct ven_event *k = find(v, e->id);
        bool known = k && k->decided && e->modification == k->modification;
        bool over = k && k->published && ends_order(v, k, e);
        if (!k) {
            if (v->n_events == OADR_EVENTS_MAX) {
                erabi_ven_log(v, ERAB_LOG_ERROR, "no room for event %s", e->id);
                continue;
            }
            k = &v->events[v->n_events++];
            *k = (struct ven_event){.modification = e->modification};
            erabi_copy_text(k->id, sizeof k->id, e->id);
        }
        erabi_copy_text(k->request_id, sizeof k->request_id, m->request_id);
        k->answer_required = e->answer_required;
        if (e->modification < k->modification) {
            erabi_ven_log(v, ERAB_LOG_WARNING, "event %s goes back to modification %u", e->id, e->modification);
            k->answer = e->answer_required ? VEN_READY : VEN_NO_ANSWER;
        } else if (known && !over) {
            k->answer = e->answer_required ? VEN_READY : VEN_NO_ANSWER;
        } else if (k->answer != VEN_AWAIT || e->modification != k->modification) {
            take_event(v, k, e, source);
        }
    }
    save(v);
}

static uint32_t code_of(enum erab_reason reason)
{
    switch (reason) {
    case ERAB_REASON_NOT_SUPPORTED:
        return 460;
    case ERAB_REASON_OUT_OF_RANGE:
    case ERAB_REASON_WINDOW_PAST:
    case ERAB_REASON_WINDOW_UNBOUNDED:
    case ERAB_REASON_MALFORMED:
    case ERAB_REASON_EXPIRED:
        return 454;
    case ERAB_REASON_RECIPIENT_UNKNOWN:
    case ERAB_REASON_DEVICE_UNKNOWN:
    case ERAB_REASON_GROUP_UNKNOWN:
        return 462;
    case ERAB_REASON_POLICY_DENIED:
    case ERAB_REASON_POLICY_SILENT:
    case ERAB_REASON_FLOW_REFUSED:
        return 451;
    case ERAB_REASON_DECLINED:
        return 200; /* a decision, not a fault */
    default:
        return 469;
    }
}

void erabi_ven_receipt(struct ven *v, const Erab__V1__Receipt *receipt)
{
    struct ven_event *e = NULL;
    if (!receipt->has_about || receipt->about.len != ERAB_ID_SIZE)
        return;
    for (size_t i = 0; i < v->n_events; i++)
        if (sodium_memcmp(v->events[i].dispatch_id, receipt->about.data, ERAB_ID_SIZE) == 0)
            e = &v->events[i];
    if (!e || !e->published || e->dispatch_modification != e->modification)
        return;
    bool taken = receipt->state == ERAB__V1__RECEIPT_STATE__ACCEPTED ||
                 receipt->state == ERAB__V1__RECEIPT_STATE__DELIVERED ||
                 receipt->state == ERAB__V1__RECEIPT_STATE__APPLIED;
    if (taken && !e->decided) {
        decide(v, e, 200, true, "accepted");
    } else if (receipt->state == ERAB__V1__RECEIPT_STATE__REFUSED ||
               receipt->state == ERAB__V1__RECEIPT_STATE__EXPIRED) {
        enum erab_reason reason = receipt->state == ERAB__V1__RECEIPT_STATE__EXPIRED
                                      ? ERAB_REASON_EXPIRED
                                      : erab_reason_from_code(receipt->reason);
        e->published = false;
        decide(v, e, code_of(reason), false, receipt->reason);
    } else {
        return;
    }
    save(v);
    erabi_ven_step(v);
}

void erabi_ven_opt(struct ven *v, const Erab__V1__Opt *opt)
{
    struct ven_event *e = opt->order ? find(v, opt->order) : NULL;
    if (!e || (opt->has_modification && opt->modification != e->modification))
        return;
    decide(v, e, 200, opt->decision == ERAB__V1__OPT_DECISION__OPT_IN, opt->reason ? opt->reason : "");
    save(v);
    erabi_ven_step(v);
}

uint64_t erabi_ven_events_tick(struct ven *v, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < v->n_events; i++) {
        struct ven_event *e = &v->events[i];
        if (e->answer != VEN_AWAIT)
            continue;
        if (e->receipt_due <= now) {
            /* Nobody took it in time: it must not be carried out after we said so. */
            refuse(v, e, 469, "no receipt");
            save(v);
        } else if (e->receipt_due < next) {
            next = e->receipt_due;
        }
    }
    return next;
}

size_t erabi_ven_answers(struct ven *v, struct oadr_answer answers[OADR_EVENTS_MAX], bool mark)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n_events; i++) {
        struct ven_event *e = &v->events[i];
        bool ready = e->answer == VEN_READY && e->answer_required;
        if (mark) {
            v->answers_sent[i] = ready;
            if (ready)
                e->answer = VEN_NO_ANSWER;
        }
        if (ready)
            answers[n++] = (struct oadr_answer){.request_id = e->request_id, .event_id = e->id,
                                                .modification = e->modification, .code = e->code,
                                                .opt_in = e->opt_in};
    }
    return n;
}

void erabi_ven_answers_done(struct ven *v, bool delivered)
{
    for (size_t i = 0; i < v->n_events; i++) {
        if (v->answers_sent[i] && !delivered)
            v->events[i].answer = VEN_READY;
        v->answers_sent[i] = false;
    }
}
