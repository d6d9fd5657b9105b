#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"
#include "cli.h"

const struct cli_verb cli_verbs[] = {
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
    {"journal", "stat", 1, 1, cli_journal_stat, "journal stat FILE", "what a journal holds; no broker may have it open"},
    {"journal", "check", 1, 1, cli_journal_check, "journal check FILE",
     "read all of a journal or a backup, and name every row that is not what was written"},
    {"journal", "export", 1, 1, cli_journal_export, "journal export FILE [--bodies]", "print every row, one line of JSON each"},
    {"journal", "backup", 1, 2, cli_journal_backup, "journal backup NEW_FILE --socket SOCKET",
     "have a running broker write a copy of its journal"},
    {"journal", "backup", 1, 2, cli_journal_backup, "journal backup FILE NEW_FILE", "copy a journal that no broker has open"},
    {"journal", "accept-restore", 2, 65, cli_journal_accept, "journal accept-restore FILE AUDIT_LOG...",
     "take an older journal back into use: closes everything that it may have forgotten"},
    {"trace", NULL, 2, 65, cli_trace, "trace ID FILE...", "follow a message through audit logs, one's own first"},
    {"policy", "list", 0, 0, cli_policy_list, "policy list", "print the shipped policies and their options"},
    {"policy", "test", 1, 1, cli_policy_test, "policy test FILE",
     "judge example messages by a configuration, offline, and compare with what the file expects"},
    {"plugin", "list", 1, 1, cli_plugin_list, "plugin list CONFIG",
     "the modules of a configuration: ABI, signature, what is in them"},
    {"plugin", "check", 1, 256, cli_plugin_check, "plugin check FILE.so [OPTION=VALUE...]",
     "check a module as its host would, then run it in a process of its own against a test host"},
    {"plugin", "sign", 2, 2, cli_plugin_sign, "plugin sign FILE.so KEYFILE", "sign a module; writes FILE.so.sig"},
    {"health", NULL, 1, 1, cli_health, "health SOCKET",
     "ask a broker how it is; done only when it is ready: would accept a command now"},
    {"party", "invite", 2, 2, cli_party_invite,
     "party invite ID NEW_FILE --role ROLE --firm FIRM --operator FILE --socket SOCKET\n"
     "      [--hours N] [--endpoint ENDPOINT] [--kind self|uplink] [--types A,B] [--speaks-for A,B]",
     "write a one-time invitation for a newcomer"},
    {"party", "list", 0, 0, cli_party_list, "party list --socket SOCKET [--state STATE]",
     "every party and its state: active invited expired pending denied revoked"},
    {"party", "show", 1, 1, cli_party_show, "party show ID --socket SOCKET", "one party with its keys and approvals"},
    {"party", "approve", 1, 1, cli_party_approve, "party approve ID --operator FILE --socket SOCKET [--fingerprint HEX] [--group A,B]",
     "sign for a registered newcomer; it comes in when enough operators have"},
    {"party", "deny", 1, 1, cli_party_deny, "party deny ID --operator FILE --socket SOCKET",
     "refuse a newcomer, or withdraw its invitation"},
    {"party", "revoke", 1, 1, cli_party_revoke, "party revoke ID --socket SOCKET [--operator FILE]",
     "revoke a party for good and cut its connections"},
    {"breaker", "list", 0, 0, cli_breaker_list, "breaker list --socket SOCKET", "the links that are not closed, and why"},
    {"breaker", "trip", 3, 4, cli_breaker_trip, "breaker trip PARTY INTERFACE PARTY [NOTE] --socket SOCKET [--operator FILE]",
     "stop one link until `breaker close`, also over restarts"},
    {"breaker", "close", 3, 3, cli_breaker_close, "breaker close PARTY INTERFACE PARTY --socket SOCKET [--operator FILE]",
     "let a link be used again"},
    {"clock", "show", 0, 0, cli_clock_show, "clock show --socket SOCKET",
     "the broker's clock beside the system's, and what becomes of the difference"},
    {"clock", "accept", 0, 0, cli_clock_accept, "clock accept --socket SOCKET [--operator FILE] [--lower]",
     "take the system's time; with --lower also back, then commands accepted so far count as expired"},
    {"clock", "reject", 0, 0, cli_clock_reject, "clock reject --socket SOCKET [--operator FILE]",
     "go on with the broker's own time while the system's clock is ahead"},
    {"send", NULL, 2, 66, cli_send,
     "send TO TYPE [FIELD=VALUE...] --identity FILE --endpoint ENDPOINT --server-key HEX --hub PARTY [--body FILE]\n"
     "      [--from PARTY] [--category CATEGORY] [--expires SECONDS] [--until STATE] [--parent ID:HASH] [--exercise]\n"
     "      [--seal-to HEX] [--trust PARTY=HEX,...]",
     "send a message of any type and print what becomes of it, until it is final or its time is over"},
    {"watch", NULL, 0, 0, cli_watch,
     "watch --identity FILE --endpoint ENDPOINT --server-key HEX --hub PARTY [--from PARTY] [--types A,B] [--take A,B]\n"
     "      [--count N] [--timeout SECONDS] [--trust PARTY=HEX,...]",
     "take and print what arrives for a party, in the place of its program, and answer DELIVERED"},
    {"help", NULL, 0, 1, cli_help, "help [NOUN]", "what the tool can do"},
    {"completion", NULL, 1, 1, cli_completion, "completion bash|zsh|fish", "print a script that completes erab in a shell"},
    {NULL},
};

void cli_print(json_t *answer)
{
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
}

int cli_refuse(const struct cli *cli, int code, const char *error)
{
    json_t *answer = cli->json ? json_pack("{s:b, s:s}", "ok", 0, "error", error) : NULL;
    if (answer) {
        cli_print(answer);
    } else {
        char text[1024]; /* file names and the broker's answer stand in it */
        snprintf(text, sizeof(text), "%s", error);
        erabi_plain_text(text, strlen(text));
        fprintf(stderr, "erab: %s\n", text);
    }
    return code;
}

/* ---- what is called ---- */

static const char *next_noun(void *user)
{
    const struct cli_verb **at = user;
    return (*at)->noun ? (*at)++->noun : NULL;
}

struct of_noun {
    const struct cli_verb *at;
    const char *noun;
};

static const char *next_verb(void *user)
{
    struct of_noun *of = user;
    while (of->at->noun && strcmp(of->at->noun, of->noun) != 0)
        of->at++;
    return of->at->noun ? of->at++->verb : NULL;
}

static int unknown(const struct cli *cli, int n, char **words)
{
    char error[512], known[256] = "";
    const struct cli_verb *at = cli_verbs, *first = cli_verbs;
    while (n && first->noun && strcmp(first->noun, words[0]) != 0)
        first++;
    if (n == 0) {
        snprintf(error, sizeof(error), "a noun is needed; 'erab help' shows all of them");
    } else if (!first->noun) {
        snprintf(error, sizeof(error), "'%.60s' is not known; did you mean '%s'? ('erab help' shows all)", words[0],
                 cli_nearest(words[0], next_noun, &at));
    } else {
        struct of_noun of = {cli_verbs, words[0]}, all = of;
        for (const char *v, *before = ""; (v = next_verb(&all)); before = v)
            if (strcmp(v, before) != 0)
                snprintf(known + strlen(known), sizeof(known) - strlen(known), " %s", v);
        if (n == 1)
            snprintf(error, sizeof(error), "%s needs one of:%s; see 'erab help %s'", words[0], known, words[0]);
        else
            snprintf(error, sizeof(error), "%s has no '%.60s'; did you mean '%s %s'? ('erab help %s' shows all)", words[0],
                     words[1], words[0], cli_nearest(words[1], next_verb, &of), words[0]);
    }
    return cli_refuse(cli, EXIT_USAGE, error);
}

static bool same_verb(const struct cli_verb *a, const struct cli_verb *b)
{
    return strcmp(a->noun, b->noun) == 0 && (a->verb == b->verb || (a->verb && b->verb && strcmp(a->verb, b->verb) == 0));
}

/* A usage may have several lines; here it is one. */
static void one_line(char *text)
{
    char *to = text;
    for (const char *at = text; *at; to++)
        if (*at == '\n') {
            *to = ' ';
            at += 1 + strspn(at + 1, " ");
        } else {
            *to = *at++;
        }
    *to = '\0';
}

/* A verb may stand in several rows, with other words or options. */
static int wrong_words(const struct cli *cli, const struct cli_verb *v)
{
    char error[1536];
    size_t n = (size_t)snprintf(error, sizeof(error), "too %s words; usage:", cli->n < v->least ? "few" : "many");
    for (const struct cli_verb *o = cli_verbs; o->noun && n < sizeof(error); o++)
        if (same_verb(o, v))
            n += (size_t)snprintf(error + n, sizeof(error) - n, "%s erab %s", o == v || n < 30 ? "" : ", or:", o->usage);
    one_line(error);
    return cli_refuse(cli, EXIT_USAGE, error);
}

static int not_of(const struct cli *cli, const struct cli_verb *v, const char *option)
{
    char error[512];
    size_t n = (size_t)snprintf(error, sizeof(error), "%s%s%s takes no %s; it takes:", v->noun, v->verb ? " " : "",
                                v->verb ? v->verb : "", option);
    for (const struct cli_option *o = cli_options; o->name && n < sizeof(error); o++)
        if (cli_option_of(v, o->name))
            n += (size_t)snprintf(error + n, sizeof(error) - n, " %s", o->name);
    return cli_refuse(cli, EXIT_USAGE, error);
}

static int run(const struct cli *cli, const struct cli_verb *v, const char *const given[])
{
    if (cli->n < v->least || cli->n > v->most)
        return wrong_words(cli, v);
    for (; *given; given++)
        if (!cli_option_of(v, *given))
            return not_of(cli, v, *given);
    if (sodium_init() < 0)
        return cli_refuse(cli, EXIT_REFUSED, "no random numbers from this system");
    return v->run(cli);
}

static int call(struct cli *cli, int argc, char **argv)
{
    const char *given[64] = {NULL};
    char error[512] = "";
    int n = cli_sort(cli, argc, argv, given, error);
    if (n < 0)
        return cli_refuse(cli, EXIT_USAGE, error);
    if (cli->version)
        return cli_version(cli);
    if (cli->help)
        return cli_help_noun(cli, n ? argv[0] : NULL);
    for (const struct cli_verb *v = cli_verbs; n > 0 && v->noun; v++) {
        int skip = v->verb ? 2 : 1;
        if (n < skip || strcmp(argv[0], v->noun) != 0 || (v->verb && strcmp(argv[1], v->verb) != 0))
            continue;
        cli->n = n - skip;
        cli->words = argv + skip;
        return run(cli, v, given);
    }
    return unknown(cli, n, argv);
}

/* An answer that a full disk has cut must not look whole. */
int main(int argc, char **argv)
{
    struct cli cli = {0};
    int code = call(&cli, argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "erab: not all of the answer could be written: %s\n", strerror(errno));
    return code ? code : EXIT_REFUSED;
}
