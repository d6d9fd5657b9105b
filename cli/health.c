/* erab health: would this broker accept a command now, and what of it does not work. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct {
    const char *code, *why;
} reasons[] = {
    {"clock", "the system's clock went ahead by more than 60 s at once; set it right, or decide with 'erab clock accept' or 'erab "
              "clock reject' ('erab clock show' tells more)"},
    {"audit", "the audit log cannot be written; free space or repair the disk: it is tried once a second"},
    {"journal-damaged", "the journal holds something else than was written; its log said what and where at the start. 'erab journal check' says it again"},
    {"storage", "the journal cannot be written, so nothing could be kept; free space or repair the disk: it is tried once a second"},
};

static const char *why(const json_t *health)
{
    const char *code = json_string_value(json_object_get(health, "not_ready_because"));
    for (size_t i = 0; code && i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strcmp(reasons[i].code, code) == 0)
            return reasons[i].why;
    return code ? code : "";
}

static long long number(const json_t *health, const char *name)
{
    return (long long)json_integer_value(json_object_get(health, name));
}

static const char *interface_of(const json_t *part)
{
    const char *name = json_string_value(json_object_get(part, "interface"));
    return name && strcmp(name, "none") != 0 ? name : "local";
}

static void print_names(const char *title, const json_t *names)
{
    size_t i;
    const json_t *name;
    printf("%s:%s", title, json_array_size(names) ? "" : " none");
    json_array_foreach(names, i, name)
        printf(" %s", json_string_value(name));
    putchar('\n');
}

static void print_parts(const char *title, const json_t *parts)
{
    size_t i;
    const json_t *name;
    printf("%s: %lld", title, number(parts, "all"));
    json_array_foreach(json_object_get(parts, "not_running"), i, name)
        printf("%s %s", i ? "," : "; not running:", json_string_value(name));
    putchar('\n');
}

static void print_health(const json_t *h)
{
    size_t i;
    const json_t *part;
    bool ready = json_is_true(json_object_get(h, "ready"));
    printf("%s: %s\n", json_string_value(json_object_get(h, "owner")),
           ready ? "ready, a command would be accepted now" : "NOT READY, commands are refused");
    if (!ready)
        printf("because: %s: %s\n", json_string_value(json_object_get(h, "not_ready_because")), why(h));
    printf("connections: %lld; packets: %lld in, %lld out, %lld refused\n", number(h, "connections"),
           number(h, "packets_in"), number(h, "packets_out"), number(h, "refused"));
    json_array_foreach(json_object_get(h, "listeners"), i, part)
        printf("listener: %s %s\n", interface_of(part), json_string_value(json_object_get(part, "endpoint")));
    json_array_foreach(json_object_get(h, "peers"), i, part)
        printf("peer: %s on %s, %s\n", json_string_value(json_object_get(part, "peer")), interface_of(part),
               number(part, "lanes") == 1   ? "commands and control"
               : number(part, "lanes") == 2 ? "telemetry"
                                            : "not bound yet");
    printf("open breakers: %lld\n", number(h, "breakers_open"));
    print_names("isolated", json_object_get(h, "isolated"));
    print_parts("adapters", json_object_get(h, "adapters"));
    print_parts("policies of others", json_object_get(h, "policies"));
}

int cli_health(const struct cli *cli)
{
    json_t *health = cli_ask(cli->words[0], json_pack("{s:s}", "verb", "health"));
    bool answered = json_is_true(json_object_get(health, "ok"));
    if (!answered)
        return cli_tell(cli, health);
    bool ready = json_is_true(json_object_get(health, "ready"));
    if (cli->json) {
        json_object_set_new(health, "why", json_string(ready ? "" : why(health)));
        cli_print(health);
    } else {
        print_health(health);
        json_decref(health);
    }
    return ready ? EXIT_DONE : EXIT_REFUSED;
}
