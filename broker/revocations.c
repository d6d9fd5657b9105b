/* A party is cut off for good: at once in memory, then on disk, then answered. */
#include "broker.h"
#include "record.h"

static const char lost[] = "cut now, but not yet on disk: it is written as soon as the disk takes it; until 'erab health' says "
                           "ready a restart would forget it";

static void on_kept(void *user, int result)
{
    struct erabi_broker *broker = user;
    if (result < 0)
        broker->revocations_owed = true;
}

static void on_act_kept(void *user, int result)
{
    if (result < 0)
        erabi_act_broker(user)->revocations_owed = true;
    erabi_act_done(user, result);
}

static int persist(struct erabi_broker *broker, const char *party, struct erabi_act *act)
{
    int r = erabi_journal_revoke(broker->journal, party, erabi_now_ms(&broker->loop), act ? on_act_kept : on_kept,
                                 act ? (void *)act : (void *)broker);
    if (r < 0)
        broker->revocations_owed = true;
    return r;
}

void erabi_revocation_persist(void *user, const char *party)
{
    struct erabi_broker *broker = user;
    if (!broker->revoking) /* else the one who asks writes it, and waits */
        persist(broker, party, NULL);
}

/* They hold in memory; a restart must not forget them. */
void erabi_revocations_keep(struct erabi_broker *broker)
{
    if (!broker->revocations_owed || !erabi_journal_writable(broker->journal))
        return;
    broker->revocations_owed = false;
    for (size_t i = 0; i < erabi_registry_count(broker->registry); i++) {
        const struct erabi_registry_party *party = erabi_registry_party_at(broker->registry, (uint32_t)i);
        if (party->revoked)
            persist(broker, party->id, NULL);
    }
}

static json_t *cut_off(struct erabi_broker *broker, const char *id, const struct erabi_statement *s, const char **error)
{
    const struct erabi_registry_party *party = erabi_registry_party(broker->registry, id);
    *error = !party                                               ? "no such party"
             : party == erabi_registry_owner(broker->registry) ? "the owner of the broker cannot be revoked"
                                                                  : NULL;
    if (*error) {
        erabi_operator_record(broker, "party-revoke", id, "refused", s);
        return NULL;
    }
    bool already = party->revoked;
    struct erabi_act *act =
        erabi_act_new(broker, "party-revoke", id, json_pack("{s:s, s:b}", "party", id, "already", already), lost);
    if (!act) {
        *error = "no memory";
        return NULL;
    }
    broker->revoking = true;
    erabi_registry_revoke(broker->registry, id);
    broker->revoking = false;
    erabi_operator_record(broker, "party-revoke", id, already ? "was revoked already" : "done", s);
    erabi_network_cut(broker, party->index, ERAB_REASON_REVOKED);
    erabi_cards_tell(broker, id);
    /* Also when it was revoked already: that may not be on disk yet. */
    int r = persist(broker, id, act);
    return r < 0 ? erabi_act_now(act, r, error) : erabi_act_wait(act, error);
}

json_t *erabi_verb_party_revoke(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    _statement_ struct erabi_statement s = {0};
    const json_t *said = erabi_operator_request(broker, &s, request, "party-revoke", error);
    const char *id = json_string_value(json_object_get(said, "party"));
    if (said && (!id || !erab_party_valid(id)))
        *error = "party: a party id is needed";
    return id && erab_party_valid(id) ? cut_off(broker, id, &s, error) : NULL;
}
