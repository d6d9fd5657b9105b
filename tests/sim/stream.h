/* A simulated connection, as stream.c (bytes) and connect.c (opening and closing) know it. */
#ifndef ERAB_SIM_STREAM_H
#define ERAB_SIM_STREAM_H

#include <sys/queue.h>

#include "sim.h"

enum { STREAM = 2 }; /* of u.reserved */
enum { WINDOW = 65536 };

enum piece_kind { DATA, END, RESET };

struct piece {
    STAILQ_ENTRY(piece) entry;
    enum piece_kind kind;
    uint64_t at_us, sent_us;
    size_t size, used;
    uint8_t bytes[];
};

struct writing {
    STAILQ_ENTRY(writing) entry;
    uv_write_t *request;
    uv_write_cb done;
    const uint8_t *at;
    size_t left;
};

struct stream {
    LIST_ENTRY(stream) entry;
    STAILQ_ENTRY(stream) waiting; /* in its listener, until accepted */
    uint32_t number;
    struct sim_node *node;
    uv_stream_t *handle; /* NULL: closed, or not yet accepted */
    struct stream *peer;
    bool listening, reading, connected, linger_none, ended, shut, delivering;
    char address[128];
    uv_connection_cb on_connection;
    STAILQ_HEAD(, stream) backlog;
    STAILQ_HEAD(, piece) in;
    size_t in_bytes;
    uint64_t last_at_us; /* nothing overtakes on one connection */
    uv_alloc_cb alloc;
    uv_read_cb read;
    STAILQ_HEAD(, writing) out;
    size_t out_bytes;
    uv_shutdown_t *shutdown;
    uv_shutdown_cb on_shut;
    uv_connect_t *connect;
    uv_connect_cb on_connect;
    unsigned refs; /* the handle, the peer, events */
};

struct network {
    LIST_HEAD(, stream) all;
    uint64_t held_until_us[SIM_NODES][SIM_NODES];
    uint32_t latency_us;
    uint32_t made;
    uint64_t read_sent_us;
    struct sim_tap tap;
};
extern struct network sim_net;


struct stream *sim_stream_new(struct sim_node *node, uv_stream_t *handle);
void sim_stream_unref(struct stream *s);
struct stream *sim_stream_of(const void *handle);
uint64_t sim_arrival(const struct sim_node *from, const struct sim_node *to);
/* Runs fn on the stream's node; it owns a reference. */
void sim_stream_at(struct stream *s, uint64_t at_us, void (*fn)(void *arg));
/* Something on its way to this end. */
void sim_stream_put(struct stream *to, enum piece_kind kind, const uint8_t *data, size_t size,
                    const struct sim_node *from);
void sim_stream_drop_input(struct stream *s);
void sim_stream_detach(struct stream *s);
void sim_stream_tear(struct stream *s);

#endif
