/* What the nouns of `erab` share. */
#ifndef ERABI_CLI_H
#define ERABI_CLI_H

#include <stdbool.h>

#include <jansson.h>

enum exit_code { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3 };

struct cli {
    bool json;
    int n; /* words after the verb */
    char **words;
    const char *heads, *key, *socket; /* options, NULL when not given */
};

int cli_key_new(const struct cli *cli);
int cli_key_show(const struct cli *cli);
int cli_audit_verify(const struct cli *cli);
int cli_trace(const struct cli *cli);
int cli_health(const struct cli *cli);
int cli_party_revoke(const struct cli *cli);
int cli_config_check(const struct cli *cli);
int cli_plugin_sign(const struct cli *cli);
int cli_plugin_list(const struct cli *cli);
int cli_plugin_check(const struct cli *cli);

/* Prints and releases an answer as one line of JSON. */
void cli_print(json_t *answer);
/* Tells a refusal on stderr, or as JSON on stdout. */
int cli_refuse(const struct cli *cli, int code, const char *error);
#endif
