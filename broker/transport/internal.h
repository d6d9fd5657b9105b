/* What the files of the transport share. Nothing of it is for the layers above. */
#ifndef ERABI_TRANSPORT_INTERNAL_H
#define ERABI_TRANSPORT_INTERNAL_H

#include <netinet/in.h>
#include <sys/queue.h>
#include <sys/un.h>

#include "transport/curve.h"
#include "transport/transport.h"

/* One read, shared by all connections. A connection has one a turn of the loop: who sends much delays the others by no
 * more than what is in here. */
#define ERABI_INPUT_SIZE 16384

/* ---- endpoints ---- */

struct erabi_endpoint {
    bool local;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

/* 0 or -EINVAL, -ENAMETOOLONG. */
int erabi_endpoint_parse(struct erabi_endpoint *out, const char *text);
/* "ADDRESS" or, with a port, "tcp://ADDRESS:PORT". */
void erabi_endpoint_address(const struct sockaddr *at, char *out, size_t size);

/* ---- sources: what an address may do before it has proven a key ---- */

struct erabi_source {
    uint8_t prefix[16]; /* IPv4 mapped; of IPv6 the first 64 bits */
    uint32_t handshaking;
    uint32_t tokens; /* thousandths of a handshake */
    uint64_t at_ms;
};

struct erabi_sources;
int erabi_sources_new(struct erabi_sources **out, uint32_t rate, uint32_t connections);
void erabi_sources_free(struct erabi_sources *s);
/* Counts one more handshake of this address, or NULL when it is over a limit (or the table is full). */
struct erabi_source *erabi_sources_enter(struct erabi_sources *s, const struct sockaddr *from,
                                         uint64_t now_ms);
void erabi_sources_leave(struct erabi_source *source);

/* ---- transport ---- */

union erabi_io {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct erabi_listener {
    LIST_ENTRY(erabi_listener) entry;
    struct erabi_transport *transport;
    union erabi_io io;
    void *tag;
    uint8_t *secret; /* sodium_malloc */
    uint8_t public_key[ERABI_KEY_SIZE];
    uint8_t *next_secret; /* sodium_malloc; NULL: there is only one key */
    uint8_t next_public[ERABI_KEY_SIZE];
    bool held; /* an accepted descriptor waits inside libuv, which accepts no more until it is taken */
    bool local;
    bool retired, closed; /* taken out of use; its handle is gone */
    unsigned connections;
    char endpoint[ERABI_ENDPOINT_MAX];
};

struct erabi_dialer {
    LIST_ENTRY(erabi_dialer) entry;
    struct erabi_transport *transport;
    struct erabi_endpoint endpoint;
    uv_timer_t timer;
    void *tag;
    uint8_t *secret; /* sodium_malloc */
    uint8_t server_key[ERABI_KEY_SIZE];
    uint32_t backoff_ms;
    bool retired, closed;
    unsigned connections;
    char address[ERABI_ADDRESS_MAX];
};

LIST_HEAD(erabi_connections, erabi_connection);
TAILQ_HEAD(erabi_dirty, erabi_connection);

struct erabi_transport {
    uv_loop_t *loop;
    struct erabi_transport_limits limits;
    struct erabi_transport_callbacks callbacks;
    void *user;
    struct erabi_sources *sources;
    struct erabi_connections connections;
    struct erabi_dirty dirty; /* connections with something to write this turn */
    LIST_HEAD(, erabi_listener) listeners;
    LIST_HEAD(, erabi_dialer) dialers;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;       /* runs while something is dirty, so that the loop does not sleep on it */
    uv_timer_t telling;   /* the window in which refusals are told one by one */
    uv_timer_t accepting; /* retries while descriptors are short */
    unsigned dirties;
    unsigned handles; /* open or closing ones, of everything here */
    unsigned told;
    unsigned untold;
    int descriptors; /* highest number that a connection may have */
    bool short_of_descriptors;
    bool stopping;
    void (*done)(void *user);
    void *done_user;
    struct erabi_transport_stats stats;
    char more[32];
    uint8_t *input; /* ERABI_INPUT_SIZE */
    uint8_t *plain; /* ERABI_ZMTP_BODY_MAX */
};

/* Every handle is counted from its init to its close callback. */
void erabi_transport_unref(struct erabi_transport *t);
void erabi_transport_refused(struct erabi_transport *t, struct erabi_listener *listener,
                             const struct erabi_transport_event *event);
void erabi_transport_descriptors_short(struct erabi_transport *t);
void erabi_transport_dirty(struct erabi_transport *t, struct erabi_connection *c);
void erabi_transport_clean(struct erabi_transport *t, struct erabi_connection *c);

void erabi_listener_close(struct erabi_listener *l);
void erabi_listener_free(struct erabi_listener *l);
void erabi_listener_resume(struct erabi_listener *l);
/* Frees a retired one once its handle and the last connection that names it are gone. */
void erabi_listener_release(struct erabi_listener *l);
void erabi_dialer_release(struct erabi_dialer *d);
void erabi_dialer_close(struct erabi_dialer *d);
void erabi_dialer_free(struct erabi_dialer *d);
/* The dialer's connection has ended; `lasted_ms` is how long it was up. */
void erabi_dialer_ended(struct erabi_dialer *d, uint64_t lasted_ms);

/* ---- connections ---- */

enum erabi_connection_state {
    ERABI_CONNECTING, /* dialled, not yet connected */
    ERABI_HANDSHAKE,
    ERABI_UP,
    ERABI_DRAINING, /* what is queued goes out, then our side is shut; what still comes is read */
    ERABI_CLOSED,   /* descriptor gone, callbacks to come */
};

struct erabi_connection {
    LIST_ENTRY(erabi_connection) entry;
    TAILQ_ENTRY(erabi_connection) dirty_entry;
    struct erabi_transport *transport;
    struct erabi_listener *listener;
    struct erabi_dialer *dialer;
    struct erabi_source *source; /* until authenticated */
    void *user;
    union erabi_io io;
    uv_timer_t timer;
    union {
        uv_connect_t connect;
        uv_write_t write;
        uv_shutdown_t shutdown;
    } request;        /* never two at a time */
    uint8_t *out;     /* sealed frames to write */
    uint8_t *writing; /* handed to uv_write */
    size_t out_size, out_used;
    struct erabi_zmtp zmtp;
    struct erabi_curve curve;
    uint64_t opened_ms, heard_ms, pinged_ms, end_ms; /* end: handshake deadline, then age */
    uint64_t tokens_ms;
    int64_t tokens; /* bytes this peer may still send; below zero reading waits */
    const char *detail;
    enum erab_reason reason;
    uint8_t state;
    uint8_t handles;
    bool local, dirty, opened, known, reading, paused, throttled, yielded, shut, want_drained;
    char address[ERABI_ADDRESS_MAX];
};

/* Made with its handles open but no descriptor yet. NULL without memory. */
struct erabi_connection *erabi_connection_new(struct erabi_transport *t, struct erabi_listener *l,
                                              struct erabi_dialer *d, bool local);
/* The descriptor is there: sends the greeting and reads. */
void erabi_connection_start(struct erabi_connection *c);
void erabi_connection_end(struct erabi_connection *c, enum erab_reason reason, const char *detail,
                          bool reset);
/* A writer over free room of at least n bytes; `bad` without memory. commit() takes over what was written. */
struct erabi_writer erabi_connection_reserve(struct erabi_connection *c, size_t n);
void erabi_connection_commit(struct erabi_connection *c, const struct erabi_writer *w);
/* After a full read: reads on in the next turn. */
void erabi_connection_resume(struct erabi_connection *c);
/* Writes what is queued; called once a turn. */
void erabi_connection_flush(struct erabi_connection *c);

#endif
