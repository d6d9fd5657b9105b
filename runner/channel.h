/* What supervisor and sandboxed half say to each other: packets of one size on a SEQPACKET socket pair. The
 * supervisor believes nothing that comes from the other half. */
#ifndef ERABI_RUNNER_CHANNEL_H
#define ERABI_RUNNER_CHANNEL_H

#include <erab/host.h>

/* Descriptors of the sandboxed half from its start. */
#define CHANNEL_DOCUMENT_FD 3
#define CHANNEL_FD          4
#define CHANNEL_MODULE_FD   5 /* the sealed memory file that the supervisor has verified */

enum channel_kind {
    /* from the sandboxed half */
    CHANNEL_FAILED = 1, /* the sandbox cannot be made: value errno, text the step */
    CHANNEL_NOTIFY,     /* value: its descriptor of refused calls, to be fetched */
    CHANNEL_READY,      /* the adapter has started */
    CHANNEL_ALIVE,      /* answers CHANNEL_PING with its value */
    CHANNEL_LEAVING,    /* quiet; the process ends soon and answers no more */
    CHANNEL_STREAM,     /* text: option that names the endpoint */
    CHANNEL_DATAGRAM,   /* text: option that names the interface; port, group */
    CHANNEL_LISTEN,     /* text: option that names the address */
    /* from the supervisor */
    CHANNEL_GO,
    CHANNEL_PING,
    CHANNEL_REPLY /* value: 0 and a descriptor, or a negative errno; info for datagrams */
};

struct channel_message {
    uint32_t kind;
    int32_t value;
    uint32_t port;
    char text[96];
    uint32_t family;
    char group[46];
    struct erab_datagram_info info;
};

/* One packet, without waiting. `fd` -1: none goes with it. 0 or a negative errno. */
int channel_send(int channel, const struct channel_message *message, int fd);
/* One packet, without waiting; its texts end with a NUL. *fd (may be NULL) is -1 or a descriptor, then the
 * caller's. 0, -EAGAIN, -EPIPE (the other end is gone), -EBADMSG. */
int channel_receive(int channel, struct channel_message *message, int *fd);

#endif
