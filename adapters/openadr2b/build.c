/* The writing half of the codec. */
#include "codec.h"

#include <errno.h>
#include <libxml/xmlwriter.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cursor.h"
#include "xml.h"

struct out {
    xmlTextWriter *w;
    bool bad;
};

static void begin(struct out *o, const char *name)
{
    if (xmlTextWriterStartElement(o->w, BAD_CAST name) < 0)
        o->bad = true;
}

static void end(struct out *o)
{
    if (xmlTextWriterEndElement(o->w) < 0)
        o->bad = true;
}

static void leaf(struct out *o, const char *name, const char *text)
{
    begin(o, name);
    if (text && xmlTextWriterWriteString(o->w, BAD_CAST text) < 0)
        o->bad = true;
    end(o);
}

static void number(struct out *o, const char *name, uint32_t v)
{
    char text[16];
    snprintf(text, sizeof text, "%u", v);
    leaf(o, name, text);
}

static void attribute(struct out *o, const char *name, const char *value)
{
    if (xmlTextWriterWriteAttribute(o->w, BAD_CAST name, BAD_CAST value) < 0)
        o->bad = true;
}

static void response(struct out *o, const struct oadr_outgoing *m)
{
    begin(o, "ei:eiResponse");
    number(o, "ei:responseCode", m->code);
    if (m->description)
        leaf(o, "ei:responseDescription", m->description);
    leaf(o, "pyld:requestID", m->request_id);
    end(o);
}

static void create_registration(struct out *o, const struct oadr_outgoing *m)
{
    leaf(o, "pyld:requestID", m->request_id);
    if (m->registration_id)
        leaf(o, "ei:registrationID", m->registration_id);
    if (m->ven_id && m->ven_id[0])
        leaf(o, "ei:venID", m->ven_id);
    leaf(o, "oadr:oadrProfileName", "2.0b");
    leaf(o, "oadr:oadrTransportName", "simpleHttp");
    leaf(o, "oadr:oadrReportOnly", "false");
    leaf(o, "oadr:oadrXmlSignature", "false");
    leaf(o, "oadr:oadrVenName", m->ven_name);
    leaf(o, "oadr:oadrHttpPullModel", "true");
}

static void created_event(struct out *o, const struct oadr_outgoing *m)
{
    begin(o, "pyld:eiCreatedEvent");
    response(o, m);
    if (m->n_answers > 0)
        begin(o, "ei:eventResponses");
    for (size_t i = 0; i < m->n_answers; i++) {
        const struct oadr_answer *a = &m->answers[i];
        begin(o, "ei:eventResponse");
        number(o, "ei:responseCode", a->code);
        if (a->description)
            leaf(o, "ei:responseDescription", a->description);
        leaf(o, "pyld:requestID", a->request_id);
        begin(o, "ei:qualifiedEventID");
        leaf(o, "ei:eventID", a->event_id);
        number(o, "ei:modificationNumber", a->modification);
        end(o);
        leaf(o, "ei:optType", a->opt_in ? "optIn" : "optOut");
        end(o);
    }
    if (m->n_answers > 0)
        end(o);
    leaf(o, "ei:venID", m->ven_id);
    end(o);
}

static void power_item(struct out *o, const struct oadr_outgoing *m)
{
    begin(o, "power:powerReal");
    leaf(o, "power:itemDescription", "RealPower");
    leaf(o, "power:itemUnits", "W");
    leaf(o, "scale:siScaleCode", "k");
    begin(o, "power:powerAttributes");
    number(o, "power:hertz", m->hertz);
    number(o, "power:voltage", m->voltage);
    leaf(o, "power:ac", "true");
    end(o);
    end(o);
}

static void report_tail(struct out *o, const struct oadr_outgoing *m, const char *request, const char *name)
{
    char text[32];
    leaf(o, "ei:reportRequestID", request);
    leaf(o, "ei:reportSpecifierID", m->specifier_id);
    leaf(o, "ei:reportName", name);
    erabi_oadr_time_text(m->now_ms, text);
    leaf(o, "ei:createdDateTime", text);
}

static void register_report(struct out *o, const struct oadr_outgoing *m)
{
    char period[24];
    leaf(o, "pyld:requestID", m->request_id);
    begin(o, "oadr:oadrReport");
    begin(o, "xcal:duration");
    leaf(o, "xcal:duration", "PT1H");
    end(o);
    begin(o, "oadr:oadrReportDescription");
    leaf(o, "ei:rID", m->rid);
    begin(o, "ei:reportDataSource");
    leaf(o, "ei:resourceID", m->resource);
    end(o);
    leaf(o, "ei:reportType", "usage");
    power_item(o, m);
    leaf(o, "ei:readingType", "Direct Read");
    begin(o, "oadr:oadrSamplingRate");
    snprintf(period, sizeof period, "PT%uS", m->sampling_s);
    leaf(o, "oadr:oadrMinPeriod", period);
    leaf(o, "oadr:oadrMaxPeriod", "PT30M");
    leaf(o, "oadr:oadrOnChange", "false");
    end(o);
    end(o);
    report_tail(o, m, m->report_request_id, "METADATA_TELEMETRY_USAGE");
    end(o);
    leaf(o, "ei:venID", m->ven_id);
}

static void at_time(struct out *o, uint64_t ms)
{
    char text[32];
    erabi_oadr_time_text(ms, text);
    begin(o, "xcal:dtstart");
    leaf(o, "xcal:date-time", text);
    end(o);
}

static void update_report(struct out *o, const struct oadr_outgoing *m)
{
    char text[32];
    leaf(o, "pyld:requestID", m->request_id);
    begin(o, "oadr:oadrReport");
    at_time(o, m->n_points > 0 ? m->points[0].at_ms : m->now_ms);
    begin(o, "strm:intervals");
    for (size_t i = 0; i < m->n_points; i++) {
        begin(o, "ei:interval");
        at_time(o, m->points[i].at_ms);
        begin(o, "oadr:oadrReportPayload");
        leaf(o, "ei:rID", m->points[i].rid);
        begin(o, "ei:payloadFloat");
        erabi_oadr_float_text(m->points[i].value_kw, text);
        leaf(o, "ei:value", text);
        end(o);
        end(o);
        end(o);
    }
    end(o);
    report_tail(o, m, m->report_request_id, "TELEMETRY_USAGE");
    end(o);
    leaf(o, "ei:venID", m->ven_id);
}

static void pending_reports(struct out *o, const struct oadr_outgoing *m)
{
    response(o, m);
    begin(o, "oadr:oadrPendingReports");
    for (size_t i = 0; i < m->n_pending; i++)
        leaf(o, "ei:reportRequestID", m->pending[i]);
    end(o);
    leaf(o, "ei:venID", m->ven_id);
}

static int content(struct out *o, const struct oadr_outgoing *m)
{
    switch (m->kind) {
    case OADR_QUERY_REGISTRATION:
        leaf(o, "pyld:requestID", m->request_id);
        return 0;
    case OADR_CREATE_PARTY_REGISTRATION:
        create_registration(o, m);
        return 0;
    case OADR_REQUEST_EVENT:
        begin(o, "pyld:eiRequestEvent");
        leaf(o, "pyld:requestID", m->request_id);
        leaf(o, "ei:venID", m->ven_id);
        end(o);
        return 0;
    case OADR_CREATED_EVENT:
        created_event(o, m);
        return 0;
    case OADR_REGISTER_REPORT:
        register_report(o, m);
        return 0;
    case OADR_UPDATE_REPORT:
        update_report(o, m);
        return 0;
    case OADR_CREATED_REPORT:
    case OADR_CANCELED_REPORT:
        pending_reports(o, m);
        return 0;
    case OADR_POLL:
        leaf(o, "ei:venID", m->ven_id);
        return 0;
    case OADR_CANCELED_PARTY_REGISTRATION:
        response(o, m);
        leaf(o, "ei:registrationID", m->registration_id);
        leaf(o, "ei:venID", m->ven_id);
        return 0;
    case OADR_RESPONSE:
    case OADR_REGISTERED_REPORT:
        response(o, m);
        leaf(o, "ei:venID", m->ven_id);
        return 0;
    default:
        return -EINVAL;
    }
}

static int document(struct out *o, const struct oadr_outgoing *m)
{
    static const struct {
        const char *prefix, *uri;
    } spaces[] = {{"xmlns:oadr", OADR_NS},   {"xmlns:ei", EI_NS},       {"xmlns:pyld", PYLD_NS},
                  {"xmlns:power", POWER_NS}, {"xmlns:scale", SCALE_NS}, {"xmlns:xcal", XCAL_NS},
                  {"xmlns:strm", STRM_NS}};
    char name[64];
    if (xmlTextWriterStartDocument(o->w, NULL, "UTF-8", NULL) < 0)
        o->bad = true;
    begin(o, "oadr:oadrPayload");
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        attribute(o, spaces[i].prefix, spaces[i].uri);
    begin(o, "oadr:oadrSignedObject");
    snprintf(name, sizeof name, "oadr:%s", erabi_oadr_kind_name(m->kind));
    begin(o, name);
    attribute(o, "ei:schemaVersion", "2.0b");
    int r = content(o, m);
    if (xmlTextWriterEndDocument(o->w) < 0)
        o->bad = true;
    return r;
}

int erabi_oadr_build(const struct oadr_outgoing *message, struct oadr_text *out)
{
    *out = (struct oadr_text){0};
    xmlBuffer *buffer = xmlBufferCreate();
    struct out o = {.w = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL};
    int r = o.w ? document(&o, message) : -ENOMEM;
    xmlFreeTextWriter(o.w); /* flushes */
    if (r == 0 && o.bad)
        r = -ENOMEM;
    if (r == 0) {
        size_t size = (size_t)xmlBufferLength(buffer);
        out->data = malloc(size + 1);
        if (out->data) {
            erabi_copy_bytes(out->data, xmlBufferContent(buffer), size);
            out->data[size] = '\0';
            out->size = size;
        } else {
            r = -ENOMEM;
        }
    }
    if (buffer)
        xmlBufferFree(buffer);
    return r;
}

void erabi_oadr_text_free(struct oadr_text *text)
{
    free(text->data);
    *text = (struct oadr_text){0};
}
