/* Policies without a broker: what is shipped, and how a configuration judges example messages. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli.h"
#include "config/config.h"
#include "config/profile.h"
#include "plugins.h"
#include "policy/build.h"
#include "policy_test.h"
#include "route/known.h"

#define FIRST_NOW_MS UINT64_C(1893466800000) /* 2030-01-01 12:00 in Japan */
#define REPEAT_MAX   100000u

struct testing {
    const struct cli *cli;
    const char *file;
    struct erabi_config_errors errors;
    struct erabi_yaml_node *root;
    struct erabi_config *config;
    struct erabi_profile *profile;
    struct erabi_policy_chain *chain;
    uint64_t now_ms;
    unsigned n, failed;
    json_t *cases;
};

/* One example message. */
struct sample {
    const struct erabi_yaml_node *node;
    const struct erabi_config_party *from, *to;
    struct erab_header header;
    struct erab_policy_request request;
    ProtobufCMessage *body;
    struct erabi_policy_answer answer;
    char by[80]; /* a policy, or the step before the policies */
    char section[24], detail[128];
    json_t *votes;
};

#define fault(t, mark, ...) erabi_config_error(&(t)->errors, (t)->file, mark, __VA_ARGS__)

static const char *text_of(const struct erabi_yaml_node *map, const char *key)
{
    const struct erabi_yaml_node *n = cli_yaml_child(map, key);
    return n && n->kind == ERABI_YAML_SCALAR ? n->text : NULL;
}

static bool flag_of(struct testing *t, const struct erabi_yaml_node *map, const char *key, bool usual)
{
    const struct erabi_yaml_node *n = cli_yaml_child(map, key);
    if (!n)
        return usual;
    if (!n->text || (strcmp(n->text, "true") != 0 && strcmp(n->text, "false") != 0))
        fault(t, n->mark, "%s: must be true or false", key);
    return n->text && strcmp(n->text, "true") == 0;
}

static uint64_t number_of(struct testing *t, const struct erabi_yaml_node *map, const char *key, uint64_t most,
                          uint64_t usual)
{
    const struct erabi_yaml_node *n = cli_yaml_child(map, key);
    char *end = NULL;
    if (!n)
        return usual;
    errno = 0;
    uint64_t v = n->text ? strtoull(n->text, &end, 10) : 0;
    if (!n->text || errno || end == n->text || *end || n->text[0] == '-' || v > most)
        fault(t, n->mark, "%s: must be a whole number, at most %" PRIu64, key, most);
    return v;
}

static void known_keys(struct testing *t, const struct erabi_yaml_node *map, const char *const *keys)
{
    for (const struct erabi_yaml_node *n = map->first; n; n = n->next) {
        const char *const *k = keys;
        while (*k && strcmp(*k, n->key) != 0)
            k++;
        if (!*k)
            fault(t, n->key_mark, "'%.40s' is not known here; known are '%s' and others, see docs/policies.md", n->key,
                  keys[0]);
    }
}

/* A path of the test file, from its own folder. Freed with free(). */
static char *beside(const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    char *out = NULL;
    if (path[0] == '/' || !slash)
        return strdup(path);
    return asprintf(&out, "%.*s/%s", (int)(slash - file), file, path) < 0 ? NULL : out;
}

static bool prepare(struct testing *t)
{
    static const char *const keys[] = {"configuration", "profile", "now_ms", "cases", NULL};
    const struct erabi_policy_source source = {.shipped = erab_policies_shipped};
    if (erabi_yaml_load(&t->root, t->file, &t->errors) < 0)
        return false;
    const char *configuration = text_of(t->root, "configuration"), *profile = text_of(t->root, "profile");
    const struct erabi_yaml_node *cases = cli_yaml_child(t->root, "cases");
    if (!configuration || !cases || cases->kind != ERABI_YAML_LIST) {
        fault(t, t->root->mark, "`configuration` (a file) and `cases` (a list) are needed");
        return false;
    }
    known_keys(t, t->root, keys);
    t->now_ms = number_of(t, t->root, "now_ms", UINT64_C(1) << 52, FIRST_NOW_MS);
    _free_ char *path = beside(t->file, configuration);
    if (!path || erabi_config_load(&t->config, path, &t->errors) < 0)
        return false;
    _free_ char *profile_path = profile ? beside(t->file, profile) : strdup(t->config->profile);
    return profile_path && erabi_profile_load(&t->profile, profile_path, &t->errors) == 0 &&
           erabi_policy_build(&t->chain, t->config, path, &source, NULL, &t->errors) == 0 && t->errors.n == 0;
}

/* ---- one case ---- */

static const struct erabi_config_party *party(struct testing *t, const struct erabi_yaml_node *map, const char *key)
{
    const char *id = text_of(map, key);
    const struct erabi_config_party *p = id ? erabi_config_party(t->config, id) : NULL;
    if (!p)
        fault(t, id ? cli_yaml_child(map, key)->mark : map->mark, "%s: needs a party of the configuration", key);
    return p;
}

static bool read_sample(struct testing *t, const struct erabi_yaml_node *n, struct sample *s)
{
    static const char *const keys[] = {"name",   "from",  "to",     "type",   "category", "signed", "local", "exercise",
                                       "repeat", "after_ms", "body", "expect", "reason", "policy", "section", "detail", NULL};
    size_t before = t->errors.n, size = 0;
    *s = (struct sample){.node = n};
    if (n->kind != ERABI_YAML_MAP) {
        fault(t, n->mark, "a case is a section with name, from, to, type ...");
        return false;
    }
    known_keys(t, n, keys);
    t->now_ms += number_of(t, n, "after_ms", UINT64_C(1) << 40, 0);
    s->from = party(t, n, "from");
    s->to = party(t, n, "to");
    const char *type = text_of(n, "type"), *category = text_of(n, "category"), *expect = text_of(n, "expect");
    s->header.type = type ? erab_type_from_name(type) : 0;
    s->header.category = erab_category_from_name(category ? category : "operation");
    s->header.exercise = flag_of(t, n, "exercise", false);
    s->header.issued_at_ms = t->now_ms;
    if (!s->header.type || !s->header.category)
        fault(t, n->mark, "type: a message type as dispatch; category: operation sensor-group sensor-home personal security");
    if (expect && strcmp(expect, "allow") != 0 && strcmp(expect, "deny") != 0)
        fault(t, cli_yaml_child(n, "expect")->mark, "expect: must be allow or deny");
    const char *reason = text_of(n, "reason");
    if (reason && erab_reason_from_code(reason) == ERAB_REASON_COUNT)
        fault(t, cli_yaml_child(n, "reason")->mark, "reason: '%.40s' is no reason code", reason);
    const struct erabi_yaml_node *body = cli_yaml_child(n, "body");
    if (body && s->header.type)
        s->body = cli_body_read(s->header.type, body, t->now_ms, t->file, &t->errors, &size);
    if (t->errors.n > before)
        return false;
    snprintf(s->header.from, sizeof(s->header.from), "%s", s->from->id);
    snprintf(s->header.to, sizeof(s->header.to), "%s", s->to->id);
    s->request = (struct erab_policy_request){.size = sizeof(s->request),
                                              .stage = ERAB_STAGE_INGRESS,
                                              .from_role = (enum erab_role)s->from->role,
                                              .to_role = (enum erab_role)s->to->role,
                                              .from = s->from->id,
                                              .to = s->to->id,
                                              .is_signed = flag_of(t, n, "signed", true),
                                              .is_local = flag_of(t, n, "local", false),
                                              .header = &s->header,
                                              .body = s->body,
                                              .now_ms = t->now_ms,
                                              .body_size = (uint32_t)size};
    return true;
}

static bool denied(struct sample *s, const char *by, enum erab_reason reason, const char *section, const char *detail)
{
    s->answer = (struct erabi_policy_answer){
        .verdict = {.vote = ERAB_DENY, .reason = reason, .section = section, .detail = detail}, .policy = by};
    return true;
}

/* What a broker checks of a link before it asks the policies. true: denied. */
static bool before_policies(struct testing *t, struct sample *s)
{
    struct erabi_profile_pair pair =
        erabi_profile_pair(t->profile, s->request.from_role, s->request.to_role);
    bool one_firm = s->from->firm[0] && strcmp(s->from->firm, s->to->firm) == 0;
    if (pair.interface == ERAB_IF_NONE || (pair.one_firm && !one_firm))
        return denied(s, "pair", ERAB_REASON_NO_INTERFACE, "3.1", "these roles have no interface");
    s->request.interface = pair.interface;
    struct erabi_profile_flow flow =
        erabi_profile_flow(t->profile, s->header.type, pair.interface, s->request.from_role, s->request.to_role,
                           s->from->id, s->to->id);
    if (!flow.allowed)
        return denied(s, "flow", ERAB_REASON_FLOW_REFUSED, pair.section, "this type does not flow this way here");
    if (flow.signed_required && !s->request.is_signed)
        return denied(s, "flow", ERAB_REASON_SIGNATURE_MISSING, pair.section, "this flow is signed");
    enum erab_reason window = s->body ? erabi_order_window(s->header.type, s->body, t->now_ms) : ERAB_REASON_NONE;
    return window ? denied(s, "window", window, "3.6.4", "an order has an end that is still to come") : false;
}

static const char *vote_name(enum erab_vote vote)
{
    static const char *const names[] = {"abstain", "allow", "deny", "pending"};
    return (unsigned)vote <= ERAB_PENDING ? names[vote] : "invalid";
}

static void judge(struct testing *t, struct sample *s)
{
    struct erabi_policy_walk walk = {0};
    json_array_clear(s->votes);
    if (before_policies(t, s))
        return;
    for (size_t i = 0; i < t->chain->n; i++) {
        struct erabi_policy_instance *instance = t->chain->at[i];
        struct erab_verdict v = {.section = "", .detail = ""};
        if (!erabi_policy_concerns(instance, &s->request))
            continue;
        if (!instance->elsewhere)
            erabi_policy_ask(instance, 0, &s->request, &v);
        json_array_append_new(
            s->votes, json_pack("{s:s, s:s, s:s, s:s, s:s}", "policy", instance->self.name, "vote",
                                instance->elsewhere ? "not asked" : vote_name(v.vote), "reason",
                                erab_reason_code(v.reason), "section", v.section, "detail",
                                instance->elsewhere ? "a module of others is asked by a running broker only" : v.detail));
        if (erabi_policy_take(&walk, t->chain, i, &v, &s->answer))
            return;
    }
    erabi_policy_conclude(&walk, &s->answer);
}

static bool met(const struct sample *s)
{
    const char *expect = text_of(s->node, "expect"), *reason = text_of(s->node, "reason");
    const char *policy = text_of(s->node, "policy"), *section = text_of(s->node, "section");
    const char *detail = text_of(s->node, "detail");
    bool allowed = s->answer.verdict.vote == ERAB_ALLOW;
    return (!expect || allowed == (strcmp(expect, "allow") == 0)) &&
           (!reason || strcmp(reason, erab_reason_code(s->answer.verdict.reason)) == 0) &&
           (!policy || strcmp(policy, s->by) == 0) && (!section || strcmp(section, s->section) == 0) &&
           (!detail || strstr(s->detail, detail));
}

static void print_expectation(const struct sample *s)
{
    static const char *const keys[] = {"expect", "reason", "policy", "section", "detail"};
    printf("        expected:");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (text_of(s->node, keys[i]))
            printf(" %s %s", keys[i], text_of(s->node, keys[i]));
    printf("\n");
}

static void report(struct testing *t, const struct sample *s, bool good)
{
    const char *name = text_of(s->node, "name"), *code = erab_reason_code(s->answer.verdict.reason);
    bool allowed = s->answer.verdict.vote == ERAB_ALLOW;
    if (t->cli->json) {
        json_array_append_new(
            t->cases, json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "name", name ? name : "", "met", good,
                                "verdict", allowed ? "allow" : "deny", "interface",
                                erab_interface_name(s->request.interface), "by", s->by, "reason", code, "section",
                                s->section, "detail", s->detail, "votes", s->votes));
        return;
    }
    printf("%s %3u %s: %s%s%s", good ? "ok  " : "FAIL", t->n, name ? name : "", allowed ? "allowed" : "denied",
           s->by[0] ? " by " : "", s->by);
    if (!allowed)
        printf(", %s", code);
    printf("%s%s%s%s\n", s->section[0] ? ", guideline " : "", s->section, s->detail[0] ? ": " : "", s->detail);
    size_t i;
    json_t *v;
    json_array_foreach(s->votes, i, v)
    {
        const char *section = json_string_value(json_object_get(v, "section"));
        printf("        %-12s %s%s%s\n", json_string_value(json_object_get(v, "policy")),
               json_string_value(json_object_get(v, "vote")), section[0] ? " " : "", section);
    }
    if (!good)
        print_expectation(s);
}

static void run_case(struct testing *t, const struct erabi_yaml_node *n)
{
    struct sample s;
    uint64_t repeat = n->kind == ERABI_YAML_MAP ? number_of(t, n, "repeat", REPEAT_MAX, 1) : 1;
    if (read_sample(t, n, &s)) {
        s.votes = json_array();
        for (uint64_t i = 0; i < (repeat ? repeat : 1); i++) {
            erab_id_new(s.header.id, t->now_ms); /* each a message of its own */
            judge(t, &s);
        }
        snprintf(s.by, sizeof(s.by), "%s", s.answer.policy);
        snprintf(s.section, sizeof(s.section), "%s", s.answer.verdict.section);
        erabi_policy_text(s.detail, sizeof(s.detail), s.answer.verdict.detail);
        bool good = met(&s);
        t->n++;
        t->failed += !good;
        report(t, &s, good);
        json_decref(s.votes);
    }
    erab_body_free(s.body);
}

static int conclude(struct testing *t)
{
    for (size_t i = 0; i < t->errors.n && !t->cli->json; i++)
        fprintf(stderr, "%s\n", t->errors.text[i]);
    bool good = t->errors.n == 0 && t->failed == 0 && t->n > 0;
    if (t->cli->json) {
        json_t *errors = json_array();
        for (size_t i = 0; i < t->errors.n; i++)
            json_array_append_new(errors, json_string(t->errors.text[i]));
        cli_print(json_pack("{s:b, s:i, s:i, s:O, s:o}", "ok", good, "cases", (int)t->n, "failed", (int)t->failed,
                            "results", t->cases, "errors", errors));
    } else {
        printf("%u cases, %u not as expected\n", t->n, t->failed);
    }
    return good ? EXIT_DONE : EXIT_REFUSED;
}

int cli_policy_test(const struct cli *cli)
{
    struct testing *t = calloc(1, sizeof(*t));
    if (!t)
        return cli_refuse(cli, EXIT_REFUSED, "no memory");
    t->cli = cli;
    t->file = cli->words[0];
    t->cases = json_array();
    const struct erabi_yaml_node *first = prepare(t) ? cli_yaml_child(t->root, "cases")->first : NULL;
    for (const struct erabi_yaml_node *n = first; n; n = n->next)
        run_case(t, n);
    int code = conclude(t);
    erabi_policy_chain_unref(t->chain);
    erabi_profile_free(t->profile);
    erabi_config_free(t->config);
    erabi_yaml_free(t->root);
    json_decref(t->cases);
    free(t);
    return code;
}

int cli_policy_list(const struct cli *cli)
{
    static const char *const types[] = {"text", "integer", "boolean", "path", "list"};
    json_t *all = json_array();
    for (const struct erab_policy *const *p = erab_policies_shipped; *p; p++) {
        json_t *options = json_array();
        if (!cli->json)
            printf("%s %s\n", (*p)->name, (*p)->version);
        for (const struct erab_option *o = (*p)->options; o && o->name; o++) {
            json_array_append_new(options, json_pack("{s:s, s:s, s:b, s:s?, s:s}", "name", o->name, "type", types[o->type],
                                                     "required", (o->flags & ERAB_OPTION_REQUIRED) != 0, "default",
                                                     o->default_value, "help", o->help ? o->help : ""));
            if (!cli->json)
                printf("  %s: %s%s%s%s - %s\n", o->name, types[o->type],
                       o->flags & ERAB_OPTION_REQUIRED ? ", required" : "", o->default_value ? ", usually " : "",
                       o->default_value ? o->default_value : "", o->help ? o->help : "");
        }
        json_array_append_new(all, json_pack("{s:s, s:s, s:o}", "name", (*p)->name, "version", (*p)->version,
                                             "options", options));
    }
    if (cli->json)
        cli_print(json_pack("{s:b, s:O}", "ok", 1, "policies", all));
    json_decref(all);
    return EXIT_DONE;
}
