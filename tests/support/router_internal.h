/* What the two files of the ROUTER transport share. */
#ifndef ERABI_TEST_ROUTER_INTERNAL_H
#define ERABI_TEST_ROUTER_INTERNAL_H

#include <sys/queue.h>
#include <sys/types.h>

#include <zmq.h>

#include "base/cursor.h"
#include "transport/transport.h"

enum { BATCH = 64, ID_MAX = 255, RETRY_MS = 10, ZERO_COPY_RECV = 10 /* honoured, though not in zmq.h */ };

struct peer { /* a descriptor that libzmq has accepted */
    LIST_ENTRY(peer) entry;
    int fd;
    bool spoke; /* its first message has made it a connection */
};

struct side { /* a socket with its monitor */
    struct erabi_transport *transport;
    void *socket, *monitor;
    uv_poll_t poll, monitor_poll;
    bool open;
    enum erab_reason failed; /* the last handshake's end, told before its descriptor is */
    const char *failed_detail;
};

struct erabi_listener {
    LIST_ENTRY(erabi_listener) entry;
    struct side side;
    LIST_HEAD(, peer) peers;
    void *tag;
    unsigned number; /* ZAP domain */
    char endpoint[ERABI_ENDPOINT_MAX];
};

struct erabi_dialer {
    LIST_ENTRY(erabi_dialer) entry;
    struct side side;
    void *tag;
    int fd; /* of the last attempt */
    uint8_t server_key[ERABI_KEY_SIZE];
};

struct erabi_connection {
    LIST_ENTRY(erabi_connection) entry;
    struct erabi_transport *transport;
    struct erabi_listener *listener;
    struct erabi_dialer *dialer;
    void *user;
    uint8_t id[ID_MAX];
    size_t id_size;
    uint8_t key[ERABI_KEY_SIZE];
    int fd;
    ino_t inode;
    bool paused, refused_send;
    bool cut;  /* nothing of it is heard any more */
    bool gone; /* libzmq has told its end */
    bool told; /* on_close was called: kept only to know what to drop */
    enum erab_reason reason;
    char address[ERABI_ADDRESS_MAX];
};

struct erabi_transport {
    uv_loop_t *loop;
    struct erabi_transport_limits limits;
    struct erabi_transport_callbacks callbacks;
    void *user, *context, *zap;
    uv_poll_t zap_poll;
    uv_idle_t idle;
    uv_timer_t retry;
    LIST_HEAD(, erabi_listener) listeners;
    LIST_HEAD(, erabi_dialer) dialers;
    LIST_HEAD(, erabi_connection) connections;
    unsigned numbers, handles;
    bool stopping;
    void (*done)(void *user);
    void *done_user;
    struct erabi_transport_stats stats;
};

/* Reads what there is, tells what is known, and runs again by itself while more waits. */
void router_turn(struct erabi_transport *t);
void router_look_again(struct erabi_transport *t);
int router_watch(struct erabi_transport *t, uv_poll_t *poll, void *socket);
void router_tell_close(struct erabi_connection *c, enum erab_reason reason);

#endif
