/* A journal at work, for disk.py: says line by line what it was told. `disk_driver FILE work` or `disk_driver FILE read`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "journal/journal.h"
#include "wire/wire.h"

#define MESSAGES 12
#define TICKS    40000 /* of half a millisecond at least, until a journal that failed must be back */

static uv_loop_t loop;
static struct erabi_journal *journal;
static bool answered;
static int result;

static void say(const char *what, int number)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%s %d\n", what, number);
    if (write(STDOUT_FILENO, text, (size_t)n) != n)
        exit(3);
}

static void on_done(void *user, int r)
{
    answered = true;
    result = r;
}

/* 0 or what the journal answered. */
static int put(int number, int64_t *row)
{
    char body[600];
    uint8_t id[ERAB_ID_SIZE] = {(uint8_t)number}, hash[ERAB_HASH_SIZE];
    memset(body, 'a' + number, sizeof(body));
    struct erabi_journal_recipient to = {.to = "birch", .state = ERAB_ACCEPTED};
    struct erabi_journal_entry e = {.id = id,
                                    .hash = hash,
                                    .header = {(const uint8_t *)"header", 6},
                                    .body = {(const uint8_t *)body, sizeof(body)},
                                    .from = "alder",
                                    .type = ERAB_DISPATCH,
                                    .state = ERAB_ACCEPTED,
                                    .expires_at_ms = 4000000000000u,
                                    .recipients = &to,
                                    .n_recipients = 1};
    erabi_envelope_hash(e.header, e.body, hash);
    answered = false;
    int r = erabi_journal_put(journal, &e, on_done, NULL);
    while (r == 0 && !answered)
        uv_run(&loop, UV_RUN_ONCE);
    *row = to.row;
    return r < 0 ? r : result;
}

static bool back_again(void)
{
    for (int i = 0; !erabi_journal_writable(journal); i++) {
        if (i == TICKS)
            return false;
        erabi_journal_tick(journal, 1000 + (uint64_t)i);
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(500); /* the journal's thread is at it */
    }
    return true;
}

/* Each message is settled two messages later; what was settled before a later message was kept may not come back. */
static int work(void)
{
    int64_t rows[MESSAGES + 1] = {0};
    int asked = 0;
    for (int i = 1; i <= MESSAGES; i++) {
        int r = put(i, &rows[i]);
        say(r == 0 ? "kept" : "refused", i);
        if (r == 0 && asked)
            say("settled", asked);
        asked = 0;
        if (r < 0) {
            rows[i] = 0;
            if (!back_again()) {
                say("stuck", i);
                return 1;
            }
        }
        if (i > 2 && rows[i - 2] && erabi_journal_outbox_done(journal, rows[i - 2]) == 0)
            asked = i - 2;
        if (i % 4 == 0) /* the purge, too */
            erabi_journal_tick(journal, 1000);
    }
    return 0;
}

static int on_pending(void *user, const struct erabi_journal_pending *p)
{
    say("pending", p->id[0]);
    return 0;
}

static int on_mark(void *user, const struct erabi_journal_mark *m)
{
    say("mark", m->id[0]);
    return 0;
}

int main(int argc, char **argv)
{
    char error[512] = "";
    if (argc != 3 || sodium_init() < 0 || uv_loop_init(&loop) < 0)
        return 2;
    const struct erabi_journal_options options = {.path = argv[1], .owner = "maple"};
    int r = erabi_journal_open(&journal, &loop, &options, error, sizeof(error));
    if (r < 0) {
        fprintf(stderr, "%s\n", error);
        return r == -ESTALE || r == -EBADMSG ? 4 : 5;
    }
    const struct erabi_journal_load load = {.on_pending = on_pending, .on_mark = on_mark};
    bool reads = strcmp(argv[2], "read") == 0;
    r = erabi_journal_damaged(journal) ? 4 : reads ? erabi_journal_load(journal, 0, &load) : work();
    erabi_journal_close(journal, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return r ? r : 0;
}
