#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"

union room {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int channel_send(int channel, const struct channel_message *message, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof *message};
    union room room = {0};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd < 0) /* the sandboxed half may not use sendmsg, and has no descriptor to give */
        return send(channel, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
    m.msg_control = &room;
    m.msg_controllen = sizeof room;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    erabi_copy_bytes(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(channel, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int channel_receive(int channel, struct channel_message *message, int *fd)
{
    struct iovec iov = {.iov_base = message, .iov_len = sizeof *message};
    union room room = {0};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd) {
        *fd = -1;
        m.msg_control = &room;
        m.msg_controllen = sizeof room;
    }
    ssize_t n = recvmsg(channel, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
    const struct cmsghdr *c = fd ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof *fd))
        erabi_copy_bytes(fd, CMSG_DATA(c), sizeof *fd);
    if (n == 0)
        return -EPIPE;
    message->text[sizeof message->text - 1] = '\0';
    message->group[sizeof message->group - 1] = '\0';
    return n == sizeof *message && !(m.msg_flags & MSG_TRUNC) ? 0 : -EBADMSG;
}
