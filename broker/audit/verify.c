#include "audit/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "audit/line.h"
#include "base/cleanup.h"
#include "base/cursor.h"

#define WITNESSES_MAX (1u << 20)

struct witness {
    uint64_t seq;
    uint8_t hash[ERAB_HASH_SIZE];
};

struct verify {
    struct erabi_audit_result *result;
    const uint8_t *key;
    char *line;
    uint8_t hash[ERAB_HASH_SIZE]; /* of the record before */
    struct witness *witnesses;    /* sorted */
    size_t n_witnesses, next_witness;
};

static int bad(struct verify *v, uint64_t seq, const char *reason)
{
    v->result->bad_seq = seq;
    erabi_copy_text(v->result->reason, sizeof(v->result->reason), reason);
    return 1;
}

static int by_seq(const void *a, const void *b)
{
    uint64_t x = ((const struct witness *)a)->seq, y = ((const struct witness *)b)->seq;
    return (x > y) - (x < y);
}

/* The heads that someone else keeps of the log `log`. */
static int read_witnesses(struct verify *v, const char *path, const char *log)
{
    _fclose_ FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    size_t size, room = 0;
    int r;
    while ((r = erabi_audit_line_next(file, v->line, &size)) == 1) {
        json_t *json = json_loadb(v->line, size, JSON_REJECT_DUPLICATES, NULL);
        struct erabi_audit_head head;
        bool ours = json && erabi_audit_line_head(json, &head) && strcmp(head.log, log) == 0;
        json_decref(json);
        if (!ours)
            continue;
        if (v->n_witnesses == room) {
            room = room ? 2 * room : 64;
            struct witness *more = room > WITNESSES_MAX ? NULL : realloc(v->witnesses, room * sizeof(*more));
            if (!more)
                return -ENOMEM;
            v->witnesses = more;
        }
        struct witness *w = &v->witnesses[v->n_witnesses++];
        w->seq = head.seq;
        erabi_copy_bytes(w->hash, head.hash, ERAB_HASH_SIZE);
    }
    if (v->n_witnesses)
        qsort(v->witnesses, v->n_witnesses, sizeof(*v->witnesses), by_seq);
    return r < 0 ? r : 0;
}

static const char *check_head(const struct verify *v, const struct erabi_audit_line *record)
{
    struct erabi_audit_head head;
    if (!erabi_audit_line_head(record->json, &head))
        return "is a head without its members";
    if (strcmp(head.log, v->result->log) != 0)
        return "is a head of another log";
    if (head.seq != record->seq - 1 || sodium_memcmp(head.hash, record->prev, ERAB_HASH_SIZE) != 0)
        return "is a head that does not name the record before it";
    if (!v->key)
        return NULL;
    uint8_t bytes[ERABI_AUDIT_HEAD_BYTES];
    erabi_audit_head_bytes(&head, bytes);
    if (crypto_sign_verify_detached(head.signature, bytes, sizeof(bytes), v->key) != 0)
        return "is a head whose signature does not hold with this key";
    return NULL;
}

static const char *check_record(struct verify *v, const struct erabi_audit_line *record, uint64_t place)
{
    if (record->seq != place)
        return "is not the next in sequence: records are missing or in another order";
    if (sodium_memcmp(record->prev, v->hash, ERAB_HASH_SIZE) != 0)
        return "does not follow the one before it";
    const char *what = json_string_value(json_object_get(record->json, "what"));
    if (what && strcmp(what, "head") == 0) {
        const char *wrong = check_head(v, record);
        if (wrong)
            return wrong;
        v->result->heads++;
    }
    for (; v->next_witness < v->n_witnesses && v->witnesses[v->next_witness].seq <= place; v->next_witness++) {
        if (sodium_memcmp(v->witnesses[v->next_witness].hash, record->hash, ERAB_HASH_SIZE) != 0)
            return "is not what the heads file has: the log was rewritten";
        v->result->witnessed++;
    }
    return NULL;
}

/* The first record names the log; then the other party's heads can be looked for. */
static int begin(struct verify *v, const struct erabi_audit_line *record, const char *heads)
{
    const char *log = json_string_value(json_object_get(record->json, "log"));
    if (!log || !erabi_copy_text(v->result->log, sizeof(v->result->log), log))
        return bad(v, 1, "the first record does not name the log");
    _free_ char *line = v->line;
    v->line = malloc(ERABI_AUDIT_LINE_MAX + 1);
    int r = !v->line ? -ENOMEM : heads ? read_witnesses(v, heads, v->result->log) : 0;
    free(v->line);
    v->line = erabi_take(line);
    return r;
}

static int walk(struct verify *v, FILE *file, const char *heads)
{
    size_t size;
    int r;
    for (uint64_t place = 1; (r = erabi_audit_line_next(file, v->line, &size)) != 0; place++) {
        if (r == -EIO)
            return r;
        v->result->torn = r == -EBADMSG;
        if (v->result->torn)
            return bad(v, place, "is torn: the file ends in the middle of it");
        if (r < 0)
            return bad(v, place, "is longer than any record may be");
        struct erabi_audit_line record;
        const char *wrong = erabi_audit_line_read(&record, v->line, size);
        if (wrong)
            return bad(v, place, wrong);
        r = place == 1 ? begin(v, &record, heads) : 0;
        if (r == 0 && (wrong = check_record(v, &record, place)))
            r = bad(v, place, wrong);
        json_decref(record.json);
        if (r)
            return r;
        erabi_copy_bytes(v->hash, record.hash, ERAB_HASH_SIZE);
        v->result->records = place;
    }
    if (v->result->records == 0)
        return bad(v, 1, "the log is empty");
    if (v->next_witness < v->n_witnesses)
        return bad(v, v->result->records + 1, "is missing: the heads file knows later records; the log was cut");
    if (heads && v->n_witnesses == 0)
        return bad(v, v->result->records, "cannot be confirmed: the heads file has no head of this log");
    return 0;
}

int erabi_audit_verify(const char *path, const char *heads, const uint8_t *key, struct erabi_audit_result *result)
{
    *result = (struct erabi_audit_result){0};
    if (sodium_init() < 0)
        return -EIO;
    _fclose_ FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    struct verify v = {.result = result, .key = key, .line = malloc(ERABI_AUDIT_LINE_MAX + 1)};
    int r = v.line ? walk(&v, file, heads) : -ENOMEM;
    free(v.line);
    free(v.witnesses);
    return r;
}
