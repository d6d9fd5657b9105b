/* The store in SQLite: a consistent copy, while commits go on between its steps. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "journal/store_sqlite.h"

#define STEP_PAGES 128

struct erabi_store_copy {
    struct erabi_store *store;
    char path[PATH_MAX], part[PATH_MAX];
    sqlite3 *db;
    sqlite3_backup *backup;
    bool made; /* `part` is ours */
};

int erabi_store_copy_begin(struct erabi_store_copy **out, struct erabi_store *store, const char *path)
{
    *out = NULL;
    struct erabi_store_copy *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->store = store;
    int r = 0;
    if (!erabi_copy_text(c->path, sizeof(c->path), path) ||
        snprintf(c->part, sizeof(c->part), "%s.part", path) >= (int)sizeof(c->part))
        r = -ENAMETOOLONG;
    else if (access(path, F_OK) == 0)
        r = -EEXIST;
    int fd = r < 0 ? -1 : open(c->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r == 0 && fd < 0)
        r = -errno;
    c->made = fd >= 0;
    if (fd >= 0)
        close(fd);
    if (r == 0)
        r = erabi_store_fault(sqlite3_open_v2(c->part, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    if (r == 0)
        r = erabi_store_exec(c->db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY");
    if (r == 0 && !(c->backup = sqlite3_backup_init(c->db, "main", store->db, "main")))
        r = -EIO;
    if (r < 0)
        erabi_store_copy_end(c);
    else
        *out = c;
    return r;
}

/* It says of itself that it is a copy: as it is, nobody may go on with it. */
static int mark(struct erabi_store_copy *c)
{
    struct erabi_journal_head head = c->store->committed;
    uint8_t bytes[ERABI_HEAD_SIZE];
    head.kind = ERABI_JOURNAL_BACKUP;
    erabi_journal_head_encode(&head, bytes);
    sqlite3_stmt *st = NULL;
    int r = erabi_store_exec(c->db, "PRAGMA journal_mode = DELETE");
    int code = r < 0 ? SQLITE_OK : sqlite3_prepare_v2(c->db, "UPDATE head SET value = ?1", -1, &st, NULL);
    if (st && (code = sqlite3_bind_blob(st, 1, bytes, sizeof(bytes), SQLITE_STATIC)) == SQLITE_OK)
        code = sqlite3_step(st);
    sqlite3_finalize(st);
    return r < 0 ? r : erabi_store_fault(code);
}

static int sync_path(const char *path, int flags)
{
    _close_ int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int finish(struct erabi_store_copy *c)
{
    char folder[PATH_MAX];
    int r = erabi_store_fault(sqlite3_backup_finish(erabi_take(c->backup)));
    if (r == 0)
        r = mark(c);
    if (sqlite3_close(erabi_take(c->db)) != SQLITE_OK && r == 0)
        r = -EIO;
    if (r == 0)
        r = sync_path(c->part, O_RDONLY);
    if (r == 0 && link(c->part, c->path) < 0) /* never in the place of another file */
        r = -errno;
    if (r == 0 && erabi_copy_text(folder, sizeof(folder), c->path))
        r = sync_path(dirname(folder), O_RDONLY | O_DIRECTORY);
    return r;
}

int erabi_store_copy_step(struct erabi_store_copy *c)
{
    int code = sqlite3_backup_step(c->backup, STEP_PAGES);
    if (code == SQLITE_OK)
        return 1;
    return code == SQLITE_DONE ? finish(c) : erabi_store_fault(code) < 0 ? erabi_store_fault(code) : -EIO;
}

void erabi_store_copy_end(struct erabi_store_copy *c)
{
    if (!c)
        return;
    sqlite3_backup_finish(c->backup);
    sqlite3_close(c->db);
    if (c->made)
        unlink(c->part);
    free(c);
}
