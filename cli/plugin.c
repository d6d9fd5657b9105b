/* erab plugin list, check, sign. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <erab/identity.h>

#include "child.h"
#include "cli.h"
#include "config/config.h"
#include "module/module.h"
#include "testkit/testkit.h"

#define CHILD_S 15u /* for one check */

static json_t *text_of(const char *text)
{
    return text ? json_string(text) : json_null();
}

int cli_plugin_sign(const struct cli *cli)
{
    struct erab_error error = {.size = sizeof error};
    struct erabi_module_file file;
    struct erab_identity signer;
    char path[PATH_MAX], key[65];
    if (!realpath(cli->words[0], path))
        return cli_refuse(cli, EXIT_REFUSED, "there is no such file");
    if (erab_identity_load(&signer, cli->words[1], error.text, sizeof error.text) < 0)
        return cli_refuse(cli, EXIT_REFUSED, error.text);
    int r = erabi_module_open(&file, path, &error);
    if (r == 0) {
        r = erabi_module_sign(&file, signer.sign_public, signer.sign_secret, &error);
        erabi_module_close(&file);
    }
    erab_key_text(signer.sign_public, key);
    erab_identity_wipe(&signer);
    if (r)
        return cli_refuse(cli, EXIT_REFUSED, error.text);
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:s}", "ok", 1, "module", path, "signer", key));
    else
        printf("%s%s: signed; list this key under modules: signers:\n%s\n", path, ERABI_MODULE_SIG, key);
    return EXIT_DONE;
}

/* --- list --- */

struct listed {
    struct erabi_module_file *file;
    json_t *content;
};

static json_t *describe(const char *kind, const char *name, const char *version, const char *vendor,
                        const char *hardened_for, const struct erab_option *options)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "kind", kind, "name", name, "version", version, "vendor",
                     text_of(vendor), "hardened_for", text_of(hardened_for), "options",
                     erabi_module_options_manual(options));
}

static void say_content(void *arg, int out)
{
    struct erab_error error = {.size = sizeof error};
    struct erabi_module *m;
    if (erabi_module_load(&m, arg, &error)) {
        cli_child_say(out, json_pack("{s:s}", "error", error.text));
        return;
    }
    for (size_t i = 0; i < m->n_adapters; i++) {
        const struct erab_adapter *a = &m->adapters[i];
        cli_child_say(out, describe("adapter", a->name, a->version, a->vendor, a->hardened_for, a->options));
    }
    for (size_t i = 0; i < m->n_policies; i++) {
        const struct erab_policy *p = &m->policies[i];
        cli_child_say(out, describe("policy", p->name, p->version, p->vendor, NULL, p->options));
    }
}

static void take_content(void *user, const json_t *value)
{
    json_array_append((json_t *)user, (json_t *)value);
}

/* Only what is signed by a listed signer is asked for its content: that runs code of it. */
static json_t *list_module(const struct erabi_config *config, const char *kind, const char *instance, const char *name,
                           const char *path)
{
    struct erab_error error = {.size = sizeof error};
    struct erabi_module_file file;
    uint8_t signer[ERAB_KEY_SIZE];
    char key[65] = "";
    json_t *content = json_array(), *row = json_object();
    int r = erabi_module_open(&file, path, &error);
    json_object_set_new(row, "instance", json_string(instance));
    json_object_set_new(row, kind, json_string(name));
    json_object_set_new(row, "module", json_string(path));
    if (r == 0) {
        json_object_set_new(row, "abi", json_sprintf("%u.%u", file.facts.abi_major, file.facts.abi_minor));
        r = erabi_module_verify(&file, (const uint8_t(*)[ERAB_KEY_SIZE])config->modules.signers,
                                config->modules.n_signers, signer, &error);
        if (r != ERAB_REASON_SIGNATURE_MISSING) {
            erab_key_text(signer, key);
            json_object_set_new(row, "signer", json_string(key));
        }
        if (r == 0) {
            const char *end = cli_child(say_content, &file, CHILD_S, take_content, content);
            if (end)
                snprintf(error.text, sizeof error.text, "%.300s: %s when it was loaded", path, end);
            r = end ? ERAB_REASON_MODULE_FILE : 0;
        }
        erabi_module_close(&file);
    }
    json_object_set_new(row, "state", json_string(r == 0 ? "good" : erab_reason_code((enum erab_reason)(r < 0 ? ERAB_REASON_INTERNAL : r))));
    if (r)
        json_object_set_new(row, "error", json_string(error.text));
    json_object_set_new(row, "content", content);
    return row;
}

static void print_row(const json_t *row)
{
    size_t i;
    const json_t *part;
    const char *error = json_string_value(json_object_get(row, "error"));
    const char *abi = json_string_value(json_object_get(row, "abi"));
    const char *signer = json_string_value(json_object_get(row, "signer"));
    printf("%s: %s (%s)\n", json_string_value(json_object_get(row, "instance")),
           json_string_value(json_object_get(row, "module")), json_string_value(json_object_get(row, "state")));
    if (abi)
        printf("  ABI %s%s%s\n", abi, signer ? ", signed by " : "", signer ? signer : "");
    if (error)
        printf("  %s\n", error);
    json_array_foreach(json_object_get(row, "content"), i, part)
    {
        const char *vendor = json_string_value(json_object_get(part, "vendor"));
        const char *name = json_string_value(json_object_get(part, "name"));
        if (name)
            printf("  %s %s %s, %s\n", json_string_value(json_object_get(part, "kind")), name,
                   json_string_value(json_object_get(part, "version")), vendor ? vendor : "no vendor");
    }
}

int cli_plugin_list(const struct cli *cli)
{
    struct erabi_config_errors *errors = calloc(1, sizeof *errors);
    struct erabi_config *config = NULL;
    if (!errors || erabi_config_load(&config, cli->words[0], errors) < 0) {
        int r = cli_refuse(cli, EXIT_REFUSED, errors && errors->n ? errors->text[0] : "the configuration cannot be read");
        free(errors);
        return r;
    }
    json_t *list = json_array();
    bool good = true;
    size_t i;
    const json_t *row;
    for (size_t k = 0; k < config->n_adapters; k++)
        json_array_append_new(list, list_module(config, "adapter", config->adapters[k].instance, config->adapters[k].name,
                                                config->adapters[k].module));
    for (size_t k = 0; k < config->n_policies; k++)
        if (config->policies[k].module)
            json_array_append_new(list, list_module(config, "policy", config->policies[k].instance,
                                                    config->policies[k].name, config->policies[k].module));
    json_array_foreach(list, i, row)
    {
        good = good && strcmp(json_string_value(json_object_get(row, "state")), "good") == 0;
        if (!cli->json)
            print_row(row);
    }
    if (cli->json)
        cli_print(json_pack("{s:b, s:O}", "ok", good, "modules", list));
    else if (json_array_size(list) == 0)
        printf("no modules\n");
    json_decref(list);
    erabi_config_free(config);
    free(errors);
    return good ? EXIT_DONE : EXIT_REFUSED;
}

/* --- check --- */

struct checking {
    const struct cli *cli;
    struct erabi_module_file file;
    json_t *options, *checks;
    int out;
    char what[64], check[64]; /* begun and not ended */
    unsigned passed, failed, skipped;
};

static void tell(struct checking *c, const char *what, const char *check, const char *result, const char *detail)
{
    c->passed += strcmp(result, "PASS") == 0;
    c->failed += strcmp(result, "FAIL") == 0;
    c->skipped += strcmp(result, "SKIP") == 0;
    json_array_append_new(c->checks, json_pack("{s:s, s:s, s:s, s:s}", "of", what, "check", check, "result", result,
                                               "detail", detail));
    if (!c->cli->json)
        printf("%s  %s %s%s%s\n", result, what, check, *detail ? ": " : "", detail);
}

static void child_begin(void *user, const char *what, const char *check)
{
    cli_child_say(((struct checking *)user)->out, json_pack("{s:s, s:s}", "of", what, "begin", check));
}

static void child_end(void *user, const char *what, const char *check, enum testkit_result result, const char *detail)
{
    static const char *const names[] = {"PASS", "FAIL", "SKIP"};
    cli_child_say(((struct checking *)user)->out, json_pack("{s:s, s:s, s:s, s:s}", "of", what, "check", check,
                                                            "result", names[result], "detail", detail));
}

static void run_checks(void *arg, int out)
{
    struct checking *c = arg;
    struct erab_error error = {.size = sizeof error};
    struct erabi_module *m;
    const struct testkit_report report = {.begin = child_begin, .end = child_end, .user = c};
    c->out = out;
    child_begin(c, "module", "tables");
    int r = erabi_module_load(&m, &c->file, &error);
    child_end(c, "module", "tables", r ? TESTKIT_FAIL : TESTKIT_PASS, r ? error.text : "");
    for (size_t i = 0; r == 0 && i < m->n_adapters; i++)
        testkit_adapter(&m->adapters[i], c->options, &report);
    for (size_t i = 0; r == 0 && i < m->n_policies; i++)
        testkit_policy(&m->policies[i], c->options, &report);
    cli_child_say(out, json_pack("{s:b}", "done", 1));
}

static const char *member(const json_t *value, const char *name)
{
    const char *text = json_string_value(json_object_get(value, name));
    return text ? text : "";
}

static void take_check(void *user, const json_t *value)
{
    struct checking *c = user;
    const char *begun = member(value, "begin");
    if (json_is_true(json_object_get(value, "done"))) {
        c->check[0] = '\0';
    } else if (*begun) {
        snprintf(c->what, sizeof c->what, "%s", member(value, "of"));
        snprintf(c->check, sizeof c->check, "%s", begun);
    } else {
        tell(c, member(value, "of"), member(value, "check"), member(value, "result"), member(value, "detail"));
        snprintf(c->check, sizeof c->check, "end");
    }
}

static void check_exports(struct checking *c)
{
    const struct erabi_module_facts *facts = &c->file.facts;
    char detail[160] = "";
    if (!facts->has_symbols)
        snprintf(detail, sizeof detail, "the file has no table of symbols to look at");
    else if (!facts->exports_entry)
        snprintf(detail, sizeof detail, "erab_module is not exported");
    else if (facts->other_export[0])
        snprintf(detail, sizeof detail, "%s is exported too; compile with -fvisibility=hidden", facts->other_export);
    tell(c, "module", "exports", !*detail ? "PASS" : facts->has_symbols ? "FAIL" : "SKIP", detail);
}

static bool take_options(struct checking *c)
{
    c->options = json_object();
    for (int i = 1; i < c->cli->n; i++) {
        const char *equals = strchr(c->cli->words[i], '=');
        if (!equals || equals == c->cli->words[i])
            return false;
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(equals - c->cli->words[i]), c->cli->words[i]);
        json_object_set_new(c->options, name, json_string(equals + 1));
    }
    return true;
}

static int finish(struct checking *c)
{
    bool good = c->failed == 0 && c->passed > 0;
    if (c->cli->json)
        cli_print(json_pack("{s:b, s:i, s:i, s:i, s:O}", "ok", good, "passed", (int)c->passed, "failed", (int)c->failed,
                            "skipped", (int)c->skipped, "checks", c->checks));
    else
        printf("%u passed, %u failed, %u skipped\n", c->passed, c->failed, c->skipped);
    json_decref(c->checks);
    json_decref(c->options);
    return good ? EXIT_DONE : EXIT_REFUSED;
}

int cli_plugin_check(const struct cli *cli)
{
    struct checking c = {.cli = cli, .checks = json_array()};
    struct erab_error error = {.size = sizeof error};
    char path[PATH_MAX];
    if (!take_options(&c) || !realpath(cli->words[0], path)) {
        bool there = c.options && realpath(cli->words[0], path);
        json_decref(c.checks);
        json_decref(c.options);
        return there ? cli_refuse(cli, EXIT_USAGE, "options are given as NAME=VALUE")
                     : cli_refuse(cli, EXIT_REFUSED, "there is no such file");
    }
    int r = erabi_module_open(&c.file, path, &error);
    tell(&c, "module", "file", r ? "FAIL" : "PASS", r ? error.text : "");
    if (r == 0) {
        check_exports(&c);
        const char *end = cli_child(run_checks, &c, CHILD_S, take_check, &c);
        if (end || c.check[0])
            tell(&c, *c.what ? c.what : "module", *c.check ? c.check : "end", "FAIL", end ? end : "ended the process");
        erabi_module_close(&c.file);
    }
    return finish(&c);
}
