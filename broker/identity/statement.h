/* What an operator decides: a JSON text with a signature of that person's key. The Ed25519 signature covers BLAKE2b-512
 * over "erab.v1.operator-statement", NUL, and the text as sent. Members of every text: act, hub, party, operator, at_ms. */
#ifndef ERABI_IDENTITY_STATEMENT_H
#define ERABI_IDENTITY_STATEMENT_H

#include <jansson.h>

#include "config/config.h"

#define ERABI_STATEMENT_MAX     8192 /* bytes: it stands in the audit log as it is */
#define ERABI_STATEMENT_LIFE_MS 86400000u /* a statement is taken for one day */

struct erabi_statement {
    json_t *text;         /* the members; owned */
    const char *operator; /* of the configuration */
    const char *party;    /* in `text` */
    const char *signature; /* borrowed of the request, for the audit */
    const char *raw;
};

void erabi_statement_sign(const char *text, const uint8_t secret[ERAB_SIGN_SECRET],
                          uint8_t signature[ERAB_SIGNATURE_SIZE]);
/* Reads the members `statement` and `signature` of a request of this act. 0 and the caller calls deinit; else -EACCES or
 * -EINVAL with *error a static text. */
int erabi_statement_read(struct erabi_statement *out, const json_t *request, const struct erabi_config *config,
                         const char *act, uint64_t now_ms, const char **error);
void erabi_statement_deinit(struct erabi_statement *statement);
#define _statement_ __attribute__((cleanup(erabi_statement_deinit)))
#endif
