#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"
#include "cli.h"

static const struct verb {
    const char *noun, *verb; /* verb NULL: the noun stands alone */
    int least, most;         /* words that follow */
    int (*run)(const struct cli *cli);
    const char *usage, *help;
} verbs[] = {
    {"key", "new", 2, 2, cli_key_new, "key new PARTY FILE", "make the keys of a party; the file is never overwritten"},
    {"key", "show", 1, 1, cli_key_show, "key show FILE", "print the public keys of a key file"},
    {"key", "rotate", 2, 2, cli_key_rotate,
     "key rotate OLD_FILE NEW_FILE --endpoint ENDPOINT --server-key HEX --hub PARTY --role ROLE [--overlap SECONDS]",
     "announce new keys of a party, signed with the old ones; both hold during the overlap"},
    {"key", "rotate", 2, 2, cli_key_rotate,
     "key rotate INTERFACE NEW_FILE --operator FILE --socket SOCKET [--overlap SECONDS]",
     "give a broker's listener a new server key; clients learn it by a signed card"},
    {"operator", "new", 2, 2, cli_operator_new, "operator new NAME FILE",
     "make the key of a person who decides; prints the lines for the configuration"},
    {"enroll", NULL, 2, 2, cli_enroll, "enroll INVITATION NEW_KEY_FILE",
     "make one's own keys and register with an invitation; an operator approves"},
    {"config", "check", 1, 1, cli_config_check, "config check FILE", "check a configuration and its profile"},
    {"config", "reload", 0, 0, cli_config_reload, "config reload --socket SOCKET",
     "have a broker read its configuration again; says what changed or why not"},
    {"topology", "check", 1, 256, cli_topology_check, "topology check FILE...",
     "check the configurations of several brokers together"},
    {"isolate", NULL, 1, 1, cli_isolate, "isolate INTERFACE --socket SOCKET",
     "close one interface at once and keep it closed, also over restarts"},
    {"join", NULL, 1, 1, cli_join, "join INTERFACE --socket SOCKET", "open an isolated interface again"},
    {"audit", "verify", 1, 1, cli_audit_verify, "audit verify FILE [--heads FILE] [--key HEX]",
     "check an audit log; --heads finds a cut tail, --key checks the owner's signatures"},
    {"trace", NULL, 2, 65, cli_trace, "trace ID FILE...", "follow a message through audit logs, one's own first"},
    {"policy", "list", 0, 0, cli_policy_list, "policy list", "print the shipped policies and their options"},
    {"policy", "test", 1, 1, cli_policy_test, "policy test FILE",
     "judge example messages by a configuration, offline, and compare with what the file expects"},
    {"plugin", "list", 1, 1, cli_plugin_list, "plugin list CONFIG",
     "the modules of a configuration: ABI, signature, what is in them"},
    {"plugin", "check", 1, 256, cli_plugin_check, "plugin check FILE.so [OPTION=VALUE...]",
     "check a module as its host would, then run it in a process of its own against a test host"},
    {"plugin", "sign", 2, 2, cli_plugin_sign, "plugin sign FILE.so KEYFILE", "sign a module; writes FILE.so.sig"},
    {"health", NULL, 1, 1, cli_health, "health SOCKET", "ask a broker how it is; done only when it is ready"},
    {"party", "invite", 2, 2, cli_party_invite,
     "party invite ID NEW_FILE --role ROLE --firm FIRM --operator FILE --socket SOCKET\n"
     "      [--hours N] [--endpoint ENDPOINT] [--kind self|uplink] [--types A,B] [--speaks-for A,B]",
     "write a one-time invitation for a newcomer"},
    {"party", "list", 0, 0, cli_party_list, "party list --socket SOCKET [--state STATE]",
     "every party and its state: active invited expired pending denied revoked"},
    {"party", "show", 1, 1, cli_party_show, "party show ID --socket SOCKET", "one party with its keys and approvals"},
    {"party", "approve", 1, 1, cli_party_approve, "party approve ID --operator FILE --socket SOCKET [--fingerprint HEX]",
     "sign for a registered newcomer; it comes in when enough operators have"},
    {"party", "deny", 1, 1, cli_party_deny, "party deny ID --operator FILE --socket SOCKET",
     "refuse a newcomer, or withdraw its invitation"},
    {"party", "revoke", 1, 1, cli_party_revoke, "party revoke ID --socket SOCKET [--operator FILE]",
     "revoke a party for good and cut its connections"},
    {"breaker", "list", 0, 0, cli_breaker_list, "breaker list --socket SOCKET", "the links that are not closed, and why"},
    {"breaker", "trip", 3, 4, cli_breaker_trip, "breaker trip PARTY INTERFACE PARTY [NOTE] --socket SOCKET",
     "stop one link until `breaker close`, also over restarts"},
    {"breaker", "close", 3, 3, cli_breaker_close, "breaker close PARTY INTERFACE PARTY --socket SOCKET",
     "let a link be used again"},
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void usage(FILE *out)
{
    fprintf(out, "usage: erab NOUN VERB ... [--json]\n\n");
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(out, "  erab %s\n      %s\n", verbs[i].usage, verbs[i].help);
    fprintf(out, "\nexit codes: 0 done, 1 refused or check failed, 2 usage, 3 broker not reachable\n");
}

void cli_print(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
}

int cli_refuse(const struct cli *cli, int code, const char *error)
{
    if (cli->json)
        cli_print(json_pack("{s:b, s:s}", "ok", 0, "error", error));
    else {
        char text[1024]; /* file names and the broker's answer stand in it */
        snprintf(text, sizeof(text), "%s", error);
        erabi_plain_text(text, strlen(text));
        fprintf(stderr, "erab: %s\n", text);
    }
    return code;
}

/* Options may stand anywhere; what is left are the words. */
static int sort_options(struct cli *cli, int argc, char **argv, bool *help)
{
    const struct {
        const char *name;
        const char **to;
    } options[] = {
        {"--heads", &cli->heads},           {"--key", &cli->key},
        {"--socket", &cli->socket},         {"--operator", &cli->operator},
        {"--role", &cli->role},             {"--firm", &cli->firm},
        {"--kind", &cli->kind},             {"--types", &cli->types},
        {"--speaks-for", &cli->speaks_for}, {"--hours", &cli->hours},
        {"--endpoint", &cli->endpoint},     {"--state", &cli->state},
        {"--server-key", &cli->server_key}, {"--fingerprint", &cli->fingerprint},
        {"--hub", &cli->hub},               {"--overlap", &cli->overlap},
    };
    const size_t n_options = sizeof(options) / sizeof(options[0]);
    int n = 0;
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < n_options && strcmp(argv[i], options[k].name) != 0)
            k++;
        if (k < n_options && i + 1 < argc)
            *options[k].to = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *help = true;
        else if (strncmp(argv[i], "--", 2) == 0)
            return -1;
        else
            argv[n++] = argv[i];
    }
    return n;
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    bool help = false;
    int n = sort_options(&cli, argc, argv, &help);
    if (help) {
        usage(stdout);
        return EXIT_DONE;
    }
    for (size_t i = 0; n > 0 && i < N_VERBS; i++) {
        const struct verb *v = &verbs[i];
        int skip = v->verb ? 2 : 1;
        if (n < skip || strcmp(argv[0], v->noun) != 0 || (v->verb && strcmp(argv[1], v->verb) != 0))
            continue;
        cli.n = n - skip;
        cli.words = argv + skip;
        if (cli.n < v->least || cli.n > v->most) {
            fprintf(stderr, "usage: erab %s\n", v->usage);
            return EXIT_USAGE;
        }
        if (sodium_init() < 0)
            return cli_refuse(&cli, EXIT_REFUSED, "no random numbers from this system");
        return v->run(&cli);
    }
    usage(stderr);
    return EXIT_USAGE;
}
