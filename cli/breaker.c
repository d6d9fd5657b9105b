/* erab breaker list|trip|close: the availability breakers of a running broker. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static int tell_failure(const struct cli *cli, json_t *got)
{
    if (!got)
        return cli_refuse(cli, EXIT_UNREACHABLE, "no broker answers on this socket");
    const char *error = json_string_value(json_object_get(got, "error"));
    int code = cli_refuse(cli, EXIT_REFUSED, error ? error : "it could not be done");
    json_decref(got);
    return code;
}

static int need_socket(const struct cli *cli)
{
    return cli_refuse(cli, EXIT_USAGE, "breaker needs --socket SOCKET, the broker's admin socket");
}

static const char *text(const json_t *link, const char *name)
{
    const char *value = json_string_value(json_object_get(link, name));
    return value ? value : "";
}

static long long number(const json_t *link, const char *name)
{
    return (long long)json_integer_value(json_object_get(link, name));
}

static void print_links(const json_t *links)
{
    size_t i;
    const json_t *link;
    if (json_array_size(links) == 0) {
        printf("every link is closed\n");
        return;
    }
    printf("%-20s %-9s %-20s %-9s %-10s %8s %8s %8s  %s\n", "party", "interface", "peer", "state", "cause", "for_s",
           "retry_s", "denied", "note");
    json_array_foreach(links, i, link)
        printf("%-20s %-9s %-20s %-9s %-10s %8lld %8lld %8lld  %s\n", text(link, "party"), text(link, "interface"),
               text(link, "peer"), text(link, "state"), text(link, "cause"), number(link, "for_s"),
               number(link, "retry_in_s"), number(link, "denied"), text(link, "note"));
}

int cli_breaker_list(const struct cli *cli)
{
    if (!cli->socket)
        return need_socket(cli);
    json_t *links = json_array(), *next = NULL;
    json_int_t open = 0;
    do { /* the broker answers in pages */
        json_t *request = json_pack("{s:s}", "verb", "breaker-list");
        if (next)
            json_object_set_new(request, "after", next);
        json_t *got = cli_ask(cli->socket, request);
        if (!json_is_true(json_object_get(got, "ok"))) {
            json_decref(links);
            return tell_failure(cli, got);
        }
        json_array_extend(links, json_object_get(got, "links"));
        open = json_integer_value(json_object_get(got, "open"));
        next = json_is_object(json_object_get(got, "next")) ? json_incref(json_object_get(got, "next")) : NULL;
        json_decref(got);
    } while (next);
    if (cli->json) {
        cli_print(json_pack("{s:b, s:I, s:o}", "ok", 1, "open", open, "links", links));
        return EXIT_DONE;
    }
    print_links(links);
    json_decref(links);
    return EXIT_DONE;
}

/* Signed where an operator's file is given: whether that is needed, the broker's configuration says. */
static json_t *request_of(const struct cli *cli, const char *verb, int *code)
{
    json_t *text = json_pack("{s:s, s:s, s:s, s:s}", "party", cli->words[0], "interface", cli->words[1], "peer",
                             cli->words[2], "note", cli->n > 3 ? cli->words[3] : "");
    if (!text) {
        *code = cli_refuse(cli, EXIT_USAGE, "parties, interface and note must be UTF-8 text");
        return NULL;
    }
    if (!cli->operator) {
        json_object_set_new(text, "verb", json_string(verb));
        return text;
    }
    json_t *hub = cli_hub_of(cli, code);
    if (!hub) {
        json_decref(text);
        return NULL;
    }
    json_object_set_new(text, "hub", hub);
    return cli_signed_request(cli, verb, text, code);
}

static int decide(const struct cli *cli, const char *verb, const char *done, const char *already)
{
    int code = EXIT_REFUSED;
    if (!cli->socket)
        return need_socket(cli);
    json_t *request = request_of(cli, verb, &code);
    if (!request)
        return code;
    json_t *got = cli_ask(cli->socket, request);
    if (!json_is_true(json_object_get(got, "ok")))
        return tell_failure(cli, got);
    if (cli->json) {
        cli_print(got);
        return EXIT_DONE;
    }
    printf("%s %s %s %s\n", cli->words[0], cli->words[1], cli->words[2],
           json_is_true(json_object_get(got, "already")) ? already : done);
    json_decref(got);
    return EXIT_DONE;
}

int cli_breaker_trip(const struct cli *cli)
{
    return decide(cli, "breaker-trip", "is open until you close it", "was opened by an operator before");
}

int cli_breaker_close(const struct cli *cli)
{
    return decide(cli, "breaker-close", "is closed", "was closed already");
}
