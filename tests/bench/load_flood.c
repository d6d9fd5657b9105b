/* Many senders, one receiver; the two are processes of their own. At most `window` messages are on their way, so that
 * nobody's queue runs over; with `rate` so many are sent a second. With `commands-us` a third process sends a
 * command so often and times each from its sending to its recipient: what a flood does to commands. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "load.h"

#define COMMANDS_MAX 100000u

struct shared {
    atomic_uint received, commands;
    atomic_uint up;   /* receivers that are connected */
    atomic_bool over; /* the last message was sent */
    atomic_ullong last_ns;
    uint32_t command_us[COMMANDS_MAX]; /* tenths */
    uint32_t taken_us[];               /* of each message, tenths */
};

static struct shared *shared;
static unsigned arrived; /* of the command process */

static pid_t begin_process(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void on_flood(void *user, struct link *l, const uint8_t *content, size_t size)
{
    (void)user;
    uint64_t sent_ns = 0;
    unsigned n = message_count(l, content, size, &sent_ns);
    if (n == 0)
        return;
    uint64_t now = mono_ns();
    unsigned at = atomic_load_explicit(&shared->received, memory_order_relaxed);
    for (unsigned i = 0; i < n && at + i < setting[MESSAGES]; i++)
        shared->taken_us[at + i] = (uint32_t)((now - sent_ns) / 100);
    atomic_store(&shared->last_ns, now);
    atomic_fetch_add(&shared->received, n);
}

_Noreturn static void receive(struct world *w)
{
    struct link l;
    w->on_message = on_flood;
    world_init(w);
    link_open(w, &l, 0, ERAB_LANES_TELEMETRY);
    link_wait_up(w, &l, 1);
    atomic_fetch_add(&shared->up, 1);
    for (;;)
        world_step(w, 1000);
}

static void on_command(void *user, struct link *l, const uint8_t *content, size_t size)
{
    (void)user;
    uint64_t sent_ns;
    if (l->world->kind != OURS) {
        arrived += message_count(l, content, size, &sent_ns);
    } else if (l->number == 0) {
        receipts_accepted(l, content, size);
    } else {
        arrived += orders_answer(l, content, size);
        link_flush(l);
    }
}

/* Ours: signed orders of birch to a controller, stored on the disk before they go on. Others: a message. */
_Noreturn static void command(struct world *w)
{
    struct link l[2];
    struct erab_identity birch = {0};
    struct order order;
    unsigned from = w->kind == OURS ? 0 : setting[SENDERS] + 1, to = w->kind == OURS ? 1 : setting[SENDERS] + 2;
    party_identity(0, &birch);
    w->on_message = on_command;
    world_init(w);
    link_open(w, &l[0], from, ERAB_LANES_COMMAND);
    link_open(w, &l[1], to, ERAB_LANES_COMMAND);
    link_wait_up(w, l, 2);
    atomic_fetch_add(&shared->up, 1);
    while (atomic_load(&shared->received) == 0)
        usleep(1000);
    for (unsigned n = 0; n < COMMANDS_MAX; n++) {
        uint64_t due = mono_ns() + setting[COMMANDS_US] * UINT64_C(1000);
        unsigned before = arrived;
        if (w->kind == OURS)
            order_make(&order, to, n + 1, birch.sign_secret);
        uint64_t begin = mono_ns();
        if (w->kind == OURS)
            orders_put(&l[0], &order, 1);
        else
            message_put(&l[0], to, 1);
        link_flush(&l[0]);
        while (arrived == before)
            world_step(w, 1000);
        shared->command_us[n] = (uint32_t)((mono_ns() - begin) / 100);
        atomic_store(&shared->commands, n + 1);
        while (mono_ns() < due)
            world_step(w, 1);
    }
    for (;;)
        pause();
}

/* How many may be sent now, by window and by rate. */
static unsigned allowed(unsigned sent, uint64_t begin)
{
    unsigned out = sent - atomic_load(&shared->received);
    unsigned n = out < setting[WINDOW] ? setting[WINDOW] - out : 0;
    if (setting[RATE]) {
        uint64_t due = (uint64_t)((double)(mono_ns() - begin) / 1e9 * setting[RATE]) + 1;
        if (due <= sent)
            return 0;
        n = due - sent < n ? (unsigned)(due - sent) : n;
    }
    return n < setting[MESSAGES] - sent ? n : setting[MESSAGES] - sent;
}

static void send_all(struct world *w, struct link *links, uint64_t begin)
{
    unsigned sent = 0, next = 0, turns = 0;
    uint64_t moved = begin;
    while (sent < setting[MESSAGES]) {
        unsigned n = allowed(sent, begin);
        unsigned least = setting[PACK] < setting[MESSAGES] - sent ? setting[PACK] : setting[MESSAGES] - sent;
        struct link *l = &links[next];
        if (++turns % 64 == 0 || n < least)
            world_step(w, 0);
        if (n < least || link_waiting(l) > 262144) {
            if (mono_ns() - moved > UINT64_C(5000000000))
                die("nothing moves: %u sent, %u received", sent, atomic_load(&shared->received));
            usleep(20);
            continue;
        }
        message_put(l, 0, least);
        link_flush(l);
        sent += least;
        next = (next + 1) % setting[SENDERS];
        moved = mono_ns();
    }
    for (uint64_t end = mono_ns() + 500000000; mono_ns() < end;) {
        unsigned before = atomic_load(&shared->received);
        world_step(w, 2);
        if (before == sent)
            break;
        if (atomic_load(&shared->received) != before)
            end = mono_ns() + 500000000;
    }
}

static void on_nothing(void *user, struct link *l, const uint8_t *content, size_t size)
{
}

void run_flood(const struct world *from, int pid)
{
    struct world w = *from;
    bool commands = setting[COMMANDS_US] != 0;
    size_t size = sizeof(*shared) + setting[MESSAGES] * sizeof(uint32_t);
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("out of memory");
    memset(shared, 0, size);
    pid_t receiver = begin_process();
    if (receiver == 0)
        receive(&w);
    pid_t commander = commands ? begin_process() : 0;
    if (commands && commander == 0)
        command(&w);
    struct link *links = calloc(setting[SENDERS], sizeof(*links));
    w.on_message = on_nothing;
    world_init(&w);
    for (unsigned i = 0; i < setting[SENDERS]; i++) {
        link_open(&w, &links[i], i + 1, ERAB_LANES_TELEMETRY);
        if (i % 40 == 39)
            link_wait_up(&w, links, i + 1);
    }
    link_wait_up(&w, links, setting[SENDERS]);
    for (int i = 0; atomic_load(&shared->up) < (commands ? 2u : 1u); i++) {
        if (i > 10000)
            die("the receiver is not up");
        world_step(&w, 1);
    }
    uint64_t cpu = server_cpu_ns(pid), begin = mono_ns();
    send_all(&w, links, begin);
    cpu = server_cpu_ns(pid) - cpu;
    unsigned received = atomic_load(&shared->received);
    double seconds = (double)(atomic_load(&shared->last_ns) - begin) / 1e9;
    kill(receiver, SIGKILL);
    waitpid(receiver, NULL, 0);
    if (commander) {
        kill(commander, SIGKILL);
        waitpid(commander, NULL, 0);
    }
    printf("{\"seconds\": %.3f, \"sent\": %u, \"received\": %u, \"lost\": %d, \"per_second\": %.0f, \"cpu_us\": %.3f",
           seconds, setting[MESSAGES], received, (int)(setting[MESSAGES] - received), received / seconds,
           (double)cpu / 1e3 / (received ? received : 1));
    print_percentiles("", shared->taken_us, received < setting[MESSAGES] ? received : setting[MESSAGES]);
    if (commands)
        print_percentiles("command_", shared->command_us, atomic_load(&shared->commands));
    printf("}\n");
    free(links);
}
