#include "route/gather.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cursor.h"

void erabi_gather_init(struct erabi_gather_table *table)
{
    *table = (struct erabi_gather_table){.members = 0};
    TAILQ_INIT(&table->list);
}

void erabi_gather_deinit(struct erabi_gather_table *table)
{
    struct erabi_gather *g;
    while ((g = TAILQ_FIRST(&table->list)))
        erabi_gather_free(table, g);
    erabi_id_table_deinit(&table->ids, NULL);
}

struct erabi_gather *erabi_gather_new(struct erabi_gather_table *table, const struct erab_header *header,
                                      const uint8_t hash[ERAB_HASH_SIZE], size_t n)
{
    if (n > ERABI_GATHER_MEMBERS_MAX - table->members)
        return NULL;
    struct erabi_gather *g = calloc(1, sizeof(*g) + n * sizeof(g->members[0]));
    if (!g)
        return NULL;
    erabi_copy_bytes(g->entry.id, header->id, ERAB_ID_SIZE);
    erabi_copy_bytes(g->hash, hash, ERAB_HASH_SIZE);
    erabi_copy_text(g->from, sizeof(g->from), header->from);
    g->expires_at_ms = header->expires_at_ms;
    g->exercise = header->exercise;
    g->room = n;
    if (erabi_id_table_add(&table->ids, &g->entry) < 0) {
        free(g);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&table->list, g, link);
    table->members += n;
    return g;
}

void erabi_gather_free(struct erabi_gather_table *table, struct erabi_gather *g)
{
    if (!g)
        return;
    erabi_id_table_remove(&table->ids, &g->entry);
    TAILQ_REMOVE(&table->list, g, link);
    table->members -= g->room;
    free(g);
}

struct erabi_gather *erabi_gather_find(const struct erabi_gather_table *table, const uint8_t id[ERAB_ID_SIZE])
{
    return (struct erabi_gather *)erabi_id_table_find(&table->ids, id); /* entry is the first member */
}

/* Where this party stands, or would. */
static size_t place(const struct erabi_gather *g, uint32_t party)
{
    size_t low = 0, high = g->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->members[middle].party < party)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void erabi_gather_add(struct erabi_gather *g, uint32_t party, enum erab_receipt_state state, enum erab_reason reason)
{
    size_t at = place(g, party);
    assert(g->n < g->room);
    for (size_t i = g->n; i > at; i--)
        g->members[i] = g->members[i - 1];
    g->members[at] = (struct erabi_gather_member){party, state, reason};
    g->n++;
}

static bool ended(enum erab_receipt_state state)
{
    return state == ERAB_APPLIED || state == ERAB_EXPIRED || state == ERAB_REFUSED;
}

int erabi_gather_note(struct erabi_gather *g, uint32_t party, enum erab_receipt_state state, enum erab_reason reason)
{
    size_t at = place(g, party);
    if (at == g->n || g->members[at].party != party)
        return 0;
    struct erabi_gather_member *m = &g->members[at];
    if (ended(m->state) || state <= m->state) /* the numbers rise with what has been reached */
        return 0;
    m->state = state;
    m->reason = reason;
    g->news = true;
    return 1;
}

enum erab_receipt_state erabi_gather_state(const struct erabi_gather *g)
{
    enum erab_receipt_state least = ERAB_REFUSED;
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i].state < least)
            least = g->members[i].state;
    return least;
}

bool erabi_gather_over(const struct erabi_gather *g, uint64_t now_ms)
{
    if (g->expires_at_ms <= now_ms)
        return true;
    for (size_t i = 0; i < g->n; i++)
        if (!ended(g->members[i].state))
            return false;
    return true;
}
