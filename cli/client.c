/* A client of the SDK, from the options of the tool. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "client.h"

#define TRUSTED_MAX 64u

static bool local(const struct cli *cli)
{
    return strncmp(cli->endpoint, "ipc://", 6) == 0;
}

bool cli_seconds(const char *text, uint64_t usual, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    *out = text ? strtoull(text, &end, 10) : usual;
    return !text || (text[0] >= '1' && text[0] <= '9' && *end == '\0' && *out <= most);
}

/* PARTY=HEX,PARTY=HEX */
static bool read_trust(struct cli_way *way, const char *text)
{
    way->trusted = calloc(TRUSTED_MAX, sizeof(*way->trusted));
    for (const char *at = text; way->trusted && at && *at;) {
        char key[65];
        size_t n = strcspn(at, "="), m = at[n] ? strcspn(at + n + 1, ",") : 0;
        if (way->n_trusted == TRUSTED_MAX || n > ERAB_PARTY_MAX || m != 64)
            return false;
        struct erab_trusted *t = &way->trusted[way->n_trusted++];
        snprintf(t->party, sizeof(t->party), "%.*s", (int)n, at);
        snprintf(key, sizeof(key), "%.64s", at + n + 1);
        if (!erab_party_valid(t->party) || erab_key_parse(key, t->sign_key))
            return false;
        at += n + 1 + m;
        at += *at == ',';
    }
    return way->trusted != NULL;
}

/* TYPE,TYPE */
static bool read_takes(struct cli_way *way, const char *text)
{
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
        enum erab_type type = erab_type_from_name(name);
        if (!type || type == ERAB_PING || way->n_takes == sizeof(way->takes) / sizeof(way->takes[0]))
            return false;
        way->takes[way->n_takes++] = type;
    }
    return true;
}

int cli_way_open(struct cli_way *way, const struct cli *cli)
{
    char error[512] = "";
    *way = (struct cli_way){0};
    if (!cli->identity || !cli->endpoint || !cli->server_key || !cli->hub)
        return cli_refuse(cli, EXIT_USAGE, "this needs --identity FILE (as of 'erab key new'), --endpoint ENDPOINT, "
                                           "--server-key HEX and --hub PARTY, as 'erab enroll' printed them");
    if (!local(cli) && strncmp(cli->endpoint, "tcp://", 6) != 0)
        return cli_refuse(cli, EXIT_USAGE, "--endpoint: right would be tcp://ADDRESS:PORT or ipc://PATH");
    if (erab_key_parse(cli->server_key, way->server_key))
        return cli_refuse(cli, EXIT_USAGE, "--server-key: 64 hex digits are needed: the listener's curve_public");
    if (!erab_party_valid(cli->hub) || (cli->from && !erab_party_valid(cli->from)))
        return cli_refuse(cli, EXIT_USAGE, "--hub, --from: not a party id; right would be: a-z, 0-9, '.', '-', at most 63");
    if (!read_trust(way, cli->trust))
        return cli_refuse(cli, EXIT_USAGE, "--trust: right would be PARTY=HEX,PARTY=HEX with their sign_public, at most 64");
    if (!read_takes(way, cli->take))
        return cli_refuse(cli, EXIT_USAGE, "--take: message types with commas between, as opt,plan (PROTOCOL.md)");
    if (cli->take && !local(cli))
        return cli_refuse(cli, EXIT_USAGE, "--take: only an application of the owner takes types, over ipc://");
    if (erab_identity_load(&way->identity, cli->identity, error, sizeof(error)) < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    /* An application of the owner speaks for the owner, over the local socket. */
    const char *from = cli->from ? cli->from : local(cli) ? cli->hub : way->identity.party;
    erabi_copy_text(way->from, sizeof(way->from), from);
    return EXIT_DONE;
}

void cli_way_close(struct cli_way *way)
{
    erab_identity_wipe(&way->identity);
    free(way->trusted);
}

int cli_way_client(const struct cli_way *way, const struct cli *cli, const struct erab_client_callbacks *callbacks,
                   void *user, struct erab_client **out)
{
    struct erab_client_options options = {.size = sizeof(options),
                                          .endpoint = cli->endpoint,
                                          .identity = &way->identity,
                                          .sign = !local(cli),
                                          .trusted = way->trusted,
                                          .n_trusted = way->n_trusted,
                                          .callbacks = callbacks,
                                          .user = user,
                                          .software = "erab",
                                          .takes = way->takes,
                                          .n_takes = way->n_takes};
    erabi_copy_bytes(options.server_key, way->server_key, ERAB_KEY_SIZE);
    erabi_copy_text(options.hub, sizeof(options.hub), cli->hub);
    return erab_client_new(out, &options);
}
