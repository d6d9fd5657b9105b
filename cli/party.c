/* Operators' nouns: who may be a party of a broker. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <erab/identity.h>
#include <erab/invitation.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "cli.h"

#define SETTLE_TRIES 500 /* of 20 ms: the journal has 10 s */

int cli_operator_new(const struct cli *cli)
{
    struct erab_identity identity;
    char error[512] = "", sign[65];
    if (erab_identity_generate(&identity, cli->words[0]) < 0)
        return cli_refuse(cli, EXIT_REFUSED, "not a name; right would be: a-z, 0-9, '.', '-', at most 63");
    int r = erab_identity_save(&identity, cli->words[1], error, sizeof(error));
    erab_key_text(identity.sign_public, sign);
    erab_identity_wipe(&identity);
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:s}", "ok", 1, "name", cli->words[0], "sign_key", sign));
    else
        printf("operators:\n  - {name: %s, sign_key: %s}\n", cli->words[0], sign);
    return EXIT_DONE;
}

static bool needs_socket(const struct cli *cli, int *code)
{
    if (cli->socket)
        return false;
    *code = cli_refuse(cli, EXIT_USAGE, "this needs --socket SOCKET, the broker's admin socket");
    return true;
}

static json_t *show(const struct cli *cli, const char *party, int *code)
{
    return cli_good(cli, cli_ask(cli->socket, json_pack("{s:s, s:s}", "verb", "party-show", "party", party)), code);
}

/* What was asked counts once it is on disk: asks until nothing of it waits any more. */
static json_t *settled(const struct cli *cli, const char *party, const char *seed, int *code)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    for (int i = 0; i < SETTLE_TRIES; i++) {
        json_t *answer = cli_ask(cli->socket, json_pack("{s:s, s:s}", "verb", "party-show", "party", party));
        const char *there = json_string_value(json_object_get(answer, "seed"));
        if (!answer)
            break;
        if (json_is_false(json_object_get(answer, "busy")) && (!seed || (there && strcmp(there, seed) == 0)))
            return cli_good(cli, answer, code);
        json_decref(answer);
        nanosleep(&pause, NULL);
    }
    *code = cli_refuse(cli, EXIT_REFUSED, "the broker's journal did not keep it in time; look at 'erab health', then repeat");
    return NULL;
}

/* ---- invite ---- */

static json_t *split(const char *list)
{
    json_t *out = json_array();
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, ",");
        json_array_append_new(out, json_stringn(at, n));
        at += n + (at[n] == ',');
    }
    return out;
}

static bool read_hours(const char *text, uint64_t *hours)
{
    char *end;
    *hours = text ? strtoull(text, &end, 10) : 72;
    return !text || (text[0] >= '1' && text[0] <= '9' && *end == '\0' && *hours <= 720);
}

static const char *fill(const struct cli *cli, const json_t *answer, struct erab_invitation *out)
{
    const char *hub = json_string_value(json_object_get(answer, "hub"));
    const char *sign = json_string_value(json_object_get(answer, "hub_sign_key"));
    const char *server = json_string_value(json_object_get(answer, "server_key"));
    const char *endpoint = cli->endpoint ? cli->endpoint : json_string_value(json_object_get(answer, "endpoint"));
    if (!hub || !sign || !server || !endpoint || erab_key_parse(sign, out->hub_sign_key) ||
        erab_key_parse(server, out->server_key) || !erabi_copy_text(out->hub, sizeof(out->hub), hub) ||
        !erabi_copy_text(out->endpoint, sizeof(out->endpoint), endpoint))
        return "the broker's answer cannot be used; are both of the same version?";
    out->role = erab_role_from_name(cli->role);
    out->expires_at_ms = (uint64_t)json_integer_value(json_object_get(answer, "expires_ms"));
    return NULL;
}

static bool anywhere(const char *endpoint)
{
    return strncmp(endpoint, "tcp://0.0.0.0:", 14) == 0 || strncmp(endpoint, "tcp://[::]:", 11) == 0;
}

static int save_invitation(const struct cli *cli, const json_t *answer, struct erab_invitation *invitation)
{
    char error[512] = "";
    const char *wrong = fill(cli, answer, invitation);
    if (!wrong && anywhere(invitation->endpoint))
        wrong = "the listener is open on every address; repeat with --endpoint tcp://ADDRESS:PORT as newcomers reach it";
    if (wrong)
        return cli_refuse(cli, EXIT_REFUSED, wrong);
    if (erab_invitation_save(invitation, cli->words[1], error, sizeof(error)) < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:s, s:s, s:I}", "ok", 1, "party", invitation->party, "file", cli->words[1],
                            "endpoint", invitation->endpoint, "expires_ms", (json_int_t)invitation->expires_at_ms));
    else
        printf("%s: hand it to %s over a way that you both trust; it works once, on %s\n", cli->words[1],
               invitation->party, invitation->endpoint);
    return EXIT_DONE;
}

static int send_invitation(const struct cli *cli, struct erab_invitation *invitation, uint64_t hours)
{
    int code = EXIT_REFUSED;
    char seed[65];
    json_t *hub = cli_hub_of(cli, &code);
    if (!hub)
        return code;
    erab_key_text(invitation->seed_public, seed);
    json_int_t until = (json_int_t)(erabi_clock_ms(CLOCK_REALTIME) + hours * 3600000);
    json_t *text = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "hub", hub, "party", invitation->party,
                             "role", cli->role, "firm", cli->firm, "kind", cli->kind ? cli->kind : "self", "seed", seed,
                             "expires_ms", until, "types", split(cli->types), "speaks_for", split(cli->speaks_for));
    json_t *request = cli_signed_request(cli, "party-invite", text, &code);
    json_t *answer = request ? cli_good(cli, cli_ask(cli->socket, request), &code) : NULL;
    json_t *kept = answer ? settled(cli, invitation->party, seed, &code) : NULL;
    if (kept)
        code = save_invitation(cli, answer, invitation);
    json_decref(kept);
    json_decref(answer);
    return code;
}

int cli_party_invite(const struct cli *cli)
{
    struct erab_invitation invitation = {0};
    uint64_t hours;
    int code = EXIT_USAGE;
    if (needs_socket(cli, &code))
        return code;
    if (!cli->role || !cli->firm || erab_role_from_name(cli->role) == ERAB_ROLE_NONE)
        return cli_refuse(cli, EXIT_USAGE,
                          "party invite needs --firm FIRM and --role, one of tso ac ra retailer ems-server ems-controller "
                          "gateway device sensor maker body");
    if (!read_hours(cli->hours, &hours))
        return cli_refuse(cli, EXIT_USAGE, "--hours: a whole number from 1 to 720 is needed, usually 72");
    if (!erab_party_valid(cli->words[0]))
        return cli_refuse(cli, EXIT_USAGE, "not a party id; right would be: a-z, 0-9, '.', '-', at most 63");
    if (cli->endpoint && strncmp(cli->endpoint, "tcp://", 6) != 0)
        return cli_refuse(cli, EXIT_USAGE, "--endpoint: right would be tcp://ADDRESS:PORT");
    if (access(cli->words[1], F_OK) == 0)
        return cli_refuse(cli, EXIT_REFUSED, "the file is there already and is never overwritten; choose another name");
    erabi_copy_text(invitation.party, sizeof(invitation.party), cli->words[0]);
    crypto_box_keypair(invitation.seed_public, invitation.seed_secret);
    code = send_invitation(cli, &invitation, hours);
    erab_invitation_wipe(&invitation);
    return code;
}

/* ---- list, show ---- */

int cli_party_list(const struct cli *cli)
{
    int code = EXIT_DONE;
    json_int_t from = 0;
    if (needs_socket(cli, &code))
        return code;
    json_t *all = json_array();
    do {
        json_t *request = json_pack("{s:s, s:I}", "verb", "party-list", "from", from);
        if (cli->state)
            json_object_set_new(request, "state", json_string(cli->state));
        json_t *answer = cli_good(cli, cli_ask(cli->socket, request), &code);
        if (!answer) {
            json_decref(all);
            return code;
        }
        json_array_extend(all, json_object_get(answer, "parties"));
        json_int_t next = json_integer_value(json_object_get(answer, "next"));
        from = next > from ? next : 0;
        json_decref(answer);
    } while (from);
    size_t i;
    json_t *p;
    if (!cli->json)
        json_array_foreach(all, i, p)
            printf("%-24s %-15s %-24s %-8s %s\n", json_string_value(json_object_get(p, "party")),
                   json_string_value(json_object_get(p, "role")), json_string_value(json_object_get(p, "firm")),
                   json_string_value(json_object_get(p, "state")), json_string_value(json_object_get(p, "from")));
    if (cli->json)
        cli_print(json_pack("{s:b, s:o}", "ok", 1, "parties", all));
    else
        json_decref(all);
    return EXIT_DONE;
}

int cli_party_show(const struct cli *cli)
{
    int code = EXIT_DONE;
    json_t *answer = needs_socket(cli, &code) ? NULL : show(cli, cli->words[0], &code);
    return answer ? cli_tell(cli, answer) : code;
}

/* ---- approve, deny, revoke ---- */

static int decide(const struct cli *cli, const char *act, json_t *text)
{
    int code = EXIT_REFUSED;
    json_t *hub = text ? cli_hub_of(cli, &code) : NULL;
    if (!hub) {
        json_decref(text);
        return code;
    }
    json_object_set_new(text, "hub", hub);
    json_object_set_new(text, "party", json_string(cli->words[0]));
    json_t *request = cli_signed_request(cli, act, text, &code);
    json_t *answer = request ? cli_good(cli, cli_ask(cli->socket, request), &code) : NULL;
    if (!answer)
        return code;
    const char *wanted = json_string_value(json_object_get(answer, "state"));
    json_t *kept = settled(cli, cli->words[0], NULL, &code);
    const char *is = json_string_value(json_object_get(kept, "state"));
    if (kept && wanted && is && strcmp(wanted, is) != 0)
        code = cli_refuse(cli, EXIT_REFUSED, "the journal could not keep it; look at 'erab health', then repeat");
    else if (kept)
        code = cli_tell(cli, json_incref(answer));
    json_decref(kept);
    json_decref(answer);
    return code;
}

int cli_party_approve(const struct cli *cli)
{
    int code = EXIT_DONE;
    json_t *seen = needs_socket(cli, &code) ? NULL : show(cli, cli->words[0], &code);
    if (!seen)
        return code;
    const char *keys = json_string_value(json_object_get(seen, "fingerprint"));
    if (cli->fingerprint && (!keys || strcmp(keys, cli->fingerprint) != 0)) {
        json_decref(seen);
        return cli_refuse(cli, EXIT_REFUSED, "the registered keys have another fingerprint; deny it and find out why");
    }
    json_t *text = json_pack("{s:s}", "keys", keys ? keys : "");
    if (cli->group)
        json_object_set_new(text, "groups", split(cli->group));
    json_decref(seen);
    return decide(cli, "party-approve", text);
}

int cli_party_deny(const struct cli *cli)
{
    int code = EXIT_DONE;
    return needs_socket(cli, &code) ? code : decide(cli, "party-deny", json_object());
}

int cli_party_revoke(const struct cli *cli)
{
    int code = EXIT_DONE;
    if (needs_socket(cli, &code))
        return code;
    if (cli->operator)
        return decide(cli, "party-revoke", json_object());
    return cli_tell(cli, cli_ask(cli->socket, json_pack("{s:s, s:s}", "verb", "party-revoke", "party", cli->words[0])));
}

/* ---- a listener's key ---- */

/* The broker opens the file itself: it must be the broker's user's own. */
static char *new_server_key(const char *hub, const char *path, char error[512])
{
    struct erab_identity identity;
    if (access(path, F_OK) != 0 && (erab_identity_generate(&identity, hub) < 0 ||
                                    erab_identity_save(&identity, path, error, 512) < 0))
        return NULL;
    return realpath(path, NULL);
}

int cli_server_key_rotate(const struct cli *cli)
{
    int code = EXIT_REFUSED;
    uint64_t overlap_ms;
    char error[512] = "the new file cannot be made";
    if (!cli_overlap(cli->overlap, &overlap_ms))
        return cli_refuse(cli, EXIT_USAGE, "--overlap: seconds, from 1 to 7776000 (90 days), usually 604800 (a week)");
    json_t *hub = cli_hub_of(cli, &code);
    if (!hub)
        return code;
    char *file = new_server_key(json_string_value(hub), cli->words[1], error);
    if (!file) {
        json_decref(hub);
        return cli_refuse(cli, EXIT_REFUSED, error);
    }
    json_int_t until = (json_int_t)(erabi_clock_ms(CLOCK_REALTIME) + overlap_ms);
    json_t *text = json_pack("{s:O, s:O, s:s, s:s, s:I}", "hub", hub, "party", hub, "interface", cli->words[0],
                             "key_file", file, "old_until_ms", until);
    json_decref(hub);
    free(file);
    json_t *request = cli_signed_request(cli, "key-rotate", text, &code);
    json_t *answer = request ? cli_good(cli, cli_ask(cli->socket, request), &code) : NULL;
    return answer ? cli_tell(cli, answer) : code;
}
