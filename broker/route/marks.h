/* Replay marks of telemetry: that a message was taken, until its end. Ten thousands come in a second and nothing else
 * is ever asked about them, so a mark is small (48 bytes), none is allocated by itself, and a second's are forgotten
 * together. What may be referred to later has its entry in known.h. Loop thread. */
#ifndef ERABI_ROUTE_MARKS_H
#define ERABI_ROUTE_MARKS_H

#include <erab/message.h>

/* Five times the national peak (8,370 messages a second) with the SDK's lifetime of 60 s, and some more: 137 MiB of
 * marks and 16 MiB of buckets, used as far as they were ever filled. One party may have half of them. */
#define ERABI_MARKS_MAX       3000000u
#define ERABI_MARKS_PARTY_MAX 1500000u

#define ERABI_MARKS_SECONDS 256u

struct erabi_marks_row {
    uint8_t id[ERAB_ID_SIZE];
    uint8_t hash[ERAB_HASH_SIZE / 2]; /* the first half: 2^64 tries for two messages alike, and only of one sender */
    uint32_t ends_s;                  /* the second in which it is over; 0: forgotten before */
    uint32_t party;                   /* index of the sender */
    uint32_t next;                    /* in its bucket: place + 1 */
    uint32_t due_next;                /* among those of its second, or the free places: place + 1 */
};

struct erabi_marks {
    struct erabi_marks_row *at; /* one mapping of ERABI_MARKS_MAX, NULL before the first one: memory as it is touched */
    uint32_t *buckets;     /* the same */
    uint32_t n_buckets;    /* grows by one with each mark that needs it: no pause for a whole table */
    uint32_t n, used;      /* places taken; ever taken */
    uint32_t free;         /* first of the free places below `used`: place + 1 */
    uint32_t due[ERABI_MARKS_SECONDS]; /* by the second of the end, modulo; one that ends later waits another round */
    uint32_t passing;                  /* of the second that is being forgotten */
    uint64_t due_s, now_ms;            /* the first second not yet begun; as of the last tick */
    uint32_t *charged;                 /* by party index: places taken; the caller's, NULL: not counted */
    uint8_t key[16];
};

/* The mark of a message with this id, NULL: none. Until the next call. */
const struct erabi_marks_row *erabi_marks_find(const struct erabi_marks *marks, const uint8_t id[ERAB_ID_SIZE]);
/* Is it the mark of this very message? */
bool erabi_marks_is(const struct erabi_marks_row *mark, const uint8_t hash[ERAB_HASH_SIZE], uint32_t party);
/* `header->id` has no mark yet. False: no room, for this party or for anybody. */
bool erabi_marks_add(struct erabi_marks *marks, const struct erab_header *header, const uint8_t hash[ERAB_HASH_SIZE],
                     uint32_t party);
/* Forgets a message that was not taken in the end; nothing when it is not (or no more) there. */
void erabi_marks_forget(struct erabi_marks *marks, const uint8_t id[ERAB_ID_SIZE], const uint8_t hash[ERAB_HASH_SIZE]);
/* Once a second: forgets what is over. Clock steps in both directions may lie between two calls. */
void erabi_marks_tick(struct erabi_marks *marks, uint64_t now_ms);
void erabi_marks_deinit(struct erabi_marks *marks);

#endif
