/* One transport on a loop, an honest libzmq client beside, and raw clients that do what libzmq never would. The
 * same code runs with the broker's own transport and with the ROUTER one. */
#ifndef ERABI_TEST_STAGE_H
#define ERABI_TEST_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/curve_ends.h"
#include "../support/transport_kind.h"
#include "transport/transport.h"

struct stage {
    uv_loop_t loop;
    struct erabi_transport *transport;
    struct erabi_listener *listener;
    struct keys keys;      /* the server's, and the attackers' */
    struct keys bystander; /* the same server's, and the honest client's */
    void *zmq, *honest;
    enum erabi_admission verdict; /* for the attackers' key */
    bool mute;                    /* attackers get no echo */
    unsigned keys_seen, opened, packets, closed; /* of attackers */
    unsigned heard;                             /* of the bystander */
    enum erab_reason reason;                    /* of the last end */
    char detail[64];
    struct erabi_connection *last;
    uv_timer_t guard;
    uint64_t give_up_ms;
    int guards;
    bool timed_out, stopped;
};

/* Runs the loop until the condition holds; the guard ends a test that has failed already. */
#define STAGE_UNTIL(s, condition)                                                                             \
    do {                                                                                                      \
        bool _met;                                                                                            \
        stage_guard((s), true);                                                                               \
        while (!(_met = (condition)) && !(s)->timed_out)                                                      \
            uv_run(&(s)->loop, UV_RUN_ONCE);                                                                  \
        stage_guard((s), false);                                                                              \
        if (!_met)                                                                                            \
            fail_msg("never so: %s (opened %u, packets %u, ended %u, %s)", #condition, (s)->opened,          \
                     (s)->packets, stage_ended(s), erab_reason_code((s)->reason));                                \
    } while (0)

/* Connections of attackers that came to their end, before or after they were open. */
unsigned stage_ended(const struct stage *s);
/* Bytes of heap in use; 0 under AddressSanitizer, which has a heap of its own. */
size_t stage_memory(void);
void stage_guard(struct stage *s, bool on);
struct stage *stage_new(const struct erabi_transport_limits *limits);
/* Ends everything and checks that nothing stays open. */
void stage_free(struct stage *s);
/* The honest client says a word and waits for its echo. Its address is 127.0.0.2, so that what 127.0.0.1 has used
 * up of its allowance is not its own. */
void stage_bystander_is_served(struct stage *s);

/* A TCP connection from 127.0.0.1. */
int stage_connect(struct stage *s);
int stage_try_connect(struct stage *s); /* or -1 without a descriptor */
/* A listening socket for those who dial, with its endpoint; and the next of them. */
int stage_listen(char endpoint[64]);
int stage_accept(struct stage *s, int listening);
/* Sends all, running the loop while the way is full. False when the other end is gone. */
bool stage_write(struct stage *s, int fd, const void *bytes, size_t size);
/* Throws away what came; true when the other end has closed or reset. */
bool stage_gone(int fd);

/* A raw client: a right one unless told otherwise. */
struct raw {
    struct stage *stage;
    int fd;
    struct end end;
    bool gone, deaf;     /* deaf: reads nothing */
    unsigned chunk;      /* frames written: 0 greeting, 1 HELLO, 2 INITIATE, then messages */
    unsigned spoil;      /* chunk in which one bit is flipped; 0 none */
    size_t spoil_at;     /* counted from the frame's first byte */
    unsigned hold;       /* chunk that is not sent at all; 0 none */
    uint8_t log[4096];   /* what was sent, for replay */
    size_t logged;
};

/* With the keys of the stage, or with these. */
struct raw *raw_new(struct stage *s, const struct keys *keys);
/* The server's side of a connection that was accepted. */
struct raw *raw_serve(struct stage *s, int fd);
void raw_free(struct raw *r);
/* Reads what has come and sends what is due. */
bool raw_step(struct raw *r);
/* Through the handshake; the connection is up for this end. */
void raw_enter(struct raw *r);
/* One packet, or anything with these outer and inner flags; false when the other end is gone. */
bool raw_packet(struct raw *r, const void *content, size_t size);
bool raw_message(struct raw *r, uint8_t outer, uint8_t inner, const void *content, size_t size);

#endif
