/* What the admin socket can do. */
#include <errno.h>

#include "broker.h"
#include "record.h"

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

static json_t *party_revoke(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    const char *id = json_string_value(json_object_get(request, "party"));
    if (!id || !erab_party_valid(id)) {
        *error = "party: a party id is needed";
        return NULL;
    }
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, id);
    bool again = broker->revocation_lost;
    broker->revocation_lost = false;
    int r = erabi_registry_revoke(broker->registry, id);
    if (r == 1 && again) /* revoked in memory only: this is the repetition that was asked for */
        broker->revocation_lost = erabi_journal_revoke(broker->journal, id, erabi_now_ms(&broker->loop), NULL, NULL) < 0;
    if (r < 0) {
        *error = r == -EPERM ? "the owner of the broker cannot be revoked" : "no such party";
        erabi_record_admin(broker->audit, "party-revoke", id, "refused");
        return NULL;
    }
    erabi_record_admin(broker->audit, "party-revoke", id, r == 1 ? "was revoked already" : "done");
    erabi_network_cut(broker, party->index, ERAB_REASON_REVOKED);
    if (broker->revocation_lost) {
        *error = "cut now, but the journal could not keep it: repeat this when the broker is ready again";
        return NULL;
    }
    return json_pack("{s:s, s:b}", "party", id, "already", r == 1);
}

const struct erabi_admin_verb erabi_verbs[] = {
    {"health", health},
    {"party-revoke", party_revoke},
    {"breaker-list", erabi_breaker_verb_list},
    {"breaker-trip", erabi_breaker_verb_trip},
    {"breaker-close", erabi_breaker_verb_close},
    {NULL, NULL},
};
