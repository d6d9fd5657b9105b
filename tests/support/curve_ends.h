/* Two ends of the transport's state machines in memory, and a rogue client that seals what it likes. */
#ifndef ERABI_TEST_CURVE_ENDS_H
#define ERABI_TEST_CURVE_ENDS_H

#include "transport/curve.h"

#define END_ROOM (4 * 65600)

struct end {
    struct erabi_zmtp zmtp;
    struct erabi_curve curve;
    uint8_t out[END_ROOM]; /* bytes for the other end */
    size_t used;
    uint8_t plain[ERABI_ZMTP_BODY_MAX];
    uint8_t last[ERABI_ZMTP_BODY_MAX]; /* the last packet */
    size_t last_size;
    unsigned packets, pings, known, opened;
    bool refuses;
    bool failed;
    struct erabi_fault fault;
};

struct keys {
    uint8_t server_public[32], server_secret[32], client_public[32], client_secret[32];
};

/* The same keys in every run. */
void keys_init(struct keys *k);
void end_init_server(struct end *e, const struct keys *k);
void end_init_client(struct end *e, const struct keys *k);
void end_deinit(struct end *e);
/* Gives bytes to this end as they might come from a socket. */
void end_feed(struct end *e, const uint8_t *bytes, size_t size);
void end_send(struct end *e, const void *packet, size_t size);
/* Carries everything between both in pieces of `chunk` bytes until nobody has anything to say. */
void ends_pump(struct end *a, struct end *b, size_t chunk);

/* A client made by hand from libsodium alone, so that every field can be wrong under a right seal. */
struct rogue {
    struct keys keys;
    uint8_t transient_public[32], transient_secret[32], server_transient[32], shared[32], cookie[96];
    uint64_t counter;
    /* HELLO */
    uint8_t hello_major, hello_minor, hello_padding, hello_content;
    /* INITIATE */
    uint8_t other_cookie, vouch_transient, vouch_server, vouch_box;
    struct erabi_slice metadata;
};

void rogue_init(struct rogue *r, const struct keys *k);
void rogue_greet(struct end *server);
void rogue_hello(struct rogue *r, struct end *server);
/* Reads the WELCOME that stands in the server's output. */
void rogue_take_welcome(struct rogue *r, struct end *server);
void rogue_initiate(struct rogue *r, struct end *server);
/* Greeting to INITIATE with nothing wrong: the server is up. */
void rogue_enter(struct rogue *r, struct end *server);
/* A MESSAGE with these inner flags and content, and the next counter. */
void rogue_message(struct rogue *r, struct end *server, uint8_t outer, uint8_t inner, const void *content,
                   size_t size);

#endif
