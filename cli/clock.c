/* erab clock show|accept|reject: what the broker makes of the system's clock. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"

static int need_socket(const struct cli *cli)
{
    return cli_refuse(cli, EXIT_USAGE, "clock needs --socket SOCKET, the broker's admin socket");
}

static const struct {
    const char *state, *words;
} states[] = {
    {"right", "they go together"},
    {"ahead", "the system's clock went ahead at once, which is not taken over: no commands until 'erab clock accept' or 'erab "
              "clock reject'"},
    {"rejected", "the system's clock is ahead and was rejected: the broker counts on from its own time"},
    {"behind", "the broker's clock never goes back by itself, and counts on from its own time; 'erab clock accept --lower' sets "
               "it back"},
};

static void print_time(const char *name, json_int_t ms)
{
    char text[32] = "";
    time_t seconds = (time_t)(ms / 1000);
    struct tm at;
    if (gmtime_r(&seconds, &at))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &at);
    printf("%s: %s\n", name, text);
}

static int tell(const struct cli *cli, json_t *answer)
{
    if (cli->json) {
        cli_print(answer);
        return EXIT_DONE;
    }
    const char *state = json_string_value(json_object_get(answer, "state")), *words = "";
    for (size_t i = 0; state && i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(states[i].state, state) == 0)
            words = states[i].words;
    print_time("broker", json_integer_value(json_object_get(answer, "broker_ms")));
    print_time("system", json_integer_value(json_object_get(answer, "system_ms")));
    printf("system ahead by: %lld s\n", (long long)(json_integer_value(json_object_get(answer, "ahead_ms")) / 1000));
    printf("%s: %s\n", state ? state : "", words);
    if (json_is_true(json_object_get(answer, "already")))
        printf("there was nothing to decide\n");
    json_decref(answer);
    return EXIT_DONE;
}

static json_t *ask_for_it(const struct cli *cli, int *code)
{
    return cli_good(cli, cli_ask(cli->socket, json_pack("{s:s}", "verb", "clock-show")), code);
}

int cli_clock_show(const struct cli *cli)
{
    int code = EXIT_REFUSED;
    if (!cli->socket)
        return need_socket(cli);
    json_t *answer = ask_for_it(cli, &code);
    return answer ? tell(cli, answer) : code;
}

/* It is about the time that the system's clock shows now. */
static json_t *request_of(const struct cli *cli, const char *verb, int *code)
{
    json_t *shown = ask_for_it(cli, code);
    json_t *hub = shown ? cli_hub_of(cli, code) : NULL;
    json_t *text = hub ? json_pack("{s:O, s:O, s:O, s:b}", "hub", hub, "party", hub, "time_ms",
                                   json_object_get(shown, "system_ms"), "lower", cli->lower)
                       : NULL;
    json_decref(shown);
    json_decref(hub);
    if (text && cli->operator)
        return cli_signed_request(cli, verb, text, code);
    if (text)
        json_object_set_new(text, "verb", json_string(verb));
    return text;
}

static int decide(const struct cli *cli, const char *verb)
{
    int code = EXIT_REFUSED;
    if (!cli->socket)
        return need_socket(cli);
    json_t *request = request_of(cli, verb, &code);
    json_t *answer = request ? cli_good(cli, cli_ask(cli->socket, request), &code) : NULL;
    return answer ? tell(cli, answer) : code;
}

int cli_clock_accept(const struct cli *cli)
{
    return decide(cli, "clock-accept");
}

int cli_clock_reject(const struct cli *cli)
{
    return decide(cli, "clock-reject");
}
