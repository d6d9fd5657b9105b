/* erab help, erab --version. */
#include <stdio.h>
#include <string.h>

#include <erab/module.h>

#include "cli.h"

static json_t *described(const struct cli_verb *v)
{
    json_t *options = json_array();
    for (const struct cli_option *o = cli_options; o->name; o++)
        if (cli_option_of(v, o->name) && strcmp(o->name, "--help") != 0)
            json_array_append_new(options, json_string(o->name));
    return json_pack("{s:s, s:s?, s:s, s:s, s:i, s:i, s:o}", "noun", v->noun, "verb", v->verb, "usage", v->usage, "help",
                     v->help, "least_words", v->least, "most_words", v->most, "options", options);
}

static json_t *all_options(void)
{
    json_t *list = json_array();
    for (const struct cli_option *o = cli_options; o->name; o++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:s}", "name", o->name, "value", o->value, "choices",
                                              o->choices, "help", o->help));
    return list;
}

static void print_options(const char *noun)
{
    printf("\noptions:\n");
    for (const struct cli_option *o = cli_options; o->name; o++) {
        bool taken = false;
        for (const struct cli_verb *v = cli_verbs; v->noun && !taken; v++)
            taken = strcmp(v->noun, noun) == 0 && cli_option_of(v, o->name);
        if (taken)
            printf("  %s%s%s\n      %s%s%s\n", o->name, o->value ? " " : "", o->value ? o->value : "", o->help,
                   o->choices ? "; one of: " : "", o->choices ? o->choices : "");
    }
}

static const char *next_noun(void *user)
{
    const struct cli_verb **at = user;
    return (*at)->noun ? (*at)++->noun : NULL;
}

int cli_help_noun(const struct cli *cli, const char *noun)
{
    char error[256];
    const struct cli_verb *at = cli_verbs;
    json_t *list = json_array();
    if (!cli->json && !noun)
        printf("usage: erab NOUN [VERB] ... [--json]\n\n");
    for (const struct cli_verb *v = cli_verbs; v->noun; v++) {
        if (noun && strcmp(v->noun, noun) != 0)
            continue;
        json_array_append_new(list, described(v));
        if (!cli->json)
            printf("  erab %s\n      %s\n", v->usage, v->help);
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        snprintf(error, sizeof(error), "'%.60s' is not known; did you mean '%s'? ('erab help' shows all)", noun,
                 cli_nearest(noun, next_noun, &at));
        return cli_refuse(cli, EXIT_USAGE, error);
    }
    if (cli->json) {
        cli_print(json_pack("{s:b, s:o, s:o}", "ok", 1, "verbs", list, "options", all_options()));
        return EXIT_DONE;
    }
    json_decref(list);
    if (noun)
        print_options(noun);
    printf("\nexit codes: 0 done, 1 refused or check failed, 2 usage, 3 broker not reachable\n");
    return EXIT_DONE;
}

int cli_help(const struct cli *cli)
{
    return cli_help_noun(cli, cli->n ? cli->words[0] : NULL);
}

int cli_version(const struct cli *cli)
{
    if (cli->json)
        cli_print(json_pack("{s:b, s:s, s:i, s:i}", "ok", 1, "version", ERAB_VERSION, "abi_major", ERAB_ABI_MAJOR,
                            "abi_minor", ERAB_ABI_MINOR));
    else
        printf("erab " ERAB_VERSION ", ABI of modules %d.%d\n", ERAB_ABI_MAJOR, ERAB_ABI_MINOR);
    return EXIT_DONE;
}
