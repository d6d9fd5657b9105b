/* The broker's clock was set back: every command that was accepted before counts as expired, for its deadline was one of
 * another time. */
#include "pipeline.h"

bool erabi_pipeline_voided(const struct erabi_pipeline *pipeline, const struct erab_header *header)
{
    return erab_type_lane(header->type) == ERAB_LANE_COMMAND &&
           (pipeline->voiding || header->issued_at_ms < pipeline->void_ms);
}

static bool is_command(void *user, const struct erabi_delivery *delivery)
{
    (void)user;
    return erab_type_lane(delivery->parcel->header.type) == ERAB_LANE_COMMAND;
}

/* No new order may follow from it, and the same bytes again are told so. */
static int end_command(struct erabi_id_entry *entry, void *user)
{
    struct erabi_pipeline *pipeline = user;
    struct erabi_known *known = (struct erabi_known *)entry; /* entry is the first member */
    if (erab_type_lane(known->type) != ERAB_LANE_COMMAND || known->state == ERAB_QUEUED || known->state == ERAB_REFUSED)
        return 0;
    if (!known->cancelled && known->ends_at_ms > pipeline->void_ms)
        erabi_journal_cancelled(pipeline->journal, known->entry.id);
    known->cancelled = true;
    known->state = ERAB_EXPIRED;
    known->reason = ERAB_REASON_EXPIRED;
    return 0;
}

void erabi_pipeline_void(struct erabi_pipeline *pipeline, uint64_t now_ms)
{
    size_t cursor = 0;
    pipeline->void_ms = now_ms;
    pipeline->voiding = true;
    for (size_t i = 0; i < pipeline->n_targets; i++)
        erabi_target_drop(pipeline->targets[i], is_command, NULL, ERAB_REASON_EXPIRED);
    erabi_id_table_sweep(&pipeline->known.ids, &cursor, 1, end_command, pipeline);
    pipeline->voiding = false;
}
