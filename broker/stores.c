/* Opens what a broker must find as it left it: journal and audit log. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "restored.h"

static void on_finding(void *user, const char *text)
{
    erabi_broker_say(user, "journal: %s", text);
}

static int open_journal(struct erabi_broker *broker)
{
    const struct erabi_config *config = broker->config;
    char path[PATH_MAX], error[PATH_MAX + 256] = "";
    if (snprintf(path, sizeof(path), "%s/journal.db", config->state_dir) >= (int)sizeof(path)) {
        erabi_broker_say(broker, "%s: %s", config->state_dir, strerror(ENAMETOOLONG));
        return -ENAMETOOLONG;
    }
    struct erabi_journal_options options = {.path = path,
                                            .owner = broker->owner.party,
                                            .queue = config->limits.journal_queue,
                                            .found = on_finding,
                                            .user = broker};
    int r = erabi_journal_open(&broker->journal, broker->uv, &options, error, sizeof(error));
    if (r < 0)
        erabi_broker_say(broker, "journal: %s", error);
    else if (erabi_journal_damaged(broker->journal))
        erabi_broker_say(broker, "journal: damaged; commands are refused, telemetry goes on. docs/operation.md says what to do");
    return r;
}

int erabi_stores_open(struct erabi_broker *broker)
{
    char error[256] = "";
    int r = open_journal(broker);
    if (r < 0)
        return r;
    r = erabi_audit_open(&broker->audit, broker->config->audit, broker->owner.sign_secret, broker->config->heads.every,
                         error, sizeof(error));
    if (r < 0)
        erabi_broker_say(broker, "audit log: %s", error);
    return r < 0 ? r : erabi_restored_judge(broker);
}

int erabi_stores_settle(struct erabi_broker *broker)
{
    erabi_restored_tell(broker, true);
    int r = erabi_audit_flush(broker->audit, true);
    if (r == 0)
        r = erabi_journal_settle(broker->journal);
    if (r < 0)
        erabi_broker_say(broker, "journal and audit log: %s", strerror(-r));
    return r;
}
