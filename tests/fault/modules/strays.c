/* Sends datagrams where it may, and where it may not. */
#include "post.h"

static void on_datagram(void *arg, uint32_t events)
{
    struct bad *b = arg;
    uint8_t packet[256];
    struct erab_datagram head;
    char source[INET_ADDRSTRLEN];
    ssize_t n = read(b->fd, packet, sizeof packet);
    if (n < (ssize_t)sizeof head)
        return;
    memcpy(&head, packet, sizeof head);
    inet_ntop(AF_INET, head.source, source, sizeof source);
    say(b, "from %s at interface %u: %.*s", source, head.interface, (int)(n - (ssize_t)sizeof head),
        (const char *)packet + sizeof head);
}

static void began(struct bad *b)
{
    const struct erab_datagram_options o = {.size = sizeof o, .interface = "interface", .port = PORT};
    struct erab_datagram_info info;
    b->fd = b->host->open_datagram(b->self, &o, &info);
    if (b->fd < 0) {
        say(b, "no socket: %s", strerror(-b->fd));
        return;
    }
    b->watch = b->host->watch(b->self, b->fd, ERAB_READABLE, on_datagram, b);
    say(b, "it has %u.%u.%u.%u/%u", info.address[0], info.address[1], info.address[2], info.address[3], info.prefix_bits);
    /* Any address of this network is this machine: what is sent there comes back, for the port is ours. */
    post(b, 4, "127.0.0.2", PORT, "to a neighbour");
    post(b, 4, "192.0.2.1", PORT, "to a stranger");
    post(b, 4, "127.0.0.2", 53, "to another port");
    post(b, 4, "224.0.0.251", PORT, "to a group");
    (void)!send(b->fd, "short", 5, 0);
    post(b, 4, "127.0.0.2", PORT, "to a neighbour again");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
