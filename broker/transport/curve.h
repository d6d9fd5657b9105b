/* CurveZMQ, both halves, as libzmq 4.3 speaks it. Pure: frames in, frames out, no I/O and no clock; random
 * bytes come from libsodium. Output always is whole ZMTP frames, heads included.
 *
 * Server: receive(HELLO) writes WELCOME; receive(INITIATE) returns KEY and waits for admit() or refuse().
 * Client: hello(); receive(WELCOME) writes INITIATE; receive(READY) returns OPEN.
 * Then seal(), ping() and pong() write, and receive() yields packets and pings. */
#ifndef ERABI_CURVE_H
#define ERABI_CURVE_H

#include "transport/zmtp.h"

#define ERABI_CURVE_KEY      32
#define ERABI_CURVE_OVERHEAD 33  /* of a MESSAGE body over its content */
#define ERABI_CURVE_REPLY    512 /* room that receive, admit and refuse need at most for one reply */
#define ERABI_PING_CONTEXT   16

struct erabi_curve_handshake; /* what is wiped and freed once the connection is up */

struct erabi_curve {
    bool server;
    uint8_t state;
    uint64_t sent;                     /* last counter used by us */
    uint64_t heard;                    /* last counter of the peer */
    uint8_t shared[ERABI_CURVE_KEY];   /* precomputed from (S', C') */
    uint8_t peer_key[ERABI_CURVE_KEY]; /* the peer's long-term key; the server knows it from KEY on */
    struct erabi_curve_handshake *handshake;
};

enum erabi_curve_step {
    ERABI_CURVE_QUIET,  /* nothing to do but to send what was written to `out` */
    ERABI_CURVE_KNOWN,  /* server: peer_key is proven; answer with admit or refuse */
    ERABI_CURVE_OPEN,   /* client: the server took us */
    ERABI_CURVE_PACKET, /* `content` is a packet */
    ERABI_CURVE_PING,   /* `content` is the context to send back with pong */
};

/* `secret` is borrowed until the handshake is over or deinit. 0 or -ENOMEM, -EINVAL. */
int erabi_curve_init_server(struct erabi_curve *c, const uint8_t public_key[ERABI_CURVE_KEY],
                            const uint8_t secret[ERABI_CURVE_KEY]);
int erabi_curve_init_client(struct erabi_curve *c, const uint8_t server_key[ERABI_CURVE_KEY],
                            const uint8_t secret[ERABI_CURVE_KEY]);
/* Server: another key pair that HELLO may be sealed to, borrowed like the first; NULL takes it away. */
void erabi_curve_also(struct erabi_curve *c, const uint8_t *public_key, const uint8_t *secret);
/* Wipes everything. Allowed twice, and on zeros. */
void erabi_curve_deinit(struct erabi_curve *c);

int erabi_curve_hello(struct erabi_curve *c, struct erabi_writer *out);
int erabi_curve_admit(struct erabi_curve *c, struct erabi_writer *out);
/* ERROR 400. Nothing may be received or sent afterwards. */
int erabi_curve_refuse(struct erabi_curve *c, struct erabi_writer *out);

/* `plain` has room for ERABI_ZMTP_BODY_MAX bytes, `content` points into it. Returns a step or -EPROTO with
 * `fault` filled; after a fault every further call fails too. */
int erabi_curve_receive(struct erabi_curve *c, const struct erabi_zmtp_frame *frame, uint8_t *plain,
                        struct erabi_writer *out, struct erabi_slice *content, struct erabi_fault *fault);

/* Frame size of a packet of this size. */
size_t erabi_curve_sealed_size(size_t size);
/* 0, -EPIPE when the connection is not up, -ENOSPC when `out` has too little room (then nothing is used). */
int erabi_curve_seal(struct erabi_curve *c, struct erabi_writer *out, const uint8_t *packet, size_t size);
int erabi_curve_ping(struct erabi_curve *c, struct erabi_writer *out, uint32_t ttl_ms);
int erabi_curve_pong(struct erabi_curve *c, struct erabi_writer *out, struct erabi_slice context);

#endif
