/* The words of a command line. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/words.h"
#include "cli.h"

#define GIVEN_MAX 62

#define ROLES "tso ac ra retailer ems-server ems-controller gateway device sensor maker body"
#define CATEGORIES "operation sensor-group sensor-home personal security"
#define STATES "active invited expired pending denied revoked"
#define TEXT(member) offsetof(struct cli, member)

const struct cli_option cli_options[] = {
    {"--json", NULL, NULL, "answer in JSON", TEXT(json)},
    {"--help", NULL, NULL, "what a noun can do", TEXT(help)},
    {"--version", NULL, NULL, "the version of the tool", TEXT(version)},
    {"--bodies", NULL, NULL, "also what messages say, and what is known of parties", TEXT(bodies)},
    {"--body", "FILE", NULL, "fields of the body, in YAML or JSON", TEXT(body)},
    {"--category", "CATEGORY", CATEGORIES, "of the data", TEXT(category)},
    {"--count", "N", NULL, "end after so many messages", TEXT(count)},
    {"--endpoint", "ENDPOINT", NULL, "tcp://ADDRESS:PORT or ipc://PATH of a listener", TEXT(endpoint)},
    {"--exercise", NULL, NULL, "mark it as a drill", TEXT(exercise)},
    {"--expires", "SECONDS", NULL, "how long the message holds", TEXT(expires)},
    {"--fingerprint", "HEX", NULL, "of the keys that are to be approved", TEXT(fingerprint)},
    {"--firm", "FIRM", NULL, "whose the party is", TEXT(firm)},
    {"--from", "PARTY", NULL, "in whose name, when the identity may", TEXT(from)},
    {"--group", "A,B", NULL, "groups of the configuration that it becomes a member of", TEXT(group)},
    {"--heads", "FILE", NULL, "a neighbour's audit log", TEXT(heads)},
    {"--hours", "N", NULL, "how long an invitation holds", TEXT(hours)},
    {"--hub", "PARTY", NULL, "the party that owns the broker", TEXT(hub)},
    {"--identity", "FILE", NULL, "a key file", TEXT(identity)},
    {"--key", "HEX", NULL, "the signing key of a log's owner", TEXT(key)},
    {"--kind", "KIND", "self uplink", "of the newcomer's connection", TEXT(kind)},
    {"--lower", NULL, NULL, "also when the broker's clock goes back by it", TEXT(lower)},
    {"--operator", "FILE", NULL, "an operator's key file", TEXT(operator)},
    {"--overlap", "SECONDS", NULL, "how long the old key holds beside the new one", TEXT(overlap)},
    {"--parent", "ID:HASH", NULL, "the message from which this one follows", TEXT(parent)},
    {"--role", "ROLE", ROLES, "of a party", TEXT(role)},
    {"--seal-to", "HEX", NULL, "the recipient's connection key: nobody on the way reads the body", TEXT(seal_to)},
    {"--server-key", "HEX", NULL, "the listener's public key", TEXT(server_key)},
    {"--socket", "SOCKET", NULL, "the broker's admin socket", TEXT(socket)},
    {"--speaks-for", "A,B", NULL, "parties in whose name it may send", TEXT(speaks_for)},
    {"--state", "STATE", STATES, "only parties in this state", TEXT(state)},
    {"--take", "A,B", NULL, "of the owner's application: types that no other one gets meanwhile", TEXT(take)},
    {"--timeout", "SECONDS", NULL, "end after so long", TEXT(timeout)},
    {"--trust", "PARTY=HEX,...", NULL, "signing keys that are believed; the hub's brings those of others", TEXT(trust)},
    {"--types", "A,B", NULL, "message types", TEXT(types)},
    {"--until", "STATE", "sent accepted delivered applied", "the answer that is waited for", TEXT(until)},
    {NULL},
};

bool cli_option_of(const struct cli_verb *verb, const char *name)
{
    if (strcmp(name, "--json") == 0 || strcmp(name, "--help") == 0)
        return true;
    size_t n = strlen(name);
    for (const struct cli_verb *v = cli_verbs; v->noun; v++) {
        if (strcmp(v->noun, verb->noun) != 0 || (v->verb && verb->verb && strcmp(v->verb, verb->verb) != 0))
            continue;
        for (const char *at = v->usage; (at = strstr(at, name)); at += n)
            if (!strchr("-abcdefghijklmnopqrstuvwxyz", at[n]) || at[n] == '\0')
                return true;
    }
    return false;
}

const char *cli_nearest(const char *word, const char *(*next)(void *user), void *user)
{
    const char *best = "";
    size_t least = SIZE_MAX;
    for (const char *name; (name = next(user));) {
        size_t d = 2 * erabi_word_distance(word, name) + (*word != *name); /* of two, the one that begins alike */
        if (*word && strncmp(name, word, strlen(word)) == 0) /* it was cut short */
            d = 0;
        if (d < least) {
            least = d;
            best = name;
        }
    }
    return best;
}

static const char *next_option(void *user)
{
    const struct cli_option **at = user;
    return (*at)->name ? (*at)++->name : NULL;
}

static const struct cli_option *find(const char *word, size_t n)
{
    if (n == 2 && strncmp(word, "-h", 2) == 0)
        return find("--help", 6);
    for (const struct cli_option *o = cli_options; o->name; o++)
        if (strlen(o->name) == n && strncmp(o->name, word, n) == 0)
            return o;
    return NULL;
}

static bool one_of(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *at = choices; (at = strstr(at, value)); at++)
        if ((at == choices || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

/* `--name value`, `--name=value` or a flag at argv[*i]. */
static bool take(struct cli *cli, int argc, char **argv, int *i, const char *given[], int *n_given, char error[512])
{
    const char *word = argv[*i], *equals = strchr(word, '='), *value = equals ? equals + 1 : NULL;
    const struct cli_option *o = find(word, strcspn(word, "=")), *all = cli_options;
    if (!o) {
        snprintf(error, 512, "%.60s is no option; did you mean %s?", word, cli_nearest(word, next_option, &all));
        return false;
    }
    for (int k = 0; k < *n_given; k++)
        if (given[k] == o->name && o->value) {
            snprintf(error, 512, "%s is given twice; once is needed", o->name);
            return false;
        }
    if (!o->value && value) {
        snprintf(error, 512, "%s takes no value", o->name);
        return false;
    }
    if (o->value && !value && *i + 1 < argc)
        value = argv[++*i];
    if (o->value && (!value || !*value)) {
        snprintf(error, 512, "%s needs a value: %s %s", o->name, o->name, o->value);
        return false;
    }
    if (o->choices && !one_of(o->choices, value)) {
        snprintf(error, 512, "%s: '%.40s' is not one of: %s", o->name, value, o->choices);
        return false;
    }
    if (o->value)
        *(const char **)(void *)((char *)cli + o->offset) = value;
    else
        *(bool *)((char *)cli + o->offset) = true;
    if (*n_given < GIVEN_MAX)
        given[(*n_given)++] = o->name;
    return true;
}

int cli_sort(struct cli *cli, int argc, char **argv, const char *given[], char error[512])
{
    int n = 0, n_given = 0, result = 0;
    bool words_only = false;
    for (int i = 1; i < argc; i++) {
        if (!words_only && strcmp(argv[i], "--") == 0)
            words_only = true;
        else if (words_only || argv[i][0] != '-' || argv[i][1] == '\0' || (argv[i][1] != '-' && strcmp(argv[i], "-h") != 0))
            argv[n++] = argv[i];
        else if (result == 0 && !take(cli, argc, argv, &i, given, &n_given, error))
            result = -1; /* the rest is read, too: --json may be in it */
        else if (result && strcmp(argv[i], "--json") == 0)
            cli->json = true;
    }
    given[n_given] = NULL;
    return result ? result : n;
}
