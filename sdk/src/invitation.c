#include <erab/invitation.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <erab/identity.h>
#include <sodium.h>

#include "base/cursor.h"
#include "private_file.h"

#define INVITATION_MAX 2048

enum field { PARTY, ROLE, HUB, HUB_SIGN_KEY, ENDPOINT, SERVER_KEY, EXPIRES, SEED_PUBLIC, SEED_SECRET, FIELDS };
static const char *const names[FIELDS] = {"party",      "role",          "hub",         "hub_sign_key", "endpoint",
                                          "server_key", "expires_at_ms", "seed_public", "seed_secret"};

void erab_invitation_wipe(struct erab_invitation *invitation)
{
    if (invitation)
        sodium_memzero(invitation, sizeof *invitation);
}

static bool set_number(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 15)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *out = v;
    return true;
}

static bool set_party(char *to, const char *value)
{
    return erab_party_valid(value) && erabi_copy_text(to, ERAB_PARTY_MAX + 1, value);
}

static bool set(struct erab_invitation *i, enum field field, const char *value)
{
    switch (field) {
    case PARTY:
        return set_party(i->party, value);
    case ROLE:
        i->role = erab_role_from_name(value);
        return i->role != ERAB_ROLE_NONE;
    case HUB:
        return set_party(i->hub, value);
    case HUB_SIGN_KEY:
        return erab_key_parse(value, i->hub_sign_key) == 0;
    case ENDPOINT:
        return strncmp(value, "tcp://", 6) == 0 && erabi_copy_text(i->endpoint, sizeof i->endpoint, value);
    case SERVER_KEY:
        return erab_key_parse(value, i->server_key) == 0;
    case EXPIRES:
        return set_number(value, &i->expires_at_ms);
    case SEED_PUBLIC:
        return erab_key_parse(value, i->seed_public) == 0;
    case SEED_SECRET:
        return erab_key_parse(value, i->seed_secret) == 0;
    default:
        return false;
    }
}

/* Takes one line off the text: its name and value, NUL put behind both. False: no `name: value`. */
static bool split(char *line, char **name, char **value)
{
    char *colon = strstr(line, ": ");
    if (!colon)
        return false;
    *colon = '\0';
    *name = line;
    *value = colon + 2;
    size_t n = strlen(*value);
    if (n && (*value)[n - 1] == '\r')
        (*value)[n - 1] = '\0';
    return true;
}

static int parse(struct erab_invitation *out, char *text, const char *path, char *error, size_t error_size)
{
    bool seen[FIELDS] = {false};
    unsigned number = 0;
    for (char *line = text, *next; line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        number++;
        if (!*line || *line == '#')
            continue;
        char *name, *value;
        enum field f = FIELDS;
        if (split(line, &name, &value))
            for (f = PARTY; f < FIELDS && strcmp(names[f], name) != 0;)
                f++;
        if (f == FIELDS || seen[f] || !set(out, f, value))
            return erabi_fail(error, error_size, -EBADMSG,
                              "%s:%u: not a line of an invitation; ask for a new one, it must reach you unchanged", path,
                              number);
        seen[f] = true;
    }
    for (enum field f = PARTY; f < FIELDS; f++)
        if (!seen[f])
            return erabi_fail(error, error_size, -EBADMSG, "%s: %s is missing; ask for a new invitation", path, names[f]);
    return 0;
}

int erab_invitation_load(struct erab_invitation *out, const char *path, char *error, size_t error_size)
{
    char text[INVITATION_MAX + 1];
    uint8_t derived[ERAB_KEY_SIZE];
    *out = (struct erab_invitation){0};
    if (sodium_init() < 0)
        return erabi_fail(error, error_size, -EIO, "%s: libsodium cannot start", path);
    ssize_t n = erabi_private_read(path, "invitation", "the broker's operator makes one with: erab party invite", text,
                                   INVITATION_MAX, error, error_size);
    if (n < 0)
        return (int)n;
    text[n] = '\0';
    int r = strlen(text) == (size_t)n ? parse(out, text, path, error, error_size)
                                      : erabi_fail(error, error_size, -EBADMSG, "%s: a zero byte; no invitation", path);
    sodium_memzero(text, sizeof text);
    if (r == 0) {
        crypto_scalarmult_base(derived, out->seed_secret);
        if (sodium_memcmp(derived, out->seed_public, ERAB_KEY_SIZE) != 0)
            r = erabi_fail(error, error_size, -EBADMSG, "%s: its seed's halves do not belong together; ask for a new one",
                           path);
    }
    if (r)
        erab_invitation_wipe(out);
    return r;
}

int erab_invitation_save(const struct erab_invitation *i, const char *path, char *error, size_t error_size)
{
    char text[INVITATION_MAX], hub_key[65], server[65], seed[65], secret[65];
    erab_key_text(i->hub_sign_key, hub_key);
    erab_key_text(i->server_key, server);
    erab_key_text(i->seed_public, seed);
    erab_key_text(i->seed_secret, secret);
    int n = snprintf(text, sizeof text,
                     "# One-time invitation: erab enroll THIS_FILE NEW_KEY_FILE\n"
                     "party: %s\nrole: %s\nhub: %s\nhub_sign_key: %s\nendpoint: %s\nserver_key: %s\n"
                     "expires_at_ms: %" PRIu64 "\nseed_public: %s\nseed_secret: %s\n",
                     i->party, erab_role_name(i->role), i->hub, hub_key, i->endpoint, server, i->expires_at_ms, seed,
                     secret);
    int r = n > 0 && (size_t)n < sizeof text
                ? erabi_private_write(path, (const uint8_t *)text, (size_t)n, error, error_size)
                : erabi_fail(error, error_size, -EINVAL, "%s: not written: a value is too long", path);
    sodium_memzero(text, sizeof text);
    sodium_memzero(secret, sizeof secret);
    return r;
}
