/* What the admin socket can do. */
#include "broker.h"

static json_t *health(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    struct erabi_transport_stats stats;
    erabi_transport_stats(broker->transport, &stats);
    const char *why = broker->loop.clock.jumped                    ? "clock"
                      : erabi_audit_failed(broker->audit)          ? "audit"
                      : !erabi_journal_writable(broker->journal)   ? "storage"
                                                                   : "";
    json_t *peers = json_array();
    for (struct erabi_session *s = broker->sessions; peers && s; s = s->next) {
        const struct erabi_attachment *attachment = s->target->attachment;
        json_array_append_new(peers, json_pack("{s:s, s:s, s:b, s:i}", "peer", attachment->name, "interface",
                                               erab_interface_name(s->target->interface), "bound", s->group != 0,
                                               "lanes", (int)s->group));
    }
    json_t *listeners = json_array();
    for (size_t i = 0; listeners && i < broker->n_gates; i++)
        json_array_append_new(listeners, json_pack("{s:s, s:s}", "interface",
                                                   erab_interface_name(broker->gates[i].interface), "endpoint",
                                                   erabi_listener_endpoint(broker->gates[i].listener)));
    return json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "owner", broker->owner.party, "ready",
                     erabi_pipeline_ready(&broker->pipeline), "not_ready_because", why, "connections",
                     (json_int_t)stats.connections, "packets_in", (json_int_t)stats.packets_in, "packets_out",
                     (json_int_t)stats.packets_out, "refused", (json_int_t)stats.refused, "listeners", listeners,
                     "peers", peers);
}

const struct erabi_admin_verb erabi_verbs[] = {
    {"health", health},
    {"party-invite", erabi_verb_party_invite},
    {"party-list", erabi_verb_party_list},
    {"party-show", erabi_verb_party_show},
    {"party-approve", erabi_verb_party_approve},
    {"party-deny", erabi_verb_party_deny},
    {"party-revoke", erabi_verb_party_revoke},
    {"key-rotate", erabi_verb_key_rotate},
    {"breaker-list", erabi_breaker_verb_list},
    {"breaker-trip", erabi_breaker_verb_trip},
    {"breaker-close", erabi_breaker_verb_close},
    {NULL, NULL},
};
