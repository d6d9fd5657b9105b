/* OpenADR 2.0b messages of a pull VEN: bytes to structs and back. Pure: no I/O, no clock.
 * Any prefixes are read; what is written has the order of the schema. */
#ifndef ERABI_OPENADR2B_CODEC_H
#define ERABI_OPENADR2B_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OADR_TEXT         128 /* bytes of an identifier with its NUL */
#define OADR_URI          256
#define OADR_EVENTS_MAX   64
#define OADR_SLOTS_MAX    96
#define OADR_REQUESTS_MAX 8
#define OADR_RIDS_MAX     8
#define OADR_TARGETS_MAX  16

enum oadr_kind {
    OADR_NONE,
    OADR_QUERY_REGISTRATION,
    OADR_CREATE_PARTY_REGISTRATION,
    OADR_CREATED_PARTY_REGISTRATION,
    OADR_CANCEL_PARTY_REGISTRATION,
    OADR_CANCELED_PARTY_REGISTRATION,
    OADR_REQUEST_REREGISTRATION,
    OADR_RESPONSE,
    OADR_REQUEST_EVENT,
    OADR_DISTRIBUTE_EVENT,
    OADR_CREATED_EVENT,
    OADR_REGISTER_REPORT,
    OADR_REGISTERED_REPORT,
    OADR_CREATE_REPORT,
    OADR_CREATED_REPORT,
    OADR_UPDATE_REPORT,
    OADR_UPDATED_REPORT,
    OADR_CANCEL_REPORT,
    OADR_CANCELED_REPORT,
    OADR_POLL,
    OADR_KIND_COUNT
};

enum oadr_status { OADR_PENDING, OADR_ACTIVE, OADR_COMPLETED, OADR_CANCELLED };
enum oadr_mode { OADR_SETPOINT = 1, OADR_DELTA = 2, OADR_LEVEL = 3 };

struct oadr_slot {
    uint64_t start_ms;
    uint64_t end_ms; /* equal to start_ms: open, lasts until the end of the event */
    double value;    /* kW, or the level */
};

struct oadr_event {
    char id[OADR_TEXT];
    uint32_t modification;
    uint32_t priority; /* 0: none */
    char market_context[OADR_URI];
    enum oadr_status status;
    bool test;            /* anything but "false" */
    bool answer_required; /* "always"; with false an answer is forbidden */
    /* 0, or the response code with which it has to be refused, and why; then what follows is not filled. */
    uint32_t problem;
    const char *why;
    enum oadr_mode mode;
    uint64_t start_ms;
    uint64_t end_ms; /* equal to start_ms: open-ended */
    size_t n_slots;
    struct oadr_slot slots[OADR_SLOTS_MAX];
    bool targets_vens; /* target names VENs, and whether the given one is among them */
    bool targets_us;
    size_t n_resources;
    char resources[OADR_TARGETS_MAX][OADR_TEXT];
};

struct oadr_report_request {
    char id[OADR_TEXT];
    char specifier[OADR_TEXT];
    uint64_t granularity_ms;
    uint64_t back_ms;
    size_t n_rids;
    char rids[OADR_RIDS_MAX][OADR_TEXT];
};

struct oadr_message {
    enum oadr_kind kind;
    char request_id[OADR_TEXT]; /* of the message, else of its eiResponse */
    uint32_t code;              /* of eiResponse; 0 without one */
    char registration_id[OADR_TEXT];
    char ven_id[OADR_TEXT];
    char vtn_id[OADR_TEXT];
    uint64_t poll_ms; /* granted period; 0 when absent */
    size_t n_requests;
    struct oadr_report_request requests[OADR_REQUESTS_MAX];
    size_t n_cancelled; /* report requests taken back */
    char cancelled[OADR_REQUESTS_MAX][OADR_TEXT];
    size_t n_events;
    struct oadr_event *events;
};

/* Reads one message; `ven_id` (may be empty) is looked for in targets. 0 with *out owned by the caller;
 * -ENOMEM; -EBADMSG for everything that is not a message for a VEN. A single event whose content cannot be
 * used does not refuse the message: it carries `problem`. */
int erabi_oadr_parse(const void *data, size_t size, const char *ven_id, struct oadr_message **out);
void erabi_oadr_message_free(struct oadr_message *message);

struct oadr_answer {
    const char *request_id; /* of the oadrDistributeEvent */
    const char *event_id;
    uint32_t modification;
    uint32_t code;
    const char *description; /* or NULL */
    bool opt_in;
};

struct oadr_point {
    uint64_t at_ms;
    double value_kw;
    char rid[OADR_TEXT];
};

/* What a VEN says; a kind uses the fields it needs. Texts are never NULL where they are needed. */
struct oadr_outgoing {
    enum oadr_kind kind;
    const char *request_id;
    const char *ven_id;
    const char *registration_id; /* or NULL */
    const char *ven_name;
    uint32_t code;
    const char *description; /* or NULL */
    const struct oadr_answer *answers;
    size_t n_answers;
    /* reports */
    uint64_t now_ms;
    const char *specifier_id;
    const char *report_request_id;
    const char *resource;
    const char *rid;
    uint32_t hertz;
    uint32_t voltage;
    uint32_t sampling_s; /* shortest period offered */
    const struct oadr_point *points;
    size_t n_points;
    const char *const *pending; /* report request ids */
    size_t n_pending;
};

struct oadr_text {
    char *data;
    size_t size;
};

/* 0 or -ENOMEM, -EINVAL for a kind that a VEN does not send. */
int erabi_oadr_build(const struct oadr_outgoing *message, struct oadr_text *out);
void erabi_oadr_text_free(struct oadr_text *text);

/* "EiEvent" ...: the service to which a message is posted. */
const char *erabi_oadr_service(enum oadr_kind kind);
const char *erabi_oadr_kind_name(enum oadr_kind kind);

#endif
