/* The modes of the load generator, and what they share. */
#ifndef ERABI_BENCH_LOAD_H
#define ERABI_BENCH_LOAD_H

#include <unistd.h>

#include "message.h"

enum { SENDERS, MESSAGES, PACK, WINDOW, RATE, PEERS, ROUNDS, COMMANDS_US, SETTINGS };
extern unsigned setting[SETTINGS];

uint64_t server_cpu_ns(int pid);
size_t server_memory(int pid);
/* Sorts; prints `, "PREFIXn": ..., "PREFIXp50_us": ...`. */
void print_percentiles(const char *prefix, uint32_t *tenth_us, size_t n);

/* Each prints one JSON object and returns, or ends the program. `w` is copied. */
void run_flood(const struct world *w, int pid);
void run_roundtrip(const struct world *w, int pid);
void run_fanout(const struct world *w, int pid);
void run_idle(const struct world *w, int pid);
void run_durable(const struct world *w, int pid);

#endif
