/* The newcomer's side: an invitation becomes a key file; a key file gets its successor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <erab/client.h>
#include <erab/identity.h>
#include <erab/invitation.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "cli.h"
#include "identity/row.h"

#define ANSWER_MS 15000

struct talk {
    bool answered, rejected, connected;
    enum erab_receipt_state state;
    char code[64], detail[256];
};

static void on_receipt(void *user, struct erab_client *client, const struct erab_receipt *receipt)
{
    struct talk *talk = user;
    talk->answered = true;
    talk->state = receipt->state;
    erabi_copy_text(talk->code, sizeof(talk->code), receipt->code);
    erabi_copy_text(talk->detail, sizeof(talk->detail), receipt->detail);
    erab_client_stop(client);
}

static void on_state(void *user, struct erab_client *client, enum erab_connection_state state)
{
    struct talk *talk = user;
    talk->rejected = state == ERAB_REJECTED;
    talk->connected = talk->connected || state == ERAB_CONNECTED;
    if (talk->rejected)
        erab_client_stop(client);
}

struct way {
    const char *endpoint, *hub;
    const uint8_t *server_key;
};

static int open_client(struct erab_client **out, const struct erab_identity *identity, const struct way *way,
                       struct talk *talk)
{
    const struct erab_client_callbacks callbacks = {.size = sizeof(callbacks), .on_receipt = on_receipt,
                                                    .on_state = on_state};
    struct erab_client_options options = {.size = sizeof(options),
                                          .endpoint = way->endpoint,
                                          .identity = identity,
                                          .sign = true,
                                          .callbacks = &callbacks,
                                          .user = talk,
                                          .software = "erab"};
    erabi_copy_bytes(options.server_key, way->server_key, ERAB_KEY_SIZE);
    erabi_copy_text(options.hub, sizeof(options.hub), way->hub);
    return erab_client_new(out, &options);
}

/* Sends one message with this identity and waits for its answer. */
static int exchange(const struct erab_identity *identity, const struct way *way, enum erab_type type,
                    const ProtobufCMessage *body, struct talk *talk)
{
    struct erab_client *client;
    int r = open_client(&client, identity, way, talk);
    if (r < 0)
        return r;
    const struct erab_outgoing message = {.size = sizeof(message),
                                          .to = way->hub,
                                          .type = type,
                                          .category = ERAB_SECURITY,
                                          .expires_at_ms = erabi_clock_ms(CLOCK_REALTIME) + ANSWER_MS,
                                          .body = body};
    r = erab_client_send(client, &message, NULL);
    if (r == 0)
        r = erab_client_run(client, ANSWER_MS + 1000);
    erab_client_free(client);
    return r < 0 ? r : 0;
}

static int tell_failure(const struct cli *cli, const struct talk *talk, const char *rejected)
{
    char error[512];
    if (talk->rejected)
        return cli_refuse(cli, EXIT_REFUSED, rejected);
    if (!talk->answered || talk->state == ERAB_EXPIRED)
        return cli_refuse(cli, EXIT_UNREACHABLE, "the broker did not answer; is its address reachable from here?");
    snprintf(error, sizeof(error), "the broker refused: %s%s%s", talk->code, talk->detail[0] ? ": " : "", talk->detail);
    return cli_refuse(cli, EXIT_REFUSED, error);
}

static void print_registered(const struct cli *cli, const struct erab_invitation *i, const struct erab_identity *id)
{
    char fingerprint[65], sign[65], server[65];
    erabi_keys_fingerprint(id->curve_public, id->sign_public, fingerprint);
    erab_key_text(i->hub_sign_key, sign);
    erab_key_text(i->server_key, server);
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ok", 1, "party", id->party, "state",
                            "pending", "key_file", cli->words[1], "fingerprint", fingerprint, "hub", i->hub, "endpoint",
                            i->endpoint, "server_key", server, "hub_sign_key", sign));
    else
        printf("%s is registered at %s and pending: an operator there has to approve it\n"
               "fingerprint: %s\nendpoint: %s\nserver_key: %s\nhub_sign_key: %s\n",
               id->party, i->hub, fingerprint, i->endpoint, server, sign);
}

/* The key file may be there already: of a try before, that was cut off, or of another that runs beside this one. */
static int own_keys(const struct cli *cli, const struct erab_invitation *i, struct erab_identity *out, char error[512])
{
    if (access(cli->words[1], F_OK) != 0) {
        int made = erab_identity_generate(out, i->party);
        if (made == 0)
            made = erab_identity_save(out, cli->words[1], error, 512);
        if (made != -EEXIST)
            return made;
    }
    int r = erab_identity_load(out, cli->words[1], error, 512);
    if (r == 0 && strcmp(out->party, i->party) != 0) {
        snprintf(error, 512, "%s: holds the keys of %s, the invitation is for %s; name another file", cli->words[1],
                 out->party, i->party);
        r = -1;
    }
    return r;
}

static int enroll(const struct cli *cli, const struct erab_invitation *i, const struct erab_identity *own)
{
    struct erab_identity seed = *own;
    struct talk talk = {0};
    char party[ERAB_PARTY_MAX + 1], kind[32];
    uint8_t curve[ERAB_KEY_SIZE], sign[ERAB_KEY_SIZE];
    erabi_copy_bytes(seed.curve_public, i->seed_public, ERAB_KEY_SIZE);
    erabi_copy_bytes(seed.curve_secret, i->seed_secret, ERAB_KEY_SIZE);
    erabi_copy_bytes(curve, own->curve_public, sizeof(curve));
    erabi_copy_bytes(sign, own->sign_public, sizeof(sign));
    erabi_copy_text(party, sizeof(party), i->party);
    erabi_copy_text(kind, sizeof(kind), erab_role_name(i->role));
    Erab__V1__Registration body = ERAB__V1__REGISTRATION__INIT;
    body.resource = party;
    body.kind = kind;
    body.has_curve_key = body.has_sign_key = 1;
    body.curve_key = (ProtobufCBinaryData){sizeof(curve), curve};
    body.sign_key = (ProtobufCBinaryData){sizeof(sign), sign};
    const struct way way = {i->endpoint, i->hub, i->server_key};
    int r = exchange(&seed, &way, ERAB_REGISTRATION, &body.base, &talk);
    erab_identity_wipe(&seed);
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, strerror(-r));
    if (!talk.answered || talk.state == ERAB_REFUSED || talk.state == ERAB_EXPIRED)
        return tell_failure(cli, &talk,
                            "the broker refuses this invitation: it was used, replaced, withdrawn or has expired; ask for a "
                            "new one (if an earlier try with this key file was cut off, it may have been taken: then the "
                            "operator sees it with 'erab party show')");
    print_registered(cli, i, own);
    return EXIT_DONE;
}

int cli_enroll(const struct cli *cli)
{
    struct erab_invitation invitation;
    struct erab_identity own;
    char error[512] = "the invitation cannot be used";
    if (erab_invitation_load(&invitation, cli->words[0], error, sizeof(error)) < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    int code;
    if (invitation.expires_at_ms <= erabi_clock_ms(CLOCK_REALTIME))
        code = cli_refuse(cli, EXIT_REFUSED, "invitation-expired: its time is over; ask the broker's operator for a new one");
    else if (own_keys(cli, &invitation, &own, error) < 0)
        code = cli_refuse(cli, EXIT_REFUSED, error);
    else
        code = enroll(cli, &invitation, &own);
    erab_identity_wipe(&own);
    erab_invitation_wipe(&invitation);
    return code;
}

/* ---- key rotate ---- */

/* The broker takes the new key once that is on its disk, which may be a moment after the answer: a key that is not
 * known yet is tried again with a fresh client. */
static bool try_connect(const struct erab_identity *identity, const struct way *way)
{
    struct talk talk = {0};
    struct erab_client *client = NULL;
    uint64_t end = erabi_clock_ms(CLOCK_MONOTONIC) + ANSWER_MS;
    while (!talk.connected && erabi_clock_ms(CLOCK_MONOTONIC) < end) {
        if (talk.rejected) {
            erab_client_free(client);
            client = NULL;
            talk.rejected = false;
        }
        if (!client && open_client(&client, identity, way, &talk) < 0)
            return false;
        if (erab_client_run(client, 200) < 0)
            break;
    }
    erab_client_free(client);
    return talk.connected;
}

static int rotate(const struct cli *cli, struct erab_identity *old, struct erab_identity *next, const struct way *way,
                  uint64_t overlap_ms)
{
    struct talk talk = {0};
    uint64_t now = erabi_clock_ms(CLOCK_REALTIME);
    Erab__V1__PartyKey keys[2], *list[2] = {&keys[0], &keys[1]};
    Erab__V1__PartyCard card = ERAB__V1__PARTY_CARD__INIT;
    erabi_card_key(&keys[0], old, 0, now + overlap_ms);
    erabi_card_key(&keys[1], next, now, ERABI_FOR_EVER);
    card.party = old->party;
    card.role = (Erab__V1__Role)erab_role_from_name(cli->role);
    card.version = (uint32_t)(now / 1000);
    card.n_key = 2;
    card.key = list;
    int r = exchange(old, way, ERAB_PARTY_CARD, &card.base, &talk);
    if (r < 0)
        return cli_refuse(cli, EXIT_REFUSED, strerror(-r));
    if (!talk.answered || talk.state == ERAB_REFUSED || talk.state == ERAB_EXPIRED)
        return tell_failure(cli, &talk, "the broker refuses the old key: it is unknown, revoked, or its time is over");
    if (!try_connect(next, way))
        return cli_refuse(cli, EXIT_REFUSED,
                          "announced, but the new key is not let in; the old one holds: repeat this with the same files");
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:s, s:I}", "ok", 1, "party", old->party, "key_file", cli->words[1],
                            "old_until_ms", (json_int_t)(now + overlap_ms)));
    else
        printf("%s: both keys of %s hold now; the old one ends in %llu s. Use the new file from now on.\n", cli->words[1],
               old->party, (unsigned long long)(overlap_ms / 1000));
    return EXIT_DONE;
}

bool cli_overlap(const char *text, uint64_t *ms)
{
    char *end = NULL;
    uint64_t n = text ? strtoull(text, &end, 10) : 7 * 86400;
    *ms = n * 1000;
    return !text || (text[0] >= '1' && text[0] <= '9' && *end == '\0' && n <= 90ull * 86400);
}

int cli_key_rotate(const struct cli *cli)
{
    uint8_t server_key[ERAB_KEY_SIZE];
    uint64_t overlap_ms;
    struct erab_identity old, next;
    char error[512] = "";
    if (cli->socket)
        return cli_server_key_rotate(cli);
    if (!cli->endpoint || !cli->server_key || !cli->hub || !cli->role || erab_key_parse(cli->server_key, server_key) ||
        !erab_party_valid(cli->hub) || erab_role_from_name(cli->role) == ERAB_ROLE_NONE)
        return cli_refuse(cli, EXIT_USAGE, "key rotate needs --endpoint tcp://ADDRESS:PORT, --server-key HEX, --hub PARTY "
                                           "and --role ROLE, as 'erab enroll' printed them");
    if (!cli_overlap(cli->overlap, &overlap_ms))
        return cli_refuse(cli, EXIT_USAGE, "--overlap: seconds, from 1 to 7776000 (90 days), usually 604800 (a week)");
    if (erab_identity_load(&old, cli->words[0], error, sizeof(error)) < 0)
        return cli_refuse(cli, EXIT_REFUSED, error);
    struct erab_invitation as = {0};
    erabi_copy_text(as.party, sizeof(as.party), old.party);
    int code = own_keys(cli, &as, &next, error) < 0 ? cli_refuse(cli, EXIT_REFUSED, error) : EXIT_DONE;
    const struct way way = {cli->endpoint, cli->hub, server_key};
    if (code == EXIT_DONE)
        code = rotate(cli, &old, &next, &way, overlap_ms);
    erab_identity_wipe(&old);
    erab_identity_wipe(&next);
    return code;
}
