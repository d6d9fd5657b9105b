/* Messages to the adapter: at most max_in_flight at once, the others are kept back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "runner.h"

static bool is_for_us(const erab_self *self, const char *to)
{
    if (*to == '@')
        return true; /* the broker has resolved the group */
    for (char **p = self->document.parties; *p; p++)
        if (strcmp(*p, to) == 0)
            return true;
    return false;
}

/* 0, or the reason for which it was refused. The call is noted first: the adapter may complete within. */
static int deliver(erab_self *self, const struct erab_message *m)
{
    struct call *c = self->calls;
    while (c->id)
        c++; /* n_calls < max_calls: there is a free one */
    erab_call id = ++self->next_call;
    c->id = id;
    c->header = *m->header;
    erabi_copy_bytes(c->hash, m->hash, sizeof c->hash);
    self->n_calls++;
    int r = self->adapter->deliver(self->instance, id, m);
    if (r && c->id == id) {
        c->id = 0;
        self->n_calls--;
    }
    return r < 0 || r >= ERAB_REASON_COUNT ? ERAB_REASON_INTERNAL : r;
}

static int keep_back(erab_self *self, const struct erab_message *m)
{
    size_t size = m->body.size + m->header_bytes.size + m->signature.size;
    if (self->n_backlog >= RUNNER_BACKLOG_MAX || self->backlog_bytes + size > RUNNER_BACKLOG_BYTES)
        return ERAB_REASON_BUSY;
    struct kept_back *k = malloc(sizeof *k + size);
    if (!k)
        return ERAB_REASON_BUSY;
    k->header = *m->header;
    erabi_copy_bytes(k->hash, m->hash, sizeof k->hash);
    k->body_size = m->body.size;
    k->header_size = m->header_bytes.size;
    k->signature_size = m->signature.size;
    struct erabi_writer w = erabi_writer(k->data, size);
    erabi_write_bytes(&w, m->body.data, m->body.size);
    erabi_write_bytes(&w, m->header_bytes.data, m->header_bytes.size);
    erabi_write_bytes(&w, m->signature.data, m->signature.size);
    STAILQ_INSERT_TAIL(&self->backlog, k, entry);
    self->n_backlog++;
    self->backlog_bytes += size;
    return 0;
}

int runner_on_message(void *user, struct erab_client *client, const struct erab_message *m)
{
    erab_self *self = user;
    (void)client;
    if (self->stopping)
        return ERAB_REASON_NOT_READY;
    if (!is_for_us(self, m->header->to))
        return ERAB_REASON_RECIPIENT_UNKNOWN;
    if (self->n_calls < self->max_calls && !self->n_backlog)
        return deliver(self, m);
    return keep_back(self, m);
}

static void answer(erab_self *self, const struct erab_header *h, const uint8_t hash[ERAB_HASH_SIZE],
                   enum erab_receipt_state state, enum erab_reason reason, const char *detail)
{
    if (erab_type_lane(h->type) != ERAB_LANE_TELEMETRY &&
        erab_client_answer_later(self->client, h, hash, state, reason, detail))
        runner_log(self, ERAB_LOG_WARNING, "an answer could not be queued");
}

void runner_complete(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail)
{
    struct call *c = NULL;
    for (uint32_t i = 0; call && i < self->max_calls && !c; i++)
        if (self->calls[i].id == call)
            c = &self->calls[i];
    if (!c)
        return;
    if (state != ERAB_APPLIED && state != ERAB_REFUSED) {
        runner_log(self, ERAB_LOG_ERROR, "a delivery was completed with a state that is neither applied nor refused");
        state = ERAB_REFUSED;
        reason = ERAB_REASON_INTERNAL;
    }
    answer(self, &c->header, c->hash, state, reason, detail);
    c->id = 0;
    self->n_calls--;
    if (self->n_backlog) /* not from here: an adapter is never re-entered */
        uv_idle_start(&self->drain, runner_drain);
}

void runner_drain(uv_idle_t *handle)
{
    erab_self *self = handle->data;
    uv_idle_stop(handle);
    uint64_t now = erabi_clock_ms(CLOCK_REALTIME);
    while (self->n_calls < self->max_calls && !STAILQ_EMPTY(&self->backlog) && !self->stopping) {
        struct kept_back *k = STAILQ_FIRST(&self->backlog);
        STAILQ_REMOVE_HEAD(&self->backlog, entry);
        self->n_backlog--;
        self->backlog_bytes -= k->body_size + k->header_size + k->signature_size;
        struct erab_message m = {.header = &k->header,
                                 .body = {k->data, k->body_size},
                                 .header_bytes = {k->data + k->body_size, k->header_size},
                                 .signature = {k->data + k->body_size + k->header_size, k->signature_size}};
        erabi_copy_bytes(m.hash, k->hash, sizeof m.hash);
        if (k->header.expires_at_ms <= now) {
            answer(self, &k->header, k->hash, ERAB_EXPIRED, ERAB_REASON_EXPIRED, NULL);
        } else {
            int r = deliver(self, &m);
            if (r)
                answer(self, &k->header, k->hash, ERAB_REFUSED, (enum erab_reason)r, NULL);
        }
        free(k);
    }
}

void runner_cancel_expired(erab_self *self)
{
    uint64_t now = erabi_clock_ms(CLOCK_REALTIME);
    for (uint32_t i = 0; i < self->max_calls; i++) {
        struct call *c = &self->calls[i];
        if (!c->id || c->header.expires_at_ms > now)
            continue;
        erab_call id = c->id;
        c->id = 0;
        self->n_calls--;
        self->adapter->cancel(self->instance, id);
    }
    if (self->n_backlog)
        uv_idle_start(&self->drain, runner_drain);
}

/* A receipt as a message with call 0; what the client found out itself is packed anew, from the hub. */
void runner_on_receipt(void *user, struct erab_client *client, const struct erab_receipt *r)
{
    erab_self *self = user;
    (void)client;
    if (self->quiet) /* the instance is gone */
        return;
    uint8_t about[ERAB_ID_SIZE];
    char code[64], detail[256];
    Erab__V1__Receipt body = ERAB__V1__RECEIPT__INIT;
    erabi_copy_bytes(about, r->about, sizeof about);
    erabi_copy_text(code, sizeof code, r->code);
    body.has_about = 1;
    body.about = (ProtobufCBinaryData){sizeof about, about};
    body.state = (Erab__V1__ReceiptState)r->state;
    body.reason = code;
    if (*r->detail && erabi_copy_text(detail, sizeof detail, r->detail))
        body.detail = detail;
    uint8_t *bytes;
    size_t size;
    if (erab_body_pack(r->body ? &r->body->base : &body.base, &bytes, &size))
        return;
    uint64_t now = erabi_clock_ms(CLOCK_REALTIME);
    struct erab_header h = {.type = ERAB_RECEIPT,
                            .category = ERAB_OPERATION,
                            .issued_at_ms = now,
                            .expires_at_ms = now + 60000,
                            .version = 1};
    erab_id_new(h.id, now);
    erabi_copy_text(h.from, sizeof h.from, r->local ? self->document.hub : r->from);
    erabi_copy_text(h.to, sizeof h.to, self->document.parties[0]);
    const struct erab_message m = {.header = &h, .body = {bytes, size}};
    self->adapter->deliver(self->instance, 0, &m);
    free(bytes);
}

void runner_deliver_deinit(erab_self *self)
{
    struct kept_back *k;
    while ((k = STAILQ_FIRST(&self->backlog))) {
        STAILQ_REMOVE_HEAD(&self->backlog, entry);
        free(k);
    }
    free(self->calls);
}
