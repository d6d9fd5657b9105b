/* Round trips, fan-outs, idle peers, durable messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct count {
    unsigned arrived, acked;
};

static void on_one(void *user, struct link *l, const uint8_t *content, size_t size)
{
    uint64_t sent_ns;
    ((struct count *)user)->arrived += message_count(l, content, size, &sent_ns);
}

/* One message at a time from one connection through the server to another connection of this very thread. */
void run_roundtrip(const struct world *from, int pid)
{
    struct world w = *from;
    struct count count = {0};
    struct link l[2];
    unsigned n = setting[MESSAGES];
    uint32_t *times = calloc(n, sizeof(*times));
    w.on_message = on_one;
    w.user = &count;
    world_init(&w);
    link_open(&w, &l[0], 0, ERAB_LANES_TELEMETRY);
    link_open(&w, &l[1], 1, ERAB_LANES_TELEMETRY);
    link_wait_up(&w, l, 2);
    for (unsigned i = 0; i < n + 200; i++) { /* the first 200 warm up */
        uint64_t begin = mono_ns();
        unsigned before = count.arrived;
        message_put(&l[1], 0, 1);
        link_flush(&l[1]);
        while (count.arrived == before) {
            world_step(&w, 1000);
            if (mono_ns() - begin > UINT64_C(5000000000))
                die("message %u did not come", i);
        }
        if (i >= 200)
            times[i - 200] = (uint32_t)((mono_ns() - begin) / 100);
    }
    printf("{\"pid\": %d", pid);
    print_percentiles("", times, n);
    printf("}\n");
    free(times);
}

struct fan {
    unsigned arrived;
    struct erabi_slice *kept; /* what each peer has to answer, ours only */
};

static void on_fan(void *user, struct link *l, const uint8_t *content, size_t size)
{
    struct fan *fan = user;
    uint64_t sent_ns;
    if (l->world->kind != OURS) {
        fan->arrived += message_count(l, content, size, &sent_ns);
    } else if (l->number == 0) {
        receipts_accepted(l, content, size);
    } else {
        if (orders_count(content, size) == 0)
            return;
        uint8_t *copy = malloc(size);
        if (!copy || fan->kept[l->number].data)
            die("peer %u was sent more than one order", l->number);
        memcpy(copy, content, size);
        fan->kept[l->number] = erabi_slice(copy, size);
        fan->arrived++;
    }
}

static void answer_all(struct world *w, struct fan *fan, struct link *links, unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        if (fan->kept[i].data) {
            orders_answer(&links[i], fan->kept[i].data, fan->kept[i].size);
            link_flush(&links[i]);
            free((void *)(uintptr_t)fan->kept[i].data);
            fan->kept[i] = erabi_slice(NULL, 0);
        }
    for (uint64_t end = mono_ns() + 300000000; mono_ns() < end;)
        world_step(w, 10);
}

/* One message to each peer: the time until the last one has it. Ours: an order signed and stored; the peers answer
 * DELIVERED once the last one has it. */
void run_fanout(const struct world *from, int pid)
{
    struct world w = *from;
    unsigned n = setting[PEERS];
    struct fan fan = {0, calloc(n + 1, sizeof(*fan.kept))};
    struct link *links = calloc(n + 1, sizeof(*links));
    struct erab_identity birch = {0};
    struct order order;
    uint32_t *times = calloc(setting[ROUNDS], sizeof(*times));
    party_identity(0, &birch);
    w.on_message = on_fan;
    w.user = &fan;
    world_init(&w);
    for (unsigned i = 0; i <= n; i++) {
        link_open(&w, &links[i], i, ERAB_LANES_COMMAND);
        if (i % 100 == 99 || i == n)
            link_wait_up(&w, links, i + 1);
    }
    answer_all(&w, &fan, links, n);
    uint64_t cpu = server_cpu_ns(pid), used = 0;
    for (unsigned r = 0; r < setting[ROUNDS]; r++) {
        fan.arrived = 0;
        order_make(&order, UINT32_MAX, (unsigned)getpid() * 100 + r, birch.sign_secret);
        cpu = server_cpu_ns(pid);
        uint64_t begin = mono_ns();
        if (w.kind == OURS)
            orders_put(&links[0], &order, 1);
        else
            message_put(&links[0], UINT32_MAX, 1);
        link_flush(&links[0]);
        while (fan.arrived < n + (w.kind == NATS || w.kind == MQTT)) { /* there the sender is one of all, too */
            world_step(&w, 1000);
            if (mono_ns() - begin > UINT64_C(10000000000))
                die("only %u of %u have it", fan.arrived, n);
        }
        times[r] = (uint32_t)((mono_ns() - begin) / 100);
        used += server_cpu_ns(pid) - cpu;
        answer_all(&w, &fan, links, n);
    }
    printf("{\"peers\": %u, \"cpu_ms\": %.2f", n, (double)used / 1e6 / setting[ROUNDS]);
    print_percentiles("", times, setting[ROUNDS]);
    printf("}\n");
}

static void on_idle(void *user, struct link *l, const uint8_t *content, size_t size)
{
}

/* What a connected peer that says nothing costs; ours has both its connections. */
void run_idle(const struct world *from, int pid)
{
    struct world w = *from;
    unsigned n = setting[PEERS], each = w.kind == OURS ? 2 : 1;
    struct link *links = calloc((size_t)n * each, sizeof(*links));
    w.on_message = on_idle;
    world_init(&w);
    size_t before = server_memory(pid);
    for (unsigned i = 0; i < n * each; i++) {
        link_open(&w, &links[i], 1 + i % n, i < n ? ERAB_LANES_COMMAND : ERAB_LANES_TELEMETRY);
        if (i % 100 == 99 || i == n * each - 1)
            link_wait_up(&w, links, i + 1);
    }
    for (uint64_t end = mono_ns() + 1000000000; mono_ns() < end;)
        world_step(&w, 10);
    size_t after = server_memory(pid);
    printf("{\"peers\": %u, \"connections\": %u, \"bytes_per_peer\": %.0f, \"before\": %zu, \"after\": %zu}\n", n, n * each,
           ((double)after - (double)before) / n, before, after);
}

/* ---- durable ---- */

#define CONTROLLERS 16u

static void on_durable(void *user, struct link *l, const uint8_t *content, size_t size)
{
    struct count *count = user;
    if (l->world->kind != OURS) {
        count->arrived++;
    } else if (l->number == 0) {
        count->acked += receipts_accepted(l, content, size);
    } else {
        count->arrived += orders_answer(l, content, size);
        link_flush(l);
    }
}

static void on_ack(void *user, struct link *l, unsigned n)
{
    if (n == 0)
        die("the stream refused a message");
    ((struct count *)user)->acked += n;
}

static void make_stream(struct world *w, struct link *l, struct count *count)
{
    char stream[128], line[256];
    snprintf(stream, sizeof(stream), "{\"name\":\"L%d\",\"subjects\":[\"durable\"],\"storage\":\"file\",\"max_age\":0}", getpid());
    snprintf(line, sizeof(line), "PUB $JS.API.STREAM.CREATE.L%d ack.0 %zu\r\n%s\r\n", getpid(), strlen(stream), stream);
    put_raw(l, line, strlen(line));
    link_flush(l);
    while (count->acked == 0)
        world_step(w, 1000);
    count->acked = 0;
}

static unsigned put_durable(struct link *l, const struct order *orders, unsigned at, unsigned n)
{
    static uint8_t body[512];
    if (l->world->kind == OURS) {
        orders_put(l, orders + at, n);
        return n;
    }
    for (unsigned i = 0; i < n; i++)
        tls_publish(l, 1, body, sizeof(body), 1 + (at + i) % 65535);
    return n;
}

/* Messages that are told to be kept; at most `window` without an answer. Ours: signed orders to 16 controllers, who
 * answer each; signed before the clock starts. */
void run_durable(const struct world *from, int pid)
{
    struct world w = *from;
    struct count count = {0};
    struct link l[CONTROLLERS + 1];
    struct erab_identity birch = {0};
    unsigned n = setting[MESSAGES], sent = 0;
    unsigned links = w.kind == OURS ? CONTROLLERS + 1 : w.kind == MQTT ? 2 : 1;
    struct order *orders = w.kind == OURS ? calloc(n, sizeof(*orders)) : NULL;
    party_identity(0, &birch);
    for (unsigned i = 0; orders && i < n; i++)
        order_make(&orders[i], 1 + i % CONTROLLERS, i, birch.sign_secret);
    w.on_message = on_durable;
    w.on_ack = on_ack;
    w.user = &count;
    world_init(&w);
    for (unsigned i = 0; i < links; i++)
        link_open(&w, &l[i], i, ERAB_LANES_COMMAND);
    link_wait_up(&w, l, links);
    if (w.kind == NATS)
        make_stream(&w, &l[0], &count);
    uint64_t cpu = server_cpu_ns(pid), begin = mono_ns(), heard = begin;
    for (unsigned before = 0; count.acked < n; before = count.acked) {
        unsigned pack = setting[PACK] < n - sent ? setting[PACK] : n - sent;
        while (sent < n && sent - count.acked + pack <= setting[WINDOW] && link_waiting(&l[0]) < 262144) {
            sent += put_durable(&l[0], orders, sent, pack);
            link_flush(&l[0]);
            pack = setting[PACK] < n - sent ? setting[PACK] : n - sent;
        }
        world_step(&w, 1000);
        if (count.acked != before)
            heard = mono_ns();
        if (mono_ns() - heard > UINT64_C(10000000000))
            die("%u sent, %u kept, and then silence", sent, count.acked);
    }
    double seconds = (double)(mono_ns() - begin) / 1e9;
    printf("{\"messages\": %u, \"seconds\": %.3f, \"per_second\": %.0f, \"cpu_us\": %.2f}\n", n, seconds, n / seconds,
           (double)(server_cpu_ns(pid) - cpu) / 1e3 / n);
    free(orders);
}
