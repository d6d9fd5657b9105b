/* Who is who: a connection's key leads to its attachment, a party's id to its role, firm and sign keys. Loop thread. */
#ifndef ERABI_REGISTRY_H
#define ERABI_REGISTRY_H

#include <erab/reason.h>

#include "identity/row.h"

struct erabi_registry;

#define ERABI_PARTY_NONE   UINT32_MAX
/* Indices in all, those of parties that are gone included. */
#define ERABI_SLOTS_MAX    (4 * ERABI_PARTIES_MAX)
#define ERABI_ENROLLED_MAX 4096u /* parties that are not in the configuration */

struct erabi_registry_party {
    uint32_t index;
    const char *id; /* borrowed */
    enum erab_role role;
    const char *firm;
    const char *represented_by; /* "" or who signs for it */
    const erabi_key_bytes *sign_keys;
    size_t n_sign_keys;
    bool local;   /* a local application: speaks for the owner, is no party on the wire */
    bool revoked;
    bool for_good; /* revoked by somebody, also while it is absent */
    bool waiting; /* invited, pending or denied: nothing goes to it or comes from it */
    bool absent;  /* nobody names it now, but its index is known; also waiting */
};

struct erabi_attachment {
    enum erabi_attachment_kind kind;
    uint32_t party; /* index; for an adapter's key ERABI_PARTY_NONE */
    const char *name; /* party id or adapter instance, for the log */
    const uint32_t *speaks_for; /* sorted party indices */
    size_t n_speaks_for;
    uint64_t interfaces; /* bits 1 << enum erab_interface; 0 = any that the role pair gives */
    uint64_t types;      /* bits 1 << enum erab_type */
    uint64_t epoch;      /* rises when the attachment is revoked */
    bool revoked;
    bool dialled; /* the other end of an uplink of ours */
};

/* Called by erabi_registry_revoke before it returns, to make the revocation durable. */
typedef void (*erabi_registry_persist)(void *user, const char *party);

/* Copies what it needs of the configuration. `owner_sign_key` (may be NULL) is added to the owner's sign keys.
 * 0, -ENOMEM, or -EEXIST when a key stands twice. */
int erabi_registry_new(struct erabi_registry **out, const struct erabi_config *config,
                       const uint8_t owner_sign_key[ERAB_KEY_SIZE], erabi_registry_persist persist, void *user);
void erabi_registry_free(struct erabi_registry *registry);
/* renew.c: the registry of a new configuration. A party of both keeps its index, the index of one that is gone is given
 * to nobody else, so that tables by index need no change. What was learned at run time goes over: adapters' keys, rows,
 * revocations (also of ids that come back later); not the owner's own newer keys. `before` stays as it is. 0, -ENOMEM,
 * -EEXIST (a key is an enrolled party's), -ENOSPC (ERABI_SLOTS_MAX: too many have come and gone since the start). */
int erabi_registry_renew(struct erabi_registry **out, const struct erabi_config *config,
                         const struct erabi_registry *before, uint64_t now_ms);
/* The attachment of another registry's one (the same party or instance, attached the same way), or NULL. */
const struct erabi_attachment *erabi_registry_again(const struct erabi_registry *registry,
                                                    const struct erabi_attachment *of);

/* A key made at start (an adapter instance of the configuration). 0, -ENOENT (no such instance), -EEXIST. `sign_key`
 * (may be NULL) becomes a sign key of each of its parties. */
int erabi_registry_add_adapter(struct erabi_registry *registry, const char *instance,
                               const uint8_t curve_key[ERAB_KEY_SIZE], const uint8_t *sign_key);

/* The server keys of the configuration's uplinks are known too (kind uplink). NULL: unknown. A revoked attachment is returned with `revoked` set. The pointer lives as long as the registry. */
const struct erabi_attachment *erabi_registry_key(const struct erabi_registry *registry,
                                                  const uint8_t key[ERAB_KEY_SIZE]);
const struct erabi_registry_party *erabi_registry_party(const struct erabi_registry *registry, const char *id);
/* Also one that is absent, as a member of a group may be. NULL: nobody ever named it. */
const struct erabi_registry_party *erabi_registry_member(const struct erabi_registry *registry, const char *id);
const struct erabi_registry_party *erabi_registry_party_at(const struct erabi_registry *registry, uint32_t index);
size_t erabi_registry_count(const struct erabi_registry *registry);
const struct erabi_registry_party *erabi_registry_owner(const struct erabi_registry *registry);
/* Parties that there may ever be while this registry lives; indices stay below. */
size_t erabi_registry_capacity(const struct erabi_registry *registry);
/* Is there room for one more party that is enrolled? */
bool erabi_registry_has_room(const struct erabi_registry *registry);
/* The attachment by which this party is reached (its own, its adapter's, its uplink's); NULL when none. */
const struct erabi_attachment *erabi_registry_attachment_of(const struct erabi_registry *registry, uint32_t party);

bool erabi_attachment_speaks_for(const struct erabi_attachment *attachment, uint32_t party);
/* Sign keys of a party; without own ones those of the party that represents it; none (and *n 0) for an unknown or
 * revoked one. */
const erabi_key_bytes *erabi_registry_sign_keys(const struct erabi_registry *registry, const char *id, size_t *n);

/* Marks the party and its attachments revoked for good and calls `persist`. 0, -ENOENT, or 1 when it was already. The
 * caller cuts the connections. The owner cannot be revoked: -EPERM. */
int erabi_registry_revoke(struct erabi_registry *registry, const char *id);
/* The same for one read from the journal at start: without `persist`; an id that is
 * unknown now is remembered for erabi_registry_renew. */
void erabi_registry_restore_revoked(struct erabi_registry *registry, const char *id);

/* ---- registry_rows.c: what was learned since the configuration was written ---- */

/* What a connection with this key gets at this time: NONE to be let in, NOT_APPROVED to be put off, else refused.
 * *seed: it is an invitation's. */
enum erab_reason erabi_registry_admits(const struct erabi_registry *registry, const uint8_t key[ERAB_KEY_SIZE],
                                       uint64_t now_ms, bool *seed);
/* Takes over a copy of the row: makes the party when there is none, sets its state and keys. 0, or: -EEXIST a key is
 * another party's; -ENOSPC; -ENOMEM; -ENOENT the row is of a party that the configuration has no more. Then nothing or
 * less than all was set: call it again with the row before. */
int erabi_registry_put(struct erabi_registry *registry, const struct erabi_party_row *row, uint64_t now_ms);
/* NULL: only the configuration knows this party. Valid until the next put. */
struct erabi_party_row *erabi_registry_row(const struct erabi_registry *registry, const char *id);
/* The enrolled parties that were approved into this group, at most `most`; how many. At most erabi_registry_grouped. */
size_t erabi_registry_group(const struct erabi_registry *registry, const char *group,
                            const struct erabi_registry_party **out, size_t most);
size_t erabi_registry_grouped(const struct erabi_registry *registry);
/* How many parties have one. */
size_t erabi_registry_rows(const struct erabi_registry *registry);
/* A row to change and put: the party's own, or one that says what the configuration does. False: unknown party. */
bool erabi_registry_row_copy(const struct erabi_registry *registry, const char *id, struct erabi_party_row *out);
/* Is this connection key, or signature key, used by anybody already? */
bool erabi_registry_uses(const struct erabi_registry *registry, const uint8_t key[ERAB_KEY_SIZE]);
/* Is this one of the party's own connection keys now? */
bool erabi_registry_owns(const struct erabi_registry *registry, uint32_t party, const uint8_t key[ERAB_KEY_SIZE],
                         uint64_t now_ms);
/* Adds a signature key to a party, or sets the end of one that it has. 0, -ENOENT, -ENOSPC. */
int erabi_registry_sign_key(struct erabi_registry *registry, const char *id, const uint8_t key[ERAB_KEY_SIZE],
                            uint64_t until_ms, uint64_t now_ms);
/* Once a second: drops signature keys whose time is over. True when any key ended: sessions must be looked at. */
bool erabi_registry_tick(struct erabi_registry *registry, uint64_t now_ms);
#endif
