/* A journal's file and the file beside it, looked at before anything of them is believed. */
#include "journal/recover.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FINDINGS_MAX 20

struct opening {
    const struct erabi_journal_options *options;
    int n;
    char *error;
    size_t error_size;
};

static void on_finding(void *user, const char *table, const char *row, const char *what)
{
    struct opening *o = user;
    char text[512];
    snprintf(text, sizeof(text), "%s: %s%s%s%s: %s", o->options->path, table[0] ? "table " : "the file", table,
             row[0] ? ", row " : "", row, what);
    erabi_plain_text(text, strlen(text));
    if (o->n++ == 0 && o->error)
        snprintf(o->error, o->error_size, "%s", text);
    if (o->options->found && o->n <= FINDINGS_MAX)
        o->options->found(o->options->user, text);
}

static int judge(const struct opening *o, const struct erabi_journal_head *head, const char *path)
{
    struct erabi_journal_head kept;
    int r = erabi_journal_head_read(path, &kept);
    if (r < 0 && r != -ENOENT && r != -EBADMSG) {
        if (o->error)
            snprintf(o->error, o->error_size, "%s: %s", path, strerror(-r));
        return r;
    }
    const char *why = erabi_journal_head_judge(head, r == 0 ? &kept : NULL);
    if (why && o->error && r == 0)
        snprintf(o->error, o->error_size, "%s %s (commit %llu, the last was %llu); " ERABI_JOURNAL_WAY_OUT,
                 o->options->path, why, (unsigned long long)head->generation, (unsigned long long)kept.generation);
    else if (why && o->error)
        snprintf(o->error, o->error_size, "%s %s; " ERABI_JOURNAL_WAY_OUT, o->options->path, why);
    return why ? -ESTALE : 0;
}

int erabi_journal_recover(const struct erabi_journal_options *options, enum erabi_store_mode mode, struct erabi_store **store,
                          struct erabi_journal_head_file *kept, bool *damaged, char *error, size_t error_size)
{
    struct opening o = {.options = options, .error = error, .error_size = error_size};
    char path[PATH_MAX];
    size_t grave = 0;
    kept->fd = -1;
    *damaged = false;
    if (snprintf(path, sizeof(path), "%s" ERABI_JOURNAL_HEAD_SUFFIX, options->path) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    int r = erabi_store_open(store, options->path, options->owner, mode, error, error_size);
    if (r < 0)
        return r;
    r = erabi_store_check(*store, mode == ERABI_STORE_READ, on_finding, &o, &grave);
    if (r < 0 && error)
        snprintf(error, error_size, "%s: %s", options->path, strerror(-r));
    *damaged = r > 0;
    if (grave) /* who may do what is not known: nobody may */
        return -EBADMSG;
    if (r >= 0) {
        int stale = judge(&o, erabi_store_head(*store), path);
        r = stale < 0 && (r == 0 || stale == -ESTALE) ? stale : 0;
    }
    if (r < 0 || *damaged || mode == ERABI_STORE_READ)
        return r;
    r = erabi_journal_head_open(kept, path);
    if (r == 0)
        r = erabi_journal_head_write(kept, erabi_store_head(*store));
    if (r < 0 && error)
        snprintf(error, error_size, "%s: %s", path, strerror(-r));
    return r;
}
