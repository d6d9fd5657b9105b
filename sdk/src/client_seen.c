/* What a client has taken, in a file: an order that comes again after the process was killed is not acted on again. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "base/write_all.h"
#include "client_internal.h"
#include "private_file.h"

/* One record: id, hash, deadline, state, the reason's code, and a sum over these. The first one says whose file it is. */
#define RECORD      96u
#define CODE        23u
#define SUM         16u
#define MAGIC       "erab seen 1\n"
/* Written anew when so many are in it; far more than can be live. */
#define RECORDS_MAX (4u * CLIENT_DEDUP_MAX)
/* A wall clock that was set back must not make an old order new. */
#define KEEP_AFTER_MS 3600000u

struct seen_file {
    char *path;
    int fd;
    size_t records;
    bool unsynced;
};

static void seal(uint8_t record[RECORD])
{
    crypto_generichash(record + RECORD - SUM, SUM, record, RECORD - SUM, NULL, 0);
}

static bool sealed(const uint8_t record[RECORD])
{
    uint8_t sum[SUM];
    crypto_generichash(sum, SUM, record, RECORD - SUM, NULL, 0);
    return sodium_memcmp(sum, record + RECORD - SUM, SUM) == 0;
}

static void encode_owner(const struct erab_client *c, uint8_t record[RECORD])
{
    crypto_generichash_state state;
    uint8_t owner[ERAB_HASH_SIZE];
    crypto_generichash_init(&state, NULL, 0, sizeof owner);
    crypto_generichash_update(&state, (const uint8_t *)c->identity.party, strlen(c->identity.party) + 1);
    crypto_generichash_update(&state, (const uint8_t *)c->options.hub, strlen(c->options.hub) + 1);
    crypto_generichash_final(&state, owner, sizeof owner);
    sodium_memzero(record, RECORD);
    erabi_copy_bytes(record, MAGIC, sizeof MAGIC - 1);
    erabi_copy_bytes(record + ERAB_ID_SIZE, owner, sizeof owner);
    seal(record);
}

static void encode(const struct dedup_entry *e, uint8_t record[RECORD])
{
    const char *code = erab_reason_code((enum erab_reason)e->reason);
    sodium_memzero(record, RECORD);
    struct erabi_writer w = erabi_writer(record, RECORD);
    erabi_write_bytes(&w, e->id, ERAB_ID_SIZE);
    erabi_write_bytes(&w, e->hash, ERAB_HASH_SIZE);
    erabi_write_u64(&w, e->expires_at_ms);
    erabi_write_u8(&w, e->state);
    erabi_write_bytes(&w, code, strnlen(code, CODE - 1));
    seal(record);
}

/* One record into the table; a later one about the same message says what became of it. */
static int take(struct erab_client *c, const uint8_t record[RECORD], uint64_t since, uint64_t now)
{
    struct erabi_reader r = erabi_reader(record, RECORD - SUM);
    struct erab_header h = {0};
    uint8_t hash[ERAB_HASH_SIZE];
    char code[CODE + 1] = "";
    erabi_read_bytes(&r, h.id, ERAB_ID_SIZE);
    erabi_read_bytes(&r, hash, sizeof hash);
    h.expires_at_ms = erabi_read_u64(&r);
    uint8_t state = erabi_read_u8(&r);
    erabi_read_bytes(&r, code, CODE);
    enum erab_reason reason = erab_reason_from_code(code);
    if (h.expires_at_ms <= since)
        return 0;
    struct dedup_entry *e = erabi_dedup_find(&c->dedup[0], h.id, since);
    if (!e || sodium_memcmp(e->hash, hash, sizeof hash) != 0)
        e = erabi_dedup_add(&c->dedup[0], &h, hash, since);
    if (!e && h.expires_at_ms <= now) /* only for a clock that was set back, and there is no room */
        return 0;
    if (!e)
        e = erabi_dedup_add(&c->dedup[0], &h, hash, now);
    if (!e)
        return -ENOSPC;
    e->state = state;
    e->reason = (uint16_t)(reason == ERAB_REASON_COUNT ? ERAB_REASON_INTERNAL : reason);
    e->interrupted = state == DEDUP_BEGUN;
    return 0;
}

/* What a kill cut off at the end is dropped; damage before something whole is not explained by that. */
static int read_all(struct erab_client *c, uint64_t since, uint64_t now)
{
    struct seen_file *s = c->seen;
    uint8_t record[RECORD], owner[RECORD];
    bool damaged = false;
    off_t whole = 0;
    int r = 0;
    encode_owner(c, owner);
    for (off_t at = 0; r == 0; at += RECORD) {
        ssize_t n = pread(s->fd, record, RECORD, at);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n < 0) {
            at -= RECORD;
            continue;
        }
        if (n < (ssize_t)RECORD)
            break;
        bool good = sealed(record);
        if (good && damaged)
            return -EBADMSG;
        damaged |= !good;
        if (!good)
            continue;
        if (at == 0 && sodium_memcmp(record, owner, RECORD) != 0)
            return -EPROTO;
        if (at)
            r = take(c, record, since, now);
        whole = at + RECORD;
    }
    if (r == 0 && whole == 0 && damaged)
        return -EBADMSG;
    if (r == 0 && ftruncate(s->fd, whole))
        r = -errno;
    return r;
}

static int open_locked(const char *path, int flags)
{
    struct stat by_fd, by_path;
    int fd = open(path, flags | O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = flock(fd, LOCK_EX | LOCK_NB) ? (errno == EWOULDBLOCK ? -EBUSY : -errno) : 0;
    if (r == 0 && (fstat(fd, &by_fd) || stat(path, &by_path)))
        r = -errno;
    if (r == 0 && (by_fd.st_ino != by_path.st_ino || !S_ISREG(by_fd.st_mode)))
        r = -EBUSY; /* it was just written anew by another process */
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

/* The live entries into a new file, which takes the old one's place. */
static int write_anew(struct erab_client *c, uint64_t now)
{
    struct seen_file *s = c->seen;
    char path[PATH_MAX];
    uint8_t record[RECORD];
    if (snprintf(path, sizeof path, "%s.new", s->path) >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = open_locked(path, O_TRUNC);
    if (fd < 0)
        return fd;
    encode_owner(c, record);
    int r = erabi_write_all(fd, record, RECORD);
    size_t n = 1;
    for (size_t i = 0; r == 0 && i < CLIENT_DEDUP_MAX; i++) {
        const struct dedup_entry *e = &c->dedup[0].entries[i];
        if (!e->used || e->expires_at_ms + KEEP_AFTER_MS <= now)
            continue;
        encode(e, record);
        r = erabi_write_all(fd, record, RECORD);
        n++;
    }
    if (r == 0 && (fsync(fd) || rename(path, s->path)))
        r = -errno;
    if (r == 0)
        r = erabi_sync_folder(s->path);
    if (r) {
        close(fd);
        return r;
    }
    erabi_closep(&s->fd);
    s->fd = fd;
    s->records = n;
    s->unsynced = false;
    return 0;
}

int erabi_seen_open(struct erab_client *c, const char *path)
{
    struct seen_file *s = c->seen = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->fd = -1;
    s->path = strdup(path);
    c->begun = calloc(ERABI_ENVELOPES_MAX, sizeof *c->begun);
    if (!s->path || !c->begun)
        return -ENOMEM;
    int fd = open_locked(path, 0);
    if (fd < 0)
        return fd;
    s->fd = fd;
    uint64_t now = erabi_client_now(c), since = now > KEEP_AFTER_MS ? now - KEEP_AFTER_MS : 0;
    int r = read_all(c, since, now);
    return r ? r : write_anew(c, now);
}

int erabi_seen_keep(struct erab_client *c, const struct dedup_entry *entry)
{
    struct seen_file *s = c->seen;
    uint8_t record[RECORD];
    struct stat st;
    if (!s)
        return 0;
    if (s->records >= RECORDS_MAX) {
        int r = write_anew(c, erabi_client_now(c));
        if (r)
            return r;
    }
    encode(entry, record);
    if (fstat(s->fd, &st))
        return -errno;
    int r = erabi_write_all(s->fd, record, RECORD);
    if (r) { /* a part of a record would hide what is written behind it */
        if (ftruncate(s->fd, st.st_size))
            s->records = RECORDS_MAX;
        return r;
    }
    s->records++;
    s->unsynced = true;
    return 0;
}

int erabi_seen_sync(struct erab_client *c)
{
    struct seen_file *s = c->seen;
    if (!s || !s->unsynced)
        return 0;
    if (fdatasync(s->fd)) { /* what the kernel gave up may be missing: everything once more */
        s->records = RECORDS_MAX;
        return -errno;
    }
    s->unsynced = false;
    return 0;
}

void erabi_seen_close(struct erab_client *c)
{
    free(c->begun);
    if (!c->seen)
        return;
    erabi_closep(&c->seen->fd);
    free(c->seen->path);
    free(c->seen);
}
