#include "party.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bad(const char *option, const char *why)
{
    fprintf(stderr, "erab-story: %s: %s\n", option, why);
    return -EINVAL;
}

static int number(const char *option, const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || v > max)
        return bad(option, "not a number, or too large");
    *out = v;
    return 0;
}

/* "party=rest" or, where `rest` may be absent, "party". */
static int party_of(const char *option, const char *text, char party[ERAB_PARTY_MAX + 1], const char **rest)
{
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    if (n > ERAB_PARTY_MAX)
        return bad(option, "the party's id is too long");
    snprintf(party, ERAB_PARTY_MAX + 1, "%.*s", (int)n, text);
    *rest = equals ? equals + 1 : NULL;
    return erab_party_valid(party) ? 0 : bad(option, "not a party's id");
}

static int member(struct story_options *o, const char *option, const char *text)
{
    if (o->n_members == STORY_MEMBERS_MAX)
        return bad(option, "too many members");
    struct story_member *m = &o->members[o->n_members];
    const char *rest;
    int e = party_of(option, text, m->party, &rest);
    if (e)
        return e;
    m->weight = 1;
    if (rest && (e = number(option, rest, STORY_WEIGHT_MAX, &m->weight)))
        return e;
    o->n_members++;
    return 0;
}

static int trusted(struct story_options *o, const char *option, const char *text)
{
    if (o->n_trusted == STORY_TRUSTED_MAX)
        return bad(option, "too many trusted parties");
    struct erab_trusted *t = &o->trusted[o->n_trusted];
    const char *rest;
    int e = party_of(option, text, t->party, &rest);
    if (e)
        return e;
    if (!rest || erab_key_parse(rest, t->sign_key))
        return bad(option, "should be PARTY=HEX, the public signing key in 64 digits");
    o->n_trusted++;
    return 0;
}

static int server_key(const char *option, const char *text, uint8_t key[ERAB_KEY_SIZE], bool *has)
{
    *has = true;
    return erab_key_parse(text, key) ? bad(option, "should be the listener's public key in 64 hex digits") : 0;
}

static int with_value(struct story_options *o, const char *option, const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        {"--key", &o->key},       {"--endpoint", &o->endpoint},       {"--hub", &o->hub},
        {"--as", &o->as},         {"--up", &o->up},                   {"--device", &o->device},
        {"--r5-hub", &o->r5_hub}, {"--r5-endpoint", &o->r5_endpoint}, {"--resource", &o->resource},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(option, texts[i].name) == 0) {
            *texts[i].to = value;
            return 0;
        }
    if (strcmp(option, "--server-key") == 0)
        return server_key(option, value, o->server_key, &o->has_server_key);
    if (strcmp(option, "--r5-server-key") == 0)
        return server_key(option, value, o->r5_server_key, &o->has_r5_server_key);
    if (strcmp(option, "--member") == 0 || strcmp(option, "--ra") == 0 || strcmp(option, "--home") == 0)
        return member(o, option, value);
    if (strcmp(option, "--trust") == 0)
        return trusted(o, option, value);
    if (strcmp(option, "--fleet") == 0)
        return number(option, value, STORY_WEIGHT_MAX, &o->fleet);
    if (strcmp(option, "--report-ms") == 0)
        return number(option, value, 3600000, &o->report_ms);
    if (strcmp(option, "--timeout-ms") == 0)
        return number(option, value, 3600000, &o->timeout_ms);
    return bad(option, "unknown option; see erab-story --help");
}

static int complete(const struct story_options *o)
{
    if (!o->key || !o->endpoint || !o->has_server_key || !o->hub)
        return bad("usage", "--key, --endpoint, --server-key and --hub are needed");
    const char *parties[] = {o->hub, o->as, o->up, o->device, o->r5_hub};
    for (size_t i = 0; i < sizeof(parties) / sizeof(parties[0]); i++)
        if (parties[i] && !erab_party_valid(parties[i]))
            return bad(parties[i], "not a party's id");
    return o->report_ms < 100 ? bad("--report-ms", "100 at least") : 0;
}

int story_options_parse(struct story_options *o, int argc, char **argv)
{
    *o = (struct story_options){.report_ms = 1000, .timeout_ms = 10000};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return 1;
        if (strcmp(argv[i], "--local") == 0) {
            o->local = true;
            continue;
        }
        if (i + 1 == argc)
            return bad(argv[i], "unknown option, or its value is missing");
        int e = with_value(o, argv[i], argv[i + 1]);
        if (e)
            return e;
        i++;
    }
    return complete(o);
}
