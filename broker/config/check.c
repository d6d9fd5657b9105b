#include "config/check.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"

struct check {
    struct erabi_config *c;
    const char *file;
    struct erabi_config_errors *errors;
    bool failed;
    const char **ids; /* sorted */
    size_t n_ids;
};

#define fault(k, mark, ...) ((k)->failed = true, erabi_config_error((k)->errors, (k)->file, mark, __VA_ARGS__))

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool known(const struct check *k, const char *id)
{
    return bsearch(&id, k->ids, k->n_ids, sizeof(*k->ids), by_text) != NULL;
}

static void need_party(struct check *k, struct erabi_mark mark, const char *what, const char *id)
{
    if (id[0] && !known(k, id))
        fault(k, mark, "%s: there is no party '%s'; add it to 'parties' or correct the id", what, id);
}

static bool index_ids(struct check *k)
{
    k->ids = calloc(k->c->n_parties + 1, sizeof(*k->ids));
    if (!k->ids)
        return false;
    for (size_t i = 0; i < k->c->n_parties; i++)
        if (k->c->parties[i].id[0])
            k->ids[k->n_ids++] = k->c->parties[i].id;
    qsort(k->ids, k->n_ids, sizeof(*k->ids), by_text);
    for (size_t i = 1; i < k->n_ids; i++)
        if (strcmp(k->ids[i - 1], k->ids[i]) == 0)
            fault(k, erabi_config_party(k->c, k->ids[i])->mark, "the party '%s' stands twice; an id is given once",
                  k->ids[i]);
    return true;
}

struct key_use {
    const uint8_t *key;
    const struct erabi_config_party *party;
};

static int by_key(const void *a, const void *b)
{
    return sodium_compare(((const struct key_use *)a)->key, ((const struct key_use *)b)->key, ERAB_KEY_SIZE);
}

/* A key says who speaks, so that none may stand twice, be it a connection's or a signature's. */
static void check_keys(struct check *k)
{
    size_t n = 0, most = 1;
    for (size_t i = 0; i < k->c->n_parties; i++)
        most += k->c->parties[i].n_curve_keys + k->c->parties[i].n_sign_keys;
    struct key_use *uses = calloc(most, sizeof(*uses));
    if (!uses) {
        k->failed = true;
        return;
    }
    for (size_t i = 0; i < k->c->n_parties; i++) {
        const struct erabi_config_party *p = &k->c->parties[i];
        for (size_t j = 0; j < p->n_curve_keys; j++)
            uses[n++] = (struct key_use){p->curve_keys[j], p};
        for (size_t j = 0; j < p->n_sign_keys; j++)
            uses[n++] = (struct key_use){p->sign_keys[j], p};
    }
    qsort(uses, n, sizeof(*uses), by_key);
    for (size_t i = 0; i < n; i++) {
        if (sodium_is_zero(uses[i].key, ERAB_KEY_SIZE))
            fault(k, uses[i].party->mark, "a key of '%s' is all zeros or unreadable; make one with 'erab key new'",
                  uses[i].party->id);
        else if (i && by_key(&uses[i - 1], &uses[i]) == 0)
            fault(k, uses[i].party->mark, "'%s' and '%s' have one and the same key; every key belongs to one entry",
                  uses[i - 1].party->id, uses[i].party->id);
    }
    free(uses);
}

/* speaks_for is the party itself unless given; a local application speaks for the owner. */
static void default_speaks_for(struct check *k, struct erabi_config_party *p)
{
    const char *whom = p->attachment.kind == ERABI_ATTACH_LOCAL ? k->c->owner.party : p->id;
    p->attachment.speaks_for = calloc(1, sizeof(*p->attachment.speaks_for));
    if (!p->attachment.speaks_for) {
        k->failed = true;
        return;
    }
    p->attachment.n_speaks_for = 1;
    erabi_copy_text(p->attachment.speaks_for[0], sizeof(erabi_party_text), whom);
}

static bool named_adapter(const struct erabi_config *c, const char *instance)
{
    for (size_t i = 0; i < c->n_adapters; i++)
        if (strcmp(c->adapters[i].instance, instance) == 0)
            return true;
    return false;
}

static void check_speaks_for(struct check *k, const struct erabi_config_party *p)
{
    const struct erabi_config_attachment *a = &p->attachment;
    bool itself = false, owner = false;
    for (size_t i = 0; i < a->n_speaks_for; i++) {
        need_party(k, a->mark, "speaks_for", a->speaks_for[i]);
        itself = itself || strcmp(a->speaks_for[i], p->id) == 0;
        owner = owner || strcmp(a->speaks_for[i], k->c->owner.party) == 0;
    }
    if (a->kind == ERABI_ATTACH_LOCAL && (a->n_speaks_for != 1 || !owner))
        fault(k, a->mark, "a local application speaks for the owner '%s' and nobody else; leave speaks_for out",
              k->c->owner.party);
    if (a->kind != ERABI_ATTACH_LOCAL && owner)
        fault(k, a->mark, "only a local application may speak for the owner '%s'; take it out of speaks_for",
              k->c->owner.party);
    if (a->kind == ERABI_ATTACH_SELF && (a->n_speaks_for != 1 || !itself))
        fault(k, a->mark, "kind self speaks for itself only; who speaks for others is an uplink or an adapter");
}

static void check_party(struct check *k, struct erabi_config_party *p)
{
    struct erabi_config_attachment *a = &p->attachment;
    bool owner = strcmp(p->id, k->c->owner.party) == 0;
    if (a->types == 0)
        a->types = ~0ull;
    if (owner && (p->role != k->c->owner.role || strcmp(p->firm, k->c->owner.firm) != 0))
        fault(k, p->mark, "the owner's role and firm differ from those under 'owner'; write the same twice");
    if (owner && a->mark.line)
        fault(k, a->mark, "the owner is this broker itself and is not attached to it; leave attachment out");
    if (p->represented_by[0] && !known(k, p->represented_by) && !named_adapter(k->c, p->represented_by))
        fault(k, p->mark, "represented_by: there is neither a party nor an adapter '%s'", p->represented_by);
    if (a->kind == ERABI_ATTACH_NONE) {
        if (p->n_curve_keys)
            fault(k, p->mark, "'%s' has curve_keys but no attachment; say how it connects (attachment: {kind: self})",
                  p->id);
        return;
    }
    if (p->n_curve_keys == 0)
        fault(k, p->mark, "'%s' is attached but has no curve_keys; nobody could connect as it", p->id);
    if (a->kind == ERABI_ATTACH_LOCAL && p->n_sign_keys)
        fault(k, p->mark, "a local application has no sign_keys: the broker signs for it with the owner's");
    if ((a->kind == ERABI_ATTACH_LOCAL || a->kind == ERABI_ATTACH_ADAPTER) && !k->c->local.mark.line)
        fault(k, a->mark, "kinds local and adapter need the section 'local' with its ipc endpoint");
    if (a->n_speaks_for == 0)
        default_speaks_for(k, p);
    check_speaks_for(k, p);
}

static void check_listeners(struct check *k)
{
    struct erabi_config *c = k->c;
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct erabi_config_listener *l = &c->listeners[i];
        for (size_t j = 0; l->endpoint && j < i; j++)
            if (c->listeners[j].endpoint && strcmp(c->listeners[j].endpoint, l->endpoint) == 0 &&
                !strstr(l->endpoint, ":0"))
                fault(k, l->mark, "the endpoint %s stands twice; one port serves one interface", l->endpoint);
        if (l->interface == ERAB_IF_R1 && l->endpoint &&
            (strncmp(l->endpoint, "tcp://0.0.0.0:", 14) == 0 || strncmp(l->endpoint, "tcp://[::]:", 11) == 0 ||
             strncmp(l->endpoint, "tcp://*:", 8) == 0))
            fault(k, l->mark, "r1 must not listen on every address; name the address of the operator's network");
    }
    if (c->n_listeners == 0 && !c->local.mark.line && c->n_uplinks == 0)
        fault(k, c->mark, "nobody could talk to this broker; give 'listeners', 'local' or 'uplinks'");
}

/* Of a coordinator's two parts only the one named direct serves R1, and it serves nothing else. */
static void check_split(struct check *k)
{
    const char *id = k->c->owner.party, *dot = strrchr(id, '.');
    bool direct = dot && strcmp(dot, ".direct") == 0, rest = dot && strcmp(dot, ".rest") == 0;
    if (k->c->owner.role != ERAB_ROLE_AC)
        return;
    for (size_t i = 0; i < k->c->n_listeners; i++) {
        const struct erabi_config_listener *l = &k->c->listeners[i];
        bool r1 = l->interface == ERAB_IF_R1, internal = l->interface == ERAB_IF_INTERNAL;
        if (l->interface && ((rest && r1) || (direct && !r1 && !internal)))
            fault(k, l->mark, "the part '%s' of a coordinator does not serve %s; the other part does", id,
                  erab_interface_name((enum erab_interface)l->interface));
    }
}

static void check_member(struct check *k, const struct erabi_config_group *g, const char *id, size_t *absent)
{
    if (!id[0] || known(k, id))
        return;
    if (!g->enrolled) {
        fault(k, g->mark, "member of a group: there is no party '%s'; add it to 'parties', correct the id, or say "
                          "'enrolled: true' in the group when it is enrolled later", id);
        return;
    }
    if (++*absent == ERABI_GROUPS_ABSENT_MAX + 1)
        fault(k, g->mark, "more than %u members of groups are not under 'parties'; list them there",
              ERABI_GROUPS_ABSENT_MAX);
    erabi_config_note(k->errors, k->file, g->mark, "group '%s': its member '%s' is not under 'parties'; until it is "
                      "enrolled and approved it is refused in each receipt", g->id, id);
}

static void check_groups(struct check *k)
{
    const struct erabi_config *c = k->c;
    size_t absent = 0;
    for (size_t i = 0; i < c->n_groups; i++) {
        const struct erabi_config_group *g = &c->groups[i];
        need_party(k, g->mark, "owner of a group", g->owner);
        for (size_t j = 0; j < g->n_members; j++)
            check_member(k, g, g->members[j], &absent);
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->groups[j].id, g->id) == 0)
                fault(k, g->mark, "the group '%s' stands twice", g->id);
    }
}

static void check_rest(struct check *k)
{
    struct erabi_config *c = k->c;
    for (size_t i = 0; i < c->n_uplinks; i++) {
        need_party(k, c->uplinks[i].mark, "uplink", c->uplinks[i].party);
        if (strcmp(c->uplinks[i].party, c->owner.party) == 0)
            fault(k, c->uplinks[i].mark, "an uplink leads to another broker, not to the owner's own");
    }
    check_groups(k);
    for (size_t i = 0; i < c->n_adapters; i++) {
        const struct erabi_config_adapter *a = &c->adapters[i];
        for (size_t j = 0; j < a->n_parties; j++) {
            need_party(k, a->mark, "party of an adapter", a->parties[j]);
            if (strcmp(a->parties[j], c->owner.party) == 0)
                fault(k, a->mark, "an adapter may not speak for the owner '%s'", c->owner.party);
        }
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->adapters[j].instance, a->instance) == 0)
                fault(k, a->mark, "the adapter instance '%s' stands twice", a->instance);
        if (!c->modules.mark.line)
            fault(k, a->mark, "adapters are signed modules; say whose signature counts (modules: {signers: [KEY]})");
        if (!c->local.mark.line)
            fault(k, a->mark, "adapters need the section 'local' with its ipc endpoint");
    }
    for (size_t i = 0; i < c->n_policies; i++) {
        struct erabi_config_policy *p = &c->policies[i];
        if (p->module && !c->modules.mark.line)
            fault(k, p->mark, "policies of others are signed modules; say whose signature counts (modules: {signers: [KEY]})");
        if (!p->instance[0])
            erabi_copy_text(p->instance, sizeof(p->instance), p->name);
        for (size_t j = 0; j < i; j++)
            if (p->name[0] && strcmp(c->policies[j].instance, p->instance) == 0)
                fault(k, p->mark, "the policy '%s' stands twice; name one of them by `instance`", p->instance);
    }
    for (size_t i = 0; i < c->heads.n_to; i++)
        need_party(k, c->heads.mark, "heads: to", c->heads.to[i]);
}

/* Two approvals are two people's: no operator and no key of one stands twice, and none is a party's. */
static void check_operators(struct check *k)
{
    struct erabi_config *c = k->c;
    for (size_t i = 0; i < c->n_operators; i++) {
        const struct erabi_config_operator *o = &c->operators[i];
        if (sodium_is_zero(o->sign_key, ERAB_KEY_SIZE))
            fault(k, o->mark, "the key of operator '%s' is all zeros or unreadable; see 'erab operator new'", o->name);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(c->operators[j].name, o->name) == 0)
                fault(k, o->mark, "the operator '%s' stands twice", o->name);
            if (sodium_memcmp(c->operators[j].sign_key, o->sign_key, ERAB_KEY_SIZE) == 0)
                fault(k, o->mark, "operators '%s' and '%s' have one and the same key; every person has their own",
                      c->operators[j].name, o->name);
        }
        for (size_t j = 0; j < c->n_parties; j++)
            for (size_t n = 0; n < c->parties[j].n_sign_keys; n++)
                if (sodium_memcmp(c->parties[j].sign_keys[n], o->sign_key, ERAB_KEY_SIZE) == 0)
                    fault(k, o->mark, "operator '%s' has the key of party '%s'; make one with 'erab operator new'",
                          o->name, c->parties[j].id);
    }
    if (c->enrolment.mark.line && c->enrolment.approvals > c->n_operators)
        fault(k, c->enrolment.mark, "approvals: more than there are operators; nobody could ever be approved");
}

bool erabi_config_check(struct erabi_config *config, const char *file, struct erabi_config_errors *errors)
{
    struct check k = {.c = config, .file = file, .errors = errors};
    if (!index_ids(&k))
        return false;
    if (config->owner.party[0] && !known(&k, config->owner.party))
        fault(&k, config->owner.mark, "the owner '%s' is not listed under 'parties'; list it too",
              config->owner.party);
    check_keys(&k);
    for (size_t i = 0; i < config->n_parties; i++)
        check_party(&k, &config->parties[i]);
    check_listeners(&k);
    check_split(&k);
    check_rest(&k);
    check_operators(&k);
    free(k.ids);
    return !k.failed;
}
