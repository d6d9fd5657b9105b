/* Joins the transport to sessions: who may connect, what a connection belongs to, how one is cut. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "broker.h"
#include "record.h"
#include "takers.h"

static struct erabi_gate *gate_of(struct erabi_listener *listener)
{
    return listener ? erabi_listener_tag(listener) : NULL;
}

static const char *interface_text(const struct erabi_gate *gate)
{
    return !gate ? "uplink" : gate->interface == ERAB_IF_NONE ? "local" : erab_interface_name(gate->interface);
}

static bool belongs(const struct erabi_attachment *attachment, enum erab_interface interface)
{
    bool local = attachment->kind == ERABI_ATTACH_LOCAL || attachment->kind == ERABI_ATTACH_ADAPTER;
    if (interface == ERAB_IF_NONE)
        return local;
    return !local && (attachment->interfaces == 0 || (attachment->interfaces >> interface & 1));
}

/* A newcomer is being answered on another connection of its seed: an ERROR on this one would look like the answer. */
static bool is_enrolling(const struct erabi_broker *broker, const uint8_t key[ERABI_KEY_SIZE])
{
    for (const struct erabi_session *s = broker->sessions; s; s = s->next)
        if (!s->cut && s->enrolling && sodium_memcmp(erabi_connection_key(s->connection), key, ERABI_KEY_SIZE) == 0)
            return true;
    return false;
}

static enum erabi_admission on_key(void *user, struct erabi_listener *listener, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    bool seed;
    *reason = erabi_registry_admits(broker->registry, key, erabi_now_ms(&broker->loop), &seed);
    if (*reason)
        return *reason == ERAB_REASON_NOT_APPROVED || (seed && is_enrolling(broker, key)) ? ERABI_PUT_OFF : ERABI_REFUSE;
    const struct erabi_attachment *attachment = erabi_registry_key(broker->registry, key);
    if (!belongs(attachment, gate_of(listener)->interface)) {
        *reason = ERAB_REASON_WRONG_INTERFACE;
        return ERABI_REFUSE;
    }
    if (erabi_breakers_all_open(&broker->pipeline, attachment, gate_of(listener)->interface)) {
        *reason = ERAB_REASON_BREAKER_OPEN; /* it may come back when one of its links may be tried again */
        return ERABI_PUT_OFF;
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
    enum erab_interface interface = dial ? dial->uplink->interface : gate->interface;
    /* A link may have opened since the key was looked up, and what we dial was never asked for its key. */
    bool all_open = attachment && erabi_breakers_all_open(&broker->pipeline, attachment, interface);
    struct erabi_target *target =
        attachment && !all_open ? erabi_pipeline_outlet(&broker->pipeline, attachment, interface) : NULL;
    struct erabi_session *session =
        target ? erabi_session_new(&broker->session_host, connection, target, dial ? dial->group : 0) : NULL;
    erabi_record_connection(broker->audit, session ? "opened" : "refused", attachment ? attachment->name : "",
                            interface_text(gate), erabi_connection_address(connection),
                            erabi_connection_key(connection),
                            all_open ? ERAB_REASON_BREAKER_OPEN : ERAB_REASON_NONE, "");
    if (!session) {
        erabi_connection_cut(connection, all_open ? ERAB_REASON_BREAKER_OPEN : ERAB_REASON_NOT_READY);
        return;
    }
    bool seed = false;
    if (!dial) /* the seed may have been used since its handshake began: then it is cut by the next tick */
        erabi_registry_admits(broker->registry, erabi_connection_key(connection), erabi_now_ms(&broker->loop), &seed);
    session->enrolling = seed;
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

static void on_turn(void *user)
{
    struct erabi_broker *broker = user;
    erabi_pipeline_turn(&broker->pipeline);
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
    struct erabi_target *target = session->target;
    erabi_session_free(session);
    erabi_takers_left(&broker->pipeline, target);
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
    if (session->enrolling)
        erabi_enrol_receive(user, session, header, envelope);
    else
        erabi_pipeline_receive(&((struct erabi_broker *)user)->pipeline, session, header, envelope);
}

void erabi_network_drop_session(struct erabi_broker *broker, struct erabi_session *session, enum erab_reason reason)
{
    session->cut = true;
    erabi_target_unbind(session->target, session->connection);
    erabi_connection_cut(session->connection, reason);
    erabi_takers_left(&broker->pipeline, session->target);
}

void erabi_network_cut_session(struct erabi_broker *broker, struct erabi_session *session, enum erab_reason reason,
                               const char *detail)
{
    const struct erabi_attachment *attachment = session->target->attachment;
    erabi_record_connection(broker->audit, "cut", attachment->name, erab_interface_name(session->target->interface),
                            erabi_connection_address(session->connection), erabi_connection_key(session->connection),
                            reason, detail);
    erabi_network_drop_session(broker, session, reason);
}

static void on_offence(void *user, struct erabi_session *session, enum erab_reason reason, const char *detail)
{
    erabi_network_cut_session(user, session, reason, detail);
}

static enum erab_reason on_takes(void *user, struct erabi_session *session, uint64_t types, bool first,
                                 char detail[ERABI_SESSION_DETAIL])
{
    return erabi_takers_say(&((struct erabi_broker *)user)->pipeline, session, types, first, detail);
}

static void on_bound(void *user, struct erabi_session *session)
{
    struct erabi_broker *broker = user;
    if (!erabi_permit_session(broker, session))
        return;
    erabi_connection_background(session->connection, session->group == ERAB_LANES_TELEMETRY);
    if (session->group == ERAB_LANES_COMMAND)
        erabi_breakers_connected(&broker->pipeline, session->target->attachment, session->target->interface);
    if (session->cut)
        return;
    erabi_cards_greet(broker, session);
    erabi_target_pump(session->target, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
}

static const char *peer_party(void *user, const struct erabi_session *session)
{
    struct erabi_broker *broker = user;
    const struct erabi_attachment *attachment = session->target->attachment;
    return erabi_registry_party_at(broker->registry, attachment->party)->id;
}

/* ---- start, cut, tick ---- */

static int read_keys(struct erabi_broker *broker, struct erabi_gate *gate, const char *key_file,
                     const uint8_t *said)
{
    char error[256];
    int r = erab_identity_load(&gate->keys, key_file, error, sizeof(error));
    if (r < 0) {
        erabi_broker_say(broker, "%s", error);
        return r;
    }
    erabi_copy_bytes(gate->configured, gate->keys.curve_public, ERAB_KEY_SIZE);
    if (said && erabi_broker_other_key(said, gate->keys.curve_public)) {
        erabi_broker_say(broker, "%s holds another key than curve_key of its listener says", key_file);
        return -EINVAL;
    }
    return 0;
}

static int listen_on(struct erabi_broker *broker, struct erabi_gate *gate, const char *endpoint)
{
    int r = erabi_transport_listen(broker->transport, &gate->listener, endpoint, gate->keys.curve_secret, gate);
    if (r == 0 && gate->old_until_ms)
        r = erabi_listener_next_key(gate->listener, gate->next_keys.curve_secret);
    if (r < 0)
        erabi_broker_say(broker, "cannot listen on %s: %s", endpoint, strerror(-r));
    else
        erabi_broker_say(broker, "%s listens on %s", gate->interface ? erab_interface_name(gate->interface) : "local",
                         erabi_listener_endpoint(gate->listener));
    return r;
}

/* A listener of the configuration; only its keys are read while its interface is isolated. */
static int start_gate(struct erabi_broker *broker, struct erabi_gate *gate, const struct erabi_config_listener *config)
{
    gate->interface = (enum erab_interface)config->interface;
    int r = read_keys(broker, gate, config->key_file, config->curve_key);
    return r < 0 || broker->pipeline.isolated >> gate->interface & 1 ? r : listen_on(broker, gate, config->endpoint);
}

static int start_local(struct erabi_broker *broker, struct erabi_gate *gate)
{
    int r = read_keys(broker, gate, broker->config->local.key_file, NULL);
    return r < 0 ? r : listen_on(broker, gate, broker->config->local.endpoint);
}

static int dial(struct erabi_broker *broker, struct erabi_uplink *uplink, const struct erabi_config_uplink *config)
{
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, config->party);
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    uplink->config = config;
    uplink->attachment = erabi_registry_key(broker->registry, config->server_key);
    if (!party || !uplink->attachment) {
        erabi_broker_say(broker, "uplink to %s: no such party in the configuration", config->party);
        return -ENOENT;
    }
    uplink->interface = erabi_profile_pair(broker->profile, owner->role, party->role).interface;
    if (broker->pipeline.isolated >> uplink->interface & 1)
        return 0;
    for (int i = 0; i < 2; i++) {
        uplink->dials[i] = (struct erabi_dial){.uplink = uplink, .group = (enum erab_lane_group)(i + 1)};
        int r = erabi_transport_dial(broker->transport, &uplink->dials[i].dialer, config->endpoint, config->server_key,
                                     broker->owner.curve_secret, &uplink->dials[i]);
        if (r < 0) {
            erabi_broker_say(broker, "uplink to %s at %s: %s", config->party, config->endpoint, strerror(-r));
            return r;
        }
    }
    erabi_uplinks_follow(broker, config->party);
    return 0;
}

int erabi_network_start(struct erabi_broker *broker)
{
    const struct erabi_config *config = broker->config;
    static const struct erabi_transport_callbacks callbacks = {on_key,   on_open,  on_packet,
                                                               on_drained, on_close, on_refused, on_turn};
    broker->session_host = (struct erabi_session_host){.user = broker,
                                                       .owner = broker->owner.party,
                                                       .now_ms = now_ms,
                                                       .mono_ms = mono_ms,
                                                       .ready = ready,
                                                       .next_seq = next_seq,
                                                       .on_takes = on_takes,
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
        r = start_gate(broker, &broker->gates[i], &config->listeners[i]);
    if (r == 0 && config->local.mark.line)
        r = start_local(broker, &broker->gates[broker->n_gates++]);
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
            erabi_network_cut_session(broker, s, ERAB_REASON_HEARTBEAT_LOST, why);
    }
}

/* ---- what changes while the broker runs ---- */

void erabi_network_cut_target(struct erabi_broker *broker, const struct erabi_target *target, enum erab_reason reason,
                              const char *detail)
{
    for (struct erabi_session *s = broker->sessions; s; s = s->next)
        if (s->target == target && !s->cut)
            erabi_network_cut_session(broker, s, reason, detail);
}

void erabi_network_reconfigured(struct erabi_broker *broker)
{
    for (size_t i = 0; i < broker->config->n_uplinks; i++) {
        broker->uplinks[i].config = &broker->config->uplinks[i];
        broker->uplinks[i].attachment = erabi_registry_key(broker->registry, broker->config->uplinks[i].server_key);
    }
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        const struct erabi_attachment *a = s->target->attachment;
        bool known = erabi_registry_key(broker->registry, erabi_connection_key(s->connection)) == a;
        if (!s->cut && (!known || a->revoked || (!s->dialled && !belongs(a, s->target->interface))))
            erabi_network_cut_session(broker, s, ERAB_REASON_UNKNOWN_KEY, "the configuration has this key no more");
    }
    erabi_transport_limit(broker->transport, (uint32_t)broker->config->limits.connections);
}

void erabi_network_isolate(struct erabi_broker *broker, enum erab_interface interface)
{
    for (size_t i = 0; i < broker->n_gates; i++) {
        struct erabi_gate *gate = &broker->gates[i];
        if (gate->interface != interface || !gate->listener)
            continue;
        erabi_copy_text(gate->endpoint, sizeof(gate->endpoint), erabi_listener_endpoint(gate->listener));
        erabi_transport_unlisten(broker->transport, gate->listener, ERAB_REASON_BREAKER_OPEN);
        gate->listener = NULL;
    }
    for (struct erabi_session *s = broker->sessions; s; s = s->next)
        if (s->target->interface == interface && !s->cut)
            erabi_network_cut_session(broker, s, ERAB_REASON_BREAKER_OPEN, "the interface is isolated");
    for (size_t i = 0; i < broker->config->n_uplinks; i++) {
        for (int k = 0; k < 2 && broker->uplinks[i].interface == interface; k++) {
            struct erabi_dial *d = &broker->uplinks[i].dials[k];
            if (d->dialer)
                erabi_transport_undial(broker->transport, d->dialer, ERAB_REASON_BREAKER_OPEN);
            d->dialer = NULL;
        }
    }
}

int erabi_network_join(struct erabi_broker *broker, enum erab_interface interface)
{
    int r = 0;
    for (size_t i = 0; i < broker->config->n_listeners && r == 0; i++) {
        struct erabi_gate *gate = &broker->gates[i];
        if (gate->interface == interface && !gate->listener)
            r = listen_on(broker, gate, gate->endpoint[0] ? gate->endpoint : broker->config->listeners[i].endpoint);
    }
    for (size_t i = 0; i < broker->config->n_uplinks && r == 0; i++)
        if (broker->uplinks[i].interface == interface && !broker->uplinks[i].dials[0].dialer)
            r = dial(broker, &broker->uplinks[i], &broker->config->uplinks[i]);
    return r;
}

void erabi_network_recheck(struct erabi_broker *broker)
{
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        bool seed;
        if (s->cut || s->dialled || s->enrolling)
            continue;
        enum erab_reason reason = erabi_registry_admits(broker->registry, erabi_connection_key(s->connection),
                                                        erabi_now_ms(&broker->loop), &seed);
        if (reason)
            erabi_network_cut_session(broker, s, reason, "this key is not good any more");
    }
}

/* Time for one Registration and its answer. */
#define ENROLLING_MS 10000u

void erabi_network_tick(struct erabi_broker *broker)
{
    for (struct erabi_session *s = broker->sessions; s; s = s->next) {
        if (!s->cut && s->enrolling && broker->loop.mono_ms - s->opened_ms > ENROLLING_MS)
            on_offence(broker, s, ERAB_REASON_AGE_LIMIT, "an invitation's connection is short");
        if (!s->cut)
            erabi_session_tick(&broker->session_host, s);
    }
}
