/* The simulated machine under the broker: libuv's calls, the clocks and the random numbers, all of one seed. Programs
 * that link sim.c, stream.c and worker.c in place of libuv run their own code unchanged, in virtual time, on nodes that
 * are joined by a network which delays, splits, holds and breaks. One thread; the same seed runs the same way. */
#ifndef ERAB_SIM_H
#define ERAB_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#define SIM_NODES 12

/* One computer: a loop, a clock with its error. */
struct sim_node {
    uv_loop_t uv; /* first: handles find their node by it */
    unsigned index;
    int64_t skew_ms; /* of the wall clock */
    bool dead;       /* crashed: it runs on to free itself, but nobody hears it */
    bool spinning;
    uv_handle_t *closing;
    struct sim_hooks {
        uv_handle_t *handle[64];
        unsigned n;
    } idle, prepare, check;
};

/* Begins a run. */
void sim_start(uint64_t seed);
/* Ends it: every event left is dropped. */
void sim_end(void);
void sim_node_init(struct sim_node *node, unsigned index);
/* The node's connections break, its listeners are gone, what it sends from now on is lost. */
void sim_node_crash(struct sim_node *node);

/* From 0 to n - 1. */
uint32_t sim_random(uint32_t n);
/* True once in n times. */
bool sim_chance(uint32_t n);
uint64_t sim_us(void);
uint64_t sim_wall_ms(const struct sim_node *node);
/* Runs fn(arg) on the node at this time. */
void sim_at(struct sim_node *node, uint64_t at_us, void (*fn)(void *arg), void *arg);
/* A turn of the node's loop around fn(arg), now. */
void sim_turn(struct sim_node *node, void (*fn)(void *arg), void *arg);
/* Runs events up to and with this time. */
void sim_run(uint64_t until_us);
/* Runs the next event whatever its time; false: there is none. */
bool sim_step(void);

/* ---- the network ---- */

/* Nothing passes between the two nodes until then (it waits, as behind a dead router). */
void sim_partition(unsigned a, unsigned b, uint64_t until_us);
/* Every connection between the two breaks at both ends. */
void sim_break(unsigned a, unsigned b);
/* Delays of the network: from 50 us to this. */
void sim_set_latency(uint32_t most_us);

/* What the bytes now being read were sent at, and whether anything was ever held back on this connection. */
uint64_t sim_read_sent_us(void);

/* Sees every byte that leaves a node for another. */
struct sim_tap {
    void (*bytes)(void *user, uint32_t stream, unsigned from, unsigned to, const uint8_t *data, size_t size);
    void *user;
};
void sim_set_tap(const struct sim_tap *tap);

/* Between sim.c and stream.c. */
void sim_stream_close(uv_handle_t *handle);
void sim_streams_end(void);
struct sim_event;
struct sim_event *sim_schedule(struct sim_node *node, uint64_t at_us, void (*fn)(void *arg), void *arg);
void sim_cancel(struct sim_event *event);
struct sim_node *sim_node_of(const uv_loop_t *loop);
/* Whose turn it is. */
struct sim_node *sim_current(void);

#endif
