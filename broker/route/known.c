#include "route/known.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"

struct order {
    struct erabi_id_entry entry; /* first; a digest of from, to and order */
    uint8_t newest[ERAB_ID_SIZE];
    uint32_t modification;
    uint64_t until_ms;
};

struct erabi_known *erabi_known_find(const struct erabi_known_table *table, const uint8_t id[ERAB_ID_SIZE])
{
    return (struct erabi_known *)erabi_id_table_find(&table->ids, id); /* entry is the first member */
}

struct erabi_known *erabi_known_add(struct erabi_known_table *table, const struct erab_header *header,
                                    const uint8_t hash[ERAB_HASH_SIZE])
{
    if (table->ids.n >= ERABI_KNOWN_MAX)
        return NULL;
    struct erabi_known *known = calloc(1, sizeof(*known));
    if (!known)
        return NULL;
    erabi_copy_bytes(known->entry.id, header->id, ERAB_ID_SIZE);
    erabi_copy_bytes(known->hash, hash, ERAB_HASH_SIZE);
    known->expires_at_ms = header->expires_at_ms;
    known->type = header->type;
    known->state = ERAB_QUEUED;
    known->exercise = header->exercise;
    known->source = known->party = UINT32_MAX;
    erabi_copy_text(known->from, sizeof(known->from), header->from);
    erabi_copy_text(known->to, sizeof(known->to), header->to);
    if (erabi_id_table_add(&table->ids, &known->entry) < 0) {
        free(known);
        return NULL;
    }
    return known;
}

bool erabi_known_room(const struct erabi_known_table *table, enum erab_lane lane, uint32_t party)
{
    if (lane == ERAB_LANE_COMMAND || !table->charged)
        return true;
    return table->others < ERABI_KNOWN_OTHER_MAX && table->charged[party] < ERABI_KNOWN_PARTY_MAX;
}

void erabi_known_charge(struct erabi_known_table *table, struct erabi_known *known, uint32_t party)
{
    if (erab_type_lane(known->type) == ERAB_LANE_COMMAND || !table->charged)
        return;
    known->party = party;
    table->charged[party]++;
    table->others++;
}

static void discharge(struct erabi_known_table *table, const struct erabi_known *known)
{
    if (known->party == UINT32_MAX)
        return;
    table->charged[known->party]--;
    table->others--;
}

void erabi_known_forget(struct erabi_known_table *table, struct erabi_known *known)
{
    discharge(table, known);
    erabi_id_table_remove(&table->ids, &known->entry);
    free(known);
}

/* NUL between the parts: none of them can hold one. */
static void order_key(const char *from, const char *to, const char *order, uint8_t key[ERAB_ID_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, ERAB_ID_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)from, strlen(from) + 1);
    crypto_generichash_update(&state, (const uint8_t *)to, strlen(to) + 1);
    crypto_generichash_update(&state, (const uint8_t *)order, strlen(order) + 1);
    crypto_generichash_final(&state, key, ERAB_ID_SIZE);
}

void erabi_known_order(struct erabi_known *known, const ProtobufCMessage *body)
{
    if (known->type == ERAB_DISPATCH && body) {
        const Erab__V1__Dispatch *dispatch = (const void *)body;
        known->ends_at_ms = dispatch->end_ms;
        known->modification = dispatch->modification;
        order_key(known->from, known->to, dispatch->order, known->order);
        known->has_order = true;
    } else if (known->type == ERAB_DEVICE_COMMAND && body) {
        const Erab__V1__DeviceCommand *command = (const void *)body;
        known->ends_at_ms = command->end_ms;
    }
}

enum erab_reason erabi_order_window(enum erab_type type, const ProtobufCMessage *body, uint64_t now_ms)
{
    uint64_t start, end;
    if (type == ERAB_DISPATCH) {
        const Erab__V1__Dispatch *dispatch = (const void *)body;
        start = dispatch->start_ms;
        end = dispatch->end_ms;
    } else if (type == ERAB_DEVICE_COMMAND) {
        const Erab__V1__DeviceCommand *command = (const void *)body;
        start = command->start_ms;
        end = command->end_ms;
    } else {
        return ERAB_REASON_NONE;
    }
    if (end <= start)
        return ERAB_REASON_WINDOW_UNBOUNDED;
    return end <= now_ms ? ERAB_REASON_WINDOW_PAST : ERAB_REASON_NONE;
}

enum erab_reason erabi_known_parent(const struct erabi_known *parent, const struct erab_header *child,
                                    bool ended_too, uint64_t now_ms)
{
    if (memcmp(parent->hash, child->parent_hash, ERAB_HASH_SIZE) != 0)
        return ERAB_REASON_PARENT_MISMATCH;
    /* An order to a group is a parent for each of its members; the group's own rule let them have it. A cancel or a
     * restore may name the sender's own order: nothing new begins with it. */
    bool received = parent->to[0] == '@' || strcmp(parent->to, child->from) == 0;
    if (!received && !(ended_too && strcmp(parent->from, child->from) == 0))
        return ERAB_REASON_PARENT_MISMATCH;
    if (parent->exercise && !child->exercise)
        return ERAB_REASON_EXERCISE_MISMATCH;
    if (ended_too)
        return ERAB_REASON_NONE;
    if (parent->ends_at_ms == 0)
        return ERAB_REASON_PARENT_MISMATCH;
    if (parent->cancelled || parent->ends_at_ms <= now_ms)
        return ERAB_REASON_PARENT_ENDED;
    return ERAB_REASON_NONE;
}

enum erab_reason erabi_known_modification(const struct erabi_known_table *table, const struct erab_header *header,
                                          const ProtobufCMessage *body)
{
    if (header->type != ERAB_DISPATCH || !body)
        return ERAB_REASON_NONE;
    const Erab__V1__Dispatch *dispatch = (const void *)body;
    uint8_t key[ERAB_ID_SIZE];
    order_key(header->from, header->to, dispatch->order, key);
    const struct order *order = (const struct order *)erabi_id_table_find(&table->orders, key);
    return order && order->modification > dispatch->modification ? ERAB_REASON_SUPERSEDED : ERAB_REASON_NONE;
}

static uint64_t matters_until(const struct erabi_known *known)
{
    uint64_t ends = known->ends_at_ms > known->expires_at_ms ? known->ends_at_ms : known->expires_at_ms;
    return ends + ERABI_KNOWN_AFTER_END_MS;
}

struct erabi_known *erabi_known_supersede(struct erabi_known_table *table, struct erabi_known *known)
{
    if (known->type != ERAB_DISPATCH || !known->has_order)
        return NULL;
    uint8_t key[ERAB_ID_SIZE];
    erabi_copy_bytes(key, known->order, sizeof(key));
    struct order *order = (struct order *)erabi_id_table_find(&table->orders, key);
    if (!order) {
        order = calloc(1, sizeof(*order));
        if (!order)
            return NULL;
        erabi_copy_bytes(order->entry.id, key, sizeof(key));
        if (erabi_id_table_add(&table->orders, &order->entry) < 0) {
            free(order);
            return NULL;
        }
    } else if (order->modification > known->modification) {
        known->cancelled = true;
        return known;
    }
    struct erabi_known *older =
        order->modification < known->modification ? erabi_known_find(table, order->newest) : NULL;
    erabi_copy_bytes(order->newest, known->entry.id, ERAB_ID_SIZE);
    order->modification = known->modification;
    if (matters_until(known) > order->until_ms)
        order->until_ms = matters_until(known);
    if (older && older != known)
        older->cancelled = true;
    return older != known ? older : NULL;
}

struct sweep {
    struct erabi_known_table *table;
    uint64_t now_ms;
};

bool erabi_known_over(const struct erabi_known *known, uint64_t now_ms)
{
    return now_ms >= known->expires_at_ms &&
           !(known->ends_at_ms && now_ms < known->ends_at_ms + ERABI_KNOWN_AFTER_END_MS);
}

static int over(struct erabi_id_entry *entry, void *user)
{
    struct erabi_known *known = (struct erabi_known *)entry;
    const struct sweep *sweep = user;
    if (known->state == ERAB_QUEUED || !erabi_known_over(known, sweep->now_ms)) /* QUEUED: its commit refers to it */
        return 0;
    discharge(sweep->table, known);
    free(known);
    return 1;
}

static int order_over(struct erabi_id_entry *entry, void *user)
{
    const struct order *order = (const struct order *)entry;
    if (((const struct sweep *)user)->now_ms < order->until_ms)
        return 0;
    free(entry);
    return 1;
}

void erabi_known_tick(struct erabi_known_table *table, uint64_t now_ms)
{
    struct sweep sweep = {table, now_ms};
    erabi_id_table_sweep(&table->ids, &table->cursor, 60, over, &sweep);
    erabi_id_table_sweep(&table->orders, &table->orders_cursor, 60, order_over, &sweep);
}

static void free_entry(struct erabi_id_entry *entry)
{
    free(entry);
}

void erabi_known_deinit(struct erabi_known_table *table)
{
    erabi_id_table_deinit(&table->ids, free_entry);
    erabi_id_table_deinit(&table->orders, free_entry);
}
