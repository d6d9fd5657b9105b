/* UDP on one IPv4 interface, carried over a socket pair of packets. Out go only datagrams to the interface's
 * own network or to the group, on the one port. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "relay.h"

#define PAYLOAD_MAX      65507u
#define DATAGRAMS_A_TURN 32

struct datagram {
    struct relay_part part;
    uv_poll_t outer, inner;
    int outer_fd, inner_fd;
    unsigned interface;
    in_addr_t address, netmask, group; /* group 0: none */
    uint16_t port;
    uint8_t buffer[sizeof(struct erab_datagram) + PAYLOAD_MAX];
};

union control {
    struct cmsghdr align;
    char room[256];
};

static void on_outer_closed(uv_handle_t *handle)
{
    struct datagram *d = handle->data;
    close(d->outer_fd);
    relay_part_left(&d->part);
}

static void on_inner_closed(uv_handle_t *handle)
{
    struct datagram *d = handle->data;
    close(d->inner_fd);
    relay_part_left(&d->part);
}

static void close_datagram(struct relay_part *part)
{
    struct datagram *d = (struct datagram *)(void *)part;
    if (part->closing)
        return;
    part->closing = true;
    uv_close((uv_handle_t *)&d->outer, on_outer_closed);
    uv_close((uv_handle_t *)&d->inner, on_inner_closed);
}

/* ---- inwards ---- */

static bool packet_info(struct msghdr *m, struct in_pktinfo *info)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            erabi_copy_bytes(info, CMSG_DATA(c), sizeof *info);
            return true;
        }
    return false;
}

static void take_in(struct datagram *d, ssize_t size, struct msghdr *m, const struct sockaddr_in *from)
{
    struct in_pktinfo info;
    if ((m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !packet_info(m, &info) || info.ipi_ifindex != (int)d->interface)
        return;
    struct erab_datagram head = {.size = sizeof head,
                                 .family = 4,
                                 .source_port = ntohs(from->sin_port),
                                 .destination_port = d->port,
                                 .interface = d->interface};
    erabi_copy_bytes(head.source, &from->sin_addr, 4);
    erabi_copy_bytes(head.destination, &info.ipi_addr, 4);
    erabi_copy_bytes(d->buffer, &head, sizeof head);
    /* A full queue loses it, as UDP may. */
    (void)!send(d->inner_fd, d->buffer, sizeof head + (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_outer(uv_poll_t *poll, int status, int events)
{
    struct datagram *d = poll->data;
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        struct sockaddr_in from = {0};
        struct iovec iov = {d->buffer + sizeof(struct erab_datagram), PAYLOAD_MAX};
        union control control;
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof from,
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
        ssize_t n = recvmsg(d->outer_fd, &m, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n >= 0) /* else an ICMP error of an earlier send */
            take_in(d, n, &m, &from);
    }
}

/* ---- outwards ---- */

static bool declared(const struct datagram *d, in_addr_t to, uint16_t port)
{
    bool here = ((to ^ d->address) & d->netmask) == 0 && to != d->address;
    return port == d->port && ((d->group && to == d->group) || here);
}

static void send_out(struct datagram *d, in_addr_t to, const uint8_t *payload, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(d->port), .sin_addr = {.s_addr = to}};
    struct iovec iov = {(void *)(uintptr_t)payload, size};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control = {0};
    struct msghdr m = {.msg_name = &address,
                       .msg_namelen = sizeof address,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {.ipi_ifindex = (int)d->interface, .ipi_spec_dst = {.s_addr = d->address}};
    erabi_copy_bytes(CMSG_DATA(c), &info, sizeof info);
    (void)!sendmsg(d->outer_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); /* a send that fails is a lost datagram */
}

static void on_inner(uv_poll_t *poll, int status, int events)
{
    struct datagram *d = poll->data;
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        ssize_t n = recv(d->inner_fd, d->buffer, sizeof d->buffer, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            close_datagram(&d->part);
            return;
        }
        struct erab_datagram head = {0};
        in_addr_t to;
        if ((size_t)n < sizeof head || (size_t)n > sizeof d->buffer) {
            relay_say(d->part.relay, RELAY_UNDECLARED, "a datagram of no valid form");
            continue;
        }
        erabi_copy_bytes(&head, d->buffer, sizeof head);
        erabi_copy_bytes(&to, head.destination, sizeof to);
        char text[INET_ADDRSTRLEN] = "?";
        if (head.size != sizeof head || head.family != 4 || !declared(d, to, head.destination_port)) {
            inet_ntop(AF_INET, &to, text, sizeof text);
            relay_say(d->part.relay, RELAY_UNDECLARED, "datagram to %s port %u", text, head.destination_port);
            continue;
        }
        send_out(d, to, d->buffer + sizeof head, (size_t)n - sizeof head);
    }
}

/* ---- opening ---- */

static int find_interface(struct datagram *d, const char *name)
{
    struct ifaddrs *all = NULL;
    d->interface = if_nametoindex(name);
    if (d->interface == 0 || getifaddrs(&all) < 0)
        return -ENODEV;
    for (struct ifaddrs *a = all; a && !d->address; a = a->ifa_next) {
        if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || strcmp(a->ifa_name, name) != 0)
            continue;
        d->address = ((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr.s_addr;
        d->netmask = ((struct sockaddr_in *)(void *)a->ifa_netmask)->sin_addr.s_addr;
    }
    freeifaddrs(all);
    return d->address ? 0 : -EADDRNOTAVAIL;
}

static int set(int fd, int option, int value)
{
    return setsockopt(fd, IPPROTO_IP, option, &value, sizeof value);
}

static int prepare(const struct datagram *d, int fd, const char *name)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(d->port)};
    struct ip_mreqn group = {.imr_multiaddr = {.s_addr = d->group},
                             .imr_address = {.s_addr = d->address},
                             .imr_ifindex = (int)d->interface};
    /* Binding to the device is a second lock beside the check of every datagram; older kernels ask a
     * privilege for it. */
    (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name));
    if (set(fd, IP_PKTINFO, 1) || set(fd, IP_TTL, 1) || set(fd, IP_MULTICAST_TTL, 1) ||
        set(fd, IP_MULTICAST_LOOP, 0) || set(fd, IP_MULTICAST_ALL, 0) ||
        bind(fd, (struct sockaddr *)&any, sizeof any))
        return -errno;
    if (d->group && (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group) ||
                     setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group)))
        return -errno;
    return 0;
}

static void tell(const struct datagram *d, const char *name, struct erab_datagram_info *info)
{
    struct ifreq r = {0};
    *info = (struct erab_datagram_info){.size = sizeof *info, .interface = d->interface};
    info->prefix_bits = (uint8_t)__builtin_popcount(d->netmask);
    erabi_copy_bytes(info->address, &d->address, sizeof d->address);
    if (erabi_copy_text(r.ifr_name, sizeof r.ifr_name, name) && ioctl(d->outer_fd, SIOCGIFHWADDR, &r) == 0)
        erabi_copy_bytes(info->mac, r.ifr_hwaddr.sa_data, sizeof info->mac);
}

/* Both sockets of `d`, and the other end in *end. */
static int open_sockets(struct datagram *d, const char *name, int *end)
{
    int pair[2];
    _close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : prepare(d, fd, name);
    if (r)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        return -EIO;
    d->outer_fd = fd;
    fd = -1;
    d->inner_fd = pair[0];
    *end = pair[1];
    return 0;
}

static int begin(struct relay *relay, struct datagram *d, int end)
{
    d->part.close = close_datagram;
    d->outer.data = d->inner.data = d;
    if (uv_poll_init(relay_loop(relay), &d->outer, d->outer_fd) < 0) {
        close(d->outer_fd);
        close(d->inner_fd);
        close(end);
        free(d);
        return -EIO;
    }
    relay_part_add(relay, relay_datagrams(relay), &d->part);
    d->part.handles = 1;
    if (uv_poll_init(relay_loop(relay), &d->inner, d->inner_fd) < 0) {
        close(d->inner_fd);
        close(end);
        d->part.closing = true;
        uv_close((uv_handle_t *)&d->outer, on_outer_closed);
        return -EIO;
    }
    d->part.handles = 2;
    uv_poll_start(&d->outer, UV_READABLE, on_outer);
    uv_poll_start(&d->inner, UV_READABLE, on_inner);
    return end;
}

int relay_datagram(struct relay *relay, const char *interface, uint16_t port, const char *group,
                   struct erab_datagram_info *info)
{
    struct in_addr multicast = {0};
    if (!port || strlen(interface) >= IFNAMSIZ ||
        (group && *group && (inet_pton(AF_INET, group, &multicast) != 1 || !IN_MULTICAST(ntohl(multicast.s_addr)))))
        return -EINVAL;
    if (relay_datagrams(relay)->n >= RELAY_DATAGRAMS_MAX)
        return -EAGAIN;
    struct datagram *d = calloc(1, sizeof *d);
    int end = -1;
    if (!d)
        return -EAGAIN;
    d->port = port;
    d->group = multicast.s_addr;
    int r = find_interface(d, interface);
    if (!r)
        r = open_sockets(d, interface, &end);
    if (r) {
        free(d);
        return r;
    }
    tell(d, interface, info);
    return begin(relay, d, end);
}
