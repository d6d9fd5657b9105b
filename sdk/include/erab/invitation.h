/* An invitation: what a broker's operator hands to a newcomer, once, over a way that both trust. It pins the broker
 * (server key, the owner's sign key) and holds a seed: a one-time connection key that may send one Registration.
 *
 * The file is one `name: value` a line, under the rules of key files (<erab/identity.h>), for the seed is a secret.
 * It is written by `erab party invite` and read by `erab enroll`. */
#ifndef ERAB_INVITATION_H
#define ERAB_INVITATION_H

#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct erab_invitation {
    char party[ERAB_PARTY_MAX + 1]; /* the newcomer */
    enum erab_role role;
    char hub[ERAB_PARTY_MAX + 1]; /* owner of the broker */
    uint8_t hub_sign_key[ERAB_KEY_SIZE];
    char endpoint[128];
    uint8_t server_key[ERAB_KEY_SIZE];
    uint64_t expires_at_ms;
    uint8_t seed_public[ERAB_KEY_SIZE];
    uint8_t seed_secret[ERAB_KEY_SIZE];
};

/* As erab_identity_load, save and wipe. */
ERAB_API int erab_invitation_load(struct erab_invitation *out, const char *path, char *error, size_t error_size);
ERAB_API int erab_invitation_save(const struct erab_invitation *invitation, const char *path, char *error,
                                  size_t error_size);
ERAB_API void erab_invitation_wipe(struct erab_invitation *invitation);

#ifdef __cplusplus
}
#endif

#endif
