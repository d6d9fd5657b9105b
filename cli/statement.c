/* What an operator signs, and the broker's answer to it. */
#include <stdlib.h>
#include <time.h>

#include <erab/identity.h>
#include <sodium.h>

#include "base/clock.h"
#include "cli.h"
#include "identity/statement.h"

/* The answer when it is a good one; else says why, releases it, and sets the exit code. */
json_t *cli_good(const struct cli *cli, json_t *answer, int *code)
{
    if (answer && json_is_true(json_object_get(answer, "ok")))
        return answer;
    const char *error = json_string_value(json_object_get(answer, "error"));
    *code = answer ? cli_refuse(cli, EXIT_REFUSED, error ? error : "the broker refused it")
                   : cli_refuse(cli, EXIT_UNREACHABLE, "no broker answers on this socket");
    json_decref(answer);
    return NULL;
}

/* A request with the operator's signature over `text`, which it releases. NULL and a told error otherwise. */
json_t *cli_signed_request(const struct cli *cli, const char *act, json_t *text, int *code)
{
    struct erab_identity operator;
    char error[512] = "", hex[2 * ERAB_SIGNATURE_SIZE + 1];
    uint8_t signature[ERAB_SIGNATURE_SIZE];
    if (!cli->operator || erab_identity_load(&operator, cli->operator, error, sizeof(error)) < 0) {
        json_decref(text);
        *code = cli->operator ? cli_refuse(cli, EXIT_REFUSED, error)
                              : cli_refuse(cli, EXIT_USAGE, "this needs --operator FILE, the key of 'erab operator new'");
        return NULL;
    }
    json_object_set_new(text, "act", json_string(act));
    json_object_set_new(text, "operator", json_string(operator.party));
    json_object_set_new(text, "at_ms", json_integer((json_int_t)erabi_clock_ms(CLOCK_REALTIME)));
    char *raw = json_dumps(text, JSON_COMPACT);
    json_decref(text);
    json_t *request = NULL;
    if (raw) {
        erabi_statement_sign(raw, operator.sign_secret, signature);
        sodium_bin2hex(hex, sizeof(hex), signature, sizeof(signature));
        request = json_pack("{s:s, s:s, s:s}", "verb", act, "statement", raw, "signature", hex);
    }
    free(raw);
    erab_identity_wipe(&operator);
    if (!request)
        *code = cli_refuse(cli, EXIT_REFUSED, "no memory");
    return request;
}

json_t *cli_hub_of(const struct cli *cli, int *code)
{
    json_t *health = cli_good(cli, cli_ask(cli->socket, json_pack("{s:s}", "verb", "health")), code);
    json_t *hub = json_incref(json_object_get(health, "owner"));
    json_decref(health);
    return hub;
}
