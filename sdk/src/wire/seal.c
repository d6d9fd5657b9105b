/* Bodies that only their recipient can read. */
#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include <erab/message.h>

#include "base/cleanup.h"

_Static_assert(ERAB_SEAL_SIZE == crypto_box_SEALBYTES, "what PROTOCOL.md says");

int erab_body_seal(const uint8_t curve_public[ERAB_KEY_SIZE], struct erab_bytes body, uint8_t **out, size_t *size)
{
    *out = NULL;
    if (body.size > ERAB_BODY_MAX - ERAB_SEAL_SIZE)
        return -EMSGSIZE;
    _free_ uint8_t *sealed = malloc(body.size + ERAB_SEAL_SIZE);
    if (!sealed)
        return -ENOMEM;
    if (crypto_box_seal(sealed, body.data, body.size, curve_public) != 0)
        return -EINVAL;
    *size = body.size + ERAB_SEAL_SIZE;
    *out = erabi_take(sealed);
    return 0;
}

int erab_body_open(const uint8_t curve_public[ERAB_KEY_SIZE], const uint8_t curve_secret[ERAB_KEY_SIZE],
                   struct erab_bytes sealed, uint8_t **out, size_t *size)
{
    *out = NULL;
    if (sealed.size < ERAB_SEAL_SIZE || sealed.size > ERAB_BODY_MAX)
        return 1;
    _free_ uint8_t *body = malloc(sealed.size);
    if (!body)
        return -ENOMEM;
    if (crypto_box_seal_open(body, sealed.data, sealed.size, curve_public, curve_secret) != 0)
        return 1;
    *size = sealed.size - ERAB_SEAL_SIZE;
    *out = erabi_take(body);
    return 0;
}
