#include "config/topology.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <erab/identity.h>

#include "base/cursor.h"

struct check {
    const struct erabi_topology_end *ends;
    size_t n;
    struct erabi_config_errors *errors;
    bool failed;
};

#define fault(k, end, mark, ...) \
    ((k)->failed = true, erabi_config_error((k)->errors, (end)->file, mark, __VA_ARGS__))

/* ---- keys ---- */

/* The public keys of a key file that may be read here. */
static bool file_keys(const char *path, erabi_key_bytes curve, erabi_key_bytes sign)
{
    struct erab_identity identity;
    if (erab_identity_load(&identity, path, NULL, 0) < 0)
        return false;
    erabi_copy_bytes(curve, identity.curve_public, ERAB_KEY_SIZE);
    if (sign)
        erabi_copy_bytes(sign, identity.sign_public, ERAB_KEY_SIZE);
    erab_identity_wipe(&identity);
    return true;
}

static bool given(const erabi_key_bytes key)
{
    return !sodium_is_zero(key, ERAB_KEY_SIZE);
}

static bool one_of(const erabi_key_bytes *list, size_t n, const erabi_key_bytes key)
{
    for (size_t i = 0; i < n; i++)
        if (sodium_memcmp(list[i], key, ERAB_KEY_SIZE) == 0)
            return true;
    return false;
}

int erabi_topology_end_load(struct erabi_topology_end *end, const char *file, struct erabi_config_errors *errors)
{
    *end = (struct erabi_topology_end){.file = file};
    int r = erabi_config_load(&end->config, file, errors);
    if (r == 0)
        r = erabi_profile_load(&end->profile, end->config->profile, errors);
    if (r < 0)
        return r;
    const struct erabi_config *c = end->config;
    end->listener_keys = calloc(c->n_listeners + 1, sizeof(*end->listener_keys));
    end->has_listener_key = calloc(c->n_listeners + 1, sizeof(bool));
    if (!end->listener_keys || !end->has_listener_key)
        return -ENOMEM;
    end->has_keys = given(c->owner.curve_key) && given(c->owner.sign_key);
    if (end->has_keys) {
        erabi_copy_bytes(end->curve_key, c->owner.curve_key, ERAB_KEY_SIZE);
        erabi_copy_bytes(end->sign_key, c->owner.sign_key, ERAB_KEY_SIZE);
    } else {
        end->has_keys = file_keys(c->owner.key_file, end->curve_key, end->sign_key);
    }
    for (size_t i = 0; i < c->n_listeners; i++) {
        end->has_listener_key[i] = given(c->listeners[i].curve_key);
        if (end->has_listener_key[i])
            erabi_copy_bytes(end->listener_keys[i], c->listeners[i].curve_key, ERAB_KEY_SIZE);
        else
            end->has_listener_key[i] = file_keys(c->listeners[i].key_file, end->listener_keys[i], NULL);
    }
    return 0;
}

void erabi_topology_end_deinit(struct erabi_topology_end *end)
{
    erabi_config_free(end->config);
    erabi_profile_free(end->profile);
    free(end->listener_keys);
    free(end->has_listener_key);
    *end = (struct erabi_topology_end){0};
}

/* ---- the two ends of an uplink ---- */

static const struct erabi_topology_end *end_of(const struct check *k, const char *party)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->ends[i].config->owner.party, party) == 0)
            return &k->ends[i];
    return NULL;
}

static bool same_party(const struct erabi_config_party *p, const struct erabi_config_owner *owner)
{
    return p->role == owner->role && strcmp(p->firm, owner->firm) == 0;
}

/* A listener on every address is reached at any of them. */
static bool leads_to(const char *endpoint, const char *listener)
{
    static const char *const every[] = {"tcp://0.0.0.0:", "tcp://[::]:"};
    if (strcmp(endpoint, listener) == 0)
        return true;
    for (size_t i = 0; i < 2; i++)
        if (strncmp(listener, every[i], strlen(every[i])) == 0)
            return strcmp(strrchr(endpoint, ':'), strrchr(listener, ':')) == 0;
    return false;
}

/* The listener that the uplink leads to, and its key. */
static void check_listener(struct check *k, const struct erabi_topology_end *a, const struct erabi_config_uplink *u,
                           const struct erabi_topology_end *b, enum erab_interface interface)
{
    const struct erabi_config *c = b->config;
    size_t at = 0;
    while (at < c->n_listeners && !leads_to(u->endpoint, c->listeners[at].endpoint))
        at++;
    if (at == c->n_listeners) {
        const struct erabi_config_listener *l = NULL;
        for (size_t i = 0; i < c->n_listeners && !l; i++)
            l = c->listeners[i].interface == (unsigned)interface ? &c->listeners[i] : NULL;
        if (l)
            fault(k, a, u->mark, "uplink to '%s': it does not listen on %s; its %s listener is %s (%s:%u)", u->party,
                  u->endpoint, erab_interface_name(interface), l->endpoint, b->file, l->mark.line);
        else
            fault(k, a, u->mark, "uplink to '%s': it has no listener for %s (%s:%u)", u->party,
                  erab_interface_name(interface), b->file, c->mark.line);
        return;
    }
    const struct erabi_config_listener *l = &c->listeners[at];
    if (l->interface != (unsigned)interface)
        fault(k, a, u->mark, "uplink to '%s': the two roles make %s, the listener there serves %s (%s:%u)", u->party,
              erab_interface_name(interface), erab_interface_name((enum erab_interface)l->interface), b->file,
              l->mark.line);
    if (!b->has_listener_key[at])
        fault(k, b, l->mark,
              "the key of this listener cannot be read here, so the uplink at %s:%u is unchecked; give curve_key", a->file,
              u->mark.line);
    else if (sodium_memcmp(b->listener_keys[at], u->server_key, ERAB_KEY_SIZE) != 0)
        fault(k, a, u->mark, "uplink to '%s': server_key is not the key of its listener (%s:%u)", u->party, b->file,
              l->mark.line);
}

/* What the listening side knows of the one that dials. */
static void check_dialler(struct check *k, const struct erabi_topology_end *a, const struct erabi_config_uplink *u,
                          const struct erabi_topology_end *b, enum erab_interface interface)
{
    const struct erabi_config_owner *owner = &a->config->owner;
    const struct erabi_config_party *p = erabi_config_party(b->config, owner->party);
    if (!p) {
        fault(k, a, u->mark, "uplink to '%s': '%s' is not among its parties (%s:%u)", u->party, owner->party, b->file,
              b->config->mark.line);
        return;
    }
    const struct erabi_config_attachment *t = &p->attachment;
    if (!same_party(p, owner))
        fault(k, b, p->mark, "role or firm of '%s' are others than its own configuration says (%s:%u)", p->id, a->file,
              owner->mark.line);
    if (t->kind != ERABI_ATTACH_UPLINK && t->kind != ERABI_ATTACH_SELF)
        fault(k, b, p->mark, "'%s' dials (%s:%u), but is not attached as one that does; right would be: kind uplink", p->id,
              a->file, u->mark.line);
    if (t->interfaces && !(t->interfaces >> interface & 1))
        fault(k, b, t->mark, "'%s' dials for %s (%s:%u), but its interfaces leave that out", p->id,
              erab_interface_name(interface), a->file, u->mark.line);
    if (!a->has_keys)
        fault(k, a, owner->mark, "the owner's keys cannot be read here, so %s:%u is unchecked; give curve_key and sign_key",
              b->file, p->mark.line);
    else if (!one_of(p->curve_keys, p->n_curve_keys, a->curve_key))
        fault(k, b, p->mark, "curve_keys of '%s' hold another key than its own configuration (%s:%u)", p->id, a->file,
              owner->mark.line);
    if (a->has_keys && !one_of(p->sign_keys, p->n_sign_keys, a->sign_key))
        fault(k, b, p->mark, "sign_keys of '%s' hold another key than its own configuration (%s:%u)", p->id, a->file,
              owner->mark.line);
    for (size_t i = 0; i < t->n_speaks_for; i++) {
        const struct erabi_config_party *there = erabi_config_party(b->config, t->speaks_for[i]);
        const struct erabi_config_party *here = erabi_config_party(a->config, t->speaks_for[i]);
        if (!here)
            fault(k, b, t->mark, "'%s' speaks for '%s', which it does not know itself (%s:%u)", p->id, t->speaks_for[i],
                  a->file, a->config->mark.line);
        else if (there && (here->role != there->role || strcmp(here->firm, there->firm) != 0))
            fault(k, b, there->mark, "role or firm of '%s' are others where it is attached (%s:%u)", there->id, a->file,
                  here->mark.line);
    }
}

static void check_uplink(struct check *k, const struct erabi_topology_end *a, const struct erabi_config_uplink *u)
{
    const struct erabi_topology_end *b = end_of(k, u->party);
    if (!b) {
        fault(k, a, u->mark, "uplink to '%s': none of these files is its configuration; check it together with this one",
              u->party);
        return;
    }
    const struct erabi_config_owner *x = &a->config->owner, *y = &b->config->owner;
    if (strcmp(erabi_profile_name(a->profile), erabi_profile_name(b->profile)) != 0)
        fault(k, a, a->config->mark, "its profile is %s, that of '%s' is %s (%s:%u)", erabi_profile_name(a->profile),
              u->party, erabi_profile_name(b->profile), b->file, b->config->mark.line);
    struct erabi_profile_pair pair =
        erabi_profile_pair(a->profile, (enum erab_role)x->role, (enum erab_role)y->role);
    if (pair.interface == ERAB_IF_NONE || (pair.one_firm && strcmp(x->firm, y->firm) != 0)) {
        fault(k, a, u->mark, "uplink to '%s': %s and %s%s have no interface with one another (%s:%u)", u->party,
              erab_role_name((enum erab_role)x->role), erab_role_name((enum erab_role)y->role),
              pair.one_firm ? " of two firms" : "", b->file, y->mark.line);
        return;
    }
    check_listener(k, a, u, b, pair.interface);
    check_dialler(k, a, u, b, pair.interface);
    const struct erabi_config_party *q = erabi_config_party(a->config, u->party);
    if (!same_party(q, y))
        fault(k, a, q->mark, "role or firm of '%s' are others than its own configuration says (%s:%u)", q->id, b->file,
              y->mark.line);
    if (!b->has_keys)
        fault(k, b, y->mark, "the owner's keys cannot be read here, so %s:%u is unchecked; give curve_key and sign_key",
              a->file, q->mark.line);
    else if (!one_of(q->sign_keys, q->n_sign_keys, b->sign_key))
        fault(k, a, q->mark, "sign_keys of '%s' hold another key than its own configuration (%s:%u)", q->id, b->file,
              y->mark.line);
}

/* ---- within one configuration, what needs the profile ---- */

static bool in(erabi_party_text *ids, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return false;
}

/* Does a key, an adapter or an uplink lead to this party? */
static bool reachable(const struct erabi_config *c, const char *id)
{
    for (size_t i = 0; i < c->n_parties; i++)
        if (c->parties[i].attachment.kind != ERABI_ATTACH_NONE &&
            in(c->parties[i].attachment.speaks_for, c->parties[i].attachment.n_speaks_for, id))
            return true;
    for (size_t i = 0; i < c->n_adapters; i++)
        if (in(c->adapters[i].parties, c->adapters[i].n_parties, id))
            return true;
    for (size_t i = 0; i < c->n_uplinks; i++)
        if (strcmp(c->uplinks[i].party, id) == 0)
            return true;
    return strcmp(c->owner.party, id) == 0;
}

static void check_represented(struct check *k, const struct erabi_topology_end *end)
{
    const struct erabi_config *c = end->config;
    for (size_t i = 0; i < c->n_parties; i++) {
        const struct erabi_config_party *p = &c->parties[i];
        if (p->represented_by[0] && !reachable(c, p->id))
            fault(k, end, p->mark,
                  "'%s' is represented by '%s', which does not speak for it; add it to the parties of the adapter or to speaks_for",
                  p->id, p->represented_by);
    }
}

static void check_group(struct check *k, const struct erabi_topology_end *end, const struct erabi_config_group *g)
{
    const struct erabi_config *c = end->config;
    const struct erabi_config_party *owner = erabi_config_party(c, g->owner);
    for (size_t i = 0; owner && i < g->n_members; i++) {
        const struct erabi_config_party *m = erabi_config_party(c, g->members[i]);
        if (!m)
            continue; /* told by the check of the file */
        struct erabi_profile_pair pair =
            erabi_profile_pair(end->profile, (enum erab_role)owner->role, (enum erab_role)m->role);
        if (pair.interface == ERAB_IF_NONE || (pair.one_firm && strcmp(owner->firm, m->firm) != 0))
            fault(k, end, g->mark, "group '%s': '%s' and its member '%s' (line %u) have no interface with one another",
                  g->id, owner->id, m->id, m->mark.line);
        else if (!reachable(c, m->id))
            fault(k, end, g->mark, "group '%s': nothing leads to its member '%s' (line %u)", g->id, m->id, m->mark.line);
    }
}

/* ---- the two parts of a coordinator ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static void check_whole(struct check *k, const struct erabi_topology_end *end)
{
    const struct erabi_config *c = end->config;
    const struct erabi_config_listener *r1 = NULL, *other = NULL;
    for (size_t i = 0; i < c->n_listeners; i++) {
        if (c->listeners[i].interface == ERAB_IF_R1)
            r1 = &c->listeners[i];
        else if (c->listeners[i].interface != ERAB_IF_INTERNAL)
            other = &c->listeners[i];
    }
    if (r1 && other)
        fault(k, end, r1->mark,
              "a coordinator serves r1 by a broker of its own (ID.direct) and the others by another (ID.rest); here one serves r1 and %s (line %u)",
              erab_interface_name((enum erab_interface)other->interface), other->mark.line);
}

static void check_parties_of(struct check *k, const struct erabi_topology_end *end, bool direct)
{
    const struct erabi_config *c = end->config;
    for (size_t i = 0; i < c->n_parties; i++) {
        const struct erabi_config_party *p = &c->parties[i];
        bool foreign = direct ? p->role != ERAB_ROLE_TSO && p->role != ERAB_ROLE_AC : p->role == ERAB_ROLE_TSO;
        if (foreign)
            fault(k, end, p->mark, "'%s' is a %s: it belongs to the %s part of the coordinator, not to this one", p->id,
                  erab_role_name((enum erab_role)p->role), direct ? "rest" : "direct");
    }
}

static void check_split(struct check *k, const struct erabi_topology_end *end)
{
    const struct erabi_config *c = end->config;
    bool direct = ends_in(c->owner.party, ".direct"), rest = ends_in(c->owner.party, ".rest");
    if (c->owner.role != ERAB_ROLE_AC)
        return;
    if (!direct && !rest) {
        check_whole(k, end);
        return;
    }
    check_parties_of(k, end, direct);
    const struct erabi_topology_end *other = NULL;
    for (size_t i = 0; i < k->n; i++) {
        const struct erabi_config_owner *o = &k->ends[i].config->owner;
        if (o->role == ERAB_ROLE_AC && strcmp(o->firm, c->owner.firm) == 0 &&
            ends_in(o->party, direct ? ".rest" : ".direct"))
            other = &k->ends[i];
    }
    bool dials = false;
    for (size_t i = 0; i < c->n_uplinks; i++) {
        const struct erabi_config_uplink *u = &c->uplinks[i];
        dials = dials || (other && strcmp(u->party, other->config->owner.party) == 0);
        if (direct && ends_in(u->party, ".rest"))
            fault(k, end, u->mark, "the direct part dials nobody of its firm: rest dials, direct listens");
    }
    if (!other && k->n > 1)
        fault(k, end, c->owner.mark, "the %s part of '%s' is not among these files", direct ? "rest" : "direct",
              c->owner.firm);
    else if (other && rest && !dials)
        fault(k, end, c->owner.mark, "it has no uplink to the direct part '%s' (%s:%u)", other->config->owner.party,
              other->file, other->config->owner.mark.line);
    if (other && direct && end->has_keys && other->has_keys &&
        sodium_memcmp(end->curve_key, other->curve_key, ERAB_KEY_SIZE) == 0)
        fault(k, end, c->owner.mark, "its key is that of the rest part, too (%s:%u); each part has its own", other->file,
              other->config->owner.mark.line);
}

/* ---- between all of them ---- */

static void check_against(struct check *k, const struct erabi_topology_end *a, const struct erabi_topology_end *b)
{
    const struct erabi_config *x = a->config, *y = b->config;
    if (strcmp(x->owner.party, y->owner.party) == 0)
        fault(k, b, y->owner.mark, "'%s' is the owner of another of these files, too (%s:%u)", y->owner.party, a->file,
              x->owner.mark.line);
    for (size_t i = 0; i < y->n_parties; i++) {
        const struct erabi_config_party *q = &y->parties[i];
        for (size_t j = 0; j < x->n_parties; j++) {
            const struct erabi_config_party *p = &x->parties[j];
            bool same = strcmp(p->id, q->id) == 0;
            if (same && (p->role != q->role || strcmp(p->firm, q->firm) != 0))
                fault(k, b, q->mark, "'%s' has another role or firm in %s:%u", q->id, a->file, p->mark.line);
            for (size_t l = 0; !same && l < q->n_curve_keys; l++)
                if (one_of(p->curve_keys, p->n_curve_keys, q->curve_keys[l]))
                    fault(k, b, q->mark, "'%s' has a key that is that of '%s' in %s:%u", q->id, p->id, a->file,
                          p->mark.line);
        }
    }
}

bool erabi_topology_check(const struct erabi_topology_end *ends, size_t n, struct erabi_config_errors *errors)
{
    struct check k = {ends, n, errors, false};
    for (size_t i = 0; i < n; i++) {
        const struct erabi_config *c = ends[i].config;
        for (size_t j = 0; j < c->n_uplinks; j++)
            check_uplink(&k, &ends[i], &c->uplinks[j]);
        for (size_t j = 0; j < c->n_groups; j++)
            check_group(&k, &ends[i], &c->groups[j]);
        check_represented(&k, &ends[i]);
        check_split(&k, &ends[i]);
        for (size_t j = 0; j < i; j++)
            check_against(&k, &ends[j], &ends[i]);
    }
    return !k.failed;
}
