/* What the nouns of `erab` share. */
#ifndef ERABI_CLI_H
#define ERABI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum exit_code { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

struct cli {
    bool json;
    int n; /* words after the verb */
    char **words;
    const char *heads, *key, *socket; /* options, NULL when not given */
    const char *operator, *role, *firm, *kind, *types, *speaks_for, *hours, *endpoint, *state, *fingerprint;
    const char *server_key, *hub, *overlap;
};

int cli_key_new(const struct cli *cli);
int cli_key_show(const struct cli *cli);
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
int cli_config_check(const struct cli *cli);
int cli_config_reload(const struct cli *cli);
int cli_isolate(const struct cli *cli);
int cli_join(const struct cli *cli);
int cli_topology_check(const struct cli *cli);

/* ask.c: one request to an admin socket, which it releases; NULL: nobody answers. */
json_t *cli_ask(const char *path, json_t *request);
/* Prints and releases an answer (NULL: nobody answered); the exit code. */
int cli_tell(const struct cli *cli, json_t *answer);
int cli_breaker_list(const struct cli *cli);
int cli_breaker_trip(const struct cli *cli);
int cli_breaker_close(const struct cli *cli);
int cli_plugin_sign(const struct cli *cli);
int cli_plugin_list(const struct cli *cli);
int cli_plugin_check(const struct cli *cli);

/* Prints and releases an answer as one line of JSON. */
void cli_print(json_t *answer);
/* Tells a refusal on stderr, or as JSON on stdout. */
int cli_refuse(const struct cli *cli, int code, const char *error);
#endif
