/* Policies at the stages where no message is judged: connections, and what operators do. */
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "record.h"

static bool permits(struct erabi_broker *broker, struct erab_policy_request *request,
                    struct erabi_policy_answer *answer)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    struct erab_header header = {.version = 1}; /* no message: its type is 0 */
    request->size = sizeof(*request);
    request->to = owner->id;
    request->to_role = owner->role;
    request->from = request->from ? request->from : owner->id;
    request->from_role = request->from_role ? request->from_role : owner->role;
    request->now_ms = erabi_now_ms(&broker->loop);
    request->header = &header;
    erabi_copy_text(header.from, sizeof(header.from), request->from);
    erabi_copy_text(header.to, sizeof(header.to), request->to);
    return erabi_policy_permits(&broker->policies, request, broker->loop.mono_ms, answer);
}

bool erabi_permit_session(struct erabi_broker *broker, struct erabi_session *session)
{
    if (!erabi_policy_has(&broker->policies, ERAB_STAGE_CONNECT))
        return true;
    const struct erabi_attachment *a = session->target->attachment;
    const struct erabi_registry_party *party =
        a->party == ERABI_PARTY_NONE ? NULL : erabi_registry_party_at(broker->registry, a->party);
    struct erabi_policy_answer answer;
    struct erab_policy_request request = {.stage = ERAB_STAGE_CONNECT,
                                          .interface = session->target->interface,
                                          .from = party ? party->id : a->name,
                                          .from_role = party ? party->role : 0,
                                          .is_local = session->target->interface == ERAB_IF_NONE};
    if (permits(broker, &request, &answer))
        return true;
    char detail[256];
    snprintf(detail, sizeof(detail), "policy %s: %s", answer.policy, answer.verdict.detail);
    erabi_plain_text(detail, strlen(detail));
    /* As one refused before its handshake, it may come again and again: its records are counted. */
    erabi_record_connection(broker->audit, "refused", a->name,
                            request.is_local ? "local" : erab_interface_name(request.interface),
                            erabi_connection_address(session->connection), erabi_connection_key(session->connection),
                            answer.verdict.reason, detail);
    erabi_network_drop_session(broker, session, answer.verdict.reason);
    return false;
}

bool erabi_permit_act(struct erabi_broker *broker, const char *act, const char *object, enum erab_interface interface,
                      const char *by, const char **error)
{
    if (!erabi_policy_has(&broker->policies, ERAB_STAGE_ADMIN))
        return true;
    struct erabi_policy_answer answer;
    struct erab_policy_request request = {.stage = ERAB_STAGE_ADMIN,
                                          .interface = interface,
                                          .is_local = true,
                                          .is_signed = by && by[0],
                                          .act = act,
                                          .object = object,
                                          .by = by ? by : ""};
    if (permits(broker, &request, &answer))
        return true;
    erabi_record_act_denied(broker->audit, act, object, request.by, answer.policy, &answer.verdict);
    snprintf(broker->verb_error, sizeof(broker->verb_error), "the policy %s refuses it: %s (%s)", answer.policy,
             answer.verdict.detail, erab_reason_code(answer.verdict.reason));
    erabi_plain_text(broker->verb_error, strlen(broker->verb_error));
    *error = broker->verb_error;
    return false;
}
