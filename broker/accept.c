/* `erab journal accept-restore`: an older journal goes back into use. What it does not know any more is closed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <jansson.h>

#include "audit/line.h"
#include "audit/verify.h"
#include "base/cleanup.h"
#include "journal/recover.h"
#include "restored.h"

/* A row of the states that is to be written, or of the revocations (then `value` is empty). */
struct change {
    struct change *next;
    bool revoke;
    char key[256];
    size_t size;
    uint8_t value[ERABI_ROW_TEXT];
};

struct accepting {
    struct erabi_accepted *out;
    struct change *changes;
    uint64_t now_ms;
    uint64_t told_ms; /* of the last record of the audit log */
};

static struct change *change_of(struct accepting *a, bool revoke, const char *key)
{
    for (struct change *c = a->changes; c; c = c->next)
        if (c->revoke == revoke && strcmp(c->key, key) == 0)
            return c;
    struct change *c = calloc(1, sizeof(*c));
    if (!c || !erabi_copy_text(c->key, sizeof(c->key), key)) {
        free(c);
        return NULL;
    }
    c->revoke = revoke;
    c->next = a->changes;
    a->changes = c;
    return c;
}

/* An invitation may have been used since, an approval withdrawn: both are to be given again. */
static int on_state(void *user, const char *key, struct erabi_slice value)
{
    struct accepting *a = user;
    struct erabi_party_row row;
    size_t n = strlen(ERABI_ENROL_STATE);
    if (strncmp(key, ERABI_ENROL_STATE, n) != 0 || erabi_row_decode(&row, (const char *)value.data, value.size) < 0)
        return 0;
    if (row.state == ERABI_PARTY_INVITED) {
        row.invited_until_ms = 1;
        a->out->invitations++;
    } else if (row.state == ERABI_PARTY_PENDING) {
        row.n_approvals = 0;
        a->out->pending++;
    } else {
        return 0;
    }
    struct change *c = change_of(a, false, key);
    int size = c ? erabi_row_encode(&row, (char *)c->value) : -ENOMEM;
    if (size < 0)
        return size;
    c->size = (size_t)size;
    return 0;
}

static int on_pending(void *user, const struct erabi_journal_pending *row)
{
    ((struct accepting *)user)->out->waiting++;
    return 0;
}

static const char *text(const json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value ? value : "";
}

static int revoked(struct accepting *a, const json_t *record)
{
    const char *party = text(record, "object");
    if (!erab_party_valid(party))
        return 0;
    return change_of(a, true, party) ? 0 : -ENOMEM;
}

/* As broker/breakers.c keeps it. */
static int tripped(struct accepting *a, const json_t *record)
{
    char key[256];
    const char *one = text(record, "party"), *other = text(record, "peer");
    bool swap = strcmp(one, other) > 0;
    if (!erab_party_valid(one) || !erab_party_valid(other))
        return 0;
    snprintf(key, sizeof(key), ERABI_BREAKER_STATE "%s:%s:%s", text(record, "interface"), swap ? other : one,
             swap ? one : other);
    struct change *c = change_of(a, false, key);
    if (!c)
        return -ENOMEM;
    struct erabi_writer w = erabi_writer(c->value, 8 + ERABI_NOTE_MAX);
    const char *note = text(record, "note");
    erabi_write_u64(&w, a->now_ms);
    erabi_write_bytes(&w, note, strnlen(note, ERABI_NOTE_MAX));
    c->size = strcmp(text(record, "state"), "open") == 0 ? w.used : 0; /* of no size: it was closed again */
    return 0;
}

static int take_record(struct accepting *a, const char *line, size_t size)
{
    json_t *record = json_loadb(line, size, 0, NULL);
    json_int_t time = json_integer_value(json_object_get(record, "time_ms"));
    int r = 0;
    if (time > 0)
        a->told_ms = (uint64_t)time;
    if (strcmp(text(record, "act"), "party-revoke") == 0 && strcmp(text(record, "verdict"), "done") == 0)
        r = revoked(a, record);
    else if (strcmp(text(record, "what"), "breaker") == 0 && strcmp(text(record, "by"), "operator") == 0)
        r = tripped(a, record);
    json_decref(record);
    return r;
}

static int read_records(struct accepting *a, const char *path)
{
    _fclose_ FILE *file = fopen(path, "re");
    _free_ char *line = malloc(ERABI_AUDIT_LINE_MAX + 1);
    size_t size;
    int r = file ? line ? 1 : -ENOMEM : -errno;
    while (r == 1 && (r = erabi_audit_line_next(file, line, &size)) == 1) {
        int taken = take_record(a, line, size);
        r = taken < 0 ? taken : 1;
    }
    return r == -EBADMSG ? 0 : r; /* its end is torn, which is known by now */
}

/* What a person decided since is looked for in the audit log. One that is something else, or does not hold, would forget
 * it without a word; an empty one is said to be so on purpose, and a torn end is what a power cut leaves. */
static int read_audit(struct accepting *a, const char *path, char *error, size_t error_size)
{
    struct erabi_audit_result result;
    struct stat st;
    int r = stat(path, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : 0;
    if (r == 0 && st.st_size > 0 && (r = erabi_audit_verify(path, NULL, NULL, &result)) == 1) {
        a->out->torn += result.torn;
        r = result.torn ? 0 : -EBADMSG;
    }
    if (r == -EBADMSG)
        snprintf(error, error_size, "%s: not an audit log that holds: record %llu %s; look at 'erab audit verify'", path,
                 (unsigned long long)result.bad_seq, result.reason);
    else if (r == 0)
        r = read_records(a, path);
    if (r < 0 && !error[0])
        snprintf(error, error_size, "%s: %s", path, r == -EINVAL ? "is no file" : strerror(-r));
    return r;
}

static int write_all(struct erabi_store *store, struct accepting *a)
{
    uint8_t all[8];
    struct erabi_writer w = erabi_writer(all, sizeof(all));
    erabi_write_u64(&w, ~UINT64_C(1));
    int r = erabi_store_begin(store);
    if (r == 0)
        r = erabi_store_accept(store, a->now_ms, a->told_ms);
    if (r == 0)
        r = erabi_store_state(store, ERABI_STATE_ISOLATED, erabi_slice(all, sizeof(all)));
    for (struct change *c = a->changes; c && r == 0; c = c->next) {
        r = c->revoke ? erabi_store_revoke(store, c->key, a->now_ms)
                      : erabi_store_state(store, c->key, erabi_slice(c->value, c->size));
        a->out->revoked += c->revoke;
        a->out->tripped += !c->revoke && c->size && strncmp(c->key, ERABI_BREAKER_STATE, strlen(ERABI_BREAKER_STATE)) == 0;
    }
    if (r == 0)
        r = erabi_store_commit(store);
    if (r < 0)
        erabi_store_rollback(store);
    return r;
}

static void on_finding(void *user, const char *table, const char *row, const char *what)
{
    char *error = user;
    if (!error[0])
        snprintf(error, 256, "it is damaged itself: %s %s %s; take another copy, or an empty one", table, row, what);
}

int erabi_restored_accept(const char *path, char *const *audits, size_t n_audits, struct erabi_accepted *out, char *error,
                          size_t error_size)
{
    struct timespec now;
    char damage[256] = "";
    struct erabi_store *store = NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct erabi_accepted){0};
    struct accepting a = {.out = out,
                          .now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000};
    int r = erabi_store_open(&store, path, NULL, ERABI_STORE_USE, error, error_size);
    if (r < 0)
        return r;
    r = erabi_store_check(store, true, on_finding, damage, NULL);
    if (r > 0) {
        snprintf(error, error_size, "%s: %s", path, damage);
        erabi_store_close(store);
        return -EBADMSG;
    }
    const struct erabi_journal_load load = {.on_state = on_state, .on_pending = on_pending, .user = &a};
    error[0] = '\0';
    if (r == 0)
        r = erabi_store_load(store, 0, &load, false);
    for (size_t i = 0; r == 0 && i < n_audits; i++)
        r = read_audit(&a, audits[i], error, error_size);
    if (a.told_ms < a.now_ms) /* else the system's clock is behind: what came before that record may have been taken */
        a.told_ms = a.now_ms;
    if (r == 0)
        r = write_all(store, &a);
    if (r < 0 && !error[0])
        snprintf(error, error_size, "%s: %s", path, strerror(-r));
    for (struct change *c = a.changes, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    erabi_store_close(store);
    return r;
}
