/* Where messages leave the broker, and what of them comes back from the journal after a restart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "takers.h"

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct erabi_config_group *const *)a)->id, (*(const struct erabi_config_group *const *)b)->id);
}

/* Who names the types it takes comes before who takes all: one taker each. */
static void collect_locals(struct erabi_tables *tables, const struct erabi_config *config,
                           const struct erabi_registry *registry)
{
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < config->n_parties; i++) {
            const struct erabi_config_party *party = &config->parties[i];
            if (party->attachment.kind != ERABI_ATTACH_LOCAL || party->n_curve_keys == 0)
                continue;
            const struct erabi_attachment *a = erabi_registry_key(registry, party->curve_keys[0]);
            if (a && (a->types == ~UINT64_C(0)) == (turn == 1))
                tables->locals[tables->n_locals++] = a;
        }
    }
}

int erabi_tables_make(struct erabi_tables *tables, const struct erabi_config *config,
                      const struct erabi_registry *registry)
{
    *tables = (struct erabi_tables){.groups = calloc(config->n_groups + 1, sizeof(*tables->groups)),
                                    .locals = calloc(config->n_parties + 1, sizeof(*tables->locals)),
                                    .n_groups = config->n_groups};
    if (!tables->groups || !tables->locals) {
        erabi_tables_free(tables);
        return -ENOMEM;
    }
    for (size_t i = 0; i < config->n_groups; i++)
        tables->groups[i] = &config->groups[i];
    qsort(tables->groups, config->n_groups, sizeof(*tables->groups), by_id);
    collect_locals(tables, config, registry);
    return 0;
}

void erabi_tables_free(struct erabi_tables *tables)
{
    free(tables->groups);
    free(tables->locals);
    *tables = (struct erabi_tables){0};
}

int erabi_outlets_init(struct erabi_pipeline *pipeline)
{
    size_t n = erabi_registry_capacity(pipeline->registry);
    erabi_gather_init(&pipeline->gathers);
    pipeline->outlets = calloc(n * ERAB_IF_COUNT, sizeof(*pipeline->outlets));
    pipeline->seqs = calloc(n, sizeof(*pipeline->seqs));
    pipeline->known.charged = calloc(n, sizeof(*pipeline->known.charged));
    pipeline->marks.charged = calloc(n, sizeof(*pipeline->marks.charged));
    if (!pipeline->outlets || !pipeline->seqs || !pipeline->known.charged || !pipeline->marks.charged)
        return -ENOMEM;
    return erabi_tables_make(&pipeline->tables, pipeline->config, pipeline->registry);
}

const struct erabi_config_group *erabi_pipeline_group(const struct erabi_pipeline *pipeline, const char *id)
{
    const struct erabi_tables *tables = &pipeline->tables;
    size_t low = 0, high = tables->n_groups;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(tables->groups[middle]->id, id);
        if (order == 0)
            return tables->groups[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void target_key(const struct erabi_attachment *attachment, enum erab_interface interface, uint8_t key[16])
{
    struct erabi_writer w = erabi_writer(key, 16);
    erabi_write_u64(&w, (uint64_t)(uintptr_t)attachment);
    erabi_write_u64(&w, (uint64_t)interface);
}

/* As many go in as came out: the table never grows here. */
void erabi_outlets_rekey(struct erabi_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->n_targets; i++)
        erabi_id_table_remove(&pipeline->target_ids, &pipeline->targets[i]->entry);
    for (size_t i = 0; i < pipeline->n_targets; i++) {
        struct erabi_target *target = pipeline->targets[i];
        target_key(target->attachment, target->interface, target->entry.id);
        erabi_id_table_add(&pipeline->target_ids, &target->entry);
    }
}

struct erabi_target *erabi_pipeline_outlet(struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                                           enum erab_interface interface)
{
    uint8_t key[16];
    target_key(attachment, interface, key);
    struct erabi_id_entry *found = erabi_id_table_find(&pipeline->target_ids, key);
    if (found)
        return (struct erabi_target *)found; /* entry is the first member */
    struct erabi_target **more = realloc(pipeline->targets, (pipeline->n_targets + 1) * sizeof(struct erabi_target *));
    if (!more)
        return NULL;
    pipeline->targets = more;
    struct erabi_target *target = malloc(sizeof(*target));
    if (!target)
        return NULL;
    erabi_target_init(target, attachment, interface, erabi_followup_left, pipeline);
    target->gate = &pipeline->breakers.gate;
    target->pool = &pipeline->delivery_pool;
    erabi_copy_bytes(target->entry.id, key, sizeof(key));
    if (erabi_id_table_add(&pipeline->target_ids, &target->entry) < 0) {
        free(target);
        return NULL;
    }
    pipeline->targets[pipeline->n_targets++] = target;
    return target;
}

struct erabi_target *erabi_pipeline_target(struct erabi_pipeline *pipeline, uint32_t party,
                                           enum erab_interface interface, enum erab_type type)
{
    const struct erabi_registry_party *owner = erabi_registry_owner(pipeline->registry);
    if (party == owner->index) {
        struct erabi_target *taker = erabi_takers_find(pipeline, type);
        /* Nobody ever connects as the broker itself: what stands there waits. */
        return taker ? taker : erabi_pipeline_outlet(pipeline, &pipeline->self, ERAB_IF_NONE);
    }
    struct erabi_target **slot = &pipeline->outlets[party * ERAB_IF_COUNT + interface];
    if (*slot)
        return *slot;
    const struct erabi_attachment *a = erabi_registry_attachment_of(pipeline->registry, party);
    if (!a)
        return NULL;
    bool local = a->kind == ERABI_ATTACH_ADAPTER || a->kind == ERABI_ATTACH_LOCAL;
    if (!local && a->interfaces && !(a->interfaces >> interface & 1))
        return NULL;
    *slot = erabi_pipeline_outlet(pipeline, a, local ? ERAB_IF_NONE : interface);
    return *slot;
}

uint64_t erabi_pipeline_next_seq(struct erabi_pipeline *pipeline, const char *to)
{
    const struct erabi_registry_party *party = erabi_registry_party(pipeline->registry, to);
    return party ? ++pipeline->seqs[party->index] : 1;
}

bool erabi_pipeline_ready(const struct erabi_pipeline *pipeline)
{
    return erabi_journal_writable(pipeline->journal) && !erabi_audit_failed(pipeline->audit) &&
           !pipeline->loop->clock.jumped && !pipeline->loop->clock.held;
}

int erabi_pipeline_restore_mark(struct erabi_pipeline *pipeline, const struct erabi_journal_mark *row)
{
    if (row->type == ERAB_RECEIPT)
        return 0;
    struct erab_header header = {.type = row->type, .expires_at_ms = row->expires_at_ms};
    enum erab_reason reason;
    if (row->header.size && erabi_header_decode(row->header, &header, &reason) < 0)
        return -EBADMSG;
    erabi_copy_bytes(header.id, row->id, ERAB_ID_SIZE);
    erabi_copy_text(header.from, sizeof(header.from), row->from);
    struct erabi_known *known = erabi_known_find(&pipeline->known, row->id);
    if (known) /* it was sent again after a refusal that could pass */
        erabi_known_forget(&pipeline->known, known);
    known = erabi_known_add(&pipeline->known, &header, row->hash);
    if (!known)
        return -ENOMEM;
    known->state = row->state;
    known->reason = row->reason;
    known->cancelled = row->cancelled || erabi_pipeline_voided(pipeline, &header);
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, row->from);
    if (from)
        erabi_known_charge(&pipeline->known, known, from->index);
    ProtobufCMessage *body = NULL;
    struct erab_bytes bytes = {row->body.data, row->body.size};
    if (erab_type_lane(row->type) == ERAB_LANE_COMMAND && row->body.size &&
        erab_body_unpack(row->type, bytes, &body, &reason) == 0) {
        erabi_known_order(known, body);
        erabi_pipeline_recall(pipeline, &header, row, body);
    }
    erabi_known_supersede(&pipeline->known, known);
    erab_body_free(body);
    if (erabi_known_over(known, erabi_now_ms(pipeline->loop))) /* only its body was to be kept */
        erabi_known_forget(&pipeline->known, known);
    return 0;
}

int erabi_pipeline_restore_member(struct erabi_pipeline *pipeline, const struct erabi_journal_member *row)
{
    struct erabi_gather *gather = erabi_gather_find(&pipeline->gathers, row->id);
    if (!gather) {
        struct erab_header header;
        enum erab_reason reason;
        if (erabi_header_decode(row->header, &header, &reason) < 0)
            return -EBADMSG;
        gather = erabi_gather_new(&pipeline->gathers, &header, row->hash, row->n);
        if (!gather)
            return -ENOMEM;
        gather->accepted = gather->news = true; /* the receipt of the last second may have been lost */
    }
    const struct erabi_registry_party *party = erabi_registry_member(pipeline->registry, row->to);
    if (party && gather->n < gather->room) /* else the configuration has changed */
        erabi_gather_add(gather, party->index, row->state, row->reason);
    return 0;
}

/* The broker's own receipts may be about others' messages: they leave where that message came from. */
static struct erabi_target *receipt_target(struct erabi_pipeline *pipeline, const struct erabi_registry_party *to)
{
    const struct erabi_config *config = pipeline->config;
    for (size_t i = 0; i < config->n_listeners; i++) {
        for (int role = 1; role < ERAB_ROLE_COUNT; role++) {
            struct erabi_profile_pair pair = erabi_profile_pair(pipeline->profile, to->role, (enum erab_role)role);
            if ((unsigned)pair.interface != config->listeners[i].interface)
                continue;
            struct erabi_target *target = erabi_pipeline_target(pipeline, to->index, pair.interface, ERAB_RECEIPT);
            if (target)
                return target;
        }
    }
    return NULL;
}

static struct erabi_target *restored_target(struct erabi_pipeline *pipeline, const struct erab_header *header,
                                            const struct erabi_registry_party *to)
{
    const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, header->from);
    if (!from || !to || from->revoked || to->revoked)
        return NULL;
    struct erabi_profile_pair pair = erabi_profile_pair(pipeline->profile, from->role, to->role);
    if (pipeline->isolated >> pair.interface & 1)
        return NULL;
    if (pair.interface != ERAB_IF_NONE)
        return erabi_pipeline_target(pipeline, to->index, pair.interface, header->type);
    return header->type == ERAB_RECEIPT ? receipt_target(pipeline, to) : NULL;
}

int erabi_pipeline_restore(struct erabi_pipeline *pipeline, const struct erabi_journal_pending *row)
{
    struct erabi_envelope envelope = {row->header, row->body, row->signature};
    struct erab_header header;
    enum erab_reason reason;
    if (erabi_header_decode(row->header, &header, &reason) < 0)
        return -EBADMSG;
    const struct erabi_registry_party *to = erabi_registry_party(pipeline->registry, row->to);
    struct erabi_target *target = restored_target(pipeline, &header, to);
    struct erabi_parcel *parcel = erabi_parcel_new(&header, &envelope, row->hash);
    if (!parcel)
        return -ENOMEM;
    int r = 0;
    /* The row's deadline may be sooner: of an older journal that was accepted, all commands have expired. */
    uint64_t now = erabi_now_ms(pipeline->loop);
    bool expired = header.expires_at_ms <= now || row->expires_at_ms <= now || erabi_pipeline_voided(pipeline, &header);
    if (target && !expired) {
        const struct erabi_registry_party *from = erabi_registry_party(pipeline->registry, header.from);
        enum erab_interface interface = erabi_profile_pair(pipeline->profile, from->role, to->role).interface;
        r = erabi_breakers_push(pipeline, target, parcel, row->row, to, interface, ERABI_PUSH_RESTORED);
    } else { /* its time is over, or the configuration has changed: what no link carries any more is not sent */
        struct erabi_delivery delivery = {
            .parcel = parcel, .party = to ? to->index : ERABI_PARTY_NONE, .row = row->row};
        erabi_followup_left(pipeline, &delivery, expired ? ERAB_REASON_EXPIRED : ERAB_REASON_RECIPIENT_UNKNOWN);
    }
    erabi_parcel_unref(parcel);
    return r;
}

void erabi_pipeline_pump(struct erabi_pipeline *pipeline, struct erabi_target *target)
{
    if (target->in_turn)
        return;
    target->in_turn = true;
    target->turn_next = pipeline->turn;
    pipeline->turn = target;
}

void erabi_pipeline_turn(struct erabi_pipeline *pipeline)
{
    struct erabi_target *target;
    while ((target = pipeline->turn)) { /* one that is told of a closed link may add others */
        pipeline->turn = target->turn_next;
        target->in_turn = false;
        erabi_target_pump(target, pipeline->loop->mono_ms, erabi_now_ms(pipeline->loop));
    }
}

void erabi_pipeline_deinit(struct erabi_pipeline *pipeline)
{
    erabi_id_table_deinit(&pipeline->target_ids, NULL);
    for (size_t i = 0; i < pipeline->n_targets; i++) {
        erabi_target_deinit(pipeline->targets[i]);
        free(pipeline->targets[i]->gone);
        free(pipeline->targets[i]);
    }
    if (pipeline->outlets) /* else it was never begun */
        erabi_gather_deinit(&pipeline->gathers);
    free(pipeline->targets);
    free(pipeline->outlets);
    free(pipeline->seqs);
    erabi_tables_free(&pipeline->tables);
    erabi_known_deinit(&pipeline->known);
    erabi_marks_deinit(&pipeline->marks);
    erabi_refused_deinit(&pipeline->refused);
    erabi_pool_deinit(&pipeline->passage_pool);
    erabi_pool_deinit(&pipeline->parcel_pool);
    erabi_pool_deinit(&pipeline->delivery_pool);
    free(pipeline->known.charged);
    free(pipeline->marks.charged);
    erabi_links_free(pipeline->breakers.links);
    erabi_snapshot_unref(pipeline->snapshot);
}
