/* erab journal stat|check|export|backup|accept-restore: a journal's file, while no broker has it open. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "cli.h"
#include "journal/recover.h"
#include "restored.h"

#define POLL_MS 20
#define WAIT_MS 600000

static const char *const kinds[ERABI_JOURNAL_KINDS] = {"live", "backup", "accepted"};
static const char *const tables[ERABI_TABLE_COUNT] = {"message", "outbox", "member", "revocation", "state"};

static int open_to_read(const struct cli *cli, struct erabi_store **store)
{
    char error[PATH_MAX + 256] = "";
    int r = erabi_store_open(store, cli->words[0], NULL, ERABI_STORE_READ, error, sizeof(error));
    return r < 0 ? cli_refuse(cli, EXIT_REFUSED, error) : EXIT_DONE;
}

/* ---- stat ---- */

static json_t *stat_of(struct erabi_store *store)
{
    const struct erabi_journal_head *head = erabi_store_head(store);
    char id[2 * ERABI_JOURNAL_ID_SIZE + 1];
    uint64_t bytes = 0, unused = 0;
    erabi_store_size(store, &bytes, &unused);
    sodium_bin2hex(id, sizeof(id), head->journal, sizeof(head->journal));
    json_t *rows = json_object();
    for (int i = 0; i < ERABI_TABLE_COUNT; i++)
        json_object_set_new(rows, tables[i], json_integer((json_int_t)head->tables[i].rows));
    return json_pack("{s:b, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:o}", "ok", 1, "journal", id, "owner", head->owner,
                     "kind", kinds[head->kind], "version", ERABI_STORE_VERSION, "commits", (json_int_t)head->generation,
                     "sequence", (json_int_t)head->sequence, "accepted_ms", (json_int_t)head->accepted_ms, "bytes",
                     (json_int_t)bytes, "unused_bytes", (json_int_t)unused, "rows", rows);
}

int cli_journal_stat(const struct cli *cli)
{
    struct erabi_store *store;
    int code = open_to_read(cli, &store);
    if (code)
        return code;
    json_t *stat = stat_of(store);
    erabi_store_close(store);
    if (cli->json) {
        cli_print(stat);
        return EXIT_DONE;
    }
    const char *name, *table;
    json_t *value, *rows;
    json_object_foreach(stat, name, value)
    {
        if (json_is_integer(value))
            printf("%s: %lld\n", name, (long long)json_integer_value(value));
        else if (json_is_string(value))
            printf("%s: %s\n", name, json_string_value(value));
    }
    json_object_foreach(json_object_get(stat, "rows"), table, rows)
        printf("rows of %s: %lld\n", table, (long long)json_integer_value(rows));
    json_decref(stat);
    return EXIT_DONE;
}

/* ---- check ---- */

static void on_found(void *user, const char *text)
{
    json_array_append_new(user, json_string(text));
}

int cli_journal_check(const struct cli *cli)
{
    char error[PATH_MAX + 256] = "";
    bool damaged = false;
    struct erabi_store *store = NULL;
    struct erabi_journal_head_file kept;
    json_t *findings = json_array();
    const struct erabi_journal_options options = {.path = cli->words[0], .found = on_found, .user = findings};
    int r = erabi_journal_recover(&options, ERABI_STORE_READ, &store, &kept, &damaged, error, sizeof(error));
    bool backup = store && erabi_store_head(store)->kind == ERABI_JOURNAL_BACKUP;
    if (r == -ESTALE && backup && !damaged)
        r = 0;
    if (r < 0 && json_array_size(findings) == 0)
        json_array_append_new(findings, json_string(error));
    bool good = r == 0 && !damaged;
    uint64_t rows = 0;
    for (int i = 0; store && i < ERABI_TABLE_COUNT; i++)
        rows += erabi_store_head(store)->tables[i].rows;
    size_t i;
    const json_t *finding;
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:I, s:O}", "ok", good, "kind",
                            store ? kinds[erabi_store_head(store)->kind] : "", "rows", (json_int_t)rows, "findings",
                            findings));
    else if (good)
        printf("%s: all %" PRIu64 " rows hold%s\n", cli->words[0], rows, backup ? "; it is a backup" : "");
    else
        json_array_foreach(findings, i, finding)
            fprintf(stderr, "%s\n", json_string_value(finding));
    json_decref(findings);
    erabi_store_close(store);
    return good ? EXIT_DONE : EXIT_REFUSED;
}

/* ---- export ---- */

static int on_line(void *user, const char *text)
{
    return puts(text) < 0 ? -EIO : 0;
}

int cli_journal_export(const struct cli *cli)
{
    struct erabi_store *store;
    int code = open_to_read(cli, &store);
    if (code)
        return code;
    int r = erabi_store_export(store, cli->bodies, on_line, NULL);
    erabi_store_close(store);
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, strerror(-r));
    if (cli->json)
        cli_print(json_pack("{s:b}", "ok", 1));
    return EXIT_DONE;
}

/* ---- backup ---- */

static int tell_backup(const struct cli *cli, int r, const char *path)
{
    char error[PATH_MAX + 256];
    snprintf(error, sizeof(error), "%s: %s", path, strerror(-r));
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    if (cli->json)
        cli_print(json_pack("{s:b, s:s}", "ok", 1, "file", path));
    else
        printf("%s: written; 'erab journal check' reads all of it\n", path);
    return EXIT_DONE;
}

static int backup_offline(const struct cli *cli)
{
    struct erabi_store *store;
    struct erabi_store_copy *copy = NULL;
    int code = open_to_read(cli, &store);
    if (code)
        return code;
    int r = erabi_store_copy_begin(&copy, store, cli->words[1]);
    while (r >= 0 && (r = erabi_store_copy_step(copy)) > 0)
        ;
    erabi_store_copy_end(copy);
    erabi_store_close(store);
    return tell_backup(cli, r, cli->words[1]);
}

static int backup_running(const struct cli *cli)
{
    char path[PATH_MAX], here[PATH_MAX / 2] = "";
    const char *word = cli->words[0];
    if (word[0] != '/' && !getcwd(here, sizeof(here)))
        return cli_refuse(cli, EXIT_REFUSED, strerror(errno));
    snprintf(path, sizeof(path), "%s%s%s", here, word[0] == '/' ? "" : "/", word);
    json_t *begun = cli_ask(cli->socket, json_pack("{s:s, s:s}", "verb", "journal-backup", "path", path));
    json_int_t serial = json_integer_value(json_object_get(begun, "serial"));
    if (!serial)
        return cli_tell(cli, begun);
    json_decref(begun);
    for (int waited = 0; waited < WAIT_MS; waited += POLL_MS) {
        json_t *status = cli_ask(cli->socket, json_pack("{s:s}", "verb", "journal-status"));
        if (!status)
            return cli_tell(cli, NULL);
        if (json_integer_value(json_object_get(status, "serial")) >= serial) {
            char error[PATH_MAX + 256];
            const char *failed = json_string_value(json_object_get(status, "failed"));
            snprintf(error, sizeof(error), "%s: %s", path, failed ? failed : "");
            bool good = failed && !failed[0];
            json_decref(status);
            return good ? tell_backup(cli, 0, path) : cli_refuse(cli, EXIT_REFUSED, error);
        }
        json_decref(status);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return cli_refuse(cli, EXIT_REFUSED, "the broker still writes it; its audit log will say what came of it");
}

int cli_journal_backup(const struct cli *cli)
{
    if (cli->n == 1 && !cli->socket)
        return cli_refuse(cli, EXIT_USAGE, "journal backup needs FILE NEW_FILE, or NEW_FILE and --socket SOCKET of a running broker");
    if (cli->n == 2 && cli->socket)
        return cli_refuse(cli, EXIT_USAGE, "journal backup takes FILE NEW_FILE, or NEW_FILE and --socket, not both");
    return cli->n == 1 ? backup_running(cli) : backup_offline(cli);
}

/* ---- accept-restore ---- */

int cli_journal_accept(const struct cli *cli)
{
    char error[PATH_MAX + 256] = "";
    struct erabi_accepted a;
    int r = erabi_restored_accept(cli->words[0], cli->words + 1, (size_t)cli->n - 1, &a, error, sizeof(error));
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    if (cli->json) {
        cli_print(json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "expired", (json_int_t)a.waiting, "invitations_void",
                            (json_int_t)a.invitations, "approvals_void", (json_int_t)a.pending, "revoked",
                            (json_int_t)a.revoked, "tripped", (json_int_t)a.tripped, "torn", (json_int_t)a.torn));
        return EXIT_DONE;
    }
    printf("accepted. Messages that waited have expired: %zu; invitations that are void: %zu; newcomers whose approvals are\n"
           "to be given again: %zu; from the audit log: %zu parties revoked, %zu links opened by operators.\n"
           "Every interface is isolated: look at 'erab party list' and 'erab breaker list', then 'erab join' each.\n",
           a.waiting, a.invitations, a.pending, a.revoked, a.tripped);
    if (a.torn)
        printf("The last record of %zu of the audit logs is torn: what it would have said is not known.\n", a.torn);
    return EXIT_DONE;
}
