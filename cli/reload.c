/* What changes a running broker: its configuration, an interface. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#define WAIT_MS 10000
#define POLL_MS 20

static int needs_socket(const struct cli *cli, const char *usage)
{
    char text[128];
    snprintf(text, sizeof(text), "%s needs --socket SOCKET, the broker's admin socket", usage);
    return cli_refuse(cli, EXIT_USAGE, text);
}

static void print_list(const json_t *list, FILE *out)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item)) {
            fprintf(out, "%s\n", json_string_value(item));
            continue;
        }
        const char *from = json_string_value(json_object_get(item, "from"));
        const char *to = json_string_value(json_object_get(item, "to"));
        fprintf(out, "%s %s", json_string_value(json_object_get(item, "where")),
                json_string_value(json_object_get(item, "how")));
        if (from && to && (from[0] || to[0]))
            fprintf(out, ": %s -> %s", from[0] ? from : "none", to[0] ? to : "none");
        fputc('\n', out);
    }
}

static int tell_report(const struct cli *cli, json_t *report)
{
    const char *state = json_string_value(json_object_get(report, "state"));
    bool done = state && strcmp(state, "done") == 0;
    if (cli->json) {
        json_object_set_new(report, "ok", json_boolean(done));
        cli_print(report);
        return done ? EXIT_DONE : EXIT_REFUSED;
    }
    const json_t *changes = json_object_get(report, "changes");
    json_int_t more = json_integer_value(json_object_get(report, done ? "more_changes" : "more_errors"));
    print_list(done ? changes : json_object_get(report, "errors"), done ? stdout : stderr);
    if (more)
        fprintf(done ? stdout : stderr, "and %lld more\n", (long long)more);
    if (done)
        printf("reloaded: %lld changes\n", (long long)((json_int_t)json_array_size(changes) + more));
    else
        fprintf(stderr, "refused; nothing has changed\n");
    json_decref(report);
    return done ? EXIT_DONE : EXIT_REFUSED;
}

int cli_config_reload(const struct cli *cli)
{
    if (!cli->socket)
        return needs_socket(cli, "config reload");
    json_t *begun = cli_ask(cli->socket, json_pack("{s:s}", "verb", "config-reload"));
    json_int_t serial = json_integer_value(json_object_get(begun, "serial"));
    if (!serial)
        return cli_tell(cli, begun);
    json_decref(begun);
    /* The broker reads beside its work; its report has the serial, or a later one. */
    for (int waited = 0; waited < WAIT_MS; waited += POLL_MS) {
        json_t *report = cli_ask(cli->socket, json_pack("{s:s}", "verb", "config-status"));
        if (!report)
            return cli_tell(cli, NULL);
        if (json_integer_value(json_object_get(report, "serial")) >= serial)
            return tell_report(cli, report);
        json_decref(report);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return cli_refuse(cli, EXIT_REFUSED, "the broker still reads; its log and its audit log will say what came of it");
}

int cli_isolate(const struct cli *cli)
{
    if (!cli->socket)
        return needs_socket(cli, "isolate");
    return cli_tell(cli, cli_ask(cli->socket, json_pack("{s:s, s:s}", "verb", "isolate", "interface", cli->words[0])));
}

int cli_join(const struct cli *cli)
{
    if (!cli->socket)
        return needs_socket(cli, "join");
    return cli_tell(cli, cli_ask(cli->socket, json_pack("{s:s, s:s}", "verb", "join", "interface", cli->words[0])));
}
