/* UDP on one interface, of IPv4 or IPv6, carried over a socket pair of packets. Out go only datagrams to the interface's
 * own networks or to the group, on the one port. */
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

#ifndef IPV6_MULTICAST_ALL /* of linux/in6.h, which does not go together with netinet/in.h */
#define IPV6_MULTICAST_ALL 29
#endif

#define PAYLOAD_MAX      65507u
#define DATAGRAMS_A_TURN 32
#define NETWORKS_MAX     8u /* of one interface; IPv4 has one */

typedef uint8_t address[16]; /* as on the wire; 4 bytes count for IPv4 */

struct datagram {
    struct relay_part part;
    uv_poll_t outer, inner;
    int outer_fd, inner_fd;
    unsigned interface;
    bool six, has_group;
    struct network {
        address own;
        uint8_t bits;
    } networks[NETWORKS_MAX]; /* the first is ours as the group's members see it */
    size_t n_networks;
    address group;
    uint16_t port;
    uint8_t buffer[sizeof(struct erab_datagram) + PAYLOAD_MAX];
};

union any_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
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

static size_t width(const struct datagram *d)
{
    return d->six ? sizeof(struct in6_addr) : sizeof(struct in_addr);
}

static void take_address(address out, const union any_address *from)
{
    if (from->any.sa_family == AF_INET6)
        erabi_copy_bytes(out, &from->six.sin6_addr, sizeof from->six.sin6_addr);
    else
        erabi_copy_bytes(out, &from->four.sin_addr, sizeof from->four.sin_addr);
}

static socklen_t make_address(union any_address *out, const struct datagram *d, const uint8_t *to)
{
    *out = (union any_address){0};
    if (d->six) {
        out->six = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(d->port), .sin6_scope_id = to ? d->interface : 0};
        if (to)
            erabi_copy_bytes(&out->six.sin6_addr, to, sizeof out->six.sin6_addr);
        return sizeof out->six;
    }
    out->four = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(d->port)};
    if (to)
        erabi_copy_bytes(&out->four.sin_addr, to, sizeof out->four.sin_addr);
    return sizeof out->four;
}

/* ---- inwards ---- */

/* By which interface it came, and to which address; 0: not told. */
static unsigned came_by(struct msghdr *m, address destination)
{
    struct in_pktinfo four;
    struct in6_pktinfo six;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            erabi_copy_bytes(&four, CMSG_DATA(c), sizeof four);
            erabi_copy_bytes(destination, &four.ipi_addr, sizeof four.ipi_addr);
            return (unsigned)four.ipi_ifindex;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            erabi_copy_bytes(&six, CMSG_DATA(c), sizeof six);
            erabi_copy_bytes(destination, &six.ipi6_addr, sizeof six.ipi6_addr);
            return six.ipi6_ifindex;
        }
    }
    return 0;
}

static void take_in(struct datagram *d, ssize_t size, struct msghdr *m, const union any_address *from)
{
    struct erab_datagram head = {.size = sizeof head,
                                 .family = d->six ? 6 : 4,
                                 .source_port = ntohs(d->six ? from->six.sin6_port : from->four.sin_port),
                                 .destination_port = d->port,
                                 .interface = d->interface};
    if ((m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || came_by(m, head.destination) != d->interface)
        return;
    take_address(head.source, from);
    erabi_copy_bytes(d->buffer, &head, sizeof head);
    /* A full queue loses it, as UDP may. */
    (void)!send(d->inner_fd, d->buffer, sizeof head + (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_outer(uv_poll_t *poll, int status, int events)
{
    struct datagram *d = poll->data;
    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        union any_address from = {0};
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

static bool is_in(const struct network *n, const uint8_t *to)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    for (unsigned i = 0; i < whole; i++)
        if (n->own[i] != to[i])
            return false;
    return n->bits && (!rest || ((n->own[whole] ^ to[whole]) >> (8 - rest)) == 0); /* one of 0 bits would be everywhere */
}

static bool same(const struct datagram *d, const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, width(d)) == 0;
}

/* The network by which it goes to a declared place, else NULL. */
static const struct network *declared(const struct datagram *d, const uint8_t *to, uint16_t port)
{
    if (port != d->port)
        return NULL;
    if (d->has_group && same(d, to, d->group))
        return &d->networks[0];
    for (size_t i = 0; i < d->n_networks; i++)
        if (is_in(&d->networks[i], to) && (d->six || !same(d, to, d->networks[i].own)))
            return &d->networks[i];
    return NULL;
}

static void send_out(struct datagram *d, const struct network *by, const uint8_t *to, const uint8_t *payload, size_t size)
{
    union any_address at;
    struct iovec iov = {(void *)(uintptr_t)payload, size};
    union control control = {0};
    struct msghdr m = {.msg_name = &at, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    struct in_pktinfo four = {.ipi_ifindex = (int)d->interface};
    struct in6_pktinfo six = {.ipi6_ifindex = d->interface};
    size_t info = d->six ? sizeof six : sizeof four;
    m.msg_namelen = make_address(&at, d, to);
    m.msg_controllen = CMSG_SPACE(info);
    erabi_copy_bytes(&six.ipi6_addr, by->own, sizeof six.ipi6_addr);
    erabi_copy_bytes(&four.ipi_spec_dst, by->own, sizeof four.ipi_spec_dst);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = d->six ? IPPROTO_IPV6 : IPPROTO_IP;
    c->cmsg_type = d->six ? IPV6_PKTINFO : IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(info);
    erabi_copy_bytes(CMSG_DATA(c), d->six ? (void *)&six : (void *)&four, info);
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
        if ((size_t)n < sizeof head || (size_t)n > sizeof d->buffer) {
            relay_say(d->part.relay, RELAY_UNDECLARED, "a datagram of no valid form");
            continue;
        }
        erabi_copy_bytes(&head, d->buffer, sizeof head);
        char text[INET6_ADDRSTRLEN] = "?";
        bool fits = head.size == sizeof head && head.family == (d->six ? 6 : 4);
        const struct network *by = fits ? declared(d, head.destination, head.destination_port) : NULL;
        if (!by) {
            inet_ntop(head.family == 6 ? AF_INET6 : AF_INET, head.destination, text, sizeof text);
            relay_say(d->part.relay, RELAY_UNDECLARED, "datagram to %s port %u", text, head.destination_port);
            continue;
        }
        send_out(d, by, head.destination, d->buffer + sizeof head, (size_t)n - sizeof head);
    }
}

/* ---- opening ---- */

static uint8_t bits_of(const union any_address *mask)
{
    address bytes = {0};
    unsigned n = 0;
    take_address(bytes, mask);
    for (size_t i = 0; i < sizeof bytes; i++)
        n += (unsigned)__builtin_popcount(bytes[i]);
    return (uint8_t)n;
}

/* Of IPv6, what is of the link comes first: groups of the link know their members by it. */
static void add_network(struct datagram *d, const struct ifaddrs *a)
{
    const union any_address *own = (const void *)a->ifa_addr, *mask = (const void *)a->ifa_netmask;
    bool first = d->six && IN6_IS_ADDR_LINKLOCAL(&own->six.sin6_addr);
    struct network n = {.bits = bits_of(mask)};
    take_address(n.own, own);
    struct network *at = &d->networks[d->n_networks++];
    *at = n;
    if (first) {
        *at = d->networks[0];
        d->networks[0] = n;
    }
}

static int find_interface(struct datagram *d, const char *name)
{
    struct ifaddrs *all = NULL;
    d->interface = if_nametoindex(name);
    if (d->interface == 0 || getifaddrs(&all) < 0)
        return -ENODEV;
    for (struct ifaddrs *a = all; a && d->n_networks < (d->six ? NETWORKS_MAX : 1); a = a->ifa_next)
        if (a->ifa_addr && a->ifa_netmask && a->ifa_addr->sa_family == (d->six ? AF_INET6 : AF_INET) &&
            strcmp(a->ifa_name, name) == 0)
            add_network(d, a);
    freeifaddrs(all);
    return d->n_networks ? 0 : -EADDRNOTAVAIL;
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* One hop, its own interface, what was joined and nothing else. */
static int prepare_four(const struct datagram *d, int fd)
{
    struct ip_mreqn group = {.imr_ifindex = (int)d->interface};
    erabi_copy_bytes(&group.imr_multiaddr, d->group, sizeof group.imr_multiaddr);
    erabi_copy_bytes(&group.imr_address, d->networks[0].own, sizeof group.imr_address);
    if (set(fd, IPPROTO_IP, IP_PKTINFO, 1) || set(fd, IPPROTO_IP, IP_TTL, 1) || set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 1) ||
        set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0) || set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0))
        return -errno;
    if (d->has_group && (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group) ||
                         setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group)))
        return -errno;
    return 0;
}

static int prepare_six(const struct datagram *d, int fd)
{
    struct ipv6_mreq group = {.ipv6mr_interface = d->interface};
    erabi_copy_bytes(&group.ipv6mr_multiaddr, d->group, sizeof group.ipv6mr_multiaddr);
    if (set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) || set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) ||
        set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1) || set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1) ||
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0) || set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0))
        return -errno;
    if (d->has_group && (set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)d->interface) ||
                         setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group)))
        return -errno;
    return 0;
}

static int prepare(const struct datagram *d, int fd, const char *name)
{
    union any_address any;
    socklen_t size = make_address(&any, d, NULL);
    /* Binding to the device is a second lock beside the check of every datagram; older kernels ask a
     * privilege for it. */
    (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name));
    int r = d->six ? prepare_six(d, fd) : prepare_four(d, fd);
    return r ? r : bind(fd, &any.any, size) ? -errno : 0;
}

static void tell(const struct datagram *d, const char *name, struct erab_datagram_info *info)
{
    struct ifreq r = {0};
    *info = (struct erab_datagram_info){
        .size = sizeof *info, .interface = d->interface, .prefix_bits = d->networks[0].bits};
    erabi_copy_bytes(info->address, d->networks[0].own, sizeof info->address);
    if (erabi_copy_text(r.ifr_name, sizeof r.ifr_name, name) && ioctl(d->outer_fd, SIOCGIFHWADDR, &r) == 0)
        erabi_copy_bytes(info->mac, r.ifr_hwaddr.sa_data, sizeof info->mac);
}

/* Both sockets of `d`, and the other end in *end. */
static int open_sockets(struct datagram *d, const char *name, int *end)
{
    int pair[2];
    _close_ int fd = socket(d->six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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

static bool take_group(struct datagram *d, const char *group)
{
    d->has_group = group && *group;
    if (!d->has_group)
        return true;
    return inet_pton(d->six ? AF_INET6 : AF_INET, group, d->group) == 1 &&
           (d->six ? d->group[0] == 0xff : d->group[0] >> 4 == 0xe);
}

int relay_datagram(struct relay *relay, const char *interface, const struct erab_datagram_options *options,
                   struct erab_datagram_info *info)
{
    if (!options->port || strlen(interface) >= IFNAMSIZ || (options->family && options->family != 4 && options->family != 6))
        return -EINVAL;
    if (relay_datagrams(relay)->n >= RELAY_DATAGRAMS_MAX)
        return -EAGAIN;
    struct datagram *d = calloc(1, sizeof *d);
    int end = -1;
    if (!d)
        return -EAGAIN;
    d->port = options->port;
    d->six = options->family ? options->family == 6 : options->group && strchr(options->group, ':');
    int r = take_group(d, options->group) ? find_interface(d, interface) : -EINVAL;
    if (!r)
        r = open_sockets(d, interface, &end);
    if (r) {
        free(d);
        return r;
    }
    tell(d, interface, info);
    return begin(relay, d, end);
}
