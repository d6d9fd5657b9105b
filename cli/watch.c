/* erab watch: takes what arrives for a party and prints it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "client.h"

struct watching {
    const struct cli *cli;
    struct cli_way way;
    uint64_t seen, most; /* most 0: any number */
    bool connected, rejected;
    char refused[256]; /* what the broker said to --take */
};

static struct erab_client *running; /* for the signal handler only */

static void on_signal(int number)
{
    if (running)
        erab_client_stop(running);
}

/* ---- one message ---- */

static json_t *body_of(const struct erab_client *client, const struct erab_message *m, const char **unread)
{
    _free_ uint8_t *opened = NULL;
    struct erab_bytes bytes = m->body;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_MALFORMED;
    if (m->header->sealed && erab_client_open(client, m, &opened, &bytes.size) != 0) {
        *unread = "sealed to another key";
        return json_object();
    }
    if (opened)
        bytes.data = opened;
    if (erab_body_unpack(m->header->type, bytes, &body, &reason) != 0) {
        *unread = erab_reason_code(reason);
        return json_object();
    }
    json_t *map = cli_body_json(body);
    erab_body_free(body);
    return map;
}

static bool wanted(const struct watching *w, const char *type)
{
    size_t n = strlen(type);
    for (const char *at = w->cli->types; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, type, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    return !w->cli->types;
}

static int on_message(void *user, struct erab_client *client, const struct erab_message *m)
{
    struct watching *w = user;
    char id[37], hash[65];
    const char *type = erab_type_name(m->header->type), *unread = NULL;
    if (!wanted(w, type))
        return ERAB_REASON_NOT_SUPPORTED;
    json_t *body = body_of(client, m, &unread);
    erab_id_text(m->header->id, id);
    erab_key_text(m->hash, hash);
    if (w->cli->json) {
        cli_print(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b, s:o}", "event", "message", "id", id,
                            "hash", hash, "type", type, "from", m->header->from, "to", m->header->to, "category",
                            erab_category_name(m->header->category), "issued_at_ms", (json_int_t)m->header->issued_at_ms,
                            "expires_at_ms", (json_int_t)m->header->expires_at_ms, "exercise", m->header->exercise, "sealed",
                            m->header->sealed, "body", body));
    } else {
        _free_ char *text = json_dumps(body, JSON_COMPACT);
        printf("%s:%s %s from %s to %s%s\n  %s\n", id, hash, type, m->header->from, m->header->to,
               m->header->exercise ? ", a drill" : "", unread ? unread : text ? text : "");
        json_decref(body);
    }
    fflush(stdout);
    if (++w->seen == w->most)
        erab_client_stop(client);
    return 0;
}

static void on_state(void *user, struct erab_client *client, enum erab_connection_state state)
{
    struct watching *w = user;
    if (state == ERAB_CONNECTED && !w->connected) {
        w->connected = true;
        if (w->cli->json)
            cli_print(json_pack("{s:s, s:s}", "event", "connected", "party", w->way.from));
        else
            printf("connected for %s\n", w->way.from);
        fflush(stdout);
    }
    w->rejected = state == ERAB_REJECTED;
    if (w->rejected)
        erab_client_stop(client);
}

static void on_takes(void *user, struct erab_client *client, enum erab_reason reason, const char *detail)
{
    struct watching *w = user;
    if (reason) {
        snprintf(w->refused, sizeof(w->refused), "the broker does not give it these types (%s): %s",
                 erab_reason_code(reason), detail);
        erab_client_stop(client);
        return;
    }
    if (w->cli->json)
        cli_print(json_pack("{s:s, s:s}", "event", "takes", "types", w->cli->take));
    else
        printf("takes %s\n", w->cli->take);
    fflush(stdout);
}

/* ---- all of them ---- */

static int conclude(const struct watching *w)
{
    char error[160];
    if (w->rejected)
        return cli_refuse(w->cli, EXIT_REFUSED, "the broker does not take this key: it is unknown, revoked, or its time is "
                                                "over; ask its operator ('erab party show')");
    if (w->refused[0])
        return cli_refuse(w->cli, EXIT_REFUSED, w->refused);
    if (!w->connected && !w->seen) /* a message may come before both connections are bound */
        return cli_refuse(w->cli, EXIT_UNREACHABLE,
                          "no broker answers there with this server key; look at --endpoint and --server-key");
    if (w->most && w->seen < w->most) {
        snprintf(error, sizeof(error), "%llu of %llu messages came before the time was over (--timeout)",
                 (unsigned long long)w->seen, (unsigned long long)w->most);
        return cli_refuse(w->cli, EXIT_REFUSED, error);
    }
    if (w->cli->json)
        cli_print(json_pack("{s:b, s:I}", "ok", 1, "messages", (json_int_t)w->seen));
    else
        printf("%llu messages\n", (unsigned long long)w->seen);
    return EXIT_DONE;
}

/* The answer to the last message is still to be written when the count is full. */
static void hand_over(struct erab_client *client)
{
    for (int i = 0; i < 10; i++)
        if (erab_client_run(client, 50) < 0)
            return;
}

static int watch(struct watching *w, uint64_t seconds)
{
    const struct erab_client_callbacks callbacks = {.size = sizeof(callbacks), .on_message = on_message, .on_state = on_state,
                                                    .on_takes = on_takes};
    struct erab_client *client = NULL;
    int r = cli_way_client(&w->way, w->cli, &callbacks, w, &client);
    if (r == 0) {
        const struct sigaction act = {.sa_handler = on_signal};
        running = client;
        sigaction(SIGINT, &act, NULL);
        sigaction(SIGTERM, &act, NULL);
        r = erab_client_run(client, seconds ? (int)(seconds * 1000) : -1);
        if (r >= 0 && (w->connected || w->seen) && !w->rejected)
            hand_over(client);
        running = NULL;
    }
    erab_client_free(client);
    return r < 0 ? cli_refuse(w->cli, EXIT_REFUSED, strerror(-r)) : conclude(w);
}

static bool types_known(const char *types)
{
    for (const char *at = types; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
        if (!erab_type_from_name(name))
            return false;
    }
    return true;
}

int cli_watch(const struct cli *cli)
{
    struct watching w = {.cli = cli};
    uint64_t seconds;
    if (!cli_seconds(cli->count, 0, 1000000, &w.most))
        return cli_refuse(cli, EXIT_USAGE, "--count: a whole number from 1 to 1000000 is needed");
    if (!cli_seconds(cli->timeout, 0, 86400, &seconds))
        return cli_refuse(cli, EXIT_USAGE, "--timeout: seconds, from 1 to 86400; without it until it is interrupted");
    if (!types_known(cli->types))
        return cli_refuse(cli, EXIT_USAGE, "--types: message types with commas between, as opt,telemetry (PROTOCOL.md)");
    int code = cli_way_open(&w.way, cli);
    if (code == EXIT_DONE)
        code = watch(&w, seconds);
    cli_way_close(&w.way);
    return code;
}
