/* Keys of a party. A party has an X25519 pair (the connection) and an Ed25519 pair (signatures).
 *
 * Key file: YAML, mode 0600, owned by the user of the process, no symbolic link:
 *     party: alder
 *     curve_public: <64 hex digits>
 *     curve_secret: <64 hex digits>
 *     sign_public: <64 hex digits>
 *     sign_secret: <128 hex digits>
 * It is written by `erab key new`. */
#ifndef ERAB_IDENTITY_H
#define ERAB_IDENTITY_H

#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct erab_identity {
    char party[ERAB_PARTY_MAX + 1];
    uint8_t curve_public[ERAB_KEY_SIZE];
    uint8_t curve_secret[ERAB_KEY_SIZE];
    uint8_t sign_public[ERAB_KEY_SIZE];
    uint8_t sign_secret[ERAB_SIGN_SECRET];
};

/* New random keys for a party. 0 or -EINVAL (party id). */
ERAB_API int erab_identity_generate(struct erab_identity *out, const char *party);
/* Reads a key file. Refuses links, other owners and modes wider than 0600. 0 or a negative errno; `error`
 * (may be NULL) then says which path and why and what to do, never a secret. */
ERAB_API int erab_identity_load(struct erab_identity *out, const char *path, char *error, size_t error_size);
/* The same from an open descriptor (a key handed down by the parent process); checks the form only. */
ERAB_API int erab_identity_load_fd(struct erab_identity *out, int fd, char *error, size_t error_size);
/* Writes a key file with O_EXCL and 0600 and fsyncs it; never overwrites. */
ERAB_API int erab_identity_save(const struct erab_identity *identity, const char *path, char *error,
                                size_t error_size);
/* Overwrites the secrets. */
ERAB_API void erab_identity_wipe(struct erab_identity *identity);

/* 64 hex digits and NUL. erab_key_parse: 0 or -EINVAL. */
ERAB_API void erab_key_text(const uint8_t key[ERAB_KEY_SIZE], char out[65]);
ERAB_API int erab_key_parse(const char *text, uint8_t key[ERAB_KEY_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
