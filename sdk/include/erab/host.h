/* What a host gives to a module instance: a table of services, passed at init. All calls on the instance's
 * one thread, except `post`. None blocks. The table and `self` live until fini. */
#ifndef ERAB_HOST_H
#define ERAB_HOST_H

#include <erab/message.h>
#include <erab/module.h>
#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct erab_verdict; /* <erab/policy.h> */
typedef struct erab_self erab_self;   /* the instance, as the host knows it */
typedef struct erab_timer erab_timer;
typedef struct erab_watch erab_watch;

/* One message to be delivered by an adapter; a token, completed exactly once. */
typedef uint64_t erab_call;

enum erab_log_level { ERAB_LOG_ERROR, ERAB_LOG_WARNING, ERAB_LOG_INFO, ERAB_LOG_DEBUG };
enum { ERAB_READABLE = 1, ERAB_WRITABLE = 2 };

/* As struct erab_outgoing of <erab/client.h>; `from` must be one of parties(). */
struct erab_outgoing_message {
    uint32_t size;
    enum erab_type type;
    enum erab_category category;
    bool exercise;
    const char *from;
    const char *to;
    uint64_t expires_at_ms; /* 0: now + 60 s */
    const uint8_t *parent_id;
    const uint8_t *parent_hash;
    const uint8_t *trace_id;
    const ProtobufCMessage *body;
};

/* Before the payload of every packet on the descriptor of open_datagram, both ways. Numbers in the machine's
 * order, addresses as on the wire, in the first 4 (or 16) bytes. On the way out only `destination` and
 * `destination_port` count. */
struct erab_datagram {
    uint16_t size;   /* of this header */
    uint16_t family; /* 4 or 6 */
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t interface; /* index of the interface that it came in by */
    uint8_t source[16];
    uint8_t destination[16];
};

struct erab_datagram_options {
    uint32_t size;
    const char *interface; /* the option of the instance whose value names the network interface */
    const char *group;     /* a multicast group to join and to send to, as 224.0.23.0 or ff02::1, or NULL */
    uint16_t port;         /* bound, and the only one that is sent to */
    uint8_t unused[6];
    uint16_t family; /* since ABI 0.3: 4 or 6; 0: that of the group, without one IPv4 */
};

struct erab_datagram_info {
    uint32_t size;
    uint32_t interface;  /* its index */
    uint8_t address[16]; /* our own on it; 4 bytes count for IPv4. Of IPv6 the one of the link, if there is one */
    uint8_t prefix_bits; /* of its network: unicast goes nowhere else (of IPv6 also to its other ones) */
    uint8_t mac[6];
};

/* Where an accepted stream comes from. The port in the machine's order, the address as on the wire. */
struct erab_accepted {
    uint32_t size;
    uint16_t family; /* 4 or 6 */
    uint16_t port;
    uint8_t address[16]; /* the first 4 bytes for IPv4 */
};

struct erab_host {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    /* One line, no secrets, no personal values. */
    void (*log)(erab_self *self, enum erab_log_level level, const char *text);
    /* Wall clock and monotonic clock in milliseconds. */
    uint64_t (*now_ms)(erab_self *self);
    uint64_t (*monotonic_ms)(erab_self *self);
    /* Sends a message for one of the instance's parties (header fields as in erab_client_send). The host
     * signs it with the instance's key. `id` (may be NULL) gets its id. 0 or -EAGAIN, -EINVAL, -EMSGSIZE, -EACCES
     * (party not spoken for). */
    int (*publish)(erab_self *self, const struct erab_outgoing_message *message, uint8_t id[ERAB_ID_SIZE]);
    /* Ends a delivery: APPLIED, or REFUSED with a reason. After `cancel` it is ignored. */
    void (*complete)(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail);
    /* A one-shot timer; free cancels. */
    erab_timer *(*timer)(erab_self *self, uint64_t delay_ms, void (*fn)(void *arg), void *arg);
    void (*timer_free)(erab_self *self, erab_timer *timer);
    /* Watches a descriptor, level-triggered, until watch_free; the descriptor stays the caller's and must
     * not be closed before. `watch_set` changes the events. */
    erab_watch *(*watch)(erab_self *self, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events),
                         void *arg);
    void (*watch_set)(erab_self *self, erab_watch *watch, uint32_t events);
    void (*watch_free)(erab_self *self, erab_watch *watch);
    /* Runs fn(arg) on the instance's thread. The one call that any thread may make. 0 or -ENOMEM. */
    int (*post)(erab_self *self, void (*fn)(void *arg), void *arg);
    /* Small state over restarts: at most 256 keys, 64 KiB a value, replaced atomically and fsynced.
     * store_get: bytes copied, -ENOENT, or -ENOSPC with *size set to what is needed. */
    int (*store_put)(erab_self *self, const char *key, const void *value, size_t size);
    int (*store_get)(erab_self *self, const char *key, void *value, size_t *size);
    /* The parties that this instance speaks for, NULL-ended. */
    const char *const *(*parties)(erab_self *self);
    /* After stop: no callback, timer, watch or thread of the instance is left. */
    void (*quiesced)(erab_self *self);
    /* Since ABI 0.2. An instance has no network of its own: sockets that it opens lead nowhere and are an
     * incident. What it may reach is said by its options, and the host owns the real sockets.
     *
     * A stream to the endpoint in the value of this option: https://HOST[:PORT]/..., tcp://HOST:PORT or
     * HOST:PORT. Returns a non-blocking local stream socket, the caller's to close, at once; the host
     * resolves and connects meanwhile. When it cannot, the stream ends. In erab-runner a connect() of it
     * answers EINPROGRESS: libcurl before 8.0 calls it. -EINVAL (no such option, or no
     * endpoint in it), -EAGAIN (too many open, or too often), -EIO. */
    int (*connect_stream)(erab_self *self, const char *option);
    /* UDP on one interface: a non-blocking local socket of packets, each with struct erab_datagram before
     * it. Datagrams to elsewhere than the interface's own networks and the group, or to another port, are
     * dropped and an incident. *info is filled. -EINVAL, -ENODEV, -EADDRNOTAVAIL (no such address),
     * -EADDRINUSE, -EAGAIN, -EIO. */
    int (*open_datagram)(erab_self *self, const struct erab_datagram_options *options,
                         struct erab_datagram_info *info);
    /* For policies: the vote of a call that decide() left PENDING. ABSTAIN, ALLOW or DENY; anything else is a
     * DENY. Its texts are copied. A call that is over or was never pending is ignored. */
    void (*decide)(erab_self *self, erab_call call, const struct erab_verdict *verdict);
    /* Since ABI 0.3. Streams that others open: the host listens on the address in the value of this option,
     * listen://ADDRESS:PORT (an IPv4 address, or an IPv6 one in brackets). Returns a local descriptor that becomes
     * readable when a connection waits; closing it ends the listening. The host bounds how many connections there are, in
     * all and from one source, and how long one may be silent. -EINVAL (no such option, or no listen:// in it),
     * -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (the port needs a privilege), -EAGAIN (too many), -EIO. */
    int (*listen_streams)(erab_self *self, const char *option);
    /* The next connection: a non-blocking local stream socket, the caller's to close, with *from filled. -EAGAIN: none
     * waits. -EPIPE: the host listens no more. Let none wait: what is not taken is turned away. */
    int (*accept_stream)(erab_self *self, int listener, struct erab_accepted *from);
};

#ifdef __cplusplus
}
#endif

#endif
