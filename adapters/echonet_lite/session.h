/* ECHONET Lite over UDP on one named IPv4 interface, through the host's watches and timers.
 *
 * The protocol has no authentication: any host on the link can speak for any device. What can be checked is
 * checked: the interface a datagram came in by, that its source lies in that interface's own network, and
 * that an answer comes from the node, the object and the transaction that were asked. */
#ifndef ERABI_EL_SESSION_H
#define ERABI_EL_SESSION_H

#include <erab/host.h>
#include <net/if.h>
#include <netinet/in.h>

#include "codec.h"
#include "objects.h"

#define ERABI_EL_PORT        3610
#define ERABI_EL_NODES_MAX   32
#define ERABI_EL_QUEUE_MAX   8
#define ERABI_EL_REQUEST_MAX 160
#define ERABI_EL_TRIES_MAX   4

/* The answer to a request; status 0, or -ETIMEDOUT after the last try, and then no frame. The frame is
 * borrowed for the call. New requests may be made from here. */
typedef void (*erabi_el_done)(void *arg, int status, const struct erabi_el_frame *answer);

struct erabi_el_request {
    uint32_t deoj;
    uint8_t esv;
    uint8_t tries; /* left */
    uint8_t n_tids;
    uint16_t tids[ERABI_EL_TRIES_MAX]; /* of every try: a slow device may answer the first one late */
    size_t size;
    uint8_t bytes[ERABI_EL_REQUEST_MAX];
    erabi_el_done done;
    void *arg;
};

struct erabi_el_session;

/* One outstanding request a node: devices drop what overlaps. */
struct erabi_el_line {
    struct erabi_el_session *session;
    in_addr_t address; /* 0: free */
    erab_timer *timer;
    bool outstanding;
    size_t head, n;
    struct erabi_el_request queue[ERABI_EL_QUEUE_MAX];
};

struct erabi_el_session_options {
    const char *interface;
    uint32_t timeout_ms;
    uint8_t tries; /* 1 to ERABI_EL_TRIES_MAX, of a request that may be repeated */
    /* A frame that is no answer to a request of erabi_el_ask: announcements, answers to a multicast. */
    void (*on_frame)(void *user, in_addr_t from, const struct erabi_el_frame *frame);
    void *user;
};

struct erabi_el_session {
    const struct erab_host *host;
    erab_self *self;
    struct erabi_el_session_options options;
    int fd;
    unsigned ifindex;
    in_addr_t address, netmask;
    erab_watch *watch;
    uint16_t tid;
    struct erabi_el_own own;
    uint32_t answers_left; /* of our own objects in this second: they must not serve as a reflector */
    uint64_t answers_since;
    uint64_t dropped; /* datagrams of a wrong interface, source or form */
    struct erabi_el_line lines[ERABI_EL_NODES_MAX];
};

/* 0 or a negative errno, with a line in the log. `s` zeroed before. */
int erabi_el_session_open(struct erabi_el_session *s, const struct erab_host *host, erab_self *self,
                          const struct erabi_el_session_options *options);
/* Drops everything without calling back. Fine on a zeroed session with fd -1, and twice. */
void erabi_el_session_close(struct erabi_el_session *s);

/* Queues a request from our controller to an object of a node. `repeat` only for what may hit twice.
 * 0, -EAGAIN (queue or node table full), -EMSGSIZE. */
int erabi_el_ask(struct erabi_el_session *s, in_addr_t node, uint32_t deoj, uint8_t esv,
                 const struct erabi_el_property *properties, size_t n, bool repeat, erabi_el_done done,
                 void *arg);
/* A Get of these EPCs. */
int erabi_el_get(struct erabi_el_session *s, in_addr_t node, uint32_t deoj, const uint8_t *epcs, size_t n,
                 erabi_el_done done, void *arg);
/* Sends to the group from our node profile; *tid (may be NULL) is its transaction. 0 or a negative errno. */
int erabi_el_tell_all(struct erabi_el_session *s, uint8_t esv, uint8_t epc, struct erabi_slice edt,
                      uint16_t *tid);

#endif
