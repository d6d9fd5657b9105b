/* IPv6 datagrams where it may send, and where it may not. Built twice: without a group and with one. */
#include "post.h"

#ifndef GROUP
#define GROUP NULL
#endif

static void on_datagram(void *arg, uint32_t events)
{
    struct bad *b = arg;
    uint8_t packet[256];
    struct erab_datagram head;
    char source[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
    ssize_t n = read(b->fd, packet, sizeof packet);
    if (n < (ssize_t)sizeof head)
        return;
    memcpy(&head, packet, sizeof head);
    inet_ntop(AF_INET6, head.source, source, sizeof source);
    inet_ntop(AF_INET6, head.destination, to, sizeof to);
    say(b, "%u from %s port %u at interface %u for %s: %.*s", head.family, source, head.source_port, head.interface, to,
        (int)(n - (ssize_t)sizeof head), (const char *)packet + sizeof head);
}

static void began(struct bad *b)
{
    struct erab_datagram_options o = {.size = sizeof o, .interface = "interface", .port = PORT, .family = 6};
    struct erab_datagram_info info;
    char own[INET6_ADDRSTRLEN];
    o.group = "224.0.23.0";
    say(b, "a group of the other family: %s", strerror(-b->host->open_datagram(b->self, &o, &info)));
    o.group = "fe80::1";
    say(b, "no group: %s", strerror(-b->host->open_datagram(b->self, &o, &info)));
    /* A module of before ABI 0.3 knows no family; the group says it. */
    o = (struct erab_datagram_options){.interface = "interface", .port = PORT, .group = GROUP};
    o.size = GROUP ? (uint32_t)offsetof(struct erab_datagram_options, family) : (uint32_t)sizeof o;
    o.family = GROUP ? 4 : 6;
    b->fd = b->host->open_datagram(b->self, &o, &info);
    if (b->fd < 0) {
        say(b, "no socket: %s", strerror(-b->fd));
        return;
    }
    b->watch = b->host->watch(b->self, b->fd, ERAB_READABLE, on_datagram, b);
    inet_ntop(AF_INET6, info.address, own, sizeof own);
    say(b, "it has %s/%u", own, info.prefix_bits);
    post(b, 6, "2001:db8::1", PORT, "to a stranger");
    post(b, 6, "::1", 53, "to another port");
    post(b, 6, "ff02::fb", PORT, "to another group");
    post(b, 6, "::ffff:127.0.0.1", PORT, "to a mapped one");
    (void)!send(b->fd, "short", 5, 0);
    post(b, 6, "::1", PORT, "to itself");
    post(b, 6, "ff02::1", PORT, "to the group");
    post(b, 6, "fe80::2", PORT, "to a neighbour");
    post(b, 6, "fd77::2", PORT, "to a neighbour by its other address");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
