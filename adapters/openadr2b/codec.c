#include "codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "xml.h"

static const struct {
    const char *name;
    const char *service;
} kinds[OADR_KIND_COUNT] = {
    [OADR_NONE] = {"", ""},
    [OADR_QUERY_REGISTRATION] = {"oadrQueryRegistration", "EiRegisterParty"},
    [OADR_CREATE_PARTY_REGISTRATION] = {"oadrCreatePartyRegistration", "EiRegisterParty"},
    [OADR_CREATED_PARTY_REGISTRATION] = {"oadrCreatedPartyRegistration", "EiRegisterParty"},
    [OADR_CANCEL_PARTY_REGISTRATION] = {"oadrCancelPartyRegistration", "EiRegisterParty"},
    [OADR_CANCELED_PARTY_REGISTRATION] = {"oadrCanceledPartyRegistration", "EiRegisterParty"},
    [OADR_REQUEST_REREGISTRATION] = {"oadrRequestReregistration", "EiRegisterParty"},
    /* The one generic answer of a VEN is the one to oadrRequestReregistration. */
    [OADR_RESPONSE] = {"oadrResponse", "EiRegisterParty"},
    [OADR_REQUEST_EVENT] = {"oadrRequestEvent", "EiEvent"},
    [OADR_DISTRIBUTE_EVENT] = {"oadrDistributeEvent", "EiEvent"},
    [OADR_CREATED_EVENT] = {"oadrCreatedEvent", "EiEvent"},
    [OADR_REGISTER_REPORT] = {"oadrRegisterReport", "EiReport"},
    [OADR_REGISTERED_REPORT] = {"oadrRegisteredReport", "EiReport"},
    [OADR_CREATE_REPORT] = {"oadrCreateReport", "EiReport"},
    [OADR_CREATED_REPORT] = {"oadrCreatedReport", "EiReport"},
    [OADR_UPDATE_REPORT] = {"oadrUpdateReport", "EiReport"},
    [OADR_UPDATED_REPORT] = {"oadrUpdatedReport", "EiReport"},
    [OADR_CANCEL_REPORT] = {"oadrCancelReport", "EiReport"},
    [OADR_CANCELED_REPORT] = {"oadrCanceledReport", "EiReport"},
    [OADR_POLL] = {"oadrPoll", "OadrPoll"},
};

const char *erabi_oadr_service(enum oadr_kind kind)
{
    return (unsigned)kind < OADR_KIND_COUNT ? kinds[kind].service : "";
}

const char *erabi_oadr_kind_name(enum oadr_kind kind)
{
    return (unsigned)kind < OADR_KIND_COUNT ? kinds[kind].name : "";
}

static void read_id(struct erabi_xml *x, const xmlNode *parent, const char *ns, const char *name, char *out)
{
    erabi_xml_text(x, erabi_xml_child(x, parent, ns, name), out, OADR_TEXT);
}

static void read_response(struct erabi_xml *x, const xmlNode *node, struct oadr_message *m)
{
    xmlNode *response = erabi_xml_child(x, node, EI_NS, "eiResponse");
    if (!response)
        return;
    m->code = erabi_xml_u32(x, erabi_xml_need(x, response, EI_NS, "responseCode"));
    if (m->code < 100 || m->code > 999)
        x->bad = true;
    read_id(x, response, PYLD_NS, "requestID", m->request_id);
}

static void read_request(struct erabi_xml *x, const xmlNode *node, struct oadr_report_request *r)
{
    erabi_xml_text(x, erabi_xml_need(x, node, EI_NS, "reportRequestID"), r->id, sizeof r->id);
    xmlNode *s = erabi_xml_need(x, node, EI_NS, "reportSpecifier");
    erabi_xml_text(x, erabi_xml_need(x, s, EI_NS, "reportSpecifierID"), r->specifier, sizeof r->specifier);
    xmlNode *granularity = erabi_xml_need(x, s, XCAL_NS, "granularity");
    xmlNode *back = erabi_xml_need(x, s, EI_NS, "reportBackDuration");
    if (x->bad)
        return;
    r->granularity_ms = erabi_xml_duration(x, erabi_xml_need(x, granularity, XCAL_NS, "duration"));
    r->back_ms = erabi_xml_duration(x, erabi_xml_need(x, back, XCAL_NS, "duration"));
    for (xmlNode *p = erabi_xml_next(s, NULL, EI_NS, "specifierPayload"); p;
         p = erabi_xml_next(s, p, EI_NS, "specifierPayload")) {
        if (r->n_rids == OADR_RIDS_MAX) {
            x->bad = true;
            return;
        }
        erabi_xml_text(x, erabi_xml_need(x, p, EI_NS, "rID"), r->rids[r->n_rids++], OADR_TEXT);
    }
}

static void read_requests(struct erabi_xml *x, const xmlNode *node, struct oadr_message *m)
{
    for (xmlNode *n = erabi_xml_next(node, NULL, OADR_NS, "oadrReportRequest"); n;
         n = erabi_xml_next(node, n, OADR_NS, "oadrReportRequest")) {
        if (m->n_requests == OADR_REQUESTS_MAX) {
            x->bad = true;
            return;
        }
        read_request(x, n, &m->requests[m->n_requests++]);
    }
}

static void read_cancelled(struct erabi_xml *x, const xmlNode *node, struct oadr_message *m)
{
    for (xmlNode *n = erabi_xml_next(node, NULL, EI_NS, "reportRequestID"); n;
         n = erabi_xml_next(node, n, EI_NS, "reportRequestID")) {
        if (m->n_cancelled == OADR_REQUESTS_MAX) {
            x->bad = true;
            return;
        }
        erabi_xml_text(x, n, m->cancelled[m->n_cancelled++], OADR_TEXT);
    }
}

static int read_events(struct erabi_xml *x, const xmlNode *node, const char *ven_id, struct oadr_message *m)
{
    size_t n = 0;
    for (xmlNode *e = erabi_xml_next(node, NULL, OADR_NS, "oadrEvent"); e;
         e = erabi_xml_next(node, e, OADR_NS, "oadrEvent"))
        n++;
    if (n > OADR_EVENTS_MAX) {
        x->bad = true;
        return 0;
    }
    if (n == 0)
        return 0;
    m->events = calloc(n, sizeof *m->events);
    if (!m->events)
        return -ENOMEM;
    for (xmlNode *e = erabi_xml_next(node, NULL, OADR_NS, "oadrEvent"); e && !x->bad;
         e = erabi_xml_next(node, e, OADR_NS, "oadrEvent")) {
        struct oadr_event *event = &m->events[m->n_events++];
        erabi_oadr_event_parse(x, e, ven_id, event);
        for (size_t i = 0; i + 1 < m->n_events; i++)
            if (strcmp(m->events[i].id, event->id) == 0)
                x->bad = true;
    }
    return 0;
}

static void read_registration(struct erabi_xml *x, const xmlNode *node, struct oadr_message *m)
{
    xmlNode *frequency = erabi_xml_child(x, node, OADR_NS, "oadrRequestedOadrPollFreq");
    if (frequency)
        m->poll_ms = erabi_xml_duration(x, erabi_xml_need(x, frequency, XCAL_NS, "duration"));
    erabi_xml_need(x, node, EI_NS, "vtnID");
    erabi_xml_need(x, node, EI_NS, "eiResponse");
}

static int read_message(struct erabi_xml *x, const xmlNode *node, const char *ven_id, struct oadr_message *m)
{
    read_response(x, node, m);
    if (erabi_xml_child(x, node, PYLD_NS, "requestID"))
        read_id(x, node, PYLD_NS, "requestID", m->request_id);
    read_id(x, node, EI_NS, "registrationID", m->registration_id);
    read_id(x, node, EI_NS, "venID", m->ven_id);
    read_id(x, node, EI_NS, "vtnID", m->vtn_id);
    switch (m->kind) {
    case OADR_CREATED_PARTY_REGISTRATION:
        read_registration(x, node, m);
        return 0;
    case OADR_DISTRIBUTE_EVENT:
        return read_events(x, node, ven_id, m);
    case OADR_REGISTERED_REPORT:
    case OADR_CREATE_REPORT:
        read_requests(x, node, m);
        return 0;
    case OADR_UPDATED_REPORT:
        read_cancelled(x, erabi_xml_child(x, node, OADR_NS, "oadrCancelReport"), m);
        erabi_xml_need(x, node, EI_NS, "eiResponse");
        return 0;
    case OADR_CANCEL_REPORT:
        read_cancelled(x, node, m);
        return 0;
    case OADR_RESPONSE:
        erabi_xml_need(x, node, EI_NS, "eiResponse");
        return 0;
    case OADR_REGISTER_REPORT:
    case OADR_CANCEL_PARTY_REGISTRATION:
    case OADR_CANCELED_PARTY_REGISTRATION:
    case OADR_REQUEST_REREGISTRATION:
        return 0;
    default:
        /* What only a VEN may say. */
        x->bad = true;
        return 0;
    }
}

/* The one element inside oadrSignedObject. */
static const xmlNode *message_of(struct erabi_xml *x, const xmlNode *root, enum oadr_kind *kind)
{
    if (!erabi_xml_is(root, OADR_NS, "oadrPayload"))
        return NULL;
    const xmlNode *found = NULL;
    const xmlNode *object = erabi_xml_need(x, root, OADR_NS, "oadrSignedObject");
    for (const xmlNode *n = object ? object->children : NULL; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        if (found)
            return NULL;
        found = n;
    }
    for (int k = 1; found && k < OADR_KIND_COUNT; k++)
        if (erabi_xml_is(found, OADR_NS, kinds[k].name)) {
            *kind = (enum oadr_kind)k;
            return found;
        }
    return NULL;
}

int erabi_oadr_parse(const void *data, size_t size, const char *ven_id, struct oadr_message **out)
{
    *out = NULL;
    xmlDoc *doc;
    int r = erabi_xml_read(data, size, &doc);
    if (r < 0)
        return r;
    struct oadr_message *m = calloc(1, sizeof *m);
    if (!m) {
        xmlFreeDoc(doc);
        return -ENOMEM;
    }
    struct erabi_xml x = {0};
    const xmlNode *node = message_of(&x, xmlDocGetRootElement(doc), &m->kind);
    r = node ? read_message(&x, node, ven_id, m) : -EBADMSG;
    xmlFreeDoc(doc);
    if (r == 0 && x.bad)
        r = -EBADMSG;
    if (r < 0) {
        erabi_oadr_message_free(m);
        return r;
    }
    *out = m;
    return 0;
}

void erabi_oadr_message_free(struct oadr_message *message)
{
    if (!message)
        return;
    free(message->events);
    free(message);
}
