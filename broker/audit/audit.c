#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <sodium.h>

#include "audit/counted.h"
#include "audit/line.h"
#include "audit/text.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/cursor.h"

#define BUFFER_SIZE (1u << 20)
#define SHORT_TEXT  512u
#define HASH_ROOM   80u /* of a line, for its last member */
#define SECOND_MS   1000u
#define TAIL_SIZE   (4u * ERABI_AUDIT_LINE_MAX)

struct erabi_audit {
    int fd;
    bool failed, has_key, closing;
    off_t whole;  /* what the file holds of whole records */
    uint64_t lost, failed_ms, tried_ms;
    char log[ERABI_AUDIT_LOG_ID + 1];
    uint64_t seq, every, since_head, wall_ms, mono_ms;
    uint8_t hash[ERAB_HASH_SIZE];
    uint8_t secret[ERAB_SIGN_SECRET];
    void (*on_head)(void *user, const struct erabi_audit_head *head);
    void *user;
    struct erabi_writer buffer;
    struct erabi_counted *counted; /* of the second that began at: */
    uint64_t second_ms;
};

/* Nearly all differ in their first character. */
static bool same(const char *a, const char *b)
{
    return a[0] == b[0] && strcmp(a, b) == 0;
}

static bool frame_name(const char *name)
{
    static const char *const own[] = {"seq", "prev", "time_ms", "mono_ms", "what", "hash"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (same(own[i], name))
            return true;
    return false;
}

/* Names are the broker's own words; each may stand once. */
static bool fields_good(const struct erabi_audit_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (frame_name(fields[i].name) || (!fields[i].text && fields[i].number > INT64_MAX))
            return false;
        for (size_t k = 0; k < i; k++)
            if (same(fields[k].name, fields[i].name))
                return false;
    }
    return true;
}

static void write_name(struct erabi_writer *w, char before, const char *name)
{
    erabi_write_u8(w, (uint8_t)before);
    erabi_write_u8(w, '"');
    erabi_write_bytes(w, name, strlen(name));
    erabi_write_bytes(w, "\":", 2);
}

/* The record without its hash, each text of at most `cap` bytes; 0: it does not fit into one line. */
static size_t write_record(const struct erabi_audit *a, char *line, const char *what, const struct erabi_audit_field *fields,
                           size_t n, size_t cap)
{
    char prev[2 * ERAB_HASH_SIZE + 1];
    struct erabi_writer w = erabi_writer(line, ERABI_AUDIT_LINE_MAX - HASH_ROOM);
    sodium_bin2hex(prev, sizeof(prev), a->hash, ERAB_HASH_SIZE);
    write_name(&w, '{', "seq");
    erabi_text_number(&w, a->seq + 1);
    write_name(&w, ',', "prev");
    erabi_text_string(&w, prev, sizeof(prev) - 1);
    write_name(&w, ',', "time_ms");
    erabi_text_number(&w, a->wall_ms);
    write_name(&w, ',', "mono_ms");
    erabi_text_number(&w, a->mono_ms);
    write_name(&w, ',', "what");
    erabi_text_string(&w, what, cap);
    for (size_t i = 0; i < n; i++) {
        write_name(&w, ',', fields[i].name);
        if (fields[i].text)
            erabi_text_string(&w, fields[i].text, cap);
        else
            erabi_text_number(&w, fields[i].number);
    }
    erabi_write_u8(&w, '}');
    return w.bad ? 0 : w.used;
}

/* A part of a record must not stay: it would stand before what is written later. */
static int cut_back(const struct erabi_audit *a)
{
    struct stat st;
    if (fstat(a->fd, &st) < 0)
        return -errno;
    return st.st_size > a->whole && ftruncate(a->fd, a->whole) < 0 ? -errno : 0;
}

static int failed(struct erabi_audit *a, int fault)
{
    if (!a->failed)
        a->failed_ms = a->mono_ms;
    a->failed = true;
    a->tried_ms = a->mono_ms;
    cut_back(a); /* once more before the next try */
    return fault;
}

static int write_all(struct erabi_audit *a)
{
    size_t done = 0;
    while (done < a->buffer.used) {
        ssize_t n = write(a->fd, a->buffer.start + done, a->buffer.used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed(a, n < 0 ? -errno : -EIO);
        done += (size_t)n;
    }
    a->whole += (off_t)done;
    a->buffer.used = 0;
    return 0;
}

static int add_record(struct erabi_audit *a, const char *what, const struct erabi_audit_field *fields, size_t n)
{
    if (!fields_good(fields, n))
        return -EINVAL;
    if (a->buffer.size - a->buffer.used < ERABI_AUDIT_LINE_MAX && (a->failed || write_all(a) < 0)) {
        a->lost++;
        return -EIO;
    }
    char *line = (char *)a->buffer.start + a->buffer.used, hex[2 * ERAB_HASH_SIZE + 1];
    size_t size = write_record(a, line, what, fields, n, ERABI_AUDIT_LINE_MAX);
    if (size == 0) /* a record with short texts rather than none */
        size = write_record(a, line, what, fields, n, SHORT_TEXT);
    if (size == 0)
        return -EMSGSIZE;
    erabi_audit_hash(a->hash, line, size, a->hash);
    sodium_bin2hex(hex, sizeof(hex), a->hash, ERAB_HASH_SIZE);
    a->buffer.used += size - 1; /* without its bracket, which the hash comes before */
    erabi_write_bytes(&a->buffer, ",\"hash\":\"", 9);
    erabi_write_bytes(&a->buffer, hex, sizeof(hex) - 1);
    erabi_write_bytes(&a->buffer, "\"}\n", 3);
    a->seq++;
    a->since_head++;
    return 0;
}

int erabi_audit_sign_head(struct erabi_audit *a)
{
    if (!a->has_key)
        return 0;
    struct erabi_audit_head head = {.seq = a->seq, .time_ms = a->wall_ms};
    erabi_copy_bytes(head.log, a->log, sizeof(head.log));
    erabi_copy_bytes(head.hash, a->hash, ERAB_HASH_SIZE);
    uint8_t bytes[ERABI_AUDIT_HEAD_BYTES];
    erabi_audit_head_bytes(&head, bytes);
    crypto_sign_detached(head.signature, NULL, bytes, sizeof(bytes), a->secret);
    char hash[2 * ERAB_HASH_SIZE + 1], signature[2 * ERAB_SIGNATURE_SIZE + 1];
    sodium_bin2hex(hash, sizeof(hash), head.hash, ERAB_HASH_SIZE);
    sodium_bin2hex(signature, sizeof(signature), head.signature, ERAB_SIGNATURE_SIZE);
    struct erabi_audit_field fields[] = {
        {"log", a->log, 0},
        {"head_seq", NULL, head.seq},
        {"head_time_ms", NULL, head.time_ms},
        {"head_hash", hash, 0},
        {"head_signature", signature, 0},
    };
    int r = add_record(a, "head", fields, sizeof(fields) / sizeof(fields[0]));
    a->since_head = 0;
    if (r == 0 && a->on_head)
        a->on_head(a->user, &head);
    return r;
}

int erabi_audit_write(struct erabi_audit *a, const char *what, const struct erabi_audit_field *fields, size_t n)
{
    int r = add_record(a, what, fields, n);
    if (r == 0 && a->every && a->since_head >= a->every && !a->failed) /* a head tells of what is on disk */
        r = erabi_audit_sign_head(a);
    return r;
}

int erabi_audit_write_counted(struct erabi_audit *a, const char *what, const struct erabi_audit_kind *kind,
                              const struct erabi_audit_field *fields, size_t n)
{
    return erabi_counted_take(a->counted, what, kind) ? erabi_audit_write(a, what, fields, n) : 0;
}

static void tell_more(void *user, const char *what, const struct erabi_audit_kind *kind, uint64_t records)
{
    struct erabi_audit_field fields[] = {{"of", what, 0},
                                         {"peer", kind->peer, 0},
                                         {"verdict", kind->verdict, 0},
                                         {"reason", kind->reason, 0},
                                         {"records", NULL, records}};
    erabi_audit_write(user, "more", fields, sizeof(fields) / sizeof(fields[0]));
}

/* What waited goes first, then how long it did and how much did not fit. */
static int try_again(struct erabi_audit *a)
{
    if (!a->closing && a->mono_ms - a->tried_ms < SECOND_MS)
        return -EIO;
    a->tried_ms = a->mono_ms;
    int r = cut_back(a);
    if (r == 0)
        r = write_all(a);
    if (r < 0)
        return r;
    a->failed = false;
    struct erabi_audit_field fields[] = {{"for_ms", NULL, a->mono_ms - a->failed_ms}, {"lost", NULL, a->lost}};
    a->lost = 0;
    return add_record(a, "resumed", fields, sizeof(fields) / sizeof(fields[0]));
}

int erabi_audit_flush(struct erabi_audit *a, bool sync)
{
    int r = a->failed ? try_again(a) : 0;
    if (r == 0)
        r = write_all(a);
    if (r == 0 && sync && fdatasync(a->fd) < 0)
        r = failed(a, -errno);
    return r;
}

/* Walks the last lines of an existing log and takes over where it ends. NULL = good. */
static const char *continue_tail(struct erabi_audit *a, FILE *file, off_t size, char *line)
{
    size_t n;
    struct erabi_audit_line record;
    if (erabi_audit_line_next(file, line, &n) != 1)
        return "its first record is torn";
    const char *wrong = erabi_audit_line_read(&record, line, n);
    if (wrong)
        return wrong;
    const char *log = json_string_value(json_object_get(record.json, "log"));
    bool named = log && strlen(log) == ERABI_AUDIT_LOG_ID && erabi_copy_text(a->log, sizeof(a->log), log);
    json_decref(record.json);
    if (!named || record.seq != 1)
        return "its first record does not name the log";
    bool first = true;
    off_t from = size > (off_t)TAIL_SIZE ? size - (off_t)TAIL_SIZE : 0;
    if (fseeko(file, from, SEEK_SET) < 0 || (from && erabi_audit_line_next(file, line, &n) != 1))
        return "it cannot be read";
    int r;
    while ((r = erabi_audit_line_next(file, line, &n)) == 1) {
        if ((wrong = erabi_audit_line_read(&record, line, n)))
            return wrong;
        json_decref(record.json);
        if (!first && (record.seq != a->seq + 1 || sodium_memcmp(record.prev, a->hash, ERAB_HASH_SIZE) != 0))
            return "its last records do not follow one another";
        first = false;
        a->seq = record.seq;
        erabi_copy_bytes(a->hash, record.hash, ERAB_HASH_SIZE);
    }
    if (r == -EBADMSG)
        return "its last record is torn; keep the file as it is for the record and begin a new one";
    return r < 0 || first ? "it cannot be read" : NULL;
}

static int begin_log(struct erabi_audit *a)
{
    uint8_t id[ERABI_AUDIT_LOG_ID / 2];
    randombytes_buf(id, sizeof(id));
    sodium_bin2hex(a->log, sizeof(a->log), id, sizeof(id));
    a->wall_ms = erabi_clock_ms(CLOCK_REALTIME);
    a->mono_ms = erabi_clock_ms(CLOCK_MONOTONIC);
    struct erabi_audit_field field = {"log", a->log, 0};
    int r = add_record(a, "log", &field, 1);
    return r < 0 ? r : erabi_audit_flush(a, true);
}

/* Takes the lock and the file's end. */
static int take_file(struct erabi_audit *a, const char *path, const char **why)
{
    *why = "it cannot be opened";
    a->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;
    if (a->fd < 0 || fstat(a->fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    a->whole = st.st_size;
    *why = "it is in use by another process";
    if (flock(a->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    *why = "it cannot be read or written";
    if (st.st_size == 0)
        return begin_log(a);
    _fclose_ FILE *file = fopen(path, "re");
    _free_ char *line = malloc(ERABI_AUDIT_LINE_MAX + 1);
    if (!file || !line)
        return -errno;
    const char *wrong = continue_tail(a, file, st.st_size, line);
    if (wrong)
        *why = wrong;
    return wrong ? -EBADMSG : 0;
}

static void audit_free(struct erabi_audit *a)
{
    if (a->fd >= 0)
        close(a->fd);
    sodium_memzero(a->secret, sizeof(a->secret));
    free(a->buffer.start);
    erabi_counted_free(a->counted);
    free(a);
}

int erabi_audit_open(struct erabi_audit **out, const char *path, const uint8_t *sign_secret, uint64_t every, char *error,
                     size_t error_size)
{
    *out = NULL;
    struct erabi_audit *a = sodium_init() < 0 ? NULL : calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->fd = -1;
    a->every = every;
    a->has_key = sign_secret != NULL;
    if (sign_secret)
        erabi_copy_bytes(a->secret, sign_secret, ERAB_SIGN_SECRET);
    a->buffer = erabi_writer(malloc(BUFFER_SIZE), BUFFER_SIZE);
    const char *why = "no memory";
    a->counted = erabi_counted_new();
    int r = a->buffer.start && a->counted ? take_file(a, path, &why) : -ENOMEM;
    if (r < 0) {
        if (error)
            snprintf(error, error_size, "the audit log %s is not taken: %s (%s)", path, why, strerror(-r));
        audit_free(a);
        return r;
    }
    *out = a;
    return 0;
}

void erabi_audit_set_time(struct erabi_audit *a, uint64_t wall_ms, uint64_t mono_ms)
{
    a->wall_ms = wall_ms;
    a->mono_ms = mono_ms;
    if (mono_ms - a->second_ms < SECOND_MS)
        return;
    a->second_ms = mono_ms;
    erabi_counted_end(a->counted, tell_more, a);
}

void erabi_audit_on_head(struct erabi_audit *a, void (*on_head)(void *user, const struct erabi_audit_head *head),
                         void *user)
{
    a->on_head = on_head;
    a->user = user;
}

bool erabi_audit_failed(const struct erabi_audit *a)
{
    return a->failed;
}

void erabi_audit_close(struct erabi_audit *a)
{
    if (!a)
        return;
    a->closing = true;
    a->on_head = NULL;
    erabi_counted_end(a->counted, tell_more, a);
    if (erabi_audit_flush(a, false) == 0) {
        erabi_audit_sign_head(a);
        erabi_audit_flush(a, true);
    }
    audit_free(a);
}
