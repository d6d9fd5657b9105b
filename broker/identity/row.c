#include "identity/row.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "base/cursor.h"

static const char *const state_names[] = {"active", "invited", "pending", "denied"};

const char *erabi_party_state_name(enum erabi_party_state state)
{
    return (unsigned)state <= ERABI_PARTY_DENIED ? state_names[state] : "unknown";
}

uint32_t erabi_row_next_version(const struct erabi_party_row *row, uint64_t now_ms)
{
    uint32_t now = (uint32_t)(now_ms / 1000);
    return now > row->version ? now : row->version + 1;
}

void erabi_keys_fingerprint(const uint8_t curve[ERAB_KEY_SIZE], const uint8_t sign[ERAB_KEY_SIZE], char out[65])
{
    static const char tag[] = "erab.v1.party-keys"; /* its NUL counts */
    crypto_generichash_state state;
    uint8_t hash[32];
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, (const uint8_t *)tag, sizeof(tag));
    crypto_generichash_update(&state, curve, ERAB_KEY_SIZE);
    crypto_generichash_update(&state, sign, ERAB_KEY_SIZE);
    crypto_generichash_final(&state, hash, sizeof(hash));
    sodium_bin2hex(out, 65, hash, sizeof(hash));
}

bool erabi_keys_usable(const uint8_t curve[ERAB_KEY_SIZE], const uint8_t sign[ERAB_KEY_SIZE])
{
    uint8_t secret[32], shared[32];
    randombytes_buf(secret, sizeof(secret));
    bool good = crypto_scalarmult(shared, secret, curve) == 0 && crypto_core_ed25519_is_valid_point(sign) == 1;
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(shared, sizeof(shared));
    return good;
}

static json_t *hex(const uint8_t *key)
{
    char text[65];
    erab_key_text(key, text);
    return json_string(text);
}

static json_t *texts(const erabi_party_text *list, size_t n)
{
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_string(list[i]));
    return out;
}

int erabi_row_encode(const struct erabi_party_row *row, char out[ERABI_ROW_TEXT])
{
    json_t *keys = json_array();
    for (size_t i = 0; i < row->n_keys; i++)
        json_array_append_new(keys, json_pack("{s:o, s:o, s:I, s:I}", "curve", hex(row->keys[i].curve), "sign",
                                              hex(row->keys[i].sign), "from", (json_int_t)row->keys[i].from_ms, "until",
                                              (json_int_t)row->keys[i].until_ms));
    json_t *all = json_pack("{s:s, s:b, s:i, s:i, s:s, s:i, s:I, s:I, s:o, s:o, s:I, s:o, s:o, s:I}", "id", row->id,
                            "configured", row->configured, "state", (int)row->state, "role", (int)row->role, "firm",
                            row->firm, "kind", (int)row->kind, "interfaces", (json_int_t)row->interfaces, "types",
                            (json_int_t)row->types, "speaks_for", texts(row->speaks_for, row->n_speaks_for), "seed",
                            hex(row->seed), "invited_until", (json_int_t)row->invited_until_ms, "keys", keys,
                            "approvals", texts(row->approvals, row->n_approvals), "version", (json_int_t)row->version);
    if (!all)
        return -ENOMEM;
    if (row->n_groups)
        json_object_set_new(all, "groups", texts(row->groups, row->n_groups));
    size_t n = json_dumpb(all, out, ERABI_ROW_TEXT, JSON_COMPACT);
    json_decref(all);
    return n == 0 || n > ERABI_ROW_TEXT ? -EMSGSIZE : (int)n;
}

static bool read_texts(const json_t *list, erabi_party_text *out, size_t most, size_t *n)
{
    *n = json_array_size(list);
    if (!json_is_array(list) || *n > most)
        return false;
    for (size_t i = 0; i < *n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !erab_party_valid(text) || !erabi_copy_text(out[i], sizeof(out[i]), text))
            return false;
    }
    return true;
}

static bool read_keys(const json_t *list, struct erabi_party_row *out)
{
    out->n_keys = json_array_size(list);
    if (!json_is_array(list) || out->n_keys > ERABI_ROW_KEYS)
        return false;
    for (size_t i = 0; i < out->n_keys; i++) {
        json_t *one = json_array_get(list, i);
        const char *curve, *sign;
        json_int_t from, until;
        struct erabi_row_key *key = &out->keys[i];
        if (json_unpack(one, "{s:s, s:s, s:I, s:I}", "curve", &curve, "sign", &sign, "from", &from, "until", &until) ||
            erab_key_parse(curve, key->curve) || erab_key_parse(sign, key->sign) || from < 0 || until < 0)
            return false;
        key->from_ms = (uint64_t)from;
        key->until_ms = (uint64_t)until;
    }
    return true;
}

static int read_row(struct erabi_party_row *out, json_t *all)
{
    const char *id, *firm, *seed;
    int configured, state, role, kind;
    json_int_t interfaces, types, until, version;
    json_t *speaks, *keys, *approvals;
    const json_t *groups = json_object_get(all, "groups"); /* older rows have none */
    if (json_unpack(all, "{s:s, s:b, s:i, s:i, s:s, s:i, s:I, s:I, s:o, s:s, s:I, s:o, s:o, s:I}", "id", &id,
                    "configured", &configured, "state", &state, "role", &role, "firm", &firm, "kind", &kind,
                    "interfaces", &interfaces, "types", &types, "speaks_for", &speaks, "seed", &seed, "invited_until",
                    &until, "keys", &keys, "approvals", &approvals, "version", &version))
        return -EBADMSG;
    if (state < 0 || state > ERABI_PARTY_DENIED || role < 0 || role >= ERAB_ROLE_COUNT || until < 0 || version < 0 ||
        version > UINT32_MAX || (kind != ERABI_ATTACH_SELF && kind != ERABI_ATTACH_UPLINK && kind != ERABI_ATTACH_NONE))
        return -EBADMSG;
    out->configured = configured;
    out->state = (enum erabi_party_state)state;
    out->role = (unsigned)role;
    out->kind = (unsigned)kind;
    out->interfaces = (uint64_t)interfaces;
    out->types = (uint64_t)types;
    out->invited_until_ms = (uint64_t)until;
    out->version = (uint32_t)version;
    return erab_party_valid(id) && erabi_copy_text(out->id, sizeof(out->id), id) &&
                   erabi_copy_text(out->firm, sizeof(out->firm), firm) && erab_key_parse(seed, out->seed) == 0 &&
                   read_texts(speaks, out->speaks_for, ERABI_ROW_SPEAKS, &out->n_speaks_for) && read_keys(keys, out) &&
                   read_texts(approvals, out->approvals, ERABI_ROW_APPROVALS, &out->n_approvals) &&
                   (!groups || read_texts(groups, out->groups, ERABI_ROW_GROUPS, &out->n_groups))
               ? 0
               : -EBADMSG;
}

int erabi_row_decode(struct erabi_party_row *out, const char *text, size_t size)
{
    *out = (struct erabi_party_row){0};
    json_t *all = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    int r = all ? read_row(out, all) : -EBADMSG;
    json_decref(all);
    return r;
}

void erabi_card_key(Erab__V1__PartyKey *key, struct erab_identity *identity, uint64_t from_ms, uint64_t until_ms)
{
    erab__v1__party_key__init(key);
    key->sign_key = (ProtobufCBinaryData){ERAB_KEY_SIZE, identity->sign_public};
    key->has_curve_key = 1;
    key->curve_key = (ProtobufCBinaryData){ERAB_KEY_SIZE, identity->curve_public};
    key->from_ms = from_ms;
    key->until_ms = until_ms;
}
