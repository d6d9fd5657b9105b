/* Opens the network by itself. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shell.h"

static const char *result(int r)
{
    return r < 0 ? strerror(errno) : "worked";
}

static void began(struct bad *b)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = inet_addr("192.0.2.1")};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/dbus/system_bus_socket"};
    struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
    struct msghdr m = {.msg_name = &in, .msg_namelen = sizeof in, .msg_iov = &iov, .msg_iovlen = 1};
    int tcp = socket(AF_INET, SOCK_STREAM, 0), tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
    say(b, "tcp %s", result(connect(tcp, (struct sockaddr *)&in, sizeof in)));
    say(b, "tcp6 %s", result(connect(tcp6, (struct sockaddr *)&in6, sizeof in6)));
    say(b, "udp %s", result((int)sendto(udp, "x", 1, 0, (struct sockaddr *)&in, sizeof in)));
    say(b, "message %s", result((int)sendmsg(udp, &m, 0)));
    say(b, "local %s", result(connect(local, (struct sockaddr *)&un, sizeof un)));
    say(b, "bad address %s", result(connect(tcp, (struct sockaddr *)(uintptr_t)8, sizeof in)));
    say(b, "packet socket %s", result(socket(AF_PACKET, SOCK_RAW, 0)));
    say(b, "netlink socket %s", result(socket(AF_NETLINK, SOCK_RAW, 0)));
    say(b, "listen %s", result(listen(tcp, 1)));
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
