/* A datagram through the relay, to anywhere. */
#ifndef ERAB_FAULT_POST_H
#define ERAB_FAULT_POST_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "shell.h"

#define PORT 23610

static void post(struct bad *b, uint8_t family, const char *to, uint16_t port, const char *text)
{
    uint8_t packet[128];
    struct erab_datagram head = {.size = sizeof head, .family = family, .destination_port = port};
    inet_pton(family == 4 ? AF_INET : AF_INET6, to, head.destination);
    memcpy(packet, &head, sizeof head);
    memcpy(packet + sizeof head, text, strlen(text));
    (void)!send(b->fd, packet, sizeof head + strlen(text), 0);
}
#endif
