#include "audit/line.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "base/cursor.h"

#define HASH_TAIL 75 /* ,"hash":"<64 digits>"} */

void erabi_audit_hash(const uint8_t prev[ERAB_HASH_SIZE], const char *text, size_t size, uint8_t out[ERAB_HASH_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, ERAB_HASH_SIZE);
    crypto_generichash_update(&state, prev, ERAB_HASH_SIZE);
    crypto_generichash_update(&state, (const unsigned char *)text, size);
    crypto_generichash_final(&state, out, ERAB_HASH_SIZE);
}

bool erabi_audit_hex(const char *text, uint8_t *out, size_t size)
{
    size_t n = 0;
    return text && strlen(text) == 2 * size &&
           sodium_hex2bin(out, size, text, 2 * size, NULL, &n, NULL) == 0 && n == size;
}

static const char *member(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

/* The hash of the record as it was before its hash member was added. */
static void hash_of(const struct erabi_audit_line *line, const char *text, size_t size, uint8_t out[ERAB_HASH_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, ERAB_HASH_SIZE);
    crypto_generichash_update(&state, line->prev, ERAB_HASH_SIZE);
    crypto_generichash_update(&state, (const unsigned char *)text, size - HASH_TAIL);
    crypto_generichash_update(&state, (const unsigned char *)"}", 1);
    crypto_generichash_final(&state, out, ERAB_HASH_SIZE);
}

const char *erabi_audit_line_read(struct erabi_audit_line *out, const char *text, size_t size)
{
    static const char tail[] = ",\"hash\":\"";
    *out = (struct erabi_audit_line){0};
    if (size <= HASH_TAIL || !erabi_slice_equal(erabi_slice(text + size - HASH_TAIL, sizeof(tail) - 1),
                                                erabi_slice(tail, sizeof(tail) - 1)))
        return "does not end with its hash";
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *seq = json_object_get(json, "seq");
    uint8_t told[ERAB_HASH_SIZE];
    const char *wrong = NULL;
    if (!json_is_object(json))
        wrong = "is not a JSON object";
    else if (!json_is_integer(seq) || json_integer_value(seq) <= 0)
        wrong = "has no sequence number";
    else if (!erabi_audit_hex(member(json, "prev"), out->prev, ERAB_HASH_SIZE) ||
             !erabi_audit_hex(member(json, "hash"), told, ERAB_HASH_SIZE))
        wrong = "has no readable hashes";
    if (!wrong) {
        hash_of(out, text, size, out->hash);
        if (sodium_memcmp(out->hash, told, ERAB_HASH_SIZE) != 0)
            wrong = "was changed: its hash does not match";
    }
    if (wrong) {
        json_decref(json);
        return wrong;
    }
    out->seq = (uint64_t)json_integer_value(seq);
    out->json = json;
    return NULL;
}

int erabi_audit_line_next(FILE *file, char *buffer, size_t *size)
{
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        if (n == ERABI_AUDIT_LINE_MAX)
            return -EMSGSIZE;
        buffer[n++] = (char)c;
    }
    buffer[n] = '\0';
    *size = n;
    if (c == EOF && ferror(file))
        return -EIO;
    if (c == EOF)
        return n ? -EBADMSG : 0;
    return 1;
}

bool erabi_audit_line_head(const json_t *json, struct erabi_audit_head *out)
{
    const char *log = member(json, "log");
    const json_t *seq = json_object_get(json, "head_seq"), *time = json_object_get(json, "head_time_ms");
    if (!log || !erabi_copy_text(out->log, sizeof(out->log), log) || strlen(log) != ERABI_AUDIT_LOG_ID ||
        !json_is_integer(seq) || json_integer_value(seq) <= 0 ||
        !erabi_audit_hex(member(json, "head_hash"), out->hash, ERAB_HASH_SIZE))
        return false;
    out->seq = (uint64_t)json_integer_value(seq);
    out->time_ms = json_is_integer(time) ? (uint64_t)json_integer_value(time) : 0;
    sodium_memzero(out->signature, sizeof(out->signature));
    const char *signature = member(json, "head_signature");
    return !signature || erabi_audit_hex(signature, out->signature, sizeof(out->signature));
}

void erabi_audit_head_bytes(const struct erabi_audit_head *head, uint8_t out[ERABI_AUDIT_HEAD_BYTES])
{
    struct erabi_writer w = erabi_writer(out, ERABI_AUDIT_HEAD_BYTES);
    erabi_write_bytes(&w, "erab.v1.audit-head", 19);
    erabi_write_bytes(&w, head->log, ERABI_AUDIT_LOG_ID);
    erabi_write_u64(&w, head->seq);
    erabi_write_u64(&w, head->time_ms);
    erabi_write_bytes(&w, head->hash, ERAB_HASH_SIZE);
}
