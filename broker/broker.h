/* The broker: builds its parts from a configuration, wires them, owns them. No message logic (pipeline.h). */
#ifndef ERABI_BROKER_H
#define ERABI_BROKER_H

#include "admin/admin.h"
#include "host/runner.h"
#include "pipeline.h"

/* A listener with the interface that it serves (ERAB_IF_NONE: the local one). */
struct erabi_gate {
    enum erab_interface interface;
    struct erabi_listener *listener;
};

/* An uplink: two dialled connections to another firm part's broker. */
struct erabi_uplink {
    const struct erabi_config_uplink *config;
    const struct erabi_attachment *attachment;
    enum erab_interface interface;
    struct erabi_dial {
        struct erabi_uplink *uplink;
        enum erab_lane_group group;
        struct erabi_dialer *dialer;
    } dials[2];
};

struct erabi_broker {
    uv_loop_t *uv;
    struct erabi_loop loop;
    struct erabi_config *config;
    struct erabi_profile *profile;
    struct erab_identity owner;
    struct erabi_registry *registry;
    struct erabi_policy_chain policies;
    struct erabi_journal *journal;
    struct erabi_audit *audit;
    struct erabi_transport *transport;
    struct erabi_admin *admin;
    struct erabi_pipeline pipeline;
    struct erabi_session_host session_host;
    struct erabi_session *sessions;
    struct erabi_gate *gates; /* the listeners, the local one last */
    size_t n_gates;
    struct erabi_uplink *uplinks;
    struct erabi_runner **runners;
    size_t n_runners;
    uv_check_t flush;
    struct erabi_audit_head head; /* not told yet */
    bool has_head;
    bool revocation_lost; /* the journal did not take the last one: said by the verb, to be repeated */
    uint64_t floor_ms; /* wall clock last persisted */
    int closing; /* parts that still close */
    bool stopping;
};

/* Everything up and listening, or a negative errno with a line on stderr that says what and where. */
int erabi_broker_start(struct erabi_broker *broker, uv_loop_t *uv, const char *config_path);
/* Closes everything in order; the loop runs out when it is done. */
void erabi_broker_stop(struct erabi_broker *broker);
void erabi_broker_deinit(struct erabi_broker *broker);

/* Every fault of a configuration, a line each, on stderr. */
void erabi_broker_print_errors(const struct erabi_config_errors *errors);

/* network.c: listeners, uplinks, sessions. */
int erabi_network_start(struct erabi_broker *broker);
/* Cuts the connections of an adapter's process that hangs or is gone; the links open again when it is back. */
void erabi_network_cut_adapter(struct erabi_broker *broker, const char *instance, const char *why);
/* Cuts every connection of the attachments behind this party and drops what waits for them. */
void erabi_network_cut(struct erabi_broker *broker, uint32_t party, enum erab_reason reason);
void erabi_network_tick(struct erabi_broker *broker);

/* verbs.c: what the admin socket can do. */
extern const struct erabi_admin_verb erabi_verbs[];

#endif
