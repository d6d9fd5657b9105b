/* The broker's network: encrypted connections with known keys, packets in and out. Nothing above this
 * header sees ZMTP, CurveZMQ, sockets or libuv handles.
 *
 * All calls and callbacks happen on the loop thread. No call blocks. A callback may call anything here,
 * erabi_connection_cut() of its own connection included.
 *
 * Endpoints: "tcp://ADDRESS:PORT" (IPv6 in brackets; port 0 asks the kernel, see listener_endpoint) and
 * "ipc:///absolute/path" (mode 0600, a stale socket of a dead process is replaced, a live one is not). */
#ifndef ERABI_TRANSPORT_H
#define ERABI_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include <erab/reason.h>

#define ERABI_KEY_SIZE      32    /* X25519 public or secret key */
#define ERABI_PACKET_MAX    65503 /* so that the CURVE frame around it is at most 65,536 bytes */
#define ERABI_ENDPOINT_MAX  128
#define ERABI_ADDRESS_MAX   64 /* numeric address, "local" for ipc */

struct erabi_transport;  /* one a broker: holds limits and the table of connections */
struct erabi_listener;   /* one a listening endpoint */
struct erabi_connection; /* one authenticated connection, accepted or dialled; dead after on_close returns */
struct erabi_dialer;     /* keeps one outgoing connection alive, with back-off */

/* What the registry answers when a handshake asks for a key. */
enum erabi_admission {
    ERABI_ADMIT,   /* known: READY */
    ERABI_REFUSE,  /* unknown or revoked: ERROR 400, which makes a libzmq client stop for good */
    ERABI_PUT_OFF, /* over a limit or not yet approved: close without ERROR, the client returns by itself */
};

struct erabi_transport_limits {      /* 0 = the default in brackets */
    uint32_t connections;            /* in all [8192] */
    uint32_t connections_per_source; /* before authentication, per source address [64] */
    uint32_t handshakes_per_second;  /* per source address, burst of as many [50] */
    uint32_t handshake_ms;           /* for all of the handshake [3000] */
    uint32_t connection_age_s;       /* afterwards closed in order, the peer returns [86400] */
    uint32_t heartbeat_ms;           /* PING to the peer when nothing else was sent [5000] */
    uint32_t heartbeat_timeout_ms;   /* nothing at all heard: closed [15000] */
    uint32_t bytes_per_second;       /* per connection after authentication, burst of 2 s; over it reading
                                        waits, it is not an offence [64 MiB] */
    uint32_t send_bytes;             /* own queue of one connection [1 MiB] */
    uint32_t kernel_window;          /* SO_SNDBUF asked for [65536] */
};

/* How a connection came to its end or a handshake failed; given to on_refused and on_close. */
struct erabi_transport_event {
    enum erab_reason reason;
    const char *detail;  /* static text for the log, e.g. "INITIATE: vouch names another key" */
    const char *address; /* numeric source address or "local" */
    const uint8_t *key;  /* 32 bytes, NULL when the handshake never came so far */
};

struct erabi_transport_callbacks {
    /* A handshake has proven possession of this key; may it in? Called before READY. */
    enum erabi_admission (*on_key)(void *user, struct erabi_listener *listener, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason);
    /* A connection is up. `listener` is NULL for a dialled one and `dialer` NULL for an accepted one. */
    void (*on_open)(void *user, struct erabi_connection *connection, struct erabi_listener *listener,
                    struct erabi_dialer *dialer);
    /* One packet, borrowed for the call, 1 to ERABI_PACKET_MAX bytes. */
    void (*on_packet)(void *user, struct erabi_connection *connection, const uint8_t *packet, size_t size);
    /* The queue of this connection is empty again after send refused or was busy. */
    void (*on_drained)(void *user, struct erabi_connection *connection);
    /* The connection is gone; the pointer is invalid when this returns. Called exactly once for each
     * on_open, also for a cut (then from the next loop turn). */
    void (*on_close)(void *user, struct erabi_connection *connection, const struct erabi_transport_event *event);
    /* A connection ended before on_open. At most 20 a second are told one by one; the others are counted
     * and told as one event a second with the detail "and N more". */
    void (*on_refused)(void *user, struct erabi_listener *listener, const struct erabi_transport_event *event);
    /* Before what was queued in this turn of the loop is written: the place for what is better sent together. May be
     * NULL. */
    void (*on_turn)(void *user);
};

/* The transport copies limits and callbacks. Returns 0 or a negative errno. */
int erabi_transport_new(struct erabi_transport **out, uv_loop_t *loop, const struct erabi_transport_limits *limits,
                        const struct erabi_transport_callbacks *callbacks, void *user);
/* Closes everything at once (on_close with shutdown for each); handles are released as the loop runs on,
 * then `done` is called and the transport is gone. */
void erabi_transport_stop(struct erabi_transport *transport, void (*done)(void *user), void *user);

/* `secret_key` is copied into locked memory and wiped on stop. `tag` is the caller's and comes back from
 * erabi_listener_tag. Returns 0 or a negative errno (-EADDRINUSE, -EACCES ...). */
int erabi_transport_listen(struct erabi_transport *transport, struct erabi_listener **out, const char *endpoint,
                           const uint8_t secret_key[ERABI_KEY_SIZE], void *tag);
void *erabi_listener_tag(const struct erabi_listener *listener);
/* A second server key that holds beside the first, until retire makes it the only one. 0, -EEXIST when there are two
 * already, -ENOMEM. */
int erabi_listener_next_key(struct erabi_listener *listener, const uint8_t secret_key[ERABI_KEY_SIZE]);
void erabi_listener_retire_key(struct erabi_listener *listener);
/* The endpoint really bound, with its port. Borrowed, lives as long as the listener. */
const char *erabi_listener_endpoint(const struct erabi_listener *listener);

/* Keeps one connection to a server whose key is known. Back-off from 100 ms doubling to 30 s, with jitter.
 * Every attempt that fails is told by on_refused with listener NULL. */
int erabi_transport_dial(struct erabi_transport *transport, struct erabi_dialer **out, const char *endpoint,
                         const uint8_t server_key[ERABI_KEY_SIZE], const uint8_t secret_key[ERABI_KEY_SIZE],
                         void *tag);
void *erabi_dialer_tag(const struct erabi_dialer *dialer);
/* From the next connection on: another key of the server, another key of ours. NULL: as before. */
void erabi_dialer_follow(struct erabi_dialer *dialer, const uint8_t *server_key, const uint8_t *secret_key);

/* Closes one listener, or stops dialling, in this very call; the pointer is dead then. Handshakes that came by this
 * listener end now; its authenticated connections stay until they are cut. A dialer's connection is cut, with on_close
 * (or on_refused) to come. */
void erabi_transport_unlisten(struct erabi_transport *transport, struct erabi_listener *listener,
                              enum erab_reason reason);
void erabi_transport_undial(struct erabi_transport *transport, struct erabi_dialer *dialer, enum erab_reason reason);
/* Another limit for new connections; those that are up stay. */
void erabi_transport_limit(struct erabi_transport *transport, uint32_t connections);

/* The caller's pointer for this connection; NULL at first. */
void erabi_connection_set_user(struct erabi_connection *connection, void *user);
void *erabi_connection_user(const struct erabi_connection *connection);
const uint8_t *erabi_connection_key(const struct erabi_connection *connection); /* the peer's, 32 bytes */
const char *erabi_connection_address(const struct erabi_connection *connection);

/* Encrypts and queues one packet (copied). 0 = queued; -EAGAIN = over send_bytes, on_drained will follow;
 * -EMSGSIZE = empty or too large; -EPIPE = closing. Writes of one loop turn are gathered. */
int erabi_connection_send(struct erabi_connection *connection, const uint8_t *packet, size_t size);
/* Bytes waiting in our own queue: 0 means that the link is idle and a packet goes out at once. */
size_t erabi_connection_queued(const struct erabi_connection *connection);
/* Stops or resumes reading from this peer. */
void erabi_connection_pause(struct erabi_connection *connection, bool paused);
/* All that are in the background (telemetry) share what is read from them in one turn of the loop, so that a flood of many
 * never makes a turn long for the others. */
void erabi_connection_background(struct erabi_connection *connection, bool background);
/* Closes the descriptor in this very call with linger 0: what our kernel still holds is thrown away, no
 * further on_packet comes. on_close follows from the next loop turn with this reason. */
void erabi_connection_cut(struct erabi_connection *connection, enum erab_reason reason);

/* For `erab health`, tests and limits. */
struct erabi_transport_stats {
    uint32_t connections;    /* authenticated */
    uint32_t handshaking;    /* not yet */
    uint64_t packets_in, packets_out, bytes_in, bytes_out, refused;
};
void erabi_transport_stats(const struct erabi_transport *transport, struct erabi_transport_stats *out);

#endif
