/* The session of a pull VEN: registration, reports, events, polling. One exchange at a time. ven.c is the engine,
 * events.c turns events into orders, reports.c turns telemetry into reports. */
#ifndef ERABI_OPENADR2B_VEN_H
#define ERABI_OPENADR2B_VEN_H

#include <erab/host.h>

#include "codec.h"
#include "http.h"

#define VEN_POINTS_MAX 256
#define VEN_CALLS_MAX  16

struct ven_settings {
    const char *vtn_url, *ca_file, *cert_file, *key_file;
    const char *vtn_id; /* "" : any */
    const char *ven_name;
    const char *ven_id; /* "" : given by the VTN */
    const char *tso, *recipient;
    const char *product, *resource; /* "" : none */
    const char *report_resource;
    uint64_t open_ended_ms; /* 0: an open-ended event is refused */
    uint32_t hertz, voltage, timeout_ms;
};

enum ven_phase { VEN_QUERY, VEN_REGISTER, VEN_REPORT, VEN_EVENTS, VEN_RUNNING };
/* VEN_AWAIT: the order is on its way, the broker has not answered yet. */
enum ven_answer { VEN_NO_ANSWER, VEN_AWAIT, VEN_READY };

struct ven_event {
    char id[OADR_TEXT];
    char request_id[OADR_TEXT]; /* of the last oadrDistributeEvent with it */
    uint32_t modification;
    uint64_t end_ms;
    uint64_t receipt_due; /* monotonic */
    bool published;       /* an order of it is out and not cancelled */
    bool decided;
    bool opt_in;
    bool test;
    bool seen; /* in the list that is being applied */
    bool answer_required;
    uint32_t code;
    enum ven_answer answer;
    uint8_t dispatch_id[ERAB_ID_SIZE];
    uint32_t dispatch_modification;
};

struct ven {
    erab_self *self;
    const struct erab_host *host;
    struct ven_settings set;
    struct oadr_http *http;
    erab_timer *timer;
    enum ven_phase phase;
    enum oadr_kind sent; /* what runs */
    unsigned failures;
    uint64_t not_before, poll_due, poll_ms;
    bool stopping;
    char registration_id[OADR_TEXT], ven_id[OADR_TEXT];
    /* Answer owed to a message that came by poll. */
    enum oadr_kind reply;
    char reply_id[OADR_TEXT];
    uint32_t reply_code;
    char reject_id[OADR_TEXT]; /* an oadrDistributeEvent refused as a whole */
    uint32_t reject_code;
    bool answers_sent[OADR_EVENTS_MAX]; /* rows that the running oadrCreatedEvent carries */
    size_t n_events;
    struct ven_event events[OADR_EVENTS_MAX];
    /* reports */
    bool report_active, report_once;
    char report_request[OADR_TEXT];
    uint64_t report_back_ms, report_due;
    size_t n_points, sent_points;
    struct oadr_point points[VEN_POINTS_MAX];
    erab_call point_calls[VEN_POINTS_MAX];
    size_t n_calls, sent_calls;
    erab_call calls[VEN_CALLS_MAX];
};

int erabi_ven_start(struct ven *v);
void erabi_ven_stop(struct ven *v);
/* Chooses and begins what is due, or arms the timer. */
void erabi_ven_step(struct ven *v);
__attribute__((format(printf, 3, 4))) void erabi_ven_log(struct ven *v, enum erab_log_level level,
                                                         const char *format, ...);

/* events.c */
void erabi_ven_events_load(struct ven *v);
void erabi_ven_events_apply(struct ven *v, const struct oadr_message *m, const struct oadr_http_answer *source);
void erabi_ven_receipt(struct ven *v, const Erab__V1__Receipt *receipt);
void erabi_ven_opt(struct ven *v, const Erab__V1__Opt *opt);
/* Ends the waiting for receipts that did not come; returns when the next one is due, UINT64_MAX for none. */
uint64_t erabi_ven_events_tick(struct ven *v, uint64_t now);
size_t erabi_ven_answers(struct ven *v, struct oadr_answer answers[OADR_EVENTS_MAX], bool mark);
/* After the exchange: not delivered means that they are owed again. */
void erabi_ven_answers_done(struct ven *v, bool delivered);

/* reports.c */
int erabi_ven_telemetry(struct ven *v, erab_call call, const Erab__V1__Telemetry *t);
void erabi_ven_telemetry_cancel(struct ven *v, erab_call call);
/* Takes a report request over; the response code. */
uint32_t erabi_ven_report_request(struct ven *v, const struct oadr_report_request *r);
void erabi_ven_report_cancelled(struct ven *v, const struct oadr_message *m);
void erabi_ven_report_answered(struct ven *v, uint32_t code);
void erabi_ven_reports_drop(struct ven *v, enum erab_reason reason);

#endif
