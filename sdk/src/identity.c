/* Keys and key files. Secrets touch only the caller's struct and buffers that are wiped here. */
#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include <erab/identity.h>
#include <sodium.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "private_file.h"

#define KEY_FILE_MAX 4096

/* The fields of the file, in the order in which they are written. */
enum field { PARTY, CURVE_PUBLIC, CURVE_SECRET, SIGN_PUBLIC, SIGN_SECRET, FIELDS };
static const char *const field_names[FIELDS] = {"party", "curve_public", "curve_secret", "sign_public",
                                                "sign_secret"};

int erab_identity_generate(struct erab_identity *out, const char *party)
{
    *out = (struct erab_identity){0};
    if (!party || !erab_party_valid(party))
        return -EINVAL;
    if (sodium_init() < 0)
        return -EIO;
    erabi_copy_text(out->party, sizeof out->party, party);
    crypto_box_keypair(out->curve_public, out->curve_secret);
    crypto_sign_keypair(out->sign_public, out->sign_secret);
    return 0;
}

void erab_identity_wipe(struct erab_identity *identity)
{
    if (identity)
        sodium_memzero(identity, sizeof *identity);
}

void erab_key_text(const uint8_t key[ERAB_KEY_SIZE], char out[65])
{
    sodium_bin2hex(out, 65, key, ERAB_KEY_SIZE);
}

static int parse_hex(const char *text, size_t length, uint8_t *out, size_t size)
{
    size_t used;
    const char *end;
    if (length != size * 2 || sodium_hex2bin(out, size, text, length, NULL, &used, &end) || used != size ||
        end != text + length) {
        sodium_memzero(out, size);
        return -EINVAL;
    }
    return 0;
}

int erab_key_parse(const char *text, uint8_t key[ERAB_KEY_SIZE])
{
    return parse_hex(text, strnlen(text, 2 * ERAB_KEY_SIZE + 1), key, ERAB_KEY_SIZE);
}

static int set_field(struct erab_identity *id, enum field field, const char *value, size_t length)
{
    switch (field) {
    case PARTY:
        if (length > ERAB_PARTY_MAX)
            return -EINVAL;
        erabi_copy_bytes(id->party, value, length);
        id->party[length] = '\0';
        return erab_party_valid(id->party) ? 0 : -EINVAL;
    case CURVE_PUBLIC:
        return parse_hex(value, length, id->curve_public, sizeof id->curve_public);
    case CURVE_SECRET:
        return parse_hex(value, length, id->curve_secret, sizeof id->curve_secret);
    case SIGN_PUBLIC:
        return parse_hex(value, length, id->sign_public, sizeof id->sign_public);
    case SIGN_SECRET:
        return parse_hex(value, length, id->sign_secret, sizeof id->sign_secret);
    default:
        return -EINVAL;
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **at, size_t *length)
{
    while (*length && is_space(**at)) {
        ++*at;
        --*length;
    }
    while (*length && is_space((*at)[*length - 1]))
        --*length;
    if (*length >= 2 && (**at == '"' || **at == '\'') && (*at)[*length - 1] == **at) {
        ++*at;
        *length -= 2;
    }
}

static enum field find_field(const char *name, size_t length)
{
    enum field f = PARTY;
    while (f < FIELDS && (strlen(field_names[f]) != length || strncmp(field_names[f], name, length) != 0))
        f++;
    return f;
}

/* One line: `name: value`, a comment, a blank line or the document's "---". */
static int parse_line(struct erab_identity *id, const char *line, size_t length, bool seen[FIELDS], unsigned number,
                      const char *path, char *error, size_t error_size)
{
    if (memchr(line, '\0', length))
        return erabi_fail(error, error_size, -EBADMSG, "%s:%u: a zero byte; this is no key file", path, number);
    trim(&line, &length);
    if (!length || *line == '#' || (length == 3 && strncmp(line, "---", 3) == 0))
        return 0;
    const char *colon = memchr(line, ':', length);
    enum field f = colon ? find_field(line, (size_t)(colon - line)) : FIELDS;
    if (f == FIELDS)
        return erabi_fail(error, error_size, -EBADMSG,
                    "%s:%u: not a line of a key file; expected party, curve_public, curve_secret, sign_public or "
                    "sign_secret, then a colon and the value",
                    path, number);
    if (seen[f])
        return erabi_fail(error, error_size, -EBADMSG, "%s:%u: %s stands there twice; keep one", path, number,
                    field_names[f]);
    seen[f] = true;
    const char *value = colon + 1;
    size_t value_length = length - (size_t)(value - line);
    trim(&value, &value_length);
    if (set_field(id, f, value, value_length))
        return erabi_fail(error, error_size, -EBADMSG, "%s:%u: the value of %s must be %s", path, number, field_names[f],
                    f == PARTY         ? "a party id of a-z, 0-9, '.' and '-'"
                    : f == SIGN_SECRET ? "128 hex digits"
                                       : "64 hex digits");
    return 0;
}

/* The public halves must belong to the secret ones, or signatures would be refused much later and far away. */
static bool pairs_match(const struct erab_identity *id)
{
    struct erab_identity derived = {0};
    uint8_t seed[crypto_sign_SEEDBYTES];
    crypto_scalarmult_base(derived.curve_public, id->curve_secret);
    crypto_sign_ed25519_sk_to_seed(seed, id->sign_secret);
    crypto_sign_seed_keypair(derived.sign_public, derived.sign_secret, seed);
    bool ok = sodium_memcmp(derived.curve_public, id->curve_public, ERAB_KEY_SIZE) == 0 &&
              sodium_memcmp(derived.sign_public, id->sign_public, ERAB_KEY_SIZE) == 0 &&
              sodium_memcmp(derived.sign_secret, id->sign_secret, ERAB_SIGN_SECRET) == 0;
    sodium_memzero(seed, sizeof seed);
    erab_identity_wipe(&derived);
    return ok;
}

static int parse(struct erab_identity *id, const char *text, size_t size, const char *path, char *error,
                 size_t error_size)
{
    bool seen[FIELDS] = {false};
    const char *at = text, *end = text + size;
    for (unsigned number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        int r = parse_line(id, at, (size_t)(stop - at), seen, number, path, error, error_size);
        if (r)
            return r;
        at = newline ? newline + 1 : end;
    }
    for (enum field f = PARTY; f < FIELDS; f++)
        if (!seen[f])
            return erabi_fail(error, error_size, -EBADMSG, "%s: %s is missing; make a new file with: erab key new", path,
                        field_names[f]);
    if (!pairs_match(id))
        return erabi_fail(error, error_size, -EBADMSG,
                    "%s: public and secret keys do not belong together; make a new file with: erab key new", path);
    return 0;
}

static int finish_load(struct erab_identity *out, const char *path, char *text, ssize_t n, char *error,
                       size_t error_size)
{
    int r = n < 0 ? (int)n : parse(out, text, (size_t)n, path, error, error_size);
    sodium_memzero(text, KEY_FILE_MAX);
    if (r)
        erab_identity_wipe(out);
    return r;
}

int erab_identity_load_fd(struct erab_identity *out, int fd, char *error, size_t error_size)
{
    char text[KEY_FILE_MAX];
    *out = (struct erab_identity){0};
    if (sodium_init() < 0)
        return erabi_fail(error, error_size, -EIO, "key descriptor: libsodium cannot start");
    ssize_t n = erabi_private_read_fd(fd, "key descriptor", "key file", text, sizeof text, error, error_size);
    return finish_load(out, "key descriptor", text, n, error, error_size);
}

int erab_identity_load(struct erab_identity *out, const char *path, char *error, size_t error_size)
{
    char text[KEY_FILE_MAX];
    *out = (struct erab_identity){0};
    if (sodium_init() < 0)
        return erabi_fail(error, error_size, -EIO, "%s: libsodium cannot start", path);
    ssize_t n = erabi_private_read(path, "key file", "make one with: erab key new", text, sizeof text, error, error_size);
    return finish_load(out, path, text, n, error, error_size);
}

/* The text of a key file in the writer; false when it did not fit. */
static bool print(const struct erab_identity *id, struct erabi_writer *w)
{
    const struct {
        const uint8_t *bytes;
        size_t size;
    } keys[FIELDS] = {[CURVE_PUBLIC] = {id->curve_public, ERAB_KEY_SIZE},
                      [CURVE_SECRET] = {id->curve_secret, ERAB_KEY_SIZE},
                      [SIGN_PUBLIC] = {id->sign_public, ERAB_KEY_SIZE},
                      [SIGN_SECRET] = {id->sign_secret, ERAB_SIGN_SECRET}};
    for (enum field f = PARTY; f < FIELDS; f++) {
        char hex[2 * ERAB_SIGN_SECRET + 1];
        const char *value = id->party;
        if (f != PARTY)
            value = sodium_bin2hex(hex, sizeof hex, keys[f].bytes, keys[f].size);
        erabi_write_bytes(w, field_names[f], strlen(field_names[f]));
        erabi_write_bytes(w, ": ", 2);
        erabi_write_bytes(w, value, strlen(value));
        erabi_write_u8(w, '\n');
        sodium_memzero(hex, sizeof hex);
    }
    return !w->bad;
}

int erab_identity_save(const struct erab_identity *identity, const char *path, char *error, size_t error_size)
{
    uint8_t text[KEY_FILE_MAX];
    struct erabi_writer w = erabi_writer(text, sizeof text);
    int r = erab_party_valid(identity->party) && print(identity, &w)
                ? erabi_private_write(path, text, w.used, error, error_size)
                : erabi_fail(error, error_size, -EINVAL, "%s: not written: the identity has no valid party id", path);
    sodium_memzero(text, sizeof text);
    return r;
}
