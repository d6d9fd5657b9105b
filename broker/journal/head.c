#include "journal/head.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "private_file.h"

#define MAGIC "erab.v1.journal-head" /* with its NUL */
#define PLACE 4096                   /* a page each: a torn write reaches one of them */

void erabi_journal_head_encode(const struct erabi_journal_head *head, uint8_t out[ERABI_HEAD_SIZE])
{
    struct erabi_writer w = erabi_writer(out, ERABI_HEAD_SIZE);
    sodium_memzero(out, ERABI_HEAD_SIZE);
    erabi_write_bytes(&w, MAGIC, sizeof(MAGIC));
    erabi_write_bytes(&w, head->journal, sizeof(head->journal));
    erabi_write_bytes(&w, head->owner, sizeof(head->owner));
    erabi_write_u32(&w, head->kind);
    erabi_write_u64(&w, head->generation);
    erabi_write_u64(&w, head->sequence);
    erabi_write_u64(&w, head->accepted_ms);
    for (int i = 0; i < ERABI_TABLE_COUNT; i++) {
        erabi_write_u64(&w, head->tables[i].rows);
        erabi_write_u64(&w, head->tables[i].sum[0]);
        erabi_write_u64(&w, head->tables[i].sum[1]);
    }
    crypto_generichash(out + ERABI_HEAD_SIZE - ERABI_ROW_HASH_SIZE, ERABI_ROW_HASH_SIZE, out,
                       ERABI_HEAD_SIZE - ERABI_ROW_HASH_SIZE, NULL, 0);
}

int erabi_journal_head_decode(struct erabi_journal_head *out, struct erabi_slice bytes)
{
    uint8_t hash[ERABI_ROW_HASH_SIZE];
    if (bytes.size != ERABI_HEAD_SIZE)
        return -EBADMSG;
    crypto_generichash(hash, sizeof(hash), bytes.data, ERABI_HEAD_SIZE - sizeof(hash), NULL, 0);
    if (sodium_memcmp(hash, bytes.data + ERABI_HEAD_SIZE - sizeof(hash), sizeof(hash)) != 0)
        return -EBADMSG;
    struct erabi_reader r = erabi_reader(bytes.data, bytes.size);
    if (!erabi_read_expect(&r, MAGIC, sizeof(MAGIC)))
        return -EBADMSG;
    erabi_read_bytes(&r, out->journal, sizeof(out->journal));
    erabi_read_bytes(&r, out->owner, sizeof(out->owner));
    uint32_t kind = erabi_read_u32(&r);
    out->kind = (enum erabi_journal_kind)kind;
    out->generation = erabi_read_u64(&r);
    out->sequence = erabi_read_u64(&r);
    out->accepted_ms = erabi_read_u64(&r);
    for (int i = 0; i < ERABI_TABLE_COUNT; i++) {
        out->tables[i].rows = erabi_read_u64(&r);
        out->tables[i].sum[0] = erabi_read_u64(&r);
        out->tables[i].sum[1] = erabi_read_u64(&r);
    }
    return r.bad || kind >= ERABI_JOURNAL_KINDS || out->owner[ERAB_PARTY_MAX] ? -EBADMSG : 0;
}

void erabi_journal_head_add(struct erabi_journal_head *head, enum erabi_journal_table table,
                            const uint8_t hash[ERABI_ROW_HASH_SIZE])
{
    struct erabi_reader r = erabi_reader(hash, ERABI_ROW_HASH_SIZE);
    head->tables[table].rows++;
    head->tables[table].sum[0] += erabi_read_u64(&r);
    head->tables[table].sum[1] += erabi_read_u64(&r);
}

void erabi_journal_head_drop(struct erabi_journal_head *head, enum erabi_journal_table table,
                             const uint8_t hash[ERABI_ROW_HASH_SIZE])
{
    struct erabi_reader r = erabi_reader(hash, ERABI_ROW_HASH_SIZE);
    head->tables[table].rows--;
    head->tables[table].sum[0] -= erabi_read_u64(&r);
    head->tables[table].sum[1] -= erabi_read_u64(&r);
}

/* ---- the file ---- */

static int write_place(int fd, int place, const uint8_t *bytes, size_t size)
{
    for (size_t used = 0; used < size;) {
        ssize_t n = pwrite(fd, bytes + used, size - used, (off_t)place * PLACE + (off_t)used);
        if (n < 0 && errno != EINTR)
            return -errno;
        used += n < 0 ? 0 : (size_t)n;
        if (n == 0)
            return -EIO;
    }
    return 0;
}

/* The newer of both places, and which one it is; -EBADMSG: neither holds. */
static int read_places(int fd, struct erabi_journal_head *out)
{
    int best = -EBADMSG;
    for (int place = 0; place < 2; place++) {
        struct erabi_journal_head head;
        uint8_t bytes[ERABI_HEAD_SIZE];
        ssize_t n = pread(fd, bytes, sizeof(bytes), (off_t)place * PLACE);
        if (n < 0)
            return -errno;
        if (erabi_journal_head_decode(&head, erabi_slice(bytes, (size_t)n)) < 0)
            continue;
        if (best < 0 || head.generation > out->generation) {
            *out = head;
            best = place;
        }
    }
    return best;
}

int erabi_journal_head_read(const char *path, struct erabi_journal_head *out)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    int r = read_places(fd, out);
    return r < 0 ? r : 0;
}

int erabi_journal_head_open(struct erabi_journal_head_file *file, const char *path)
{
    static const uint8_t nothing[PLACE];
    struct erabi_journal_head head;
    int r = 0;
    file->next = 0;
    file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0)
        return -errno;
    off_t size = lseek(file->fd, 0, SEEK_END);
    if (size < 0)
        r = -errno;
    for (int place = (int)(size / PLACE); r == 0 && place < 2; place++) /* its room is taken now: later no disk is too full for it */
        r = write_place(file->fd, place, nothing, sizeof(nothing));
    if (r == 0 && size < 2 * PLACE)
        r = fsync(file->fd) < 0 ? -errno : erabi_sync_folder(path);
    int newest = r < 0 ? r : read_places(file->fd, &head);
    if (newest < 0 && newest != -EBADMSG) /* which one is the newer is not known: that one must stay */
        r = newest;
    if (newest == 0)
        file->next = 1;
    if (r < 0)
        erabi_journal_head_close(file);
    return r;
}

int erabi_journal_head_write(struct erabi_journal_head_file *file, const struct erabi_journal_head *head)
{
    uint8_t bytes[ERABI_HEAD_SIZE];
    erabi_journal_head_encode(head, bytes);
    int r = write_place(file->fd, file->next, bytes, sizeof(bytes));
    if (r == 0 && fdatasync(file->fd) < 0)
        r = -errno;
    if (r == 0) /* else this place is written again, the other holds */
        file->next = !file->next;
    return r;
}

void erabi_journal_head_close(struct erabi_journal_head_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

const char *erabi_journal_head_judge(const struct erabi_journal_head *store, const struct erabi_journal_head *kept)
{
    if (store->kind == ERABI_JOURNAL_BACKUP)
        return "is a backup";
    if (store->kind == ERABI_JOURNAL_ACCEPTED && /* then the file beside it tells of what was given up */
        (!kept || sodium_memcmp(store->journal, kept->journal, sizeof(kept->journal)) != 0))
        return NULL;
    if (!kept) /* a crash right after it was made */
        return store->generation <= 1 ? NULL : "has lost its .head file";
    if (sodium_memcmp(store->journal, kept->journal, sizeof(kept->journal)) != 0)
        return "is not the journal that its .head file tells of";
    if (store->generation < kept->generation)
        return "is older than what was committed last";
    uint8_t a[ERABI_HEAD_SIZE], b[ERABI_HEAD_SIZE];
    erabi_journal_head_encode(store, a);
    erabi_journal_head_encode(kept, b);
    if (store->generation == kept->generation && sodium_memcmp(a, b, sizeof(a)) != 0)
        return "has another history than its .head file";
    return NULL;
}
