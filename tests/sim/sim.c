#include "sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

enum { CLOSING = 1, ACTIVE = 2 };
enum { EVENT = 0, REPEAT = 1 }; /* of u.reserved */

#define EPOCH_MS UINT64_C(1800000000000) /* wall clock at the start of a run */
#define BOOT_MS  UINT64_C(1000000)       /* the others */

struct sim_event {
    uint64_t at_us, order;
    struct sim_node *node;
    void (*fn)(void *arg);
    void *arg;
    bool cancelled;
};

static struct {
    uint64_t now_us, order;
    uint64_t state; /* of the random numbers */
    struct sim_node *current;
    struct sim_event **heap;
    size_t n, room;
} sim;

/* ---- chance ---- */

static uint64_t next_random(void)
{
    /* splitmix64 */
    uint64_t z = (sim.state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint32_t sim_random(uint32_t n)
{
    return (uint32_t)(next_random() % n);
}

bool sim_chance(uint32_t n)
{
    return sim_random(n) == 0;
}

static const char *random_name(void)
{
    return "simulated";
}

static uint32_t random_u32(void)
{
    return (uint32_t)next_random();
}

static void random_bytes(void *const out, const size_t size)
{
    uint8_t *at = out;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)next_random();
}

static struct randombytes_implementation source = {
    .implementation_name = random_name, .random = random_u32, .buf = random_bytes};

/* ---- time ---- */

uint64_t sim_us(void)
{
    return sim.now_us;
}

uint64_t sim_wall_ms(const struct sim_node *node)
{
    return EPOCH_MS + sim.now_us / 1000 + (uint64_t)(node ? node->skew_ms : 0);
}

/* In place of the C library's: everything under test reads the clock by this. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    uint64_t us = sim.now_us + BOOT_MS * 1000;
    if (clock == CLOCK_REALTIME)
        us = sim_wall_ms(sim.current) * 1000 + sim.now_us % 1000;
    *out = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
    return 0;
}

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return BOOT_MS + sim.now_us / 1000;
}

void uv_update_time(uv_loop_t *loop)
{
    (void)loop; /* it is always right */
}

/* ---- events: a heap by time, then by the order of their making ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_swap(size_t a, size_t b)
{
    struct sim_event *t = sim.heap[a];
    sim.heap[a] = sim.heap[b];
    sim.heap[b] = t;
}

struct sim_event *sim_schedule(struct sim_node *node, uint64_t at_us, void (*fn)(void *arg), void *arg)
{
    struct sim_event *e = calloc(1, sizeof(*e));
    if (sim.n == sim.room) {
        sim.room = sim.room ? sim.room * 2 : 256;
        sim.heap = realloc(sim.heap, sim.room * sizeof(*sim.heap));
    }
    assert(e && sim.heap);
    *e = (struct sim_event){at_us > sim.now_us ? at_us : sim.now_us, ++sim.order, node, fn, arg, false};
    size_t i = sim.n++;
    sim.heap[i] = e;
    for (; i && before(sim.heap[i], sim.heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_swap(i, (i - 1) / 2);
    return e;
}

static struct sim_event *heap_pop(void)
{
    struct sim_event *first = sim.heap[0];
    sim.heap[0] = sim.heap[--sim.n];
    for (size_t i = 0;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t k = left; k <= left + 1 && k < sim.n; k++)
            if (before(sim.heap[k], sim.heap[least]))
                least = k;
        if (least == i)
            return first;
        heap_swap(i, least);
        i = least;
    }
}

void sim_cancel(struct sim_event *event)
{
    if (event)
        event->cancelled = true;
}

void sim_at(struct sim_node *node, uint64_t at_us, void (*fn)(void *arg), void *arg)
{
    sim_schedule(node, at_us, fn, arg);
}

/* ---- a turn of a loop ---- */

static void run_hooks(struct sim_hooks *hooks, int kind)
{
    for (unsigned i = hooks->n; i-- > 0;) {
        uv_handle_t *h = i < hooks->n ? hooks->handle[i] : NULL;
        if (!h || !(h->flags & ACTIVE))
            continue;
        if (kind == UV_IDLE)
            ((uv_idle_t *)h)->idle_cb((uv_idle_t *)h);
        else if (kind == UV_PREPARE)
            ((uv_prepare_t *)h)->prepare_cb((uv_prepare_t *)h);
        else
            ((uv_check_t *)h)->check_cb((uv_check_t *)h);
    }
}

static void nothing(void *arg)
{
    ((struct sim_node *)arg)->spinning = false;
}

static void run_closing(struct sim_node *node)
{
    while (node->closing) {
        uv_handle_t *h = node->closing;
        node->closing = h->next_closing;
        if (h->close_cb)
            h->close_cb(h);
    }
}

void sim_turn(struct sim_node *node, void (*fn)(void *arg), void *arg)
{
    struct sim_node *outer = sim.current;
    sim.current = node;
    run_hooks(&node->idle, UV_IDLE);
    run_hooks(&node->prepare, UV_PREPARE);
    fn(arg);
    run_hooks(&node->check, UV_CHECK);
    run_closing(node);
    bool busy = false;
    for (unsigned i = 0; i < node->idle.n; i++)
        busy = busy || (node->idle.handle[i]->flags & ACTIVE);
    if ((busy || node->closing) && !node->spinning) {
        node->spinning = true;
        sim_schedule(node, sim.now_us, nothing, node);
    }
    sim.current = outer;
}

bool sim_step(void)
{
    if (sim.n == 0)
        return false;
    struct sim_event *e = heap_pop();
    if (!e->cancelled) {
        sim.now_us = e->at_us;
        sim_turn(e->node, e->fn, e->arg);
    }
    free(e);
    return true;
}

void sim_run(uint64_t until_us)
{
    while (sim.n && sim.heap[0]->at_us <= until_us)
        sim_step();
    sim.now_us = until_us;
}

struct sim_node *sim_node_of(const uv_loop_t *loop)
{
    return (struct sim_node *)(uintptr_t)loop;
}

struct sim_node *sim_current(void)
{
    return sim.current;
}

void sim_node_init(struct sim_node *node, unsigned index)
{
    *node = (struct sim_node){.index = index};
}

void sim_start(uint64_t seed)
{
    sim_end();
    sim.now_us = sim.order = 0;
    sim.state = seed * UINT64_C(0xD1342543DE82EF95) + 1;
    randombytes_set_implementation(&source);
}

void sim_end(void)
{
    while (sim.n)
        free(heap_pop());
    free(sim.heap);
    sim.heap = NULL;
    sim.room = 0;
    sim_streams_end();
}

/* ---- libuv: handles ---- */

static void handle_init(uv_loop_t *loop, uv_handle_t *h, uv_handle_type type)
{
    h->loop = loop;
    h->type = type;
    h->flags = 0;
    h->close_cb = NULL;
    memset(&h->u, 0, sizeof(h->u));
}

int uv_is_active(const uv_handle_t *h)
{
    return (h->flags & ACTIVE) != 0;
}

int uv_is_closing(const uv_handle_t *h)
{
    return (h->flags & CLOSING) != 0;
}

void uv_unref(uv_handle_t *h)
{
    (void)h; /* a node's loop ends when the run says so */
}

static void unhook(struct sim_hooks *hooks, const uv_handle_t *h)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < hooks->n; i++)
        if (hooks->handle[i] != h)
            hooks->handle[kept++] = hooks->handle[i];
    hooks->n = kept;
}

void uv_close(uv_handle_t *h, uv_close_cb done)
{
    struct sim_node *node = sim_node_of(h->loop);
    assert(!(h->flags & CLOSING));
    h->flags = CLOSING;
    h->close_cb = done;
    if (h->type == UV_TIMER || h->type == UV_ASYNC)
        sim_cancel(h->u.reserved[EVENT]);
    if (h->type == UV_TCP || h->type == UV_NAMED_PIPE)
        sim_stream_close(h);
    unhook(&node->idle, h);
    unhook(&node->prepare, h);
    unhook(&node->check, h);
    h->next_closing = node->closing;
    node->closing = h;
    if (!node->spinning) {
        node->spinning = true;
        sim_schedule(node, sim.now_us, nothing, node);
    }
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *t)
{
    handle_init(loop, (uv_handle_t *)t, UV_TIMER);
    return 0;
}

static void on_timer(void *arg)
{
    uv_timer_t *t = arg;
    uint64_t repeat = (uint64_t)(uintptr_t)t->u.reserved[REPEAT];
    t->flags &= ~(unsigned)ACTIVE;
    t->u.reserved[EVENT] = NULL;
    if (repeat)
        uv_timer_start(t, t->timer_cb, repeat, repeat);
    t->timer_cb(t);
}

int uv_timer_stop(uv_timer_t *t)
{
    sim_cancel(t->u.reserved[EVENT]);
    t->u.reserved[EVENT] = NULL;
    t->flags &= ~(unsigned)ACTIVE;
    return 0;
}

int uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t delay, uint64_t repeat)
{
    if (t->flags & CLOSING)
        return UV_EINVAL;
    uv_timer_stop(t);
    t->timer_cb = fn;
    t->flags |= ACTIVE;
    t->u.reserved[REPEAT] = (void *)(uintptr_t)repeat;
    t->u.reserved[EVENT] = sim_schedule(sim_node_of(t->loop), sim.now_us + delay * 1000, on_timer, t);
    return 0;
}

#define HOOK(word, Type)                                                                                     \
    int uv_##word##_init(uv_loop_t *loop, uv_##word##_t *h)                                                  \
    {                                                                                                        \
        handle_init(loop, (uv_handle_t *)h, Type);                                                           \
        return 0;                                                                                            \
    }                                                                                                        \
    int uv_##word##_start(uv_##word##_t *h, uv_##word##_cb fn)                                               \
    {                                                                                                        \
        struct sim_hooks *hooks = &sim_node_of(h->loop)->word;                                               \
        unhook(hooks, (uv_handle_t *)h);                                                                     \
        assert(hooks->n < sizeof(hooks->handle) / sizeof(hooks->handle[0]));                                 \
        hooks->handle[hooks->n++] = (uv_handle_t *)h;                                                        \
        h->word##_cb = fn;                                                                                   \
        h->flags |= ACTIVE;                                                                                  \
        return 0;                                                                                            \
    }                                                                                                        \
    int uv_##word##_stop(uv_##word##_t *h)                                                                   \
    {                                                                                                        \
        unhook(&sim_node_of(h->loop)->word, (uv_handle_t *)h);                                               \
        h->flags &= ~(unsigned)ACTIVE;                                                                       \
        return 0;                                                                                            \
    }
HOOK(idle, UV_IDLE)
HOOK(prepare, UV_PREPARE)
HOOK(check, UV_CHECK)

int uv_async_init(uv_loop_t *loop, uv_async_t *a, uv_async_cb fn)
{
    handle_init(loop, (uv_handle_t *)a, UV_ASYNC);
    a->async_cb = fn;
    return 0;
}

static void on_async(void *arg)
{
    uv_async_t *a = arg;
    a->u.reserved[EVENT] = NULL;
    a->async_cb(a);
}

int uv_async_send(uv_async_t *a)
{
    if (!a->u.reserved[EVENT] && !(a->flags & CLOSING))
        a->u.reserved[EVENT] = sim_schedule(sim_node_of(a->loop), sim.now_us, on_async, a);
    return 0;
}
