/* erab send: one message, and what becomes of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/cursor.h"
#include "client.h"
#include "policy_test.h"

#define MORE_MS      2000  /* after the deadline: the broker tells what expired */
#define TELEMETRY_MS 1500  /* it tells at most once a second which telemetry it did not take */
#define FIELDS_MAX   16384

struct sending {
    const struct cli *cli;
    struct cli_way way;
    struct erab_outgoing message;
    uint8_t id[ERAB_ID_SIZE], parent_id[ERAB_ID_SIZE], parent_hash[ERAB_HASH_SIZE], seal_to[ERAB_KEY_SIZE];
    ProtobufCMessage *body;
    enum erab_receipt_state until; /* 0: sent is enough */
    enum erab_receipt_state last;
    bool connected, rejected, over, shed;
    json_t *receipts;
};

/* ---- receipts ---- */

static void print_receipt(const struct erab_receipt *r)
{
    printf("%s", erab_receipt_state_name(r->state));
    if (r->code && *r->code && strcmp(r->code, "none") != 0)
        printf(": %s", r->code);
    if (r->section && *r->section)
        printf(", guideline %s", r->section);
    if (r->detail && *r->detail)
        printf(": %s", r->detail);
    printf(" (%s%s)\n", r->local ? "this client" : "said by ", r->local || !r->from ? "" : r->from);
    for (size_t i = 0; r->body && i < r->body->n_member; i++)
        printf("  %s: %s %s\n", r->body->member[i]->party,
               erab_receipt_state_name((enum erab_receipt_state)r->body->member[i]->state), r->body->member[i]->reason);
    fflush(stdout);
}

static json_t *members(const struct erab_receipt *r)
{
    json_t *list = json_array();
    for (size_t i = 0; r->body && i < r->body->n_member; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "party", r->body->member[i]->party, "state",
                                              erab_receipt_state_name((enum erab_receipt_state)r->body->member[i]->state),
                                              "reason", r->body->member[i]->reason));
    return list;
}

static void on_receipt(void *user, struct erab_client *client, const struct erab_receipt *r)
{
    struct sending *s = user;
    bool ours = sodium_memcmp(r->about, s->id, ERAB_ID_SIZE) == 0, shed = r->body && r->body->has_shed;
    if (!ours && !(shed && !s->until))
        return;
    s->connected = s->connected || !r->local; /* it may come before both connections are bound */
    s->last = r->state;
    s->shed = s->shed || shed;
    s->over = r->state == ERAB_REFUSED || r->state == ERAB_EXPIRED || (s->until && r->state >= s->until) || shed;
    json_array_append_new(s->receipts,
                          json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o}", "state", erab_receipt_state_name(r->state),
                                    "reason", r->code ? r->code : "", "section", r->section ? r->section : "", "detail",
                                    r->detail ? r->detail : "", "from", r->from ? r->from : "", "local", r->local,
                                    "member", members(r)));
    if (!s->cli->json)
        print_receipt(r);
    if (s->over)
        erab_client_stop(client);
}

static void on_state(void *user, struct erab_client *client, enum erab_connection_state state)
{
    struct sending *s = user;
    s->connected = s->connected || state == ERAB_CONNECTED;
    s->rejected = state == ERAB_REJECTED;
    if (s->rejected)
        erab_client_stop(client);
}

/* ---- what is to be sent ---- */

/* FIELD=VALUE words become lines of YAML, so a value may be anything that stands on one line of it. */
static bool fields_text(const struct cli *cli, char text[FIELDS_MAX])
{
    size_t used = 0;
    for (int i = 2; i < cli->n; i++) {
        const char *word = cli->words[i], *equals = strchr(word, '=');
        if (!equals || equals == word || strchr(word, '\n'))
            return false;
        int n = snprintf(text + used, FIELDS_MAX - used, "%.*s: %s\n", (int)(equals - word), word, equals + 1);
        if (n < 0 || (used += (size_t)n) >= FIELDS_MAX)
            return false;
    }
    return used > 0 || erabi_copy_text(text, FIELDS_MAX, "{}\n");
}

static int refuse_all(const struct cli *cli, const struct erabi_config_errors *errors)
{
    char text[2048] = "";
    for (size_t i = 0; i < errors->n && strlen(text) < 1500; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "; " : "", errors->text[i]);
    return cli_refuse(cli, EXIT_USAGE, text);
}

static int read_body(struct sending *s, uint64_t now_ms)
{
    const struct cli *cli = s->cli;
    char text[FIELDS_MAX];
    size_t size = 0;
    struct erabi_yaml_node *root = NULL;
    _free_ struct erabi_config_errors *errors = calloc(1, sizeof(*errors));
    if (!errors)
        return cli_refuse(cli, EXIT_REFUSED, "no memory");
    if (cli->body && cli->n > 2)
        return cli_refuse(cli, EXIT_USAGE, "a body is given by --body FILE or by FIELD=VALUE words, not by both");
    if (!cli->body && !fields_text(cli, text))
        return cli_refuse(cli, EXIT_USAGE, "what follows TO and TYPE must be FIELD=VALUE words of one line, 16 KiB at most; "
                                           "for more, --body FILE");
    const char *name = cli->body ? cli->body : "FIELD=VALUE";
    int r = cli->body ? erabi_yaml_load(&root, cli->body, errors) : erabi_yaml_parse(&root, text, strlen(text), name, errors);
    if (r == 0)
        s->body = cli_body_read(s->message.type, root, now_ms, name, errors, &size);
    erabi_yaml_free(root);
    return s->body ? EXIT_DONE : refuse_all(cli, errors);
}

static const char *next_type(void *user)
{
    int *type = user;
    while (++*type <= ERAB_TYPE_MAX)
        if (erab_body_descriptor((enum erab_type) * type))
            return erab_type_name((enum erab_type) * type);
    return NULL;
}

static bool read_parent(struct sending *s)
{
    char id[37];
    if (!s->cli->parent)
        return true;
    if (strlen(s->cli->parent) != 36 + 1 + 64 || s->cli->parent[36] != ':')
        return false;
    snprintf(id, sizeof(id), "%.36s", s->cli->parent);
    s->message.parent_id = s->parent_id;
    s->message.parent_hash = s->parent_hash;
    return erab_id_parse(id, s->parent_id) == 0 && erab_key_parse(s->cli->parent + 37, s->parent_hash) == 0;
}

static bool read_until(struct sending *s)
{
    static const char *const names[] = {"sent", "", "accepted", "delivered", "applied"};
    enum erab_lane lane = erab_type_lane(s->message.type);
    s->until = lane == ERAB_LANE_COMMAND ? ERAB_APPLIED : lane == ERAB_LANE_CONTROL ? ERAB_DELIVERED : 0;
    for (int i = 0; s->cli->until && i <= ERAB_APPLIED; i++)
        if (*names[i] && strcmp(names[i], s->cli->until) == 0) {
            s->until = (enum erab_receipt_state)i;
            return lane != ERAB_LANE_TELEMETRY || i == 0; /* what was taken has no receipt */
        }
    return !s->cli->until;
}

static int read_all(struct sending *s)
{
    const struct cli *cli = s->cli;
    char error[256];
    int at = 0;
    uint64_t seconds, now = erabi_clock_ms(CLOCK_REALTIME);
    s->message = (struct erab_outgoing){.size = sizeof(s->message), .to = cli->words[0], .exercise = cli->exercise};
    if (!erab_addressee_valid(cli->words[0]))
        return cli_refuse(cli, EXIT_USAGE, "TO: a party id, or @ and the id of a group, is needed");
    s->message.type = erab_type_from_name(cli->words[1]);
    if (!s->message.type) {
        snprintf(error, sizeof(error), "'%.40s' is no message type; did you mean '%s'?", cli->words[1],
                 cli_nearest(cli->words[1], next_type, &at));
        return cli_refuse(cli, EXIT_USAGE, error);
    }
    s->message.category = erab_category_from_name(cli->category ? cli->category : "operation");
    if (!s->message.category)
        return cli_refuse(cli, EXIT_USAGE, "--category: one of operation sensor-group sensor-home personal security");
    if (!cli_seconds(cli->expires, 60, 86400, &seconds))
        return cli_refuse(cli, EXIT_USAGE, "--expires: seconds, from 1 to 86400 (orders: 3600), usually 60");
    if (!read_until(s))
        return cli_refuse(cli, EXIT_USAGE, "--until: one of sent accepted delivered applied; for telemetry only sent, for "
                                           "what was taken of it has no receipt");
    if (!read_parent(s))
        return cli_refuse(cli, EXIT_USAGE, "--parent: right would be ID:HASH of the message, as 'erab watch' prints them");
    if (cli->seal_to && erab_key_parse(cli->seal_to, s->seal_to))
        return cli_refuse(cli, EXIT_USAGE, "--seal-to: 64 hex digits are needed: the recipient's curve_public");
    s->message.seal_to = cli->seal_to ? s->seal_to : NULL;
    s->message.expires_at_ms = now + seconds * 1000;
    int code = cli_way_open(&s->way, cli);
    s->message.from = s->way.from;
    return code == EXIT_DONE ? read_body(s, now) : code;
}

/* ---- sending ---- */

static int run(struct sending *s, struct erab_client *client)
{
    uint64_t end = s->message.expires_at_ms + MORE_MS, now;
    int r = 0;
    while (r == 0 && !s->over && !s->rejected && (now = erabi_clock_ms(CLOCK_REALTIME)) < end) {
        bool sent = !s->until && s->connected && erab_client_pending(client) == 0;
        r = erab_client_run(client, sent ? TELEMETRY_MS : s->until ? (int)(end - now) : 50);
        if (sent)
            break;
    }
    return r < 0 ? r : 0;
}

static int conclude(const struct sending *s)
{
    char id[37];
    const char *error = NULL;
    bool bad = s->last == ERAB_REFUSED || s->last == ERAB_EXPIRED || s->shed;
    bool good = !bad && (s->until ? s->last >= s->until : s->connected);
    if (s->rejected)
        return cli_refuse(s->cli, EXIT_REFUSED, "the broker does not take this key: it is unknown, revoked, or its time is "
                                                "over; ask its operator ('erab party show')");
    if (!s->connected)
        return cli_refuse(s->cli, EXIT_UNREACHABLE,
                          "no broker answers there with this server key; look at --endpoint and --server-key");
    if (!good && !bad)
        error = "the time is over before that; what was told last stands above (--expires, --until)";
    erab_id_text(s->id, id);
    if (s->cli->json)
        cli_print(json_pack("{s:b, s:s, s:s, s:O, s:s?}", "ok", good, "id", id, "state",
                            s->last ? erab_receipt_state_name(s->last) : "sent", "receipts", s->receipts, "error", error));
    else if (error)
        fprintf(stderr, "erab: %s\n", error);
    else if (!s->last)
        printf("sent\n");
    return good ? EXIT_DONE : EXIT_REFUSED;
}

static int send_it(struct sending *s)
{
    const struct erab_client_callbacks callbacks = {.size = sizeof(callbacks), .on_receipt = on_receipt, .on_state = on_state};
    struct erab_client *client = NULL;
    char id[37];
    int r = cli_way_client(&s->way, s->cli, &callbacks, s, &client);
    s->message.body = s->body;
    if (r == 0)
        r = erab_client_send(client, &s->message, s->id);
    if (r == 0 && !s->cli->json) {
        erab_id_text(s->id, id);
        printf("%s %s to %s\n", id, erab_type_name(s->message.type), s->message.to);
    }
    if (r == 0)
        r = run(s, client);
    erab_client_free(client);
    if (r == -EINVAL)
        return cli_refuse(s->cli, EXIT_USAGE, "this cannot be sent: receipts and pings are the client's own, orders are not "
                                              "sealed; see PROTOCOL.md");
    return r < 0 ? cli_refuse(s->cli, EXIT_REFUSED, strerror(-r)) : conclude(s);
}

int cli_send(const struct cli *cli)
{
    struct sending s = {.cli = cli, .receipts = json_array()};
    int code = read_all(&s);
    if (code == EXIT_DONE)
        code = send_it(&s);
    cli_way_close(&s.way);
    erab_body_free(s.body);
    json_decref(s.receipts);
    return code;
}
