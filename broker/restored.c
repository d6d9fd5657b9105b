#include "restored.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "audit/last.h"
#include "base/cleanup.h"
#include "record.h"

#define TELL_MS 60000u /* at most so long, with something to tell */

int erabi_restored_judge(struct erabi_broker *broker)
{
    struct erabi_journal_head head;
    char id[2 * ERABI_JOURNAL_ID_SIZE + 1];
    erabi_journal_head(broker->journal, &head);
    if (head.accepted_ms)
        broker->pipeline_floor_ms = head.accepted_ms + ERAB_CLOCK_AHEAD_MS;
    sodium_bin2hex(id, sizeof(id), head.journal, sizeof(head.journal));
    _free_ char *line = malloc(ERABI_AUDIT_LINE_MAX + 1);
    if (!line)
        return -ENOMEM;
    int r = erabi_audit_last(broker->config->audit, "journal", line, ERABI_AUDIT_LINE_MAX + 1);
    json_t *said = r == 0 ? json_loads(line, 0, NULL) : NULL;
    const char *journal = json_string_value(json_object_get(said, "journal"));
    uint64_t generation = (uint64_t)json_integer_value(json_object_get(said, "generation"));
    bool other = journal && strcmp(journal, id) != 0;
    bool older = journal && !other && generation > head.generation;
    if (older)
        erabi_broker_say(broker, "journal: it is at commit %llu, the audit log knows %llu of it; " ERABI_JOURNAL_WAY_OUT,
                         (unsigned long long)head.generation, (unsigned long long)generation);
    else if (other && head.kind != ERABI_JOURNAL_ACCEPTED)
        erabi_broker_say(broker, "journal: it is not the one that the audit log tells of; " ERABI_JOURNAL_WAY_OUT);
    bool stale = older || (other && head.kind != ERABI_JOURNAL_ACCEPTED);
    json_decref(said);
    return r < 0 ? r : stale ? -ESTALE : 0;
}

void erabi_restored_tell(struct erabi_broker *broker, bool now)
{
    struct erabi_journal_head head;
    erabi_journal_head(broker->journal, &head);
    if (!now && (head.generation == broker->told_generation || broker->loop.mono_ms < broker->told_ms + TELL_MS))
        return;
    broker->told_generation = head.generation;
    broker->told_ms = broker->loop.mono_ms;
    erabi_record_journal(broker->audit, &head);
}
