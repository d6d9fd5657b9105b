#include "identity/statement.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

static const char tag[] = "erab.v1.operator-statement"; /* its NUL counts */

/* The hash of tag and text is what is signed: the text has no bound of its own here. */
static void digest(const char *text, uint8_t hash[64])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 64);
    crypto_generichash_update(&state, (const uint8_t *)tag, sizeof(tag));
    crypto_generichash_update(&state, (const uint8_t *)text, strlen(text));
    crypto_generichash_final(&state, hash, 64);
}

void erabi_statement_sign(const char *text, const uint8_t secret[ERAB_SIGN_SECRET],
                          uint8_t signature[ERAB_SIGNATURE_SIZE])
{
    uint8_t hash[64];
    digest(text, hash);
    crypto_sign_detached(signature, NULL, hash, sizeof(hash), secret);
}

static const struct erabi_config_operator *find(const struct erabi_config *config, const char *name)
{
    for (size_t i = 0; name && i < config->n_operators; i++)
        if (strcmp(config->operators[i].name, name) == 0)
            return &config->operators[i];
    return NULL;
}

static int check(struct erabi_statement *s, const struct erabi_config *config, const char *act, uint64_t now_ms,
                 const char **error)
{
    const char *said = json_string_value(json_object_get(s->text, "act"));
    const char *hub = json_string_value(json_object_get(s->text, "hub"));
    s->party = json_string_value(json_object_get(s->text, "party"));
    const json_t *at = json_object_get(s->text, "at_ms");
    const struct erabi_config_operator *o = find(config, json_string_value(json_object_get(s->text, "operator")));
    uint8_t signature[ERAB_SIGNATURE_SIZE], hash[64];
    size_t n = 0;
    if (!o) {
        *error = "this operator is not named in the configuration; add the person under 'operators'";
        return -EACCES;
    }
    digest(s->raw, hash);
    if (strlen(s->signature) != 2 * sizeof(signature) ||
        sodium_hex2bin(signature, sizeof(signature), s->signature, strlen(s->signature), NULL, &n, NULL) ||
        n != sizeof(signature) || crypto_sign_verify_detached(signature, hash, sizeof(hash), o->sign_key)) {
        *error = "the signature is not that of the operator's key in the configuration";
        return -EACCES;
    }
    s->operator = o->name;
    if (!said || strcmp(said, act) != 0 || !hub || strcmp(hub, config->owner.party) != 0) {
        *error = "the statement is about another act or another broker";
        return -EACCES;
    }
    uint64_t ms = json_integer_value(at) > 0 ? (uint64_t)json_integer_value(at) : 0;
    if (ms > now_ms + ERAB_CLOCK_AHEAD_MS || ms + ERABI_STATEMENT_LIFE_MS < now_ms) {
        *error = "the statement is older than a day or from the future; sign a new one, compare the clocks";
        return -EACCES;
    }
    if (!s->party || !erab_party_valid(s->party)) {
        *error = "party: a party id is needed";
        return -EINVAL;
    }
    return 0;
}

int erabi_statement_read(struct erabi_statement *out, const json_t *request, const struct erabi_config *config,
                         const char *act, uint64_t now_ms, const char **error)
{
    *out = (struct erabi_statement){.raw = json_string_value(json_object_get(request, "statement")),
                                    .signature = json_string_value(json_object_get(request, "signature"))};
    if (config->n_operators == 0) {
        *error = "the configuration names no operators; add 'operators' with the keys of 'erab operator new'";
        return -EACCES;
    }
    if (!out->raw || !out->signature) {
        *error = "an operator's signed statement is needed; give --operator FILE";
        return -EACCES;
    }
    if (strlen(out->raw) > ERABI_STATEMENT_MAX) {
        *error = "the statement is too long";
        return -EINVAL;
    }
    out->text = json_loads(out->raw, JSON_REJECT_DUPLICATES, NULL);
    *error = "the statement cannot be read";
    int r = json_is_object(out->text) ? check(out, config, act, now_ms, error) : -EINVAL;
    if (r < 0)
        erabi_statement_deinit(out);
    return r;
}

void erabi_statement_deinit(struct erabi_statement *s)
{
    json_decref(s->text);
    *s = (struct erabi_statement){0};
}
