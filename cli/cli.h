/* What the nouns of `erab` share. */
#ifndef ERABI_CLI_H
#define ERABI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum exit_code { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

struct cli {
    bool json, help, version, exercise, lower, bodies;
    int n; /* words after the verb */
    char **words;
    /* options, NULL when not given */
    const char *heads, *key, *socket, *operator, *role, *firm, *kind, *types, *take, *group, *speaks_for, *hours, *endpoint, *state;
    const char *fingerprint, *server_key, *hub, *overlap, *identity, *from, *category, *body, *parent, *expires, *until;
    const char *seal_to, *trust, *count, *timeout;
};

/* main.c: what the tool can do. The only list; help, completion and docs/tool.md follow it. */
struct cli_verb {
    const char *noun, *verb; /* verb NULL: the noun stands alone */
    int least, most;         /* words that follow */
    int (*run)(const struct cli *cli);
    const char *usage, *help; /* the options of a verb are those that its usage names */
};
extern const struct cli_verb cli_verbs[]; /* ends with noun NULL */

/* words.c: options, and what is nearest to a word that is not known. */
struct cli_option {
    const char *name, *value; /* value NULL: a flag */
    const char *choices;      /* of the value, with blanks between; NULL: anything */
    const char *help;
    size_t offset; /* in struct cli: a const char *, or a bool for a flag */
};
extern const struct cli_option cli_options[]; /* ends with name NULL */
/* True when the option is one of this verb's; --json and --help are everywhere. */
bool cli_option_of(const struct cli_verb *verb, const char *name);
/* Takes the options out of argv and leaves the words. Their number, or -1 with `error` filled. */
int cli_sort(struct cli *cli, int argc, char **argv, const char *given[], char error[512]);
/* The nearest name to `word` of those that `next` gives until NULL. */
const char *cli_nearest(const char *word, const char *(*next)(void *user), void *user);
/* help.c */
int cli_help(const struct cli *cli);
int cli_help_noun(const struct cli *cli, const char *noun);
int cli_version(const struct cli *cli);
int cli_completion(const struct cli *cli);
int cli_send(const struct cli *cli);
int cli_watch(const struct cli *cli);

int cli_key_new(const struct cli *cli);
int cli_key_show(const struct cli *cli);
int cli_journal_stat(const struct cli *cli);
int cli_journal_check(const struct cli *cli);
int cli_journal_export(const struct cli *cli);
int cli_journal_backup(const struct cli *cli);
int cli_journal_accept(const struct cli *cli);
int cli_audit_verify(const struct cli *cli);
int cli_trace(const struct cli *cli);
int cli_policy_list(const struct cli *cli);
int cli_policy_test(const struct cli *cli);
int cli_health(const struct cli *cli);
int cli_operator_new(const struct cli *cli);
int cli_party_invite(const struct cli *cli);
int cli_party_list(const struct cli *cli);
int cli_party_show(const struct cli *cli);
int cli_party_approve(const struct cli *cli);
int cli_party_deny(const struct cli *cli);
int cli_party_revoke(const struct cli *cli);
int cli_enroll(const struct cli *cli);
int cli_key_rotate(const struct cli *cli);
int cli_server_key_rotate(const struct cli *cli); /* of a broker's listener */
bool cli_overlap(const char *text, uint64_t *ms);
/* check.c: what was found in configurations, for people on stderr, with --json and the verdict on stdout. */
struct erabi_config_errors;
void cli_findings(const struct cli *cli, bool good, const struct erabi_config_errors *errors);
int cli_config_check(const struct cli *cli);
int cli_config_reload(const struct cli *cli);
int cli_isolate(const struct cli *cli);
int cli_join(const struct cli *cli);
int cli_topology_check(const struct cli *cli);

/* ask.c: one request to an admin socket, which it releases; NULL: nobody answers. */
json_t *cli_ask(const char *path, json_t *request);
/* Prints and releases an answer (NULL: nobody answered); the exit code. */
int cli_tell(const struct cli *cli, json_t *answer);
/* statement.c: the answer when it is a good one; else says why, releases it, sets the exit code and gives NULL. */
json_t *cli_good(const struct cli *cli, json_t *answer, int *code);
/* A request of this act with --operator's signature over `text`, which it releases. NULL: told, with the exit code. */
json_t *cli_signed_request(const struct cli *cli, const char *act, json_t *text, int *code);
/* The broker's owner, which a statement names; NULL as above. */
json_t *cli_hub_of(const struct cli *cli, int *code);
int cli_breaker_list(const struct cli *cli);
int cli_breaker_trip(const struct cli *cli);
int cli_breaker_close(const struct cli *cli);
int cli_clock_show(const struct cli *cli);
int cli_clock_accept(const struct cli *cli);
int cli_clock_reject(const struct cli *cli);
int cli_plugin_sign(const struct cli *cli);
int cli_plugin_list(const struct cli *cli);
int cli_plugin_check(const struct cli *cli);

/* Prints and releases an answer as one line of JSON. */
void cli_print(json_t *answer);
/* Tells a refusal on stderr, or as JSON on stdout. */
int cli_refuse(const struct cli *cli, int code, const char *error);
#endif
