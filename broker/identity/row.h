/* What the broker has learned about a party since its configuration was written: an invitation, keys, approvals. Kept in
 * the journal as one JSON text a party, so that the configuration and these rows together are the registry. */
#ifndef ERABI_IDENTITY_ROW_H
#define ERABI_IDENTITY_ROW_H

#include <erab/identity.h>
#include <erab/message.h>

#include "config/config.h"

#define ERABI_ROW_KEYS      4
#define ERABI_ROW_APPROVALS 8
#define ERABI_ROW_SPEAKS    16
#define ERABI_ROW_GROUPS    8
#define ERABI_ROW_TEXT      4096 /* bytes of the JSON text at most */
#define ERABI_FOR_EVER      INT64_MAX

enum erabi_party_state {
    ERABI_PARTY_ACTIVE,  /* configured, or approved */
    ERABI_PARTY_INVITED, /* its seed may send one Registration */
    ERABI_PARTY_PENDING, /* registered, not yet approved: put off */
    ERABI_PARTY_DENIED,
};

struct erabi_row_key {
    erabi_key_bytes curve, sign;
    uint64_t from_ms, until_ms; /* ERABI_FOR_EVER: no end */
};

struct erabi_party_row {
    erabi_party_text id;
    bool configured; /* the configuration says who it is; only keys are ours */
    enum erabi_party_state state;
    unsigned role;
    erabi_party_text firm;
    unsigned kind; /* enum erabi_attachment_kind: SELF or UPLINK */
    uint64_t interfaces, types;
    erabi_party_text speaks_for[ERABI_ROW_SPEAKS]; /* n 0: itself */
    size_t n_speaks_for;
    erabi_key_bytes seed;
    uint64_t invited_until_ms;
    struct erabi_row_key keys[ERABI_ROW_KEYS]; /* the oldest first */
    size_t n_keys;
    erabi_party_text approvals[ERABI_ROW_APPROVALS]; /* operators */
    size_t n_approvals;
    erabi_party_text groups[ERABI_ROW_GROUPS]; /* that it was approved into */
    size_t n_groups;
    uint32_t version; /* of its party card: seconds of the last change, always rising */
    bool busy;        /* a change waits for the journal; not kept */
};

const char *erabi_party_state_name(enum erabi_party_state state);
/* The size written, or -EMSGSIZE, -ENOMEM. */
int erabi_row_encode(const struct erabi_party_row *row, char out[ERABI_ROW_TEXT]);
/* 0 or -EBADMSG. */
int erabi_row_decode(struct erabi_party_row *out, const char *text, size_t size);
/* The next version at this time. */
uint32_t erabi_row_next_version(const struct erabi_party_row *row, uint64_t now_ms);
/* A key of a PartyCard; borrows both public keys. */
void erabi_card_key(Erab__V1__PartyKey *key, struct erab_identity *identity, uint64_t from_ms, uint64_t until_ms);
/* What two people compare: 64 hex digits of BLAKE2b-256 over "erab.v1.party-keys", NUL, and both public keys. */
void erabi_keys_fingerprint(const uint8_t curve[ERAB_KEY_SIZE], const uint8_t sign[ERAB_KEY_SIZE], char out[65]);
/* Can these be used as keys at all (no point of low order)? */
bool erabi_keys_usable(const uint8_t curve[ERAB_KEY_SIZE], const uint8_t sign[ERAB_KEY_SIZE]);
#endif
