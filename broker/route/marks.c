#include "route/marks.h"

#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#include "base/cursor.h"

#define BUCKETS_MIN  256u
#define BUCKETS_MAX  4194304u
#define DUE_FOR_EACH 2u     /* forgotten for each one that is added */
#define DUE_A_TICK   10000u /* and at each tick: a turn of the loop stays short */

_Static_assert(sizeof(struct erabi_marks_row) == 48, "the documented memory");

#define MARKS_SIZE   (ERABI_MARKS_MAX * sizeof(struct erabi_marks_row))
#define BUCKETS_SIZE (BUCKETS_MAX * sizeof(uint32_t))

/* Linear hashing: of the two buckets that a bit more or less makes, the one that is there already. Keyed, for peers
 * choose their ids. */
static uint32_t *bucket_of(const struct erabi_marks *m, const uint8_t id[ERAB_ID_SIZE])
{
    uint8_t out[crypto_shorthash_BYTES];
    crypto_shorthash(out, id, ERAB_ID_SIZE, m->key);
    uint32_t hash = out[0] | (uint32_t)out[1] << 8 | (uint32_t)out[2] << 16 | (uint32_t)out[3] << 24;
    uint32_t half = 1u << (31 - __builtin_clz(m->n_buckets)), at = hash & (2 * half - 1);
    return &m->buckets[at < m->n_buckets ? at : at & (half - 1)];
}

static bool map(struct erabi_marks *m)
{
    const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *all = mmap(NULL, MARKS_SIZE + BUCKETS_SIZE, PROT_READ | PROT_WRITE, how, -1, 0);
    if (all == MAP_FAILED)
        return false;
    m->at = all;
    m->buckets = (void *)((uint8_t *)all + MARKS_SIZE);
    m->n_buckets = BUCKETS_MIN;
    randombytes_buf(m->key, sizeof(m->key));
    return true;
}

void erabi_marks_deinit(struct erabi_marks *m)
{
    if (m->at)
        munmap(m->at, MARKS_SIZE + BUCKETS_SIZE);
    m->at = NULL;
    m->buckets = NULL;
}

static struct erabi_marks_row *find(const struct erabi_marks *m, const uint8_t id[ERAB_ID_SIZE])
{
    if (!m->at)
        return NULL;
    struct erabi_marks_row *mark = NULL;
    for (uint32_t i = *bucket_of(m, id); i; i = mark->next) {
        mark = &m->at[i - 1];
        if (memcmp(mark->id, id, ERAB_ID_SIZE) == 0)
            return mark;
    }
    return NULL;
}

const struct erabi_marks_row *erabi_marks_find(const struct erabi_marks *marks, const uint8_t id[ERAB_ID_SIZE])
{
    return find(marks, id);
}

bool erabi_marks_is(const struct erabi_marks_row *mark, const uint8_t hash[ERAB_HASH_SIZE], uint32_t party)
{
    return mark->party == party && memcmp(mark->hash, hash, sizeof(mark->hash)) == 0;
}

/* One bucket more: it takes its share of the one that it was part of. */
static void split(struct erabi_marks *m)
{
    uint32_t half = 1u << (31 - __builtin_clz(m->n_buckets));
    uint32_t *old = &m->buckets[m->n_buckets - half], i = *old;
    *old = 0;
    m->n_buckets++;
    while (i) {
        struct erabi_marks_row *mark = &m->at[i - 1];
        uint32_t next = mark->next, *bucket = bucket_of(m, mark->id);
        mark->next = *bucket;
        *bucket = i;
        i = next;
    }
}

/* Nobody finds it any more; its place is taken until its second comes. */
static void unlink_mark(struct erabi_marks *m, struct erabi_marks_row *mark)
{
    uint32_t self = (uint32_t)(mark - m->at) + 1, *at = bucket_of(m, mark->id);
    while (*at != self)
        at = &m->at[*at - 1].next;
    *at = mark->next;
    mark->ends_s = 0;
}

static void put_due(struct erabi_marks *m, struct erabi_marks_row *mark)
{
    uint32_t *second = &m->due[mark->ends_s % ERABI_MARKS_SECONDS];
    mark->due_next = *second;
    *second = (uint32_t)(mark - m->at) + 1;
}

static void release(struct erabi_marks *m, struct erabi_marks_row *mark)
{
    if (mark->ends_s)
        unlink_mark(m, mark);
    if (m->charged)
        m->charged[mark->party]--;
    mark->due_next = m->free;
    m->free = (uint32_t)(mark - m->at) + 1;
    m->n--;
}

static void forget_due(struct erabi_marks *m, unsigned most)
{
    uint64_t now_s = m->now_ms / 1000;
    if (m->due_s > now_s + 1 || m->due_s + ERABI_MARKS_SECONDS < now_s) /* the clock was set: a whole round anew */
        m->due_s = now_s < ERABI_MARKS_SECONDS ? 0 : now_s - ERABI_MARKS_SECONDS + 1;
    while (most && (m->passing || m->due_s <= now_s)) {
        if (!m->passing) {
            uint32_t *second = &m->due[m->due_s++ % ERABI_MARKS_SECONDS];
            m->passing = *second;
            *second = 0;
            continue;
        }
        struct erabi_marks_row *mark = &m->at[m->passing - 1];
        m->passing = mark->due_next;
        most--;
        if (mark->ends_s > now_s)
            put_due(m, mark);
        else
            release(m, mark);
    }
}

bool erabi_marks_add(struct erabi_marks *m, const struct erab_header *header, const uint8_t hash[ERAB_HASH_SIZE],
                     uint32_t party)
{
    if (!m->at && !map(m))
        return false;
    forget_due(m, DUE_FOR_EACH);
    if (m->n >= ERABI_MARKS_MAX || (m->charged && m->charged[party] >= ERABI_MARKS_PARTY_MAX))
        return false;
    if (m->n >= m->n_buckets && m->n_buckets < BUCKETS_MAX)
        split(m);
    struct erabi_marks_row *mark = m->free ? &m->at[m->free - 1] : &m->at[m->used++];
    if (m->free)
        m->free = mark->due_next;
    uint64_t ends_s = header->expires_at_ms / 1000 + 1;
    uint32_t *bucket = bucket_of(m, header->id);
    *mark = (struct erabi_marks_row){
        .ends_s = ends_s < UINT32_MAX ? (uint32_t)ends_s : UINT32_MAX, .party = party, .next = *bucket};
    erabi_copy_bytes(mark->id, header->id, sizeof(mark->id));
    erabi_copy_bytes(mark->hash, hash, sizeof(mark->hash));
    *bucket = (uint32_t)(mark - m->at) + 1;
    put_due(m, mark);
    m->n++;
    if (m->charged)
        m->charged[party]++;
    return true;
}

void erabi_marks_forget(struct erabi_marks *m, const uint8_t id[ERAB_ID_SIZE], const uint8_t hash[ERAB_HASH_SIZE])
{
    struct erabi_marks_row *mark = find(m, id);
    if (mark && memcmp(mark->hash, hash, sizeof(mark->hash)) == 0)
        unlink_mark(m, mark);
}

void erabi_marks_tick(struct erabi_marks *m, uint64_t now_ms)
{
    m->now_ms = now_ms;
    forget_due(m, DUE_A_TICK);
}
