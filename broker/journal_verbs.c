/* erab journal backup: a copy of the journal while the broker runs. */
#include <errno.h>
#include <string.h>

#include "broker.h"
#include "record.h"

static void on_copied(void *user, int result)
{
    struct erabi_broker *broker = user;
    broker->copies_done++;
    broker->copy_result = result;
    erabi_loop_read(&broker->loop);
    erabi_record_admin(broker->audit, "journal-backup", broker->owner.party, result == 0 ? "done" : "failed");
}

json_t *erabi_verb_journal_backup(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    const char *path = json_string_value(json_object_get(request, "path"));
    if (!path || path[0] != '/') {
        *error = "path: the whole path of a new file is needed, from /";
        return NULL;
    }
    if (broker->copies_begun != broker->copies_done) {
        *error = "another backup is being made; repeat this when it is done";
        return NULL;
    }
    if (erabi_journal_copy(broker->journal, path, on_copied, broker) < 0) {
        *error = "the journal takes nothing now; look at 'erab health'";
        return NULL;
    }
    return json_pack("{s:I}", "serial", (json_int_t)++broker->copies_begun);
}

json_t *erabi_verb_journal_status(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    struct erabi_journal_head head;
    erabi_journal_head(broker->journal, &head);
    return json_pack("{s:I, s:I, s:s}", "generation", (json_int_t)head.generation, "serial",
                     (json_int_t)broker->copies_done, "failed",
                     broker->copy_result ? strerror(-broker->copy_result) : "");
}
