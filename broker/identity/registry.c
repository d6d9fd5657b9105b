#include "identity/registry_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "base/cursor.h"

#define ADAPTER_KEYS_MAX 256u

static uint32_t bucket(const struct erabi_registry *r, const void *bytes, size_t n)
{
    union {
        uint8_t bytes[crypto_shorthash_BYTES];
        uint64_t number;
    } hash;
    crypto_shorthash(hash.bytes, bytes, n, r->seed);
    return (uint32_t)hash.number & (r->buckets - 1);
}

struct party *erabi_reg_slot(const struct erabi_registry *r, const char *id)
{
    uint32_t i = r->by_id[bucket(r, id, strnlen(id, ERAB_PARTY_MAX + 1))];
    while (i != ERABI_PARTY_NONE && strcmp(r->parties[i].id, id) != 0)
        i = r->parties[i].next;
    return i == ERABI_PARTY_NONE ? NULL : &r->parties[i];
}

struct party *erabi_reg_party(const struct erabi_registry *r, const char *id)
{
    struct party *p = erabi_reg_slot(r, id);
    return p && !p->gone ? p : NULL;
}

struct key_row *erabi_reg_key(const struct erabi_registry *r, const uint8_t key[ERAB_KEY_SIZE])
{
    uint32_t i = r->by_key[bucket(r, key, ERAB_KEY_SIZE)];
    while (i != ERABI_PARTY_NONE && sodium_memcmp(r->keys[i].key, key, ERAB_KEY_SIZE) != 0)
        i = r->keys[i].next;
    return i == ERABI_PARTY_NONE ? NULL : &r->keys[i];
}

/* The first attachment that speaks for a party is the way to it; a local application speaks for the owner, which is us. */
static void lead(struct erabi_registry *r, uint32_t attachment)
{
    const struct erabi_attachment *a = &r->attachments[attachment].seen;
    for (size_t i = 0; i < a->n_speaks_for && a->kind != ERABI_ATTACH_LOCAL; i++)
        if (r->parties[a->speaks_for[i]].reached == ERABI_PARTY_NONE)
            r->parties[a->speaks_for[i]].reached = attachment;
}

int erabi_reg_add_key(struct erabi_registry *r, const uint8_t *key, uint32_t attachment, uint64_t until_ms, bool seed)
{
    if (erabi_reg_key(r, key))
        return -EEXIST;
    uint32_t at = r->free_keys;
    if (at != ERABI_PARTY_NONE)
        r->free_keys = r->keys[at].next;
    else if (r->n_keys < r->most_keys)
        at = r->n_keys++;
    else
        return -ENOSPC;
    struct key_row *row = &r->keys[at];
    erabi_copy_bytes(row->key, key, ERAB_KEY_SIZE);
    row->attachment = attachment;
    row->until_ms = until_ms;
    row->seed = seed;
    uint32_t *head = &r->by_key[bucket(r, key, ERAB_KEY_SIZE)];
    row->next = *head;
    *head = at;
    const uint32_t party = r->attachments[attachment].seen.party;
    if (!seed && (party == ERABI_PARTY_NONE || !r->parties[party].seen.waiting))
        lead(r, attachment); /* nothing goes to who is not approved, for nobody */
    return 0;
}

void erabi_reg_drop_key(struct erabi_registry *r, const uint8_t *key)
{
    uint32_t *at = &r->by_key[bucket(r, key, ERAB_KEY_SIZE)];
    while (*at != ERABI_PARTY_NONE && sodium_memcmp(r->keys[*at].key, key, ERAB_KEY_SIZE) != 0)
        at = &r->keys[*at].next;
    if (*at == ERABI_PARTY_NONE)
        return;
    uint32_t gone = *at;
    *at = r->keys[gone].next;
    r->keys[gone] = (struct key_row){.attachment = ERABI_PARTY_NONE, .next = r->free_keys};
    r->free_keys = gone;
}

int erabi_reg_add_sign_key(struct party *p, const uint8_t *key, uint64_t until_ms)
{
    size_t n = p->seen.n_sign_keys, i = 0;
    while (i < n && sodium_memcmp(p->sign_keys[i], key, ERAB_KEY_SIZE) != 0)
        i++;
    if (i == ERABI_SIGN_KEYS_MAX)
        return -ENOSPC;
    erabi_copy_bytes(p->sign_keys[i], key, ERAB_KEY_SIZE);
    p->sign_until[i] = until_ms;
    if (i == n)
        p->seen.n_sign_keys = n + 1;
    return 0;
}

struct party *erabi_reg_add_slot(struct erabi_registry *r, const char *id)
{
    struct party *p = &r->parties[r->n_parties];
    p->own = p->reached = ERABI_PARTY_NONE;
    erabi_copy_text(p->id, sizeof(p->id), id);
    p->seen = (struct erabi_registry_party){.index = r->n_parties,
                                            .id = p->id,
                                            .firm = p->firm,
                                            .represented_by = p->represented_by,
                                            .sign_keys = p->sign_keys,
                                            .revoked = true,
                                            .waiting = true,
                                            .absent = true};
    p->gone = true;
    uint32_t *head = &r->by_id[bucket(r, p->id, strlen(p->id))];
    p->next = *head;
    *head = r->n_parties++;
    return p;
}

int erabi_reg_add_party(struct erabi_registry *r, const struct erabi_config_party *from)
{
    struct party *p = erabi_reg_slot(r, from->id);
    if (p && !p->gone)
        return -EEXIST;
    if (!p && r->n_parties == r->most_parties)
        return -ENOSPC;
    if (!p)
        p = erabi_reg_add_slot(r, from->id);
    erabi_copy_text(p->firm, sizeof(p->firm), from->firm);
    erabi_copy_text(p->represented_by, sizeof(p->represented_by), from->represented_by);
    p->seen.role = (enum erab_role)from->role;
    p->seen.local = from->attachment.kind == ERABI_ATTACH_LOCAL;
    p->seen.waiting = p->seen.absent = p->gone = false;
    p->seen.revoked = p->banned;
    for (size_t i = 0; i < from->n_sign_keys; i++)
        if (erabi_reg_add_sign_key(p, from->sign_keys[i], ERABI_FOR_EVER) < 0)
            return -ENOSPC;
    return 0;
}

int erabi_reg_by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int erabi_reg_add_attachment(struct erabi_registry *r, enum erabi_attachment_kind kind, uint32_t party, const char *name,
                             erabi_party_text *ids, size_t n, uint32_t *out)
{
    if (r->n_attachments == r->most_attachments)
        return -ENOSPC;
    struct attached *a = &r->attachments[r->n_attachments];
    a->speaks_for = calloc(n ? n : 1, sizeof(*a->speaks_for));
    if (!a->speaks_for)
        return -ENOMEM;
    *out = r->n_attachments++;
    for (size_t i = 0; i < n; i++) {
        const struct party *p = erabi_reg_party(r, ids[i]);
        if (!p)
            return -ENOENT;
        a->speaks_for[i] = p->seen.index;
    }
    qsort(a->speaks_for, n, sizeof(*a->speaks_for), erabi_reg_by_number);
    erabi_copy_text(a->name, sizeof(a->name), name);
    a->seen = (struct erabi_attachment){
        .kind = kind,
        .party = party,
        .name = a->name,
        .speaks_for = a->speaks_for,
        .n_speaks_for = n,
        .types = ~0ull,
        .epoch = 1,
    };
    return 0;
}

static int attach_party(struct erabi_registry *r, const struct erabi_config_party *from)
{
    if (from->attachment.kind == ERABI_ATTACH_NONE)
        return 0;
    uint32_t at, index = erabi_reg_party(r, from->id)->seen.index;
    int f = erabi_reg_add_attachment(r, (enum erabi_attachment_kind)from->attachment.kind, index, from->id,
                           from->attachment.speaks_for, from->attachment.n_speaks_for, &at);
    if (f < 0)
        return f;
    r->parties[index].own = at;
    r->attachments[at].seen.interfaces = from->attachment.interfaces;
    r->attachments[at].seen.types = from->attachment.types;
    for (size_t i = 0; i < from->n_curve_keys; i++)
        if ((f = erabi_reg_add_key(r, from->curve_keys[i], at, ERABI_FOR_EVER, false)) < 0)
            return f;
    return 0;
}

/* The other end of a connection that we dial is known by its server key. */
static int attach_uplink(struct erabi_registry *r, const struct erabi_config_uplink *uplink)
{
    const struct party *p = erabi_reg_party(r, uplink->party);
    if (!p)
        return -ENOENT;
    erabi_party_text id;
    erabi_copy_text(id, sizeof(id), uplink->party);
    uint32_t at;
    int f = erabi_reg_add_attachment(r, ERABI_ATTACH_UPLINK, p->seen.index, id, &id, 1, &at);
    if (f < 0)
        return f;
    r->attachments[at].seen.dialled = true;
    return erabi_reg_add_key(r, uplink->server_key, at, ERABI_FOR_EVER, false);
}

static int copy_adapters(struct erabi_registry *r, const struct erabi_config *config)
{
    r->adapters = calloc(config->n_adapters + 1, sizeof(*r->adapters));
    if (!r->adapters)
        return -ENOMEM;
    for (; r->n_adapters < config->n_adapters; r->n_adapters++) {
        const struct erabi_config_adapter *from = &config->adapters[r->n_adapters];
        struct erabi_config_adapter *to = &r->adapters[r->n_adapters];
        erabi_copy_text(to->instance, sizeof(to->instance), from->instance);
        to->parties = calloc(from->n_parties + 1, sizeof(*to->parties));
        if (!to->parties)
            return -ENOMEM;
        to->n_parties = from->n_parties;
        erabi_copy_bytes(to->parties, from->parties, from->n_parties * sizeof(*to->parties));
    }
    return 0;
}

/* Room for what the configuration names, for ERABI_ENROLLED_MAX newcomers, and for newer keys of all of them. */
static int make_room(struct erabi_registry *r, const struct erabi_config *config, size_t slots)
{
    size_t keys = ADAPTER_KEYS_MAX + config->n_uplinks * 2 + ERABI_ENROLLED_MAX * (ERABI_ROW_KEYS + 1);
    for (size_t i = 0; i < config->n_parties; i++)
        keys += config->parties[i].n_curve_keys + (config->parties[i].n_curve_keys ? ERABI_ROW_KEYS : 0);
    r->most_keys = (uint32_t)keys;
    r->most_parties = (uint32_t)(config->n_parties + slots) + ERABI_ENROLLED_MAX;
    for (size_t i = 0; i < config->n_groups; i++)
        if (config->groups[i].enrolled) {
            r->most_parties += ERABI_GROUPS_ABSENT_MAX;
            break;
        }
    r->most_attachments = (uint32_t)(config->n_parties + config->n_uplinks) + ADAPTER_KEYS_MAX + ERABI_ENROLLED_MAX;
    r->free_keys = ERABI_PARTY_NONE;
    r->next_end_ms = ERABI_FOR_EVER;
    r->buckets = 4096;
    while (r->buckets < 2 * r->most_parties)
        r->buckets *= 2;
    r->by_id = malloc(r->buckets * sizeof(*r->by_id));
    r->by_key = malloc(r->buckets * sizeof(*r->by_key));
    r->parties = calloc(r->most_parties, sizeof(*r->parties));
    r->attachments = calloc(r->most_attachments, sizeof(*r->attachments));
    r->keys = calloc(keys, sizeof(*r->keys));
    if (!r->by_id || !r->by_key || !r->parties || !r->attachments || !r->keys)
        return -ENOMEM;
    for (uint32_t i = 0; i < r->buckets; i++)
        r->by_id[i] = r->by_key[i] = ERABI_PARTY_NONE;
    return 0;
}

void erabi_registry_free(struct erabi_registry *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n_attachments; i++)
        free(r->attachments[i].speaks_for);
    for (uint32_t i = 0; i < r->n_parties; i++)
        free(r->parties[i].row);
    for (size_t i = 0; r->adapters && i <= r->n_adapters; i++)
        free(r->adapters[i].parties);
    free(r->adapters);
    free(r->absent);
    free(r->grouped);
    free(r->by_id);
    free(r->by_key);
    free(r->parties);
    free(r->attachments);
    free(r->keys);
    free(r);
}

/* Members that are not there yet have their indices already: receipts tell of them. */
static int name_members(struct erabi_registry *r, const struct erabi_config *config)
{
    for (size_t i = 0; i < config->n_groups; i++)
        for (size_t j = 0; config->groups[i].enrolled && j < config->groups[i].n_members; j++) {
            if (erabi_reg_slot(r, config->groups[i].members[j]))
                continue;
            if (r->n_parties == r->most_parties)
                return -ENOSPC;
            erabi_reg_add_slot(r, config->groups[i].members[j]);
        }
    return 0;
}

int erabi_reg_fill(struct erabi_registry *r, const struct erabi_config *config)
{
    int f = 0;
    for (size_t i = 0; f == 0 && i < config->n_parties; i++)
        f = erabi_reg_add_party(r, &config->parties[i]);
    for (size_t i = 0; f == 0 && i < config->n_parties; i++)
        f = attach_party(r, &config->parties[i]);
    for (size_t i = 0; f == 0 && i < config->n_uplinks; i++)
        f = attach_uplink(r, &config->uplinks[i]);
    if (f == 0)
        f = copy_adapters(r, config);
    if (f == 0)
        f = name_members(r, config);
    if (f < 0)
        return f;
    struct party *owner = erabi_reg_party(r, config->owner.party);
    if (!owner)
        return -ENOENT;
    r->owner = owner->seen.index;
    return r->has_owner_key ? erabi_reg_add_sign_key(owner, r->owner_key, ERABI_FOR_EVER) : 0;
}

struct erabi_registry *erabi_reg_empty(const struct erabi_config *config, size_t slots, const uint8_t *owner_sign_key,
                                       erabi_registry_persist persist, void *user)
{
    struct erabi_registry *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    randombytes_buf(r->seed, sizeof(r->seed));
    r->persist = persist;
    r->user = user;
    r->has_owner_key = owner_sign_key != NULL;
    if (owner_sign_key)
        erabi_copy_bytes(r->owner_key, owner_sign_key, sizeof(r->owner_key));
    if (make_room(r, config, slots) == 0)
        return r;
    erabi_registry_free(r);
    return NULL;
}

int erabi_registry_new(struct erabi_registry **out, const struct erabi_config *config,
                       const uint8_t owner_sign_key[ERAB_KEY_SIZE], erabi_registry_persist persist, void *user)
{
    *out = NULL;
    if (sodium_init() < 0)
        return -EIO;
    struct erabi_registry *r = erabi_reg_empty(config, 0, owner_sign_key, persist, user);
    if (!r)
        return -ENOMEM;
    int f = erabi_reg_fill(r, config);
    if (f < 0) {
        erabi_registry_free(r);
        return f;
    }
    *out = r;
    return 0;
}

int erabi_registry_add_adapter(struct erabi_registry *r, const char *instance, const uint8_t curve_key[ERAB_KEY_SIZE],
                               const uint8_t *sign_key)
{
    const struct erabi_config_adapter *adapter = NULL;
    for (size_t i = 0; i < r->n_adapters && !adapter; i++)
        if (strcmp(r->adapters[i].instance, instance) == 0)
            adapter = &r->adapters[i];
    if (!adapter)
        return -ENOENT;
    if (erabi_reg_key(r, curve_key))
        return -EEXIST;
    if (r->n_keys == r->most_keys && r->free_keys == ERABI_PARTY_NONE)
        return -ENOSPC;
    uint32_t at;
    int f = erabi_reg_add_attachment(r, ERABI_ATTACH_ADAPTER, ERABI_PARTY_NONE, instance, adapter->parties, adapter->n_parties,
                           &at);
    if (f < 0)
        return f;
    r->attachments[at].has_proxy = sign_key != NULL;
    if (sign_key)
        erabi_copy_bytes(r->attachments[at].proxy, sign_key, ERAB_KEY_SIZE);
    for (size_t i = 0; sign_key && i < r->attachments[at].seen.n_speaks_for; i++)
        if ((f = erabi_reg_add_sign_key(&r->parties[r->attachments[at].speaks_for[i]], sign_key, ERABI_FOR_EVER)) < 0)
            return f;
    return erabi_reg_add_key(r, curve_key, at, ERABI_FOR_EVER, false);
}

const struct erabi_attachment *erabi_registry_key(const struct erabi_registry *r, const uint8_t key[ERAB_KEY_SIZE])
{
    const struct key_row *row = erabi_reg_key(r, key);
    return row ? &r->attachments[row->attachment].seen : NULL;
}

const struct erabi_registry_party *erabi_registry_party(const struct erabi_registry *r, const char *id)
{
    const struct party *p = erabi_reg_party(r, id);
    return p ? &p->seen : NULL;
}

const struct erabi_registry_party *erabi_registry_member(const struct erabi_registry *r, const char *id)
{
    const struct party *p = erabi_reg_slot(r, id);
    return p ? &p->seen : NULL;
}

bool erabi_registry_has_room(const struct erabi_registry *r)
{
    return r->n_parties < r->most_parties && r->n_attachments < r->most_attachments;
}

const struct erabi_registry_party *erabi_registry_party_at(const struct erabi_registry *r, uint32_t index)
{
    return index < r->n_parties ? &r->parties[index].seen : NULL;
}

size_t erabi_registry_count(const struct erabi_registry *r)
{
    return r->n_parties;
}

const struct erabi_registry_party *erabi_registry_owner(const struct erabi_registry *r)
{
    return &r->parties[r->owner].seen;
}

size_t erabi_registry_capacity(const struct erabi_registry *r)
{
    return r->most_parties;
}

const struct erabi_attachment *erabi_registry_attachment_of(const struct erabi_registry *r, uint32_t party)
{
    uint32_t at = party < r->n_parties ? r->parties[party].reached : ERABI_PARTY_NONE;
    return at == ERABI_PARTY_NONE ? NULL : &r->attachments[at].seen;
}

bool erabi_attachment_speaks_for(const struct erabi_attachment *a, uint32_t party)
{
    return bsearch(&party, a->speaks_for, a->n_speaks_for, sizeof(*a->speaks_for), erabi_reg_by_number) != NULL;
}

const erabi_key_bytes *erabi_registry_sign_keys(const struct erabi_registry *r, const char *id, size_t *n)
{
    const struct party *p = erabi_reg_party(r, id);
    if (p && !p->seen.revoked && p->seen.n_sign_keys == 0 && p->represented_by[0])
        p = erabi_reg_party(r, p->represented_by);
    *n = p && !p->seen.revoked && !p->seen.waiting ? p->seen.n_sign_keys : 0;
    return *n ? p->sign_keys : NULL;
}

/* Its own attachments end; those that speak for others too (an adapter) only lose this party's word, for what a revoked
 * party says has no keys any more and is refused by its mark. */
void erabi_reg_revoked(struct erabi_registry *r, struct party *p)
{
    p->seen.revoked = p->seen.for_good = p->banned = true;
    for (uint32_t i = 0; i < r->n_attachments; i++) {
        struct erabi_attachment *a = &r->attachments[i].seen;
        bool only = a->n_speaks_for == 1 && a->speaks_for[0] == p->seen.index;
        if (a->party == p->seen.index || (only && a->kind == ERABI_ATTACH_ADAPTER)) {
            a->revoked = true;
            a->epoch++;
        }
    }
}

int erabi_registry_revoke(struct erabi_registry *r, const char *id)
{
    struct party *p = erabi_reg_party(r, id);
    if (!p)
        return -ENOENT;
    if (p->seen.index == r->owner)
        return -EPERM;
    if (p->seen.revoked)
        return 1;
    erabi_reg_revoked(r, p);
    if (r->persist)
        r->persist(r->user, id);
    return 0;
}

void erabi_registry_restore_revoked(struct erabi_registry *r, const char *id)
{
    struct party *p = erabi_reg_slot(r, id);
    if (p) {
        if (p->seen.index != r->owner)
            erabi_reg_revoked(r, p);
        return;
    }
    /* Nobody now; a later configuration may name it. */
    erabi_party_text *more = realloc(r->absent, (r->n_absent + 1) * sizeof(*more));
    r->absent_lost = r->absent_lost || !more;
    if (!more)
        return;
    r->absent = more;
    erabi_copy_text(r->absent[r->n_absent++], sizeof(*more), id);
}
