#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <erab/identity.h>

#include "audit/trace.h"
#include "audit/verify.h"
#include "broker.h"
#include "cli.h"
#include "config/config.h"
#include "config/profile.h"
#include "host/options.h"

static json_t *told(const struct cli *cli, const char *kind, const char (*lines)[ERABI_CONFIG_LINE], size_t n, size_t more)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_string(lines[i]));
        if (!cli->json)
            fprintf(stderr, "%s%s\n", kind, lines[i]);
    }
    if (!cli->json && more)
        fprintf(stderr, "%sand %zu more\n", kind, more);
    return list;
}

void cli_findings(const struct cli *cli, bool good, const struct erabi_config_errors *errors)
{
    json_t *answer = json_pack("{s:b, s:o, s:I}", "ok", good, "errors", told(cli, "", errors->text, errors->n, errors->more),
                               "more", (json_int_t)errors->more);
    if (errors->n_notes)
        json_object_set_new(answer, "notes", told(cli, "note: ", errors->note, errors->n_notes, errors->more_notes));
    if (cli->json)
        cli_print(answer);
    else
        json_decref(answer);
}

int cli_config_check(const struct cli *cli)
{
    struct erabi_config_errors *errors = calloc(1, sizeof(*errors));
    struct erabi_config *config = NULL;
    struct erabi_profile *profile = NULL;
    if (!errors)
        return cli_refuse(cli, EXIT_REFUSED, "no memory");
    int r = erabi_config_load(&config, cli->words[0], errors);
    if (r == 0)
        r = erabi_profile_load(&profile, config->profile, errors);
    if (r == 0) {
        r = erabi_broker_check_policies(config, cli->words[0], errors);
        int modules = erabi_host_options_check(config, cli->words[0], NULL, errors);
        r = r < 0 ? r : modules;
    }
    cli_findings(cli, r == 0, errors);
    if (r == 0 && !cli->json)
        printf("%s: good; owner %s, %zu parties, profile %s\n", cli->words[0], config->owner.party, config->n_parties,
               erabi_profile_name(profile));
    erabi_profile_free(profile);
    erabi_config_free(config);
    free(errors);
    return r == 0 ? EXIT_DONE : EXIT_REFUSED;
}

int cli_audit_verify(const struct cli *cli)
{
    uint8_t key[ERAB_KEY_SIZE];
    if (cli->key && erab_key_parse(cli->key, key) < 0)
        return cli_refuse(cli, EXIT_USAGE, "--key: not a key of 64 hex digits");
    struct erabi_audit_result result;
    int r = erabi_audit_verify(cli->words[0], cli->heads, cli->key ? key : NULL, &result);
    if (r < 0) {
        char error[256];
        snprintf(error, sizeof(error), "%s%s%s: %s", cli->words[0], cli->heads ? " or " : "",
                 cli->heads ? cli->heads : "", strerror(-r));
        return cli_refuse(cli, EXIT_REFUSED, error);
    }
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:s}", "ok", r == 0, "log", result.log, "records",
                            (json_int_t)result.records, "heads", (json_int_t)result.heads, "witnessed",
                            (json_int_t)result.witnessed, "bad_record", (json_int_t)result.bad_seq, "reason",
                            result.reason));
    else if (r == 0)
        printf("log %s: %" PRIu64 " records hold, %" PRIu64 " heads%s, %" PRIu64 " confirmed by the other party\n",
               result.log, result.records, result.heads, cli->key ? " with good signatures" : "", result.witnessed);
    else
        printf("record %" PRIu64 " %s\n%" PRIu64 " records before it hold\n", result.bad_seq, result.reason,
               result.records);
    return r == 0 ? EXIT_DONE : EXIT_REFUSED;
}

static const char *text(const json_t *hop, const char *name)
{
    const char *value = json_string_value(json_object_get(hop, name));
    return value ? value : "-";
}

static void print_table(const json_t *hops)
{
    size_t i;
    const json_t *hop;
    json_int_t first = json_integer_value(json_object_get(json_array_get(hops, 0), "time_ms"));
    printf("%-13s %7s %5s %-36s %-16s %-20s %-20s %-10s %s\n", "time_ms", "+ms", "level", "id", "type", "from", "to",
           "verdict", "log");
    json_array_foreach(hops, i, hop)
    {
        const json_t *holds = json_object_get(hop, "parent_holds");
        json_int_t at = json_integer_value(json_object_get(hop, "time_ms"));
        printf("%-13lld %+7lld %5lld %-36s %-16s %-20s %-20s %-10s %s%s%s\n", (long long)at, (long long)(at - first),
               (long long)json_integer_value(json_object_get(hop, "depth")), text(hop, "id"), text(hop, "type"),
               text(hop, "from"), text(hop, "to"), text(hop, "verdict"), text(hop, "log"),
               json_is_true(json_object_get(hop, "reported")) ? " (reported)" : "",
               holds && json_is_false(holds) ? " (names another parent hash!)" : "");
    }
}

int cli_trace(const struct cli *cli)
{
    json_t *hops = NULL;
    char error[512] = "no memory";
    int r = erabi_audit_trace(&hops, cli->words[0], (const char *const *)cli->words + 1, (size_t)cli->n - 1, error,
                              sizeof(error));
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    if (r > 0) {
        json_decref(hops);
        return cli_refuse(cli, EXIT_REFUSED, "none of these logs has a record of this message");
    }
    if (cli->json)
        cli_print(json_pack("{s:b, s:o}", "ok", 1, "hops", hops));
    else
        print_table(hops);
    if (!cli->json)
        json_decref(hops);
    return EXIT_DONE;
}
