/* The audit log: append-only JSON lines, hash-chained, with signed heads (docs/audit.md). It observes and decides
 * nothing. Loop thread. */
#ifndef ERABI_AUDIT_H
#define ERABI_AUDIT_H

#include <erab/types.h>

#define ERABI_AUDIT_LINE_MAX 65536
#define ERABI_AUDIT_LOG_ID   32 /* hex digits */

struct erabi_audit;

/* One member of a record. A NULL text means the number. Names of the frame (seq prev time_ms mono_ms what hash) are the
 * log's own and refused. Text that is no UTF-8 is written as its hex digits. When the
 * record would be too long, each text is cut at 512 bytes. */
struct erabi_audit_field {
    const char *name;
    const char *text;
    uint64_t number;
};

struct erabi_audit_head {
    char log[ERABI_AUDIT_LOG_ID + 1];
    uint64_t seq;
    uint64_t time_ms;
    uint8_t hash[ERAB_HASH_SIZE];
    uint8_t signature[ERAB_SIGNATURE_SIZE];
};

/* Creates (0600) or continues a log; the last records are checked, a torn last line is refused (-EBADMSG) as is a log
 * in use (-EBUSY). `sign_secret` (may be NULL: no heads) is copied. `every` = records between heads (0 = never). */
int erabi_audit_open(struct erabi_audit **out, const char *path, const uint8_t *sign_secret, uint64_t every, char *error,
                     size_t error_size);
/* Once a loop turn: the times that the following records carry; tells what was counted in the second before. */
void erabi_audit_set_time(struct erabi_audit *audit, uint64_t wall_ms, uint64_t mono_ms);
/* Called for each signed head, to hand it to second parties. */
void erabi_audit_on_head(struct erabi_audit *audit, void (*on_head)(void *user, const struct erabi_audit_head *head),
                         void *user);
/* Adds one record to the buffer. 0; -EMSGSIZE; -EINVAL (field name); -EIO when it cannot be kept: then it is counted. */
int erabi_audit_write(struct erabi_audit *audit, const char *what, const struct erabi_audit_field *fields, size_t n);
/* The same for what somebody outside can cause as often as they like: of one kind, the first ERABI_AUDIT_ONE_BY_ONE
 * of a second are written, the others counted and told in one record "more" when the second is over (by set_time or
 * close). A NULL text is as "". 0 also when it was only counted. */
#define ERABI_AUDIT_ONE_BY_ONE 20u
struct erabi_audit_kind {
    const char *peer; /* whose doing it is; not a name that they may choose */
    const char *verdict;
    const char *reason;
};
int erabi_audit_write_counted(struct erabi_audit *audit, const char *what, const struct erabi_audit_kind *kind,
                              const struct erabi_audit_field *fields, size_t n);
/* Once a loop turn: one write() of what was added; with `sync` also fdatasync. 0 or negative errno (then failed).
 * While it is failed, what is added waits in the buffer (1 MiB, what is beyond is counted), and each second of set_time
 * it is tried again; when it succeeds a record "resumed" follows. The file never holds a part of a record. */
int erabi_audit_flush(struct erabi_audit *audit, bool sync);
/* Adds a signed head now (also done by close). */
int erabi_audit_sign_head(struct erabi_audit *audit);
/* True from the first failed write on until all that waited is written: commands must stop. */
bool erabi_audit_failed(const struct erabi_audit *audit);
/* Head, flush, fsync, close. */
void erabi_audit_close(struct erabi_audit *audit);

/* What a head's Ed25519 signature covers: "erab.v1.audit-head" and NUL, log id (32 characters), seq (8 bytes), time_ms
 * (8), hash (32). `out` of ERABI_AUDIT_HEAD_BYTES. */
#define ERABI_AUDIT_HEAD_BYTES (19 + 32 + 8 + 8 + 32)
void erabi_audit_head_bytes(const struct erabi_audit_head *head, uint8_t out[ERABI_AUDIT_HEAD_BYTES]);
/* The chain's step: BLAKE2b-256 over prev and the text of the record without its hash member. */
void erabi_audit_hash(const uint8_t prev[ERAB_HASH_SIZE], const char *text, size_t size, uint8_t out[ERAB_HASH_SIZE]);
#endif
