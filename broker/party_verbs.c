/* The admin socket's verbs about parties. What changes a party is an operator's signed statement. */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "broker.h"
#include "record.h"

#define INVITATION_MAX_MS (30u * 86400000ull)
#define LIST_MAX          100u

static json_t *hex(const uint8_t *key)
{
    char text[65];
    erab_key_text(key, text);
    return json_string(text);
}

static bool read_statement(struct erabi_broker *broker, struct erabi_statement *s, const json_t *request, const char *act,
                           const char **error)
{
    erabi_loop_read(&broker->loop);
    return erabi_operator_statement(broker, s, request, act, erabi_now_ms(&broker->loop), error);
}

static const char lost[] = "the journal could not keep it; look at 'erab health', then repeat";

/* Takes over the change and the answer, which is given when the disk has the change. */
static json_t *keep(struct erabi_change *change, const char *name, json_t *answer, const char **error)
{
    struct erabi_act *act = change->asked = erabi_act_new(change->broker, name, change->row.id, answer, lost);
    *error = "no memory";
    if (!act) {
        free(change);
        return NULL;
    }
    int r = erabi_enrol_change(change);
    return r < 0 ? erabi_act_now(act, r, error) : erabi_act_wait(act, error);
}

static void record(struct erabi_broker *broker, const char *act, const struct erabi_statement *s, const char *verdict)
{
    erabi_operator_record(broker, act, s->party, verdict, s);
}

static const char *state_of(const struct erabi_broker *broker, const struct erabi_registry_party *party,
                            const struct erabi_party_row *row)
{
    if (party->revoked)
        return "revoked";
    if (!row || row->configured)
        return "active";
    if (row->state == ERABI_PARTY_INVITED && erabi_now_ms(&broker->loop) >= row->invited_until_ms)
        return "expired";
    return erabi_party_state_name(row->state);
}

/* ---- invite ---- */

static bool read_types(const json_t *list, uint64_t *types)
{
    size_t i;
    json_t *one;
    *types = json_array_size(list) ? 0 : ~0ull;
    json_array_foreach(list, i, one)
    {
        enum erab_type type = json_is_string(one) ? erab_type_from_name(json_string_value(one)) : 0;
        if (!type)
            return false;
        *types |= UINT64_C(1) << type;
    }
    return true;
}

static bool read_speaks(const struct erabi_broker *broker, const json_t *list, struct erabi_party_row *row)
{
    size_t i;
    json_t *one;
    if (json_array_size(list) > ERABI_ROW_SPEAKS)
        return false;
    json_array_foreach(list, i, one)
    {
        const char *id = json_string_value(one);
        if (!id || (strcmp(id, row->id) != 0 && !erabi_registry_party(broker->registry, id)) ||
            strcmp(id, broker->owner.party) == 0)
            return false;
        erabi_copy_text(row->speaks_for[row->n_speaks_for++], sizeof(row->speaks_for[0]), id);
    }
    return true;
}

/* What the statement says of the newcomer; NULL when good, else what is wrong. */
static const char *read_invitation(const struct erabi_broker *broker, const json_t *s, struct erabi_party_row *row)
{
    const char *id = json_string_value(json_object_get(s, "party"));
    const char *firm = json_string_value(json_object_get(s, "firm"));
    const char *kind = json_string_value(json_object_get(s, "kind"));
    const char *role = json_string_value(json_object_get(s, "role"));
    const char *seed = json_string_value(json_object_get(s, "seed"));
    uint64_t now = erabi_now_ms(&broker->loop);
    json_int_t until = json_integer_value(json_object_get(s, "expires_ms"));
    erabi_copy_text(row->id, sizeof(row->id), id);
    row->role = role ? (unsigned)erab_role_from_name(role) : 0;
    if (!row->role)
        return "role: right would be one of tso ac ra retailer ems-server ems-controller gateway device sensor maker body";
    if (!firm || !erab_party_valid(firm) || !erabi_copy_text(row->firm, sizeof(row->firm), firm))
        return "firm: an id of a-z, 0-9, '.', '-' is needed";
    row->kind = kind && strcmp(kind, "uplink") == 0 ? ERABI_ATTACH_UPLINK : ERABI_ATTACH_SELF;
    if (!kind || (row->kind == ERABI_ATTACH_SELF && strcmp(kind, "self") != 0))
        return "kind: right would be self (speaks for itself) or uplink (a broker of its own)";
    if (!read_types(json_object_get(s, "types"), &row->types))
        return "types: a list of message types is needed, as dispatch,opt";
    if (!read_speaks(broker, json_object_get(s, "speaks_for"), row))
        return "speaks_for: at most 16 parties that this broker knows, never the owner";
    if (row->kind == ERABI_ATTACH_SELF && row->n_speaks_for)
        return "kind self speaks for itself only; who speaks for others is an uplink";
    if (until <= 0 || (uint64_t)until <= now || (uint64_t)until - now > INVITATION_MAX_MS)
        return "expires: a time from now to 30 days ahead is needed";
    row->invited_until_ms = (uint64_t)until;
    if (!seed || erab_key_parse(seed, row->seed) < 0 || erabi_registry_uses(broker->registry, row->seed))
        return "seed: a fresh key is needed; invite again";
    return NULL;
}

static const char *may_invite(const struct erabi_broker *broker, const char *id)
{
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, id);
    const struct erabi_party_row *row = erabi_registry_row(broker->registry, id);
    if (!party)
        return erabi_registry_has_room(broker->registry)
                   ? NULL
                   : "there is room for no more parties; put enrolled ones into the configuration and restart";
    if (party->revoked)
        return "this id was revoked for good; choose a new one";
    if (!row || row->configured)
        return "this party is in the configuration; invite under another id, or take it out and restart";
    if (row->busy)
        return "a change of this party is being written; repeat this";
    if (row->state == ERABI_PARTY_ACTIVE || row->state == ERABI_PARTY_PENDING)
        return "this party is enrolled; deny or revoke it first, or choose another id";
    return NULL;
}

static const struct erabi_gate *gate_for(const struct erabi_broker *broker, struct erabi_party_row *row,
                                         const char **error)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    struct erabi_profile_pair pair = erabi_profile_pair(broker->profile, owner->role, (enum erab_role)row->role);
    *error = "the owner's role and this role have no interface in the profile";
    if (pair.interface == ERAB_IF_NONE || (pair.one_firm && strcmp(owner->firm, row->firm) != 0))
        return NULL;
    row->interfaces = UINT64_C(1) << pair.interface;
    *error = "this broker has no listener for the interface of the two roles; add one under 'listeners'";
    for (size_t i = 0; i < broker->n_gates; i++) {
        if (broker->gates[i].interface != pair.interface)
            continue;
        if (broker->gates[i].listener)
            return &broker->gates[i];
        *error = "the interface of the two roles is isolated; 'erab join' opens it again ('erab health' names it)";
    }
    return NULL;
}

json_t *erabi_verb_party_invite(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    _statement_ struct erabi_statement s = {0};
    if (!read_statement(broker, &s, request, "party-invite", error))
        return NULL;
    struct erabi_change *change = erabi_enrol_prepare(broker, "party-invited");
    if (!change)
        return NULL;
    change->row.state = ERABI_PARTY_INVITED;
    const char *wrong = read_invitation(broker, s.text, &change->row);
    if (!wrong)
        wrong = may_invite(broker, s.party);
    const struct erabi_gate *gate = wrong ? NULL : gate_for(broker, &change->row, &wrong);
    if (gate && !erabi_permit_act(broker, "party-invite", s.party, gate->interface, s.operator, &wrong))
        gate = NULL;
    if (!gate) {
        free(change);
        record(broker, "party-invite", &s, "refused");
        *error = wrong;
        return NULL;
    }
    json_int_t until = (json_int_t)change->row.invited_until_ms;
    record(broker, "party-invite", &s, "signed");
    json_t *answer = json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:I}", "party", s.party, "hub", broker->owner.party, "hub_sign_key",
                     hex(broker->owner.sign_public), "interface", erab_interface_name(gate->interface), "endpoint",
                     erabi_listener_endpoint(gate->listener), "server_key",
                     hex((gate->old_until_ms ? &gate->next_keys : &gate->keys)->curve_public), "expires_ms", until);
    return keep(change, "party-invite", answer, error);
}

/* ---- list and show ---- */

json_t *erabi_verb_party_list(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    json_int_t from = json_integer_value(json_object_get(request, "from"));
    const char *only = json_string_value(json_object_get(request, "state"));
    json_t *list = json_array();
    size_t i = from > 0 ? (size_t)from : 0, n = erabi_registry_count(broker->registry);
    erabi_loop_read(&broker->loop);
    for (; list && i < n && json_array_size(list) < LIST_MAX; i++) {
        const struct erabi_registry_party *party = erabi_registry_party_at(broker->registry, (uint32_t)i);
        const struct erabi_party_row *row = erabi_registry_row(broker->registry, party->id);
        const char *state = state_of(broker, party, row);
        if (party->absent && !party->for_good)
            continue;
        if (!only || strcmp(only, state) == 0)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "party", party->id, "role",
                                                  erab_role_name(party->role), "firm", party->firm, "state", state,
                                                  "from", !row || row->configured ? "configuration" : "enrolment"));
    }
    json_t *answer = json_pack("{s:o}", "parties", list);
    if (answer && i < n)
        json_object_set_new(answer, "next", json_integer((json_int_t)i));
    return answer;
}

static json_t *keys_of(const struct erabi_party_row *row, const struct erabi_registry_party *party)
{
    json_t *list = json_array();
    for (size_t i = 0; row && i < row->n_keys; i++) {
        json_t *key = json_pack("{s:o, s:o}", "curve_key", hex(row->keys[i].curve), "sign_key", hex(row->keys[i].sign));
        if (key && row->keys[i].until_ms != ERABI_FOR_EVER)
            json_object_set_new(key, "until_ms", json_integer((json_int_t)row->keys[i].until_ms));
        json_array_append_new(list, key);
    }
    for (size_t i = 0; (!row || row->n_keys == 0) && i < party->n_sign_keys; i++)
        json_array_append_new(list, json_pack("{s:o}", "sign_key", hex(party->sign_keys[i])));
    return list;
}

static bool is_connected(const struct erabi_broker *broker, uint32_t party)
{
    for (const struct erabi_session *s = broker->sessions; s; s = s->next) {
        const struct erabi_attachment *a = s->target->attachment;
        if (a->party == party && s->group && !s->enrolling && !s->cut)
            return true;
    }
    return false;
}

json_t *erabi_verb_party_show(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    const char *id = json_string_value(json_object_get(request, "party"));
    const struct erabi_registry_party *party = id ? erabi_registry_party(broker->registry, id) : NULL;
    *error = "no such party; 'erab party list' shows those that there are";
    if (!party)
        return NULL;
    erabi_loop_read(&broker->loop);
    const struct erabi_party_row *row = erabi_registry_row(broker->registry, id);
    bool enrolled = row && !row->configured;
    json_t *answer = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:o}", "party", party->id, "role",
                               erab_role_name(party->role), "firm", party->firm, "state", state_of(broker, party, row),
                               "from", enrolled ? "enrolment" : "configuration", "connected",
                               is_connected(broker, party->index), "busy", row && row->busy, "represented_by",
                               party->represented_by, "keys", keys_of(row, party));
    if (!answer || !enrolled)
        return answer;
    json_object_set_new(answer, "invited_until_ms", json_integer((json_int_t)row->invited_until_ms));
    json_object_set_new(answer, "seed", hex(row->seed));
    json_t *approvals = json_array();
    for (size_t i = 0; i < row->n_approvals; i++)
        json_array_append_new(approvals, json_string(row->approvals[i]));
    json_object_set_new(answer, "approvals", approvals);
    json_t *groups = row->n_groups ? json_array() : NULL;
    for (size_t i = 0; i < row->n_groups; i++)
        json_array_append_new(groups, json_string(row->groups[i]));
    if (groups)
        json_object_set_new(answer, "groups", groups);
    json_object_set_new(answer, "approvals_needed", json_integer((json_int_t)broker->config->enrolment.approvals));
    if (row->n_keys) {
        char text[65];
        erabi_keys_fingerprint(row->keys[row->n_keys - 1].curve, row->keys[row->n_keys - 1].sign, text);
        json_object_set_new(answer, "fingerprint", json_string(text));
    }
    return answer;
}

/* ---- approve, deny ---- */

static bool has_group(const struct erabi_party_row *row, const char *name)
{
    for (size_t i = 0; i < row->n_groups; i++)
        if (strcmp(row->groups[i], name) == 0)
            return true;
    return false;
}

/* What two people approve is one and the same: the groups too. */
static const char *approve_groups(const struct erabi_broker *broker, const struct erabi_statement *s,
                                  struct erabi_party_row *row)
{
    const json_t *list = json_object_get(s->text, "groups");
    struct erabi_party_row said = {.n_groups = 0};
    size_t i;
    json_t *one;
    if (list && (!json_is_array(list) || json_array_size(list) > ERABI_ROW_GROUPS))
        return "groups: a list of at most 8 groups is needed";
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(one);
        const struct erabi_config_group *group = name ? erabi_pipeline_group(&broker->pipeline, name) : NULL;
        const struct erabi_registry_party *owner = group ? erabi_registry_party(broker->registry, group->owner) : NULL;
        if (!owner)
            return "groups: the configuration has no such group";
        struct erabi_profile_pair pair = erabi_profile_pair(broker->profile, owner->role, (enum erab_role)row->role);
        if (pair.interface == ERAB_IF_NONE || (pair.one_firm && strcmp(owner->firm, row->firm) != 0))
            return "groups: the group's owner has no interface with this party in the profile";
        if (!has_group(&said, name))
            erabi_copy_text(said.groups[said.n_groups++], sizeof(said.groups[0]), name);
    }
    bool same = said.n_groups == row->n_groups;
    for (i = 0; same && i < said.n_groups; i++)
        same = has_group(row, said.groups[i]);
    if (row->n_approvals && !same)
        return "another operator has approved it for other groups ('erab party show'); all approve the same, or deny it";
    erabi_copy_bytes(row->groups, said.groups, sizeof(row->groups));
    row->n_groups = said.n_groups;
    return NULL;
}

static bool is_operator(const struct erabi_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_operators; i++)
        if (strcmp(config->operators[i].name, name) == 0)
            return true;
    return false;
}

/* Who was taken out of the configuration meanwhile has approved nothing. */
static void forget_former(const struct erabi_broker *broker, struct erabi_party_row *row)
{
    size_t n = 0;
    for (size_t i = 0; i < row->n_approvals; i++) {
        if (!is_operator(broker->config, row->approvals[i]))
            continue;
        if (n != i)
            erabi_copy_text(row->approvals[n], sizeof(row->approvals[n]), row->approvals[i]);
        n++;
    }
    row->n_approvals = n;
}

static const char *approve(const struct erabi_broker *broker, const struct erabi_statement *s,
                           struct erabi_party_row *row)
{
    const char *said = json_string_value(json_object_get(s->text, "keys"));
    char text[65];
    if (row->state == ERABI_PARTY_ACTIVE)
        return "this party is approved already";
    if (row->state != ERABI_PARTY_PENDING || row->n_keys == 0)
        return "this party has not registered; it must run 'erab enroll' with its invitation first";
    erabi_keys_fingerprint(row->keys[row->n_keys - 1].curve, row->keys[row->n_keys - 1].sign, text);
    if (!said || strcmp(said, text) != 0)
        return "the statement is about other keys than those registered; compare the fingerprint with the newcomer";
    json_int_t at = json_integer_value(json_object_get(s->text, "at_ms"));
    if ((uint64_t)at + ERAB_CLOCK_AHEAD_MS < row->keys[row->n_keys - 1].from_ms)
        return "the statement is older than the registration; sign a new one";
    forget_former(broker, row);
    for (size_t i = 0; i < row->n_approvals; i++)
        if (strcmp(row->approvals[i], s->operator) == 0)
            return "this operator has approved it already; another one is needed";
    if (row->n_approvals == ERABI_ROW_APPROVALS)
        return "too many approvals";
    const char *wrong = approve_groups(broker, s, row);
    if (wrong)
        return wrong;
    erabi_copy_text(row->approvals[row->n_approvals++], sizeof(row->approvals[0]), s->operator);
    if (row->n_approvals >= broker->config->enrolment.approvals)
        row->state = ERABI_PARTY_ACTIVE;
    return NULL;
}

static const char *deny(const struct erabi_broker *broker, const struct erabi_statement *s, struct erabi_party_row *row)
{
    (void)broker;
    (void)s;
    if (row->state != ERABI_PARTY_PENDING && row->state != ERABI_PARTY_INVITED)
        return row->state == ERABI_PARTY_DENIED ? "this party is denied already"
                                                : "this party is approved; 'erab party revoke' cuts it off";
    row->state = ERABI_PARTY_DENIED;
    return NULL;
}

static enum erab_interface interface_of(const struct erabi_broker *broker, const struct erabi_party_row *row)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(broker->registry);
    return erabi_profile_pair(broker->profile, owner->role, (enum erab_role)row->role).interface;
}

static json_t *decide(struct erabi_broker *broker, const json_t *request, const char *act, const char **error,
                      const char *(*apply)(const struct erabi_broker *, const struct erabi_statement *,
                                           struct erabi_party_row *))
{
    _statement_ struct erabi_statement s = {0};
    if (!read_statement(broker, &s, request, act, error))
        return NULL;
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, s.party);
    const struct erabi_party_row *row = erabi_registry_row(broker->registry, s.party);
    struct erabi_change *change = erabi_enrol_prepare(broker, act);
    const char *wrong = !change                 ? "no memory"
                        : !party                ? "no such party; 'erab party list' shows those that there are"
                        : party->revoked        ? "this party was revoked for good"
                        : !row || row->configured ? "this party is in the configuration and needs no approval"
                        : row->busy             ? "a change of this party is being written; repeat this"
                                                : NULL;
    if (!wrong) {
        change->row = *row;
        wrong = apply(broker, &s, &change->row);
    }
    if (!wrong && apply == approve)
        erabi_permit_act(broker, act, s.party, interface_of(broker, row), s.operator, &wrong);
    if (wrong) {
        free(change);
        record(broker, act, &s, "refused");
        *error = wrong;
        return NULL;
    }
    const char *state = erabi_party_state_name(change->row.state);
    json_int_t n = (json_int_t)change->row.n_approvals;
    record(broker, act, &s, "signed");
    json_t *answer = json_pack("{s:s, s:s, s:I, s:I}", "party", s.party, "state", state, "approvals", n, "approvals_needed",
                     (json_int_t)broker->config->enrolment.approvals);
    return keep(change, act, answer, error);
}

json_t *erabi_verb_party_approve(void *user, const json_t *request, const char **error)
{
    return decide(user, request, "party-approve", error, approve);
}

json_t *erabi_verb_party_deny(void *user, const json_t *request, const char **error)
{
    return decide(user, request, "party-deny", error, deny);
}
