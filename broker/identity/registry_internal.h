/* What registry.c (who is who, from the configuration) and registry_rows.c (what was learned since) share. */
#ifndef ERABI_REGISTRY_INTERNAL_H
#define ERABI_REGISTRY_INTERNAL_H

#include "identity/registry.h"

#define ERABI_SIGN_KEYS_MAX 8u

struct party {
    struct erabi_registry_party seen;
    erabi_party_text id, firm, represented_by;
    erabi_key_bytes sign_keys[ERABI_SIGN_KEYS_MAX];
    uint64_t sign_until[ERABI_SIGN_KEYS_MAX];
    uint32_t reached; /* attachment by which messages get to it, or ERABI_PARTY_NONE */
    uint32_t own;     /* attachment of its own keys, or ERABI_PARTY_NONE */
    uint32_t next;    /* in its hash chain */
    struct erabi_party_row *row; /* NULL: only the configuration knows it */
    bool gone;                   /* nobody names it now: only its index is kept */
    bool banned;                 /* revoked for good, also while it is gone */
};

struct attached {
    struct erabi_attachment seen;
    erabi_party_text name;
    uint32_t *speaks_for;
    erabi_key_bytes proxy; /* an adapter's sign key */
    bool has_proxy;
};

struct key_row {
    erabi_key_bytes key;
    uint32_t attachment; /* ERABI_PARTY_NONE: a free row */
    uint32_t next;       /* in its hash chain, or of the free rows */
    uint64_t until_ms;
    bool seed;
};

struct erabi_registry {
    uint8_t seed[16]; /* so that nobody outside can choose colliding ids */
    uint32_t buckets; /* a power of two */
    uint32_t *by_id, *by_key;
    struct party *parties;
    uint32_t n_parties, most_parties, owner;
    size_t n_rows;
    uint32_t *grouped; /* parties whose rows name groups, or did */
    size_t n_grouped;
    struct attached *attachments;
    uint32_t n_attachments, most_attachments;
    struct key_row *keys;
    uint32_t n_keys, most_keys, free_keys;
    uint64_t next_end_ms; /* when the next key ends */
    struct erabi_config_adapter *adapters; /* names and parties only */
    size_t n_adapters;
    erabi_party_text *absent; /* revoked ids that nobody has named so far */
    size_t n_absent;
    bool absent_lost;
    erabi_key_bytes owner_key;
    bool has_owner_key;
    erabi_registry_persist persist;
    void *user;
};

/* Also one that is gone. */
struct party *erabi_reg_slot(const struct erabi_registry *r, const char *id);
/* A new index for this id; it is gone until somebody names it. The caller has made room. */
struct party *erabi_reg_add_slot(struct erabi_registry *r, const char *id);
void erabi_reg_revoked(struct erabi_registry *r, struct party *p);
/* An empty registry with room for this configuration and so many indices besides; NULL: no memory. */
struct erabi_registry *erabi_reg_empty(const struct erabi_config *config, size_t slots, const uint8_t *owner_sign_key,
                                       erabi_registry_persist persist, void *user);
int erabi_reg_fill(struct erabi_registry *r, const struct erabi_config *config);
struct party *erabi_reg_party(const struct erabi_registry *r, const char *id);
struct key_row *erabi_reg_key(const struct erabi_registry *r, const uint8_t key[ERAB_KEY_SIZE]);
/* 0, -EEXIST, -ENOSPC. */
int erabi_reg_add_key(struct erabi_registry *r, const uint8_t *key, uint32_t attachment, uint64_t until_ms, bool seed);
void erabi_reg_drop_key(struct erabi_registry *r, const uint8_t *key);
/* Also for one that is there: then its end is set. 0 or -ENOSPC. */
int erabi_reg_add_sign_key(struct party *p, const uint8_t *key, uint64_t until_ms);
/* 0, -EEXIST, -ENOSPC. */
int erabi_reg_add_party(struct erabi_registry *r, const struct erabi_config_party *from);
/* A new attachment speaking for these ids; its index in *out. */
int erabi_reg_add_attachment(struct erabi_registry *r, enum erabi_attachment_kind kind, uint32_t party, const char *name,
                             erabi_party_text *ids, size_t n, uint32_t *out);
int erabi_reg_by_number(const void *a, const void *b);

#endif
