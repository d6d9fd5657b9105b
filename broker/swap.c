/* What closes while the broker runs: a configuration that takes another's place, an interface that is isolated. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "takers.h"

/* Stands for the attachment of a target that no configuration has any more, until the party comes back. */
struct gone {
    struct erabi_attachment seen;
    erabi_party_text name;
};

static struct gone *gone_new(const struct erabi_attachment *of)
{
    struct gone *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    erabi_copy_text(g->name, sizeof(g->name), of->name);
    g->seen = (struct erabi_attachment){
        .kind = of->kind, .party = of->party, .name = g->name, .dialled = of->dialled, .revoked = true};
    return g;
}

/* Is it still the same party, reached over the same interface? */
static bool same_party(const struct erabi_target *target, const struct erabi_registry *before,
                       const struct erabi_attachment *a, const struct erabi_registry *now,
                       const struct erabi_attachment *b)
{
    if (b->interfaces && target->interface != ERAB_IF_NONE && !(b->interfaces >> target->interface & 1))
        return false;
    const struct erabi_registry_party *x = erabi_registry_party_at(before, a->party);
    const struct erabi_registry_party *y = erabi_registry_party_at(now, b->party);
    return !x || !y || (x->role == y->role && strcmp(x->firm, y->firm) == 0);
}

static void free_tables(struct erabi_pipeline *tables)
{
    erabi_gather_deinit(&tables->gathers);
    free(tables->outlets);
    free(tables->seqs);
    free(tables->known.charged);
    free(tables->marks.charged);
    erabi_tables_free(&tables->tables);
}

static void swap_free(struct erabi_swap *swap, struct erabi_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->n_targets; i++) {
        struct erabi_target *target = pipeline->targets[i];
        if (target->gone && target->attachment != &((struct gone *)target->gone)->seen) {
            free(target->gone);
            target->gone = NULL;
        }
    }
    free_tables(&swap->tables);
    free(swap->next);
    free(swap->emptied);
    *swap = (struct erabi_swap){0};
}

int erabi_pipeline_swap_prepare(struct erabi_swap *swap, struct erabi_pipeline *pipeline,
                                struct erabi_snapshot *snapshot)
{
    size_t before = erabi_registry_count(pipeline->registry);
    *swap = (struct erabi_swap){.snapshot = snapshot,
                                .tables = {.config = snapshot->config, .registry = snapshot->registry},
                                .next = calloc(pipeline->n_targets + 1, sizeof(struct erabi_attachment *)),
                                .emptied = calloc(pipeline->n_targets + 1, sizeof(bool))};
    if (erabi_outlets_init(&swap->tables) < 0 || !swap->next || !swap->emptied)
        goto no_memory;
    erabi_copy_bytes(swap->tables.seqs, pipeline->seqs, before * sizeof(*pipeline->seqs));
    for (size_t i = 0; i < pipeline->n_targets; i++) {
        struct erabi_target *target = pipeline->targets[i];
        const struct erabi_attachment *a = target->attachment;
        const struct erabi_attachment *b = a == &pipeline->self ? a : erabi_registry_again(snapshot->registry, a);
        swap->emptied[i] = !b || (b != a && !same_party(target, pipeline->registry, a, snapshot->registry, b));
        if (!b && !target->gone && !(target->gone = gone_new(a)))
            goto no_memory;
        swap->next[i] = b ? b : &((struct gone *)target->gone)->seen;
    }
    return 0;
no_memory:
    swap_free(swap, pipeline);
    return -ENOMEM;
}

#define EXCHANGE(a, b)           \
    do {                         \
        __typeof__(a) old_ = a;  \
        a = b;                   \
        b = old_;                \
    } while (0)

static void set_parts(struct erabi_pipeline *pipeline, struct erabi_swap *swap)
{
    struct erabi_snapshot *s = swap->snapshot;
    struct erabi_pipeline *tables = &swap->tables; /* the old ones are freed with it */
    size_t before = erabi_registry_count(pipeline->registry);
    /* What a party owes is counted now: a message may have come since. */
    erabi_copy_bytes(tables->known.charged, pipeline->known.charged, before * sizeof(*tables->known.charged));
    erabi_copy_bytes(tables->marks.charged, pipeline->marks.charged, before * sizeof(*tables->marks.charged));
    EXCHANGE(pipeline->outlets, tables->outlets); /* filled anew when first used */
    EXCHANGE(pipeline->seqs, tables->seqs);
    EXCHANGE(pipeline->known.charged, tables->known.charged);
    EXCHANGE(pipeline->marks.charged, tables->marks.charged);
    EXCHANGE(pipeline->tables, tables->tables);
    pipeline->snapshot = s;
    pipeline->config = s->config;
    pipeline->profile = s->profile;
    pipeline->registry = s->registry;
    const struct erabi_registry_party *owner = erabi_registry_owner(s->registry);
    pipeline->self.party = owner->index;
    pipeline->self.speaks_for = &owner->index;
}

void erabi_pipeline_swap(struct erabi_swap *swap, struct erabi_pipeline *pipeline,
                         void (*cut)(void *user, struct erabi_target *target), void *user)
{
    struct erabi_snapshot *before = pipeline->snapshot;
    size_t n = pipeline->n_targets; /* an answer to a sender may add one */
    set_parts(pipeline, swap);
    for (size_t i = 0; i < n; i++)
        pipeline->targets[i]->attachment = swap->next[i];
    erabi_outlets_rekey(pipeline);
    for (size_t i = 0; i < n; i++) {
        if (!swap->emptied[i])
            continue;
        cut(user, pipeline->targets[i]);
        erabi_pipeline_drop(pipeline, pipeline->targets[i], ERAB_REASON_RECIPIENT_UNKNOWN);
    }
    swap_free(swap, pipeline);
    erabi_snapshot_unref(before);
    erabi_takers_settle(pipeline);
}

/* ---- isolation ---- */

struct isolating {
    struct erabi_pipeline *pipeline;
    const struct erabi_target *target;
    enum erab_interface interface;
};

static bool on_interface(const struct isolating *i, const struct erabi_registry_party *from,
                         const struct erabi_registry_party *to)
{
    return from && to &&
           erabi_profile_pair(i->pipeline->profile, from->role, to->role).interface == i->interface;
}

/* A local target carries several interfaces: the pair of parties says which. */
static bool of_interface(void *user, const struct erabi_delivery *delivery)
{
    const struct isolating *i = user;
    const struct erabi_registry *registry = i->pipeline->registry;
    if (i->target->interface != ERAB_IF_NONE)
        return i->target->interface == i->interface;
    return on_interface(i, erabi_registry_party(registry, delivery->parcel->header.from),
                        erabi_registry_party_at(registry, delivery->party));
}

void erabi_pipeline_isolate(struct erabi_pipeline *pipeline, enum erab_interface interface, bool isolated)
{
    uint64_t bit = UINT64_C(1) << interface;
    pipeline->isolated = isolated ? pipeline->isolated | bit : pipeline->isolated & ~bit;
    for (size_t i = 0, n = pipeline->n_targets; isolated && i < n; i++) {
        struct isolating isolating = {pipeline, pipeline->targets[i], interface};
        erabi_target_drop(pipeline->targets[i], of_interface, &isolating, ERAB_REASON_BREAKER_OPEN);
    }
}
