/* One connection of a load generator, to any of the four systems: our broker, a bare CURVE ROUTER, nats-server,
 * mosquitto. Non-blocking sockets under one epoll, no threads, one write for each flush: what a generator costs
 * beside its protocol is the same for all. */
#ifndef ERABI_BENCH_LINK_H
#define ERABI_BENCH_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include <erab/identity.h>

#include "bare.h"
#include "transport/curve.h"
#include "wire/wire.h"

enum kind { OURS, BARE, NATS, MQTT };

struct world;

struct link {
    struct world *world;
    struct link *next; /* of the world */
    unsigned number;
    enum erab_lane_group group; /* ours only */
    int fd;
    bool up, failed;
    uint64_t seq, pinged_ns;
    struct erabi_zmtp zmtp;
    struct erabi_curve curve;
    uint8_t secret[ERAB_KEY_SIZE];
    SSL *ssl;
    unsigned stage;
    uint8_t *out, *in;
    size_t out_size, out_used, out_gone, in_size, in_used;
};

struct world {
    enum kind kind;
    char host[64];
    unsigned port;
    const char *certificates; /* folder with ca.pem, client.pem, client.key */
    uint8_t server_key[ERAB_KEY_SIZE];
    SSL_CTX *tls;
    int epoll;
    struct link *links;
    uint64_t pinged_ns;
    unsigned members;       /* controllers in our broker's configuration */
    /* A packet (ours), a body (others); `content` is borrowed. */
    void (*on_message)(void *user, struct link *link, const uint8_t *content, size_t size);
    void (*on_ack)(void *user, struct link *link, unsigned n); /* of durable messages */
    void *user;
};

void world_init(struct world *w);
/* Begins to connect; link_wait_up goes on until all are up and ends the program when one is not in time. */
void link_open(struct world *w, struct link *l, unsigned number, enum erab_lane_group group);
void link_wait_up(struct world *w, struct link *links, unsigned n);
/* Handles what has come; waits for at most timeout_ms. */
void world_step(struct world *w, int timeout_ms);
/* Bytes behind what waits already (TLS), or one sealed packet (CURVE). */
void link_put(struct link *l, const void *bytes, size_t size);
void link_flush(struct link *l);
size_t link_waiting(const struct link *l);
/* Of link_tls.c. */
void tls_begin(struct link *l);
void tls_step(struct link *l);
/* Puts one message of `size` bytes to the receiver `to` ("all": UINT32_MAX). `id` of an acknowledged one, 0: none. */
void tls_publish(struct link *l, unsigned to, const uint8_t *body, size_t size, unsigned id);
void put_raw(struct link *l, const void *bytes, size_t size);
uint8_t *in_room(struct link *l, size_t n);

/* Names and keys of parties follow from their numbers. Number 0 is birch, who sends orders and takes telemetry;
 * the others are controllers. */
void party_name(unsigned number, char name[16]);
void party_identity(unsigned number, struct erab_identity *out);

uint64_t mono_ns(void);
uint64_t wall_ms(void);
_Noreturn void die(const char *format, ...);

#endif
