#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"
#include "identity/registry_internal.h"

enum erab_reason erabi_registry_admits(const struct erabi_registry *r, const uint8_t key[ERAB_KEY_SIZE],
                                       uint64_t now_ms, bool *seed)
{
    const struct key_row *row = erabi_reg_key(r, key);
    *seed = row && row->seed;
    if (!row)
        return ERAB_REASON_UNKNOWN_KEY;
    const struct erabi_attachment *a = &r->attachments[row->attachment].seen;
    const struct party *p = a->party == ERABI_PARTY_NONE ? NULL : &r->parties[a->party];
    if (a->revoked)
        return ERAB_REASON_REVOKED;
    if (row->seed && p->row->state != ERABI_PARTY_INVITED)
        return p->row->state == ERABI_PARTY_DENIED ? ERAB_REASON_DENIED : ERAB_REASON_INVITATION_USED;
    if (now_ms >= row->until_ms)
        return row->seed ? ERAB_REASON_INVITATION_EXPIRED : ERAB_REASON_KEY_EXPIRED;
    if (row->seed || !p || !p->seen.waiting)
        return ERAB_REASON_NONE;
    return p->row->state == ERABI_PARTY_DENIED ? ERAB_REASON_DENIED : ERAB_REASON_NOT_APPROVED;
}

/* ---- taking a row over ---- */

static int speak(struct erabi_registry *r, struct attached *a, const struct erabi_party_row *row, uint32_t self)
{
    uint32_t *list = calloc(row->n_speaks_for + 1, sizeof(*list));
    if (!list)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < row->n_speaks_for; i++) {
        const struct party *p = erabi_reg_party(r, row->speaks_for[i]);
        if (p && p->seen.index != r->owner)
            list[n++] = p->seen.index;
    }
    if (row->n_speaks_for == 0)
        list[n++] = self;
    qsort(list, n, sizeof(*list), erabi_reg_by_number);
    free(a->speaks_for);
    a->speaks_for = list;
    a->seen.speaks_for = list;
    a->seen.n_speaks_for = n;
    return 0;
}

/* The party of an enrolment, as its row says. */
static int enrol(struct erabi_registry *r, const struct erabi_party_row *row, struct party **out)
{
    struct party *p = erabi_reg_party(r, row->id);
    if (!p) {
        struct erabi_config_party from = {.role = row->role, .attachment = {.kind = row->kind}};
        erabi_copy_text(from.id, sizeof(from.id), row->id);
        erabi_copy_text(from.firm, sizeof(from.firm), row->firm);
        int f = erabi_reg_add_party(r, &from);
        if (f < 0)
            return f;
        p = erabi_reg_party(r, row->id);
    }
    erabi_copy_text(p->firm, sizeof(p->firm), row->firm);
    p->seen.role = (enum erab_role)row->role;
    p->seen.waiting = row->state != ERABI_PARTY_ACTIVE;
    erabi_party_text id;
    erabi_copy_text(id, sizeof(id), row->id);
    int f = p->own == ERABI_PARTY_NONE ? erabi_reg_add_attachment(r, (enum erabi_attachment_kind)row->kind,
                                                                  p->seen.index, row->id, &id, 1, &p->own)
                                       : 0;
    if (f < 0)
        return f;
    struct attached *a = &r->attachments[p->own];
    a->seen.kind = (enum erabi_attachment_kind)row->kind;
    a->seen.interfaces = row->interfaces;
    a->seen.types = row->types;
    *out = p;
    return speak(r, a, row, p->seen.index);
}

static void drop_keys(struct erabi_registry *r, uint32_t attachment)
{
    for (uint32_t i = 0; i < r->n_keys; i++)
        if (r->keys[i].attachment == attachment) {
            erabi_key_bytes key;
            erabi_copy_bytes(key, r->keys[i].key, sizeof(key));
            erabi_reg_drop_key(r, key);
        }
}

static int put_keys(struct erabi_registry *r, struct party *p, const struct erabi_party_row *row)
{
    int f = 0;
    uint32_t at = p->own != ERABI_PARTY_NONE ? p->own : p->reached;
    if (!row->configured) {
        drop_keys(r, p->own);
        p->seen.n_sign_keys = 0;
        f = erabi_reg_add_key(r, row->seed, at, row->invited_until_ms, true);
    }
    for (size_t i = 0; i < row->n_keys && f == 0; i++) {
        const struct erabi_row_key *key = &row->keys[i];
        struct key_row *there = erabi_reg_key(r, key->curve);
        if (sodium_is_zero(key->curve, ERAB_KEY_SIZE) || at == ERABI_PARTY_NONE)
            f = 0; /* a signature key only */
        else if (there && there->attachment == at)
            there->until_ms = key->until_ms;
        else
            f = erabi_reg_add_key(r, key->curve, at, key->until_ms, false);
        if (f == 0)
            f = erabi_reg_add_sign_key(p, key->sign, key->until_ms);
    }
    return f;
}

static void drop_sign_keys(struct party *p, uint64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < p->seen.n_sign_keys; i++) {
        if (now_ms >= p->sign_until[i])
            continue;
        if (n != i)
            erabi_copy_bytes(p->sign_keys[n], p->sign_keys[i], ERAB_KEY_SIZE);
        p->sign_until[n++] = p->sign_until[i];
    }
    p->seen.n_sign_keys = n;
}

static void find_next_end(struct erabi_registry *r, uint64_t now_ms)
{
    uint64_t next = ERABI_FOR_EVER;
    for (uint32_t i = 0; i < r->n_keys; i++)
        if (r->keys[i].attachment != ERABI_PARTY_NONE && r->keys[i].until_ms > now_ms && r->keys[i].until_ms < next)
            next = r->keys[i].until_ms;
    for (uint32_t i = 0; i < r->n_parties; i++)
        for (size_t k = 0; k < r->parties[i].seen.n_sign_keys; k++)
            if (r->parties[i].sign_until[k] < next)
                next = r->parties[i].sign_until[k];
    r->next_end_ms = next;
}

/* The list grows before anything is changed. */
static int list_group(struct erabi_registry *r, const struct erabi_party_row *row)
{
    const struct party *p = erabi_reg_slot(r, row->id);
    for (size_t i = 0; p && i < r->n_grouped; i++)
        if (r->grouped[i] == p->seen.index)
            return 0;
    uint32_t *more = realloc(r->grouped, (r->n_grouped + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    r->grouped = more;
    more[r->n_grouped++] = p ? p->seen.index : r->n_parties; /* the index that it will have */
    return 0;
}

size_t erabi_registry_group(const struct erabi_registry *r, const char *group, const struct erabi_registry_party **out,
                            size_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_grouped && n < most; i++) {
        const struct party *p = r->grouped[i] < r->n_parties ? &r->parties[r->grouped[i]] : NULL;
        if (!p || p->gone || !p->row || p->row->configured || p->row->state != ERABI_PARTY_ACTIVE)
            continue;
        for (size_t k = 0; k < p->row->n_groups; k++)
            if (strcmp(p->row->groups[k], group) == 0)
                out[n++] = &p->seen;
    }
    return n;
}

size_t erabi_registry_grouped(const struct erabi_registry *r)
{
    return r->n_grouped;
}

int erabi_registry_put(struct erabi_registry *r, const struct erabi_party_row *row, uint64_t now_ms)
{
    struct party *p = NULL;
    struct erabi_party_row *copy = malloc(sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *copy = *row;
    int f = row->n_groups ? list_group(r, row) : 0;
    if (f < 0)
        free(copy);
    if (f < 0)
        return f;
    if (row->configured)
        f = (p = erabi_reg_party(r, row->id)) ? 0 : -ENOENT;
    else
        f = enrol(r, row, &p);
    if (f < 0) {
        free(copy);
        return f;
    }
    r->n_rows += p->row == NULL;
    free(p->row);
    p->row = copy;
    f = put_keys(r, p, row);
    drop_sign_keys(p, now_ms);
    find_next_end(r, now_ms);
    return f;
}

struct erabi_party_row *erabi_registry_row(const struct erabi_registry *r, const char *id)
{
    const struct party *p = erabi_reg_party(r, id);
    return p ? p->row : NULL;
}

size_t erabi_registry_rows(const struct erabi_registry *r)
{
    return r->n_rows;
}

bool erabi_registry_row_copy(const struct erabi_registry *r, const char *id, struct erabi_party_row *out)
{
    const struct party *p = erabi_reg_party(r, id);
    if (!p)
        return false;
    if (p->row) {
        *out = *p->row;
        return true;
    }
    *out = (struct erabi_party_row){.configured = true, .role = (unsigned)p->seen.role};
    erabi_copy_text(out->id, sizeof(out->id), p->id);
    erabi_copy_text(out->firm, sizeof(out->firm), p->firm);
    return true;
}

bool erabi_registry_uses(const struct erabi_registry *r, const uint8_t key[ERAB_KEY_SIZE])
{
    if (erabi_reg_key(r, key))
        return true;
    for (uint32_t i = 0; i < r->n_parties; i++)
        for (size_t k = 0; k < r->parties[i].seen.n_sign_keys; k++)
            if (sodium_memcmp(r->parties[i].sign_keys[k], key, ERAB_KEY_SIZE) == 0)
                return true;
    return false;
}

bool erabi_registry_owns(const struct erabi_registry *r, uint32_t party, const uint8_t key[ERAB_KEY_SIZE],
                         uint64_t now_ms)
{
    const struct key_row *row = erabi_reg_key(r, key);
    return row && !row->seed && r->attachments[row->attachment].seen.party == party && now_ms < row->until_ms;
}

int erabi_registry_sign_key(struct erabi_registry *r, const char *id, const uint8_t key[ERAB_KEY_SIZE],
                            uint64_t until_ms, uint64_t now_ms)
{
    struct party *p = erabi_reg_party(r, id);
    if (!p)
        return -ENOENT;
    int f = erabi_reg_add_sign_key(p, key, until_ms);
    drop_sign_keys(p, now_ms);
    find_next_end(r, now_ms);
    return f;
}

bool erabi_registry_tick(struct erabi_registry *r, uint64_t now_ms)
{
    if (now_ms < r->next_end_ms)
        return false;
    for (uint32_t i = 0; i < r->n_parties; i++)
        drop_sign_keys(&r->parties[i], now_ms);
    find_next_end(r, now_ms);
    return true;
}
