/* The journal by itself: orders of 512 bytes put as fast as it keeps them, in its own groups, each fsynced.
 *   journal_rows FILE ROWS LIFE_SECONDS
 * Prints rows a second. The file stays: the broker of `load config` may be started with it. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sodium.h>

#include "journal/journal.h"
#include "wire/wire.h"

#define FLYING 8192u

static struct {
    struct erabi_journal *journal;
    uint64_t rows, put, kept, life_ms;
    uint64_t begin_ns, end_ns, now_ms;
    int failed;
} t;

static void on_kept(void *user, int result);

static void put_one(void)
{
    uint8_t head[ERAB_HEADER_MAX], body[328] = {10, 200}, hash[ERAB_HASH_SIZE], signature[ERAB_SIGNATURE_SIZE] = {1};
    struct erab_header h = {.from = "birch", .type = ERAB_DISPATCH, .category = ERAB_OPERATION, .issued_at_ms = t.now_ms,
                            .expires_at_ms = t.now_ms + 3600000, .seq = t.put + 1, .version = 1};
    erab_id_new(h.id, t.now_ms);
    snprintf(h.to, sizeof(h.to), "hems-%05u", (unsigned)(1 + t.put % 16));
    struct erabi_slice header = erabi_slice(head, erabi_header_encode(&h, head)), content = erabi_slice(body, sizeof(body));
    erabi_envelope_hash(header, content, hash);
    struct erabi_journal_recipient to = {.to = h.to, .state = ERAB_ACCEPTED};
    struct erabi_journal_entry e = {.id = h.id, .hash = hash, .header = header, .body = content,
                                    .signature = erabi_slice(signature, sizeof(signature)), .from = h.from,
                                    .type = h.type, .state = ERAB_ACCEPTED, .expires_at_ms = h.expires_at_ms,
                                    .keep_until_ms = t.now_ms + t.life_ms, .recipients = &to, .n_recipients = 1};
    t.failed |= erabi_journal_put(t.journal, &e, on_kept, NULL) < 0 || erabi_journal_outbox_done(t.journal, to.row) < 0;
    t.put++;
}

static void on_kept(void *user, int result)
{
    t.failed |= result < 0;
    if (++t.kept == t.rows || t.failed) {
        t.end_ns = uv_hrtime();
        erabi_journal_close(t.journal, NULL, NULL);
    } else if (t.put < t.rows) {
        put_one();
    }
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    struct timespec now;
    char error[256] = "";
    if (argc != 4 || sodium_init() < 0 || uv_loop_init(&loop) < 0)
        return 2;
    clock_gettime(CLOCK_REALTIME, &now);
    t.now_ms = (uint64_t)now.tv_sec * 1000;
    t.rows = strtoull(argv[2], NULL, 10);
    t.life_ms = strtoull(argv[3], NULL, 10) * 1000;
    const struct erabi_journal_options options = {.path = argv[1], .owner = "alder", .queue = 4 * FLYING};
    if (erabi_journal_open(&t.journal, &loop, &options, error, sizeof(error)) < 0) {
        fprintf(stderr, "journal_rows: %s\n", error);
        return 1;
    }
    t.begin_ns = uv_hrtime();
    while (t.put < t.rows && t.put < FLYING)
        put_one();
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (t.failed)
        return 1;
    double seconds = (double)(t.end_ns - t.begin_ns) / 1e9;
    printf("{\"rows\": %llu, \"seconds\": %.3f, \"per_second\": %.0f}\n", (unsigned long long)t.rows, seconds,
           (double)t.rows / seconds);
    return 0;
}
