#include "route/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

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
    erabi_copy_text(known->from, sizeof(known->from), header->from);
    erabi_copy_text(known->to, sizeof(known->to), header->to);
    if (erabi_id_table_add(&table->ids, &known->entry) < 0) {
        free(known);
        return NULL;
    }
    return known;
}

void erabi_known_forget(struct erabi_known_table *table, struct erabi_known *known)
{
    erabi_id_table_remove(&table->ids, &known->entry);
    free(known);
}

void erabi_known_order(struct erabi_known *known, const ProtobufCMessage *body)
{
    if (known->type == ERAB_DISPATCH && body) {
        const Erab__V1__Dispatch *dispatch = (const void *)body;
        known->ends_at_ms = dispatch->end_ms;
        known->modification = dispatch->modification;
        erabi_copy_text(known->order, sizeof(known->order), dispatch->order);
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
    /* An order to a group is a parent for each of its members; the group's own rule let them have it. Its sender
     * names it, too: in the cancel. */
    if (parent->to[0] != '@' && strcmp(parent->to, child->from) != 0 && strcmp(parent->from, child->from) != 0)
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

/* Ended orders stay one hour longer, for a cancel or a restore may still name them. */
#define AFTER_END_MS 3600000u

static int over(struct erabi_id_entry *entry, void *user)
{
    struct erabi_known *known = (struct erabi_known *)entry;
    uint64_t now = *(const uint64_t *)user;
    if (known->state == ERAB_QUEUED) /* its commit still refers to it */
        return 0;
    if (now < known->expires_at_ms || (known->ends_at_ms && now < known->ends_at_ms + AFTER_END_MS))
        return 0;
    free(known);
    return 1;
}

void erabi_known_tick(struct erabi_known_table *table, uint64_t now_ms)
{
    erabi_id_table_sweep(&table->ids, &table->cursor, 60, over, &now_ms);
}

static void free_entry(struct erabi_id_entry *entry)
{
    free(entry);
}

void erabi_known_deinit(struct erabi_known_table *table)
{
    erabi_id_table_deinit(&table->ids, free_entry);
}
