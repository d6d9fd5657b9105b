/* The broker's clock: what a restart needs of it, and what operators decide when the system's clock goes another way. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "broker.h"
#include "record.h"

#define KEEP_MS 10000u
/* Two readings of the system's clock that are no more apart are the same one. */
#define SAME_MS ERABI_CLOCK_JUMP_MS
#define BOOT_ID 16u

/* ---- on disk ---- */

/* Which boot of the machine this is: only within one may two values of CLOCK_BOOTTIME be compared. Zeros: not known. */
static void read_boot_id(uint8_t id[BOOT_ID])
{
    char text[64] = "";
    sodium_memzero(id, BOOT_ID);
    _close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n > 0 && sodium_hex2bin(id, BOOT_ID, text, (size_t)n, "-\n", NULL, NULL) < 0)
        sodium_memzero(id, BOOT_ID);
}

static int keep(struct erabi_broker *broker, const struct erabi_clock *clock, uint64_t void_ms, bool voiding,
                erabi_journal_done_fn done, void *user)
{
    uint8_t bytes[4 * 8 + 1 + BOOT_ID], boot[BOOT_ID];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    read_boot_id(boot);
    erabi_write_u64(&w, clock->wall_ms);
    erabi_write_u64(&w, clock->boot_ms);
    erabi_write_u64(&w, clock->rejected_ms);
    erabi_write_u64(&w, void_ms);
    erabi_write_u8(&w, voiding);
    erabi_write_bytes(&w, boot, sizeof(boot));
    return erabi_journal_state(broker->journal, ERABI_CLOCK_STATE, erabi_slice(bytes, w.used), done, user);
}

void erabi_clock_load(struct erabi_broker *broker, struct erabi_slice value)
{
    struct erabi_reader r = erabi_reader(value.data, value.size);
    uint64_t wall = erabi_read_u64(&r), boot = 0, rejected = 0, void_ms = 0;
    uint8_t now_boot[BOOT_ID];
    bool same = false, voiding = false;
    if (value.size > 8) { /* else of an older version: no more than a floor */
        boot = erabi_read_u64(&r);
        rejected = erabi_read_u64(&r);
        void_ms = erabi_read_u64(&r);
        voiding = erabi_read_u8(&r) != 0;
        struct erabi_slice id = erabi_read_slice(&r, BOOT_ID);
        read_boot_id(now_boot);
        same = !r.bad && !sodium_is_zero(now_boot, BOOT_ID) && sodium_memcmp(id.data, now_boot, BOOT_ID) == 0;
    }
    if (!erabi_reader_done(&r))
        return;
    erabi_clock_restore(&broker->loop.clock, wall, boot, rejected, same);
    broker->pipeline.void_ms = void_ms;
    broker->pipeline.voiding = voiding;
}

/* All that was to be expired is so, and is on its way to the disk before this. A restart in the next moment knows as much. */
void erabi_clock_loaded(struct erabi_broker *broker)
{
    broker->pipeline.voiding = false;
    if (keep(broker, &broker->loop.clock, broker->pipeline.void_ms, false, NULL, NULL) == 0)
        broker->clock_kept_ms = broker->loop.mono_ms;
}

void erabi_clock_tick(struct erabi_broker *broker)
{
    const struct erabi_clock *clock = &broker->loop.clock;
    if (clock->jumped != broker->clock_told) {
        broker->clock_told = clock->jumped;
        erabi_record_admin(broker->audit, "clock", broker->owner.party, clock->jumped ? "ahead" : "right again");
        if (clock->jumped)
            erabi_broker_say(broker, "the system's clock went ahead by %llu s at once: no commands until 'erab clock accept' or "
                                     "'erab clock reject'",
                             (unsigned long long)(clock->system_ms - clock->wall_ms) / 1000);
    }
    if (broker->clock_deciding || (broker->clock_kept_ms && broker->loop.mono_ms - broker->clock_kept_ms < KEEP_MS))
        return;
    if (keep(broker, clock, broker->pipeline.void_ms, false, NULL, NULL) == 0)
        broker->clock_kept_ms = broker->loop.mono_ms;
}

/* ---- operators ---- */

struct decision {
    struct erabi_broker *broker;
    struct erabi_act *act;
    bool accept, lower;
    uint64_t system_ms, boot_ms; /* what it was about */
};

static json_t *show(const struct erabi_clock *clock)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:b}", "state", erabi_clock_state(clock), "broker_ms",
                     (json_int_t)clock->wall_ms, "system_ms", (json_int_t)clock->system_ms, "ahead_ms",
                     (json_int_t)clock->system_ms - (json_int_t)clock->wall_ms, "already", 0);
}

json_t *erabi_verb_clock_show(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    json_t *answer = show(&broker->loop.clock);
    json_object_del(answer, "already");
    return answer;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* An operator signs by one of the two clocks that differ: whose time it is decides whether the statement is fresh. */
static uint64_t nearer(const struct erabi_clock *clock, const json_t *request)
{
    const char *raw = json_string_value(json_object_get(request, "statement"));
    json_t *text = raw && strlen(raw) <= ERABI_STATEMENT_MAX ? json_loads(raw, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_int_t at = json_integer_value(json_object_get(text, "at_ms"));
    json_decref(text);
    return at > 0 && apart((uint64_t)at, clock->system_ms) < apart((uint64_t)at, clock->wall_ms) ? clock->system_ms
                                                                                                 : clock->wall_ms;
}

static void apply(struct decision *d)
{
    struct erabi_broker *broker = d->broker;
    struct erabi_clock *clock = &broker->loop.clock;
    if (d->accept)
        erabi_clock_accept(clock);
    else
        erabi_clock_reject(clock);
    broker->clock_told = clock->jumped;
    erabi_audit_set_time(broker->audit, clock->wall_ms, broker->loop.mono_ms);
    if (d->lower) {
        erabi_pipeline_void(&broker->pipeline, clock->wall_ms);
        keep(broker, clock, broker->pipeline.void_ms, false, NULL, NULL);
    }
    erabi_operators_rewind(broker);
    erabi_act_record(d->act, "done");
}

static void on_kept(void *user, int result)
{
    struct decision *d = user;
    struct erabi_broker *broker = d->broker;
    struct erabi_clock *clock = &broker->loop.clock;
    erabi_loop_read(&broker->loop);
    clock->held = broker->clock_deciding = false;
    if (result == 0 && apart(clock->system_ms, d->system_ms + (clock->boot_ms - d->boot_ms)) > SAME_MS) {
        result = -ECANCELED; /* it has gone elsewhere since */
        keep(broker, clock, broker->pipeline.void_ms, false, NULL, NULL);
    }
    if (result == 0)
        apply(d);
    erabi_act_done(d->act, result);
    free(d);
}

/* NULL, or what is wrong with it; *already: there is nothing to decide. */
static const char *check(const struct erabi_broker *broker, const json_t *said, bool accept, bool *already)
{
    const struct erabi_clock *clock = &broker->loop.clock;
    const char *state = erabi_clock_state(clock);
    json_int_t time = json_integer_value(json_object_get(said, "time_ms"));
    *already = strcmp(state, "right") == 0 || (!accept && !clock->jumped);
    if (time <= 0 || apart((uint64_t)time, clock->system_ms) > SAME_MS)
        return "the system's clock shows another time than this is about; look at 'erab clock show', then decide again";
    if (broker->clock_deciding)
        return "a decision about the clock is being written; look at 'erab clock show', then repeat this";
    if (accept && strcmp(state, "behind") == 0 && !json_is_true(json_object_get(said, "lower")))
        return "the broker's clock would go back, and every command accepted so far would count as expired; if that is meant, "
               "repeat this with --lower";
    return NULL;
}

static json_t *decide(struct erabi_broker *broker, const json_t *request, bool accept, const char **error)
{
    static const char lost[] = "not done: the journal could not keep it; repeat this when 'erab health' says nothing of storage";
    _statement_ struct erabi_statement s = {0};
    const char *name = accept ? "clock-accept" : "clock-reject";
    struct erabi_clock *clock = &broker->loop.clock;
    bool already = false;
    erabi_loop_read(&broker->loop);
    const json_t *said = request;
    if (broker->config->n_operators || json_object_get(request, "statement"))
        said = erabi_operator_statement(broker, &s, request, name, nearer(clock, request), error) ? s.text : NULL;
    if (!said)
        return NULL;
    const char *wrong = check(broker, said, accept, &already);
    erabi_operator_record(broker, name, erabi_clock_state(clock), wrong ? "refused" : already ? "was so already" : "asked", &s);
    if (wrong || already) {
        erabi_operators_rewind(broker);
        *error = wrong;
        json_t *answer = wrong ? NULL : show(clock);
        if (answer)
            json_object_set_new(answer, "already", json_true());
        return answer;
    }
    struct erabi_clock next = *clock;
    bool lower = accept && clock->system_ms < clock->wall_ms;
    if (accept)
        erabi_clock_accept(&next);
    else
        erabi_clock_reject(&next);
    struct decision *d = calloc(1, sizeof(*d));
    struct erabi_act *act = d ? erabi_act_new(broker, name, erabi_clock_state(clock), show(&next), lost) : NULL;
    if (!act) {
        free(d);
        *error = "no memory";
        return NULL;
    }
    *d = (struct decision){broker, act, accept, lower, clock->system_ms, clock->boot_ms};
    /* All that was accepted is in the journal before this, so that none of it lives on when this is kept. */
    int r = keep(broker, &next, lower ? next.wall_ms : broker->pipeline.void_ms, lower, on_kept, d);
    if (r < 0) {
        free(d);
        return erabi_act_now(act, r, error);
    }
    broker->clock_deciding = true;
    clock->held = lower;
    return erabi_act_wait(act, error);
}

json_t *erabi_verb_clock_accept(void *user, const json_t *request, const char **error)
{
    return decide(user, request, true, error);
}

json_t *erabi_verb_clock_reject(void *user, const json_t *request, const char **error)
{
    return decide(user, request, false, error);
}
