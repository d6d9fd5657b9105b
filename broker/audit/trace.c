#include "audit/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/line.h"
#include "base/cleanup.h"

#define MESSAGES_MAX 4096
#define HOPS_MAX     65536
#define PASSES_MAX   64

struct trace {
    json_t *depths; /* message id -> how far below (or, negative, above) the one asked for */
    json_t *hashes; /* message id -> its hash */
    json_t *hops;
    char *line;
    char *error;
    size_t error_size;
};

typedef int (*visit_fn)(struct trace *t, const json_t *record, const char *file, bool reported);

static const char *text_of(const json_t *record, const char *name)
{
    return json_string_value(json_object_get(record, name));
}

static int each_record(struct trace *t, const char *path, bool reported, visit_fn visit)
{
    _fclose_ FILE *file = fopen(path, "re");
    if (!file) {
        int fault = -errno;
        snprintf(t->error, t->error_size, "%s: %s", path, strerror(-fault));
        return fault;
    }
    size_t size;
    int r;
    for (uint64_t n = 1; (r = erabi_audit_line_next(file, t->line, &size)) == 1; n++) {
        struct erabi_audit_line record;
        const char *wrong = erabi_audit_line_read(&record, t->line, size);
        if (wrong) {
            snprintf(t->error, t->error_size, "%s: record %llu %s", path, (unsigned long long)n, wrong);
            return -EBADMSG;
        }
        r = text_of(record.json, "id") ? visit(t, record.json, path, reported) : 0;
        json_decref(record.json);
        if (r < 0)
            return r;
    }
    if (r == -EBADMSG) /* a live log, caught in the middle of a write */
        r = 0;
    if (r < 0)
        snprintf(t->error, t->error_size, "%s: not an audit log", path);
    return r;
}

static int note(struct trace *t, const char *id, json_int_t depth)
{
    if (json_object_get(t->depths, id))
        return 0;
    if (json_object_size(t->depths) >= MESSAGES_MAX) {
        snprintf(t->error, t->error_size, "more than %d messages hang together", MESSAGES_MAX);
        return -E2BIG;
    }
    return json_object_set_new(t->depths, id, json_integer(depth)) < 0 ? -ENOMEM : 0;
}

/* Parents and children of what is already known. */
static int visit_spread(struct trace *t, const json_t *record, const char *file, bool reported)
{
    (void)file;
    (void)reported;
    const char *id = text_of(record, "id"), *parent = text_of(record, "parent");
    if (!parent)
        return 0;
    const json_t *mine = json_object_get(t->depths, id), *theirs = json_object_get(t->depths, parent);
    if (mine)
        return note(t, parent, json_integer_value(mine) - 1);
    return theirs ? note(t, id, json_integer_value(theirs) + 1) : 0;
}

static int visit_collect(struct trace *t, const json_t *record, const char *file, bool reported)
{
    static const char *const names[] = {"id",   "parent", "parent_hash", "type",    "from", "to",
                                        "step", "verdict", "reason",     "time_ms", "what", "seq"};
    const char *id = text_of(record, "id"), *hash = text_of(record, "message_hash");
    const json_t *depth = json_object_get(t->depths, id);
    if (!depth)
        return 0;
    if (json_array_size(t->hops) >= HOPS_MAX) {
        snprintf(t->error, t->error_size, "more than %d records", HOPS_MAX);
        return -E2BIG;
    }
    if (hash && !json_object_get(t->hashes, id) && json_object_set_new(t->hashes, id, json_string(hash)) < 0)
        return -ENOMEM;
    json_t *hop = json_object();
    for (size_t i = 0; hop && i < sizeof(names) / sizeof(names[0]); i++) {
        json_t *value = json_object_get(record, names[i]);
        if (value)
            json_object_set(hop, names[i], value);
    }
    json_object_set_new(hop, "depth", json_integer(json_integer_value(depth)));
    json_object_set_new(hop, "log", json_string(file));
    json_object_set_new(hop, "reported", json_boolean(reported));
    return json_array_append_new(t->hops, hop) < 0 ? -ENOMEM : 0;
}

static int by_time(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    static const char *const order[] = {"time_ms", "depth", "seq"};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        json_int_t p = json_integer_value(json_object_get(x, order[i]));
        json_int_t q = json_integer_value(json_object_get(y, order[i]));
        if (p != q)
            return p < q ? -1 : 1;
    }
    return 0;
}

/* In the order of time, with the word whether the parent's hash that a message names is the parent's. */
static json_t *sorted(struct trace *t)
{
    size_t n = json_array_size(t->hops);
    json_t **rows = calloc(n ? n : 1, sizeof(json_t *));
    json_t *out = rows ? json_array() : NULL;
    for (size_t i = 0; out && i < n; i++)
        rows[i] = json_array_get(t->hops, i);
    if (out && n)
        qsort(rows, n, sizeof(json_t *), by_time);
    for (size_t i = 0; out && i < n; i++) {
        const char *parent = text_of(rows[i], "parent"), *named = text_of(rows[i], "parent_hash");
        const char *hash = parent ? json_string_value(json_object_get(t->hashes, parent)) : NULL;
        if (named && hash)
            json_object_set_new(rows[i], "parent_holds", json_boolean(strcmp(named, hash) == 0));
        json_array_append(out, rows[i]);
    }
    free(rows);
    return out;
}

static int run(struct trace *t, const char *id, const char *const *files, size_t n)
{
    int r = note(t, id, 0);
    size_t before;
    int passes = 0;
    do {
        before = json_object_size(t->depths);
        for (size_t i = 0; r == 0 && i < n; i++)
            r = each_record(t, files[i], i > 0, visit_spread);
    } while (r == 0 && json_object_size(t->depths) > before && ++passes < PASSES_MAX);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = each_record(t, files[i], i > 0, visit_collect);
    return r;
}

int erabi_audit_trace(json_t **out, const char *id, const char *const *files, size_t n_files, char *error,
                      size_t error_size)
{
    *out = NULL;
    struct trace t = {json_object(), json_object(), json_array(), malloc(ERABI_AUDIT_LINE_MAX + 1), error, error_size};
    int r = t.line ? run(&t, id, files, n_files) : -ENOMEM;
    if (r == 0) {
        *out = sorted(&t);
        r = !*out ? -ENOMEM : json_array_size(*out) == 0;
    }
    if (r) {
        json_decref(*out);
        *out = NULL;
    }
    json_decref(t.depths);
    json_decref(t.hashes);
    json_decref(t.hops);
    free(t.line);
    return r;
}
