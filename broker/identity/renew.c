/* The registry of a new configuration: what was learned at run time goes over into it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "identity/registry_internal.h"

static int carry_adapters(struct erabi_registry *r, const struct erabi_registry *before)
{
    for (uint32_t i = 0; i < before->n_keys; i++) {
        const struct key_row *row = &before->keys[i];
        if (row->attachment == ERABI_PARTY_NONE)
            continue;
        const struct attached *a = &before->attachments[row->attachment];
        if (a->seen.kind != ERABI_ATTACH_ADAPTER || a->seen.party != ERABI_PARTY_NONE)
            continue;
        int f = erabi_registry_add_adapter(r, a->name, row->key, a->has_proxy ? a->proxy : NULL);
        if (f < 0 && f != -ENOENT) /* -ENOENT: the instance is no longer in the configuration */
            return f;
    }
    return 0;
}

/* Enrolled parties and newer keys. The row of a party that the configuration has no more waits for its return. */
static int carry_rows(struct erabi_registry *r, const struct erabi_registry *before, uint64_t now_ms)
{
    for (uint32_t i = 0; i < before->n_parties; i++) {
        struct erabi_party_row *row = before->parties[i].row ? malloc(sizeof(*row)) : NULL;
        if (!row && before->parties[i].row)
            return -ENOMEM;
        if (!row)
            continue;
        *row = *before->parties[i].row;
        row->configured = row->configured || !r->parties[i].gone; /* enrolled and configured: the configuration counts */
        int f = erabi_registry_put(r, row, now_ms);
        if (f == -ENOENT) {
            r->parties[i].row = erabi_take(row);
            r->n_rows++;
            f = 0;
        }
        free(row);
        if (f < 0)
            return f;
    }
    return 0;
}

static int carry(struct erabi_registry *r, const struct erabi_registry *before, uint64_t now_ms)
{
    int f = carry_adapters(r, before);
    if (f == 0)
        f = carry_rows(r, before, now_ms);
    for (uint32_t i = 0; f == 0 && i < before->n_parties; i++)
        if (before->parties[i].banned)
            erabi_reg_revoked(r, &r->parties[i]);
    for (size_t i = 0; f == 0 && i < before->n_absent; i++)
        erabi_reg_revoked(r, erabi_reg_slot(r, before->absent[i]));
    return f;
}

int erabi_registry_renew(struct erabi_registry **out, const struct erabi_config *config,
                         const struct erabi_registry *before, uint64_t now_ms)
{
    *out = NULL;
    size_t slots = before->n_parties + before->n_absent;
    if (before->absent_lost)
        return -ENOMEM;
    if (slots > ERABI_SLOTS_MAX)
        return -ENOSPC;
    struct erabi_registry *r = erabi_reg_empty(config, slots, before->has_owner_key ? before->owner_key : NULL,
                                               before->persist, before->user);
    if (!r)
        return -ENOMEM;
    for (uint32_t i = 0; i < before->n_parties; i++) {
        struct party *p = erabi_reg_add_slot(r, before->parties[i].id);
        p->seen.role = before->parties[i].seen.role; /* so that senders to one that is gone are found */
        erabi_copy_text(p->firm, sizeof(p->firm), before->parties[i].firm);
    }
    for (size_t i = 0; i < before->n_absent; i++)
        if (!erabi_reg_slot(r, before->absent[i]))
            erabi_reg_add_slot(r, before->absent[i]);
    int f = erabi_reg_fill(r, config);
    if (f == 0)
        f = carry(r, before, now_ms);
    if (f < 0) {
        erabi_registry_free(r);
        return f;
    }
    *out = r;
    return 0;
}

const struct erabi_attachment *erabi_registry_again(const struct erabi_registry *r, const struct erabi_attachment *of)
{
    const struct party *p = of->dialled || of->party == ERABI_PARTY_NONE ? NULL : erabi_reg_party(r, of->name);
    if (p) {
        const struct erabi_attachment *a = p->own == ERABI_PARTY_NONE ? NULL : &r->attachments[p->own].seen;
        return a && a->kind == of->kind ? a : NULL;
    }
    for (uint32_t i = 0; i < r->n_attachments; i++) {
        const struct erabi_attachment *a = &r->attachments[i].seen;
        if (a->kind == of->kind && a->dialled == of->dialled && a->party == of->party && strcmp(a->name, of->name) == 0)
            return a;
    }
    return NULL;
}
