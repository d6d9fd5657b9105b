/* Joins the transport to sessions: who may connect, what a connection belongs to, how one is cut. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "broker.h"
#include "record.h"

static struct erabi_gate *gate_of(struct erabi_listener *listener)
{
    return listener ? erabi_listener_tag(listener) : NULL;
}

static const char *interface_text(const struct erabi_gate *gate)
{
    return !gate ? "uplink" : gate->interface == ERAB_IF_NONE ? "local" : erab_interface_name(gate->interface);
}

static bool belongs(const struct erabi_attachment *attachment, const struct erabi_gate *gate)
{
    bool local = attachment->kind == ERABI_ATTACH_LOCAL || attachment->kind == ERABI_ATTACH_ADAPTER;
    if (gate->interface == ERAB_IF_NONE)
        return local;
    return !local && (attachment->interfaces == 0 || (attachment->interfaces >> gate->interface & 1));
}

static enum erabi_admission on_key(void *user, struct erabi_listener *listener, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    const struct erabi_attachment *attachment = erabi_registry_key(broker->registry, key);
    *reason = ERAB_REASON_UNKNOWN_KEY;
    if (!attachment)
        return ERABI_REFUSE;
    if (attachment->revoked) {
        *reason = ERAB_REASON_REVOKED;
        return ERABI_REFUSE;
    }
    if (!belongs(attachment, gate_of(listener))) {
        *reason = ERAB_REASON_WRONG_INTERFACE;
        return ERABI_REFUSE;
    }
    if (broker->stopping) {
        *reason = ERAB_REASON_SHUTDOWN;
        return ERABI_PUT_OFF;
    }
    *reason = ERAB_REASON_NONE;
    return ERABI_ADMIT;
}

static void on_open(void *user, struct erabi_connection *connection, struct erabi_listener *listener,
                    struct erabi_dialer *dialer)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    struct erabi_gate *gate = gate_of(listener);
    struct erabi_dial *dial = dialer ? erabi_dialer_tag(dialer) : NULL;
    const struct erabi_attachment *attachment =
        dial ? dial->uplink->attachment : erabi_registry_key(broker->registry, erabi_connection_key(connection));
    struct erabi_target *target =
        attachment ? erabi_pipeline_outlet(&broker->pipeline, attachment,
                                           dial ? dial->uplink->interface : gate->interface)
                   : NULL;
    struct erabi_session *session =
        target ? erabi_session_new(&broker->session_host, connection, target, dial ? dial->group : 0) : NULL;
    erabi_record_connection(broker->audit, session ? "opened" : "refused", attachment ? attachment->name : "",
                            interface_text(gate), erabi_connection_address(connection),
                            erabi_connection_key(connection), ERAB_REASON_NONE, "");
    if (!session) {
        erabi_connection_cut(connection, ERAB_REASON_NOT_READY);
        return;
    }
    session->next = broker->sessions;
    broker->sessions = session;
}

static void on_packet(void *user, struct erabi_connection *connection, const uint8_t *packet, size_t size)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    struct erabi_session *session = erabi_connection_user(connection);
    if (session && !session->cut)
        erabi_session_packet(&broker->session_host, session, erabi_slice(packet, size));
}

static void on_drained(void *user, struct erabi_connection *connection)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    struct erabi_session *session = erabi_connection_user(connection);
    if (session && !session->cut)
        erabi_target_pump(session->target, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
}

static void on_close(void *user, struct erabi_connection *connection, const struct erabi_transport_event *event)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    struct erabi_session *session = erabi_connection_user(connection);
    if (!session)
        return;
    const struct erabi_attachment *attachment = session->target->attachment;
    erabi_record_connection(broker->audit, "closed", attachment->name, erab_interface_name(session->target->interface),
                            event->address, event->key, event->reason, event->detail);
    struct erabi_session **at = &broker->sessions;
    while (*at && *at != session)
        at = &(*at)->next;
    if (*at)
        *at = session->next;
    erabi_session_free(session);
}

static void on_refused(void *user, struct erabi_listener *listener, const struct erabi_transport_event *event)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    const struct erabi_attachment *attachment = event->key ? erabi_registry_key(broker->registry, event->key) : NULL;
    erabi_record_connection(broker->audit, "refused", attachment ? attachment->name : "",
                            interface_text(gate_of(listener)), event->address, event->key, event->reason,
                            event->detail);
}

/* ---- what a session asks of us ---- */

static uint64_t now_ms(void *user)
{
    return erabi_now_ms(&((struct erabi_broker *)user)->loop);
}

static uint64_t mono_ms(void *user)
{
    return ((struct erabi_broker *)user)->loop.mono_ms;
}

static bool ready(void *user)
{
    return erabi_pipeline_ready(&((struct erabi_broker *)user)->pipeline);
}

static uint64_t next_seq(void *user, const char *to)
{
    return erabi_pipeline_next_seq(&((struct erabi_broker *)user)->pipeline, to);
}

static void on_envelope(void *user, struct erabi_session *session, const struct erab_header *header,
                        const struct erabi_envelope *envelope)
{
    erabi_pipeline_receive(&((struct erabi_broker *)user)->pipeline, session, header, envelope);
}

static void cut_session(struct erabi_session *session, enum erab_reason reason)
{
    session->cut = true;
    erabi_target_unbind(session->target, session->connection);
    erabi_connection_cut(session->connection, reason);
}

static void on_offence(void *user, struct erabi_session *session, enum erab_reason reason, const char *detail)
{
    struct erabi_broker *broker = user;
    const struct erabi_attachment *attachment = session->target->attachment;
    erabi_record_connection(broker->audit, "cut", attachment->name, erab_interface_name(session->target->interface),
                            erabi_connection_address(session->connection), erabi_connection_key(session->connection),
                            reason, detail);
    cut_session(session, reason);
}

static void on_bound(void *user, struct erabi_session *session)
{
    struct erabi_broker *broker = user;
    erabi_target_pump(session->target, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
}

static const char *peer_party(void *user, const struct erabi_session *session)
{
    struct erabi_broker *broker = user;
    const struct erabi_attachment *attachment = session->target->attachment;
    return erabi_registry_party_at(broker->registry, attachment->party)->id;
}

/* ---- start, cut, tick ---- */

static int listen_on(struct erabi_broker *broker, size_t i, enum erab_interface interface, const char *endpoint,
                     const char *key_file)
{
    struct erab_identity identity;
    char error[256];
    int r = erab_identity_load(&identity, key_file, error, sizeof(error));
    if (r < 0) {
        fprintf(stderr, "erabd: %s\n", error);
        return r;
    }
    broker->gates[i].interface = interface;
    r = erabi_transport_listen(broker->transport, &broker->gates[i].listener, endpoint, identity.curve_secret,
                               &broker->gates[i]);
    erab_identity_wipe(&identity);
    if (r < 0)
        fprintf(stderr, "erabd: cannot listen on %s: %s\n", endpoint, strerror(-r));
    else
        fprintf(stderr, "erabd: %s listens on %s\n", interface ? erab_interface_name(interface) : "local",
                erabi_listener_endpoint(broker->gates[i].listener));
    return r;
}

static int dial(struct erabi_broker *broker, struct erabi_uplink *uplink, const struct erabi_config_uplink *config)
{
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, config->party);
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    uplink->config = config;
    uplink->attachment = erabi_registry_key(broker->registry, config->server_key);
    if (!party || !uplink->attachment) {
        fprintf(stderr, "erabd: uplink to %s: no such party in the configuration\n", config->party);
        return -ENOENT;
    }
    uplink->interface = erabi_profile_pair(broker->profile, owner->role, party->role).interface;
    for (int i = 0; i < 2; i++) {
        uplink->dials[i] = (struct erabi_dial){.uplink = uplink, .group = (enum erab_lane_group)(i + 1)};
        int r = erabi_transport_dial(broker->transport, &uplink->dials[i].dialer, config->endpoint, config->server_key,
                                     broker->owner.curve_secret, &uplink->dials[i]);
        if (r < 0) {
            fprintf(stderr, "erabd: uplink to %s at %s: %s\n", config->party, config->endpoint, strerror(-r));
            return r;
        }
    }
    return 0;
}

int erabi_network_start(struct erabi_broker *broker)
{
    const struct erabi_config *config = broker->config;
    static const struct erabi_transport_callbacks callbacks = {on_key,   on_open,  on_packet,
                                                               on_drained, on_close, on_refused};
    broker->session_host = (struct erabi_session_host){.user = broker,
                                                       .owner = broker->owner.party,
                                                       .now_ms = now_ms,
                                                       .mono_ms = mono_ms,
                                                       .ready = ready,
                                                       .next_seq = next_seq,
                                                       .on_envelope = on_envelope,
                                                       .on_offence = on_offence,
                                                       .on_bound = on_bound,
                                                       .peer_party = peer_party};
    struct erabi_transport_limits limits = {.connections = (uint32_t)config->limits.connections};
    int r = erabi_transport_new(&broker->transport, broker->uv, &limits, &callbacks, broker);
    broker->gates = calloc(config->n_listeners + 1, sizeof(*broker->gates));
    broker->uplinks = calloc(config->n_uplinks + 1, sizeof(*broker->uplinks));
    if (r < 0 || !broker->gates || !broker->uplinks)
        return r < 0 ? r : -ENOMEM;
    for (size_t i = 0; i < config->n_listeners && r == 0; i++, broker->n_gates++)
        r = listen_on(broker, i, (enum erab_interface)config->listeners[i].interface, config->listeners[i].endpoint,
                      config->listeners[i].key_file);
    if (r == 0 && config->local.mark.line)
        r = listen_on(broker, broker->n_gates++, ERAB_IF_NONE, config->local.endpoint, config->local.key_file);
    for (size_t i = 0; i < config->n_uplinks && r == 0; i++)
        r = dial(broker, &broker->uplinks[i], &config->uplinks[i]);
    return r;
}

void erabi_network_cut(struct erabi_broker *broker, uint32_t party, enum erab_reason reason)
{
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        const struct erabi_attachment *attachment = s->target->attachment;
        if (attachment->party == party && !s->cut)
            on_offence(broker, s, reason, "the party was revoked");
    }
    for (size_t i = 0; i < broker->pipeline.n_targets; i++) {
        const struct erabi_attachment *attachment = broker->pipeline.targets[i]->attachment;
        if (attachment->party == party)
            erabi_pipeline_drop(&broker->pipeline, broker->pipeline.targets[i], reason);
    }
}

void erabi_network_cut_adapter(struct erabi_broker *broker, const char *instance, const char *why)
{
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        const struct erabi_attachment *attachment = s->target->attachment;
        if (attachment->kind == ERABI_ATTACH_ADAPTER && strcmp(attachment->name, instance) == 0 && !s->cut)
            on_offence(broker, s, ERAB_REASON_HEARTBEAT_LOST, why);
    }
}

void erabi_network_tick(struct erabi_broker *broker)
{
    for (struct erabi_session *s = broker->sessions; s; s = s->next)
        if (!s->cut)
            erabi_session_tick(&broker->session_host, s);
}
