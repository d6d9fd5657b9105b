/* The JSON document that erabd hands down on a descriptor. */
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "runner.h"

int runner_fail(struct erab_error *error, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}

/* jansson copies the secrets into its own strings. */
static void wiping_free(void *p)
{
    if (p)
        sodium_memzero(p, malloc_usable_size(p));
    free(p);
}

static int read_all(int fd, uint8_t *buffer, size_t room, size_t *size, struct erab_error *error)
{
    *size = 0;
    while (*size < room) {
        ssize_t n = read(fd, buffer + *size, room - *size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return runner_fail(error, -errno, "descriptor %d: %s", fd, strerror(errno));
        if (n == 0)
            return 0;
        *size += (size_t)n;
    }
    return runner_fail(error, -EFBIG, "the document is larger than %u bytes", RUNNER_DOCUMENT_MAX);
}

static bool hex(const char *text, uint8_t *out, size_t size)
{
    size_t used;
    return strlen(text) == 2 * size && sodium_hex2bin(out, size, text, 2 * size, NULL, &used, NULL) == 0 &&
           used == size;
}

static int take_parties(struct document *d, const json_t *list, struct erab_error *error)
{
    size_t n = json_array_size(list);
    if (!n || n > RUNNER_PARTIES_MAX)
        return runner_fail(error, -EINVAL, "parties: must be a list of 1 to %u", RUNNER_PARTIES_MAX);
    d->parties = calloc(n + 1, sizeof *d->parties);
    for (size_t i = 0; i < n && d->parties; i++) {
        const char *party = json_string_value(json_array_get(list, i));
        if (!party || !erab_party_valid(party))
            return runner_fail(error, -EINVAL, "parties: item %zu is no party id", i + 1);
        d->parties[i] = strdup(party);
        if (!d->parties[i])
            return runner_fail(error, -ENOMEM, "out of memory");
    }
    if (!d->parties)
        return runner_fail(error, -ENOMEM, "out of memory");
    erabi_copy_text(d->identity.party, sizeof d->identity.party, d->parties[0]);
    return 0;
}

static int take_trusted(struct document *d, const json_t *list, struct erab_error *error)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > 4096)
        return runner_fail(error, -EINVAL, "trusted: must be a list of at most 4096");
    d->trusted = calloc(n ? n : 1, sizeof *d->trusted);
    if (!d->trusted)
        return runner_fail(error, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *party, *key;
        if (json_unpack_ex(json_array_get(list, i), NULL, JSON_STRICT, "{s:s,s:s}", "party", &party, "sign_key", &key) ||
            !erab_party_valid(party) || erab_key_parse(key, d->trusted[i].sign_key))
            return runner_fail(error, -EINVAL, "trusted: item %zu must be {party, sign_key}", i + 1);
        erabi_copy_text(d->trusted[i].party, sizeof d->trusted[i].party, party);
    }
    d->n_trusted = n;
    return 0;
}

int runner_document_signers(struct document *d, const json_t *list, struct erab_error *error)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > RUNNER_SIGNERS_MAX)
        return runner_fail(error, -EINVAL, "signers: must be a list of at most %u", RUNNER_SIGNERS_MAX);
    d->signers = calloc(n ? n : 1, sizeof *d->signers);
    if (!d->signers)
        return runner_fail(error, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *key = json_string_value(json_array_get(list, i));
        if (!key || erab_key_parse(key, d->signers[i]))
            return runner_fail(error, -EINVAL, "signers: item %zu is no key of 64 hex digits", i + 1);
    }
    d->n_signers = n;
    return 0;
}

static int take(struct document *d, json_t *root, struct erab_error *error)
{
    const char *instance, *module, *adapter, *endpoint, *server_key, *hub, *state_dir;
    int liveness = 1000;
    const char *curve_public, *curve_secret, *sign_public, *sign_secret;
    json_t *parties, *trusted, *signers, *options = NULL;
    json_error_t e;
    if (json_unpack_ex(root, &e, JSON_STRICT,
                       "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:o,s?o,s:s,s?i}", "instance", &instance, "module",
                       &module, "adapter", &adapter, "endpoint", &endpoint, "server_key", &server_key, "hub", &hub,
                       "curve_public", &curve_public, "curve_secret", &curve_secret, "sign_secret", &sign_secret,
                       "sign_public", &sign_public, "parties", &parties, "trusted", &trusted, "signers", &signers, "options", &options,
                       "state_dir", &state_dir, "liveness_ms", &liveness))
        return runner_fail(error, -EINVAL, "the document: %s", e.text);
    if (!erabi_copy_text(d->instance, sizeof d->instance, instance) || !erab_party_valid(instance))
        return runner_fail(error, -EINVAL, "instance: must be of a-z, 0-9, '.' and '-'");
    if (!erabi_copy_text(d->module, sizeof d->module, module) || *module != '/')
        return runner_fail(error, -EINVAL, "module: must be an absolute path");
    if (!erabi_copy_text(d->state_dir, sizeof d->state_dir, state_dir) || *state_dir != '/')
        return runner_fail(error, -EINVAL, "state_dir: must be an absolute path");
    if (!erabi_copy_text(d->adapter, sizeof d->adapter, adapter) ||
        !erabi_copy_text(d->endpoint, sizeof d->endpoint, endpoint) || !erab_party_valid(hub) ||
        !erabi_copy_text(d->hub, sizeof d->hub, hub))
        return runner_fail(error, -EINVAL, "adapter, endpoint or hub: not valid");
    if (erab_key_parse(server_key, d->server_key) || erab_key_parse(curve_public, d->identity.curve_public) ||
        !hex(curve_secret, d->identity.curve_secret, ERAB_KEY_SIZE) ||
        erab_key_parse(sign_public, d->identity.sign_public) ||
        !hex(sign_secret, d->identity.sign_secret, ERAB_SIGN_SECRET))
        return runner_fail(error, -EINVAL, "a key is not of 64 hex digits (sign_secret: 128)");
    if (liveness < 100 || liveness > 60000)
        return runner_fail(error, -EINVAL, "liveness_ms: must be 100 to 60000");
    d->liveness_ms = (uint32_t)liveness;
    if (options && !json_is_object(options))
        return runner_fail(error, -EINVAL, "options: must be an object");
    d->options = options ? json_incref(options) : NULL;
    int r = take_parties(d, parties, error);
    if (!r)
        r = take_trusted(d, trusted, error);
    return r ? r : runner_document_signers(d, signers, error);
}

int runner_document_read(struct document *out, int fd, struct erab_error *error)
{
    *out = (struct document){0};
    json_set_alloc_funcs(malloc, wiping_free);
    uint8_t *buffer = malloc(RUNNER_DOCUMENT_MAX);
    if (!buffer)
        return runner_fail(error, -ENOMEM, "out of memory");
    size_t size;
    json_error_t e;
    json_t *root = NULL;
    int r = read_all(fd, buffer, RUNNER_DOCUMENT_MAX, &size, error);
    if (!r) {
        root = json_loadb((const char *)buffer, size, JSON_REJECT_DUPLICATES, &e);
        r = root ? take(out, root, error)
                 : runner_fail(error, -EINVAL, "the document is no JSON: line %d, column %d", e.line, e.column);
    }
    json_decref(root);
    sodium_memzero(buffer, RUNNER_DOCUMENT_MAX);
    free(buffer);
    return r;
}

void runner_document_deinit(struct document *d)
{
    for (char **p = d->parties; p && *p; p++)
        free(*p);
    free(d->parties);
    free(d->trusted);
    free(d->signers);
    json_decref(d->options);
    sodium_memzero(d, sizeof *d);
}

int runner_document_copy(int from)
{
    uint8_t *buffer = malloc(RUNNER_DOCUMENT_MAX);
    int fd = memfd_create("erab-runner", MFD_CLOEXEC);
    size_t size = 0;
    ssize_t n = 1;
    while (buffer && fd >= 0 && n > 0 && size < RUNNER_DOCUMENT_MAX) {
        n = read(from, buffer + size, RUNNER_DOCUMENT_MAX - size);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            size += (size_t)n;
    }
    bool good = buffer && fd >= 0 && n == 0 && write(fd, buffer, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0;
    if (buffer)
        explicit_bzero(buffer, RUNNER_DOCUMENT_MAX);
    free(buffer);
    if (!good)
        erabi_closep(&fd);
    return good ? fd : -EIO;
}
