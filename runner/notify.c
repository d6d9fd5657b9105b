#include "notify.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/cleanup.h"
#include "base/cursor.h"

#define CALLS_A_TURN 32

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

/* Memory of the other half at one moment. It may change afterwards: nothing but the copy is used. */
static bool copy_from(const struct notify *n, uint64_t from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(n->pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool copy_address(const struct notify *n, uint64_t from, uint64_t size, union address *out)
{
    *out = (union address){.any = {.sa_family = AF_UNSPEC}};
    if (size > sizeof *out)
        size = sizeof *out;
    return size >= sizeof(sa_family_t) && copy_from(n, from, out, (size_t)size);
}

static void describe(const union address *a, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    switch (a->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof host);
        snprintf(text, size, "%s port %u", host, ntohs(a->in.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof host);
        snprintf(text, size, "%s port %u", host, ntohs(a->in6.sin6_port));
        break;
    case AF_UNIX:
        snprintf(text, size, "local socket %.*s", (int)sizeof a->un.sun_path - 1,
                 a->un.sun_path[0] ? a->un.sun_path : "without a path");
        break;
    default:
        snprintf(text, size, "address family %u", a->any.sa_family);
    }
}

static bool is_local_stream(int fd)
{
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && domain == AF_UNIX && type == SOCK_STREAM;
}

/* libcurl before 8.0 connects also a socket that it was told is connected. For a stream that we have handed over
 * (or any other end of a local pair) the answer is that it is on its way, which is so. */
static bool is_handed_over(int fd)
{
    union address peer;
    socklen_t size = sizeof peer;
    return is_local_stream(fd) && getpeername(fd, &peer.any, &size) == 0;
}

/* The broker's socket, by us and to our own idea of the address. */
static int connect_broker(const struct notify *n, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!is_local_stream(fd) || !(fcntl(fd, F_GETFL) & O_NONBLOCK)) /* we must not be made to wait */
        return -EACCES;
    if (!erabi_copy_text(address.sun_path, sizeof address.sun_path, n->broker))
        return -ENAMETOOLONG;
    return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static void refuse(struct notify *n, const char *call, const union address *a)
{
    char place[160], text[200];
    describe(a, place, sizeof place);
    snprintf(text, sizeof text, "%s to %s", call, place);
    n->incident(n->user, text);
}

static int decide_connect(struct notify *n, const uint64_t *args)
{
    union address a;
    _close_ int fd = (int)syscall(SYS_pidfd_getfd, n->pidfd, (int)args[0], 0);
    if (fd < 0)
        return -errno;
    if (is_handed_over(fd))
        return -EINPROGRESS;
    if (!copy_address(n, args[1], args[2], &a))
        return -EFAULT;
    if (a.any.sa_family == AF_UNIX && strnlen(a.un.sun_path, sizeof a.un.sun_path) < sizeof a.un.sun_path &&
        *n->broker && strcmp(a.un.sun_path, n->broker) == 0)
        return connect_broker(n, fd);
    refuse(n, "connect", &a);
    return -EACCES;
}

static int decide(struct notify *n, const struct seccomp_notif *request)
{
    const uint64_t *args = (const uint64_t *)(const void *)request->data.args;
    union address a;
    struct msghdr m;
    if (request->data.nr == SCMP_SYS(connect))
        return decide_connect(n, args);
    if (request->data.nr == SCMP_SYS(sendto)) {
        if (!copy_address(n, args[4], args[5], &a))
            return -EFAULT;
        refuse(n, "sendto", &a);
    } else {
        if (!copy_from(n, args[1], &m, sizeof m))
            return -EFAULT;
        if (!m.msg_name) /* goes nowhere else than where it is connected, but might carry descriptors */
            return -EOPNOTSUPP;
        if (!copy_address(n, (uintptr_t)m.msg_name, m.msg_namelen, &a))
            return -EFAULT;
        refuse(n, request->data.nr == SCMP_SYS(sendmsg) ? "sendmsg" : "sendmmsg", &a);
    }
    return -EACCES;
}

static int answer_one(struct notify *n, struct seccomp_notif *request, struct seccomp_notif_resp *response)
{
    int r = seccomp_notify_receive(n->fd, request);
    if (r < 0) /* the caller was killed or interrupted meanwhile: no fault of the filter */
        return errno == ENOENT || errno == EINTR ? 0 : -EPIPE;
    response->id = request->id;
    response->flags = 0;
    response->val = 0;
    response->error = decide(n, request);
    /* A call that was given up meanwhile cannot be answered, and needs none. */
    (void)seccomp_notify_respond(n->fd, response);
    return 0;
}

int notify_answer(struct notify *n)
{
    struct seccomp_notif *request = NULL;
    struct seccomp_notif_resp *response = NULL;
    if (seccomp_notify_alloc(&request, &response))
        return -ENOMEM;
    int r = 0;
    for (int i = 0; i < CALLS_A_TURN && !r; i++) {
        struct pollfd p = {.fd = n->fd, .events = POLLIN};
        if (poll(&p, 1, 0) <= 0)
            break;
        if (!(p.revents & POLLIN)) {
            r = -EPIPE;
            break;
        }
        *request = (struct seccomp_notif){0};
        r = answer_one(n, request, response);
    }
    seccomp_notify_free(request, response);
    return r;
}
