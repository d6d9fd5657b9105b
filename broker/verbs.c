/* What the admin socket can do. */
#include "broker.h"

/* Parts in processes of their own: how many there are, and which of them do not run. */
static json_t *parts(void)
{
    return json_pack("{s:i, s:[]}", "all", 0, "not_running");
}

static void add_part(void *user, const char *instance, bool running)
{
    json_t *list = user;
    json_object_set_new(list, "all", json_integer(json_integer_value(json_object_get(list, "all")) + 1));
    if (!running)
        json_array_append_new(json_object_get(list, "not_running"), json_string(instance));
}

static void add_parts(const struct erabi_broker *broker, json_t *answer)
{
    json_t *adapters = parts(), *policies = parts();
    for (size_t i = 0; i < broker->n_runners; i++)
        add_part(adapters, erabi_runner_instance(broker->runners[i]), erabi_runner_works(broker->runners[i]));
    erabi_policy_host_each(&broker->policy_host, add_part, policies);
    json_object_set_new(answer, "breakers_open",
                        json_integer((json_int_t)erabi_links_open(broker->pipeline.breakers.links)));
    json_object_set_new(answer, "adapters", adapters);
    json_object_set_new(answer, "policies", policies);
}

static json_t *health(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    struct erabi_transport_stats stats;
    erabi_transport_stats(broker->transport, &stats);
    const char *why = broker->loop.clock.jumped || broker->loop.clock.held ? "clock"
                      : erabi_audit_failed(broker->audit)          ? "audit"
                      : erabi_journal_damaged(broker->journal)     ? "journal-damaged"
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
        if (broker->gates[i].listener)
            json_array_append_new(listeners, json_pack("{s:s, s:s}", "interface",
                                                   erab_interface_name(broker->gates[i].interface), "endpoint",
                                                   erabi_listener_endpoint(broker->gates[i].listener)));
    json_t *answer =
        json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "owner", broker->owner.party, "ready",
                     erabi_pipeline_ready(&broker->pipeline), "not_ready_because", why, "connections",
                     (json_int_t)stats.connections, "packets_in", (json_int_t)stats.packets_in, "packets_out",
                     (json_int_t)stats.packets_out, "refused", (json_int_t)stats.refused, "listeners", listeners,
                     "peers", peers, "isolated", erabi_isolated_names(broker));
    if (answer)
        add_parts(broker, answer);
    return answer;
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
    {"clock-show", erabi_verb_clock_show},
    {"clock-accept", erabi_verb_clock_accept},
    {"clock-reject", erabi_verb_clock_reject},
    {"isolate", erabi_verb_isolate},
    {"join", erabi_verb_join},
    {"journal-backup", erabi_verb_journal_backup},
    {"journal-status", erabi_verb_journal_status},
    {"config-reload", erabi_verb_reload},
    {"config-status", erabi_verb_reload_status},
    {NULL, NULL},
};
