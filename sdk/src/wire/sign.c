#include "wire/wire.h"

#include <assert.h>
#include <sodium.h>

/* With its NUL: no other use of the same key can yield the same string. */
static const char domain[] = "erab.v1.envelope";

#define STRING_MAX (sizeof(domain) + 4 + ERAB_HEADER_MAX + 4 + ERAB_BODY_MAX)

/* Ed25519 reads its message twice, so the string is put together. Only the pages used are touched. */
static size_t signed_string(struct erabi_slice header, struct erabi_slice body, uint8_t out[STRING_MAX])
{
    struct erabi_writer w = erabi_writer(out, STRING_MAX);
    erabi_write_bytes(&w, domain, sizeof(domain));
    erabi_write_u32(&w, (uint32_t)header.size);
    erabi_write_bytes(&w, header.data, header.size);
    erabi_write_u32(&w, (uint32_t)body.size);
    erabi_write_bytes(&w, body.data, body.size);
    return w.bad ? 0 : w.used;
}

static void update_part(crypto_generichash_state *state, struct erabi_slice part)
{
    uint8_t length[4];
    struct erabi_writer w = erabi_writer(length, sizeof(length));
    erabi_write_u32(&w, (uint32_t)part.size);
    crypto_generichash_update(state, length, sizeof(length));
    crypto_generichash_update(state, part.data, part.size);
}

void erabi_envelope_hash(struct erabi_slice header, struct erabi_slice body, uint8_t hash[ERAB_HASH_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, ERAB_HASH_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)domain, sizeof(domain));
    update_part(&state, header);
    update_part(&state, body);
    crypto_generichash_final(&state, hash, ERAB_HASH_SIZE);
}

void erabi_envelope_sign(struct erabi_slice header, struct erabi_slice body,
                         const uint8_t secret[ERAB_SIGN_SECRET], uint8_t signature[ERAB_SIGNATURE_SIZE])
{
    uint8_t string[STRING_MAX];
    size_t size = signed_string(header, body, string);
    assert(size > 0); /* header and body are our own and within their limits */
    crypto_sign_detached(signature, NULL, string, size, secret);
}

bool erabi_envelope_verify(struct erabi_slice header, struct erabi_slice body, struct erabi_slice signature,
                           const uint8_t key[ERAB_KEY_SIZE])
{
    uint8_t string[STRING_MAX];
    if (signature.size != ERAB_SIGNATURE_SIZE)
        return false;
    size_t size = signed_string(header, body, string);
    return size > 0 && crypto_sign_verify_detached(signature.data, string, size, key) == 0;
}
