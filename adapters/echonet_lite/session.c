#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { DATAGRAMS_A_TURN = 32, OWN_ANSWERS_A_SECOND = 20 };
static const char group_text[] = "224.0.23.0";

static void say(struct erabi_el_session *s, enum erab_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct erabi_el_session *s, enum erab_log_level level, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    s->host->log(s->self, level, text);
}

static int send_to(struct erabi_el_session *s, in_addr_t to, const uint8_t *bytes, size_t size)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(ERABI_EL_PORT), .sin_addr = {.s_addr = to}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control = {0};
    struct msghdr m = {.msg_name = &address,
                       .msg_namelen = sizeof(address),
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {.ipi_ifindex = (int)s->ifindex, .ipi_spec_dst = {.s_addr = s->address}};
    erabi_copy_bytes(CMSG_DATA(c), &info, sizeof(info));
    return sendmsg(s->fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void begin(struct erabi_el_line *line);

static void finish(struct erabi_el_line *line, int status, const struct erabi_el_frame *answer)
{
    struct erabi_el_request *r = &line->queue[line->head];
    erabi_el_done done = r->done;
    void *arg = r->arg;
    line->session->host->timer_free(line->session->self, line->timer);
    line->timer = NULL;
    line->outstanding = false;
    line->head = (line->head + 1) % ERABI_EL_QUEUE_MAX;
    line->n--;
    done(arg, status, answer);
    if (line->session->fd >= 0)
        begin(line);
}

static void on_timeout(void *arg);

static void transmit(struct erabi_el_line *line)
{
    struct erabi_el_session *s = line->session;
    struct erabi_el_request *r = &line->queue[line->head];
    r->tries--;
    r->tids[r->n_tids++] = ++s->tid;
    struct erabi_writer w = erabi_writer(r->bytes + 2, 2);
    erabi_write_u16(&w, s->tid);
    /* A send that fails (interface down, no neighbour) is a lost datagram like any other. */
    (void)send_to(s, line->address, r->bytes, r->size);
    line->timer = s->host->timer(s->self, s->options.timeout_ms, on_timeout, line);
}

static void on_timeout(void *arg)
{
    struct erabi_el_line *line = arg;
    line->session->host->timer_free(line->session->self, line->timer);
    line->timer = NULL;
    if (line->queue[line->head].tries > 0)
        transmit(line);
    else
        finish(line, -ETIMEDOUT, NULL);
}

static void begin(struct erabi_el_line *line)
{
    if (line->outstanding || line->n == 0)
        return;
    line->outstanding = true;
    transmit(line);
}

static struct erabi_el_line *line_of(struct erabi_el_session *s, in_addr_t node, bool make)
{
    struct erabi_el_line *idle = NULL;
    for (size_t i = 0; i < ERABI_EL_NODES_MAX; i++) {
        if (s->lines[i].address == node)
            return &s->lines[i];
        if (!idle && s->lines[i].n == 0 && !s->lines[i].outstanding)
            idle = &s->lines[i];
    }
    if (!make || !idle)
        return NULL;
    idle->session = s;
    idle->address = node;
    return idle;
}

int erabi_el_ask(struct erabi_el_session *s, in_addr_t node, uint32_t deoj, uint8_t esv,
                 const struct erabi_el_property *properties, size_t n, bool repeat, erabi_el_done done,
                 void *arg)
{
    struct erabi_el_line *line = s->fd >= 0 ? line_of(s, node, true) : NULL;
    if (!line || line->n == ERABI_EL_QUEUE_MAX)
        return -EAGAIN;
    struct erabi_el_request *r = &line->queue[(line->head + line->n) % ERABI_EL_QUEUE_MAX];
    struct erabi_el_frame f = {.seoj = ERABI_EL_CONTROLLER, .deoj = deoj, .esv = esv};
    for (f.n = 0; f.n < n && f.n < ERABI_EL_PROPERTIES_MAX; f.n++)
        f.property[f.n] = properties[f.n];
    struct erabi_writer w = erabi_writer(r->bytes, sizeof(r->bytes));
    int e = erabi_el_build(&w, &f);
    if (e)
        return e;
    r->deoj = deoj;
    r->esv = esv;
    r->tries = repeat ? s->options.tries : 1;
    r->n_tids = 0;
    r->size = w.used;
    r->done = done;
    r->arg = arg;
    line->n++;
    begin(line);
    return 0;
}

int erabi_el_get(struct erabi_el_session *s, in_addr_t node, uint32_t deoj, const uint8_t *epcs, size_t n,
                 erabi_el_done done, void *arg)
{
    struct erabi_el_property p[32];
    if (n > 32)
        return -EMSGSIZE;
    for (size_t i = 0; i < n; i++)
        p[i] = (struct erabi_el_property){.epc = epcs[i]};
    return erabi_el_ask(s, node, deoj, ERABI_EL_GET, p, n, true, done, arg);
}

int erabi_el_tell_all(struct erabi_el_session *s, uint8_t esv, uint8_t epc, struct erabi_slice edt,
                      uint16_t *tid)
{
    struct erabi_el_frame f = {
        .tid = ++s->tid, .seoj = ERABI_EL_NODE, .deoj = ERABI_EL_NODE, .esv = esv, .n = 1};
    f.property[0] = (struct erabi_el_property){.epc = epc, .edt = edt};
    uint8_t bytes[64];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    int e = erabi_el_build(&w, &f);
    if (tid)
        *tid = f.tid;
    return e ? e : send_to(s, inet_addr(group_text), bytes, w.used);
}

/* True when the frame answers the outstanding request of the node that sent it. */
static bool is_answer(const struct erabi_el_line *line, const struct erabi_el_frame *f)
{
    const struct erabi_el_request *r = &line->queue[line->head];
    if (!line->outstanding || f->seoj != r->deoj || f->deoj != ERABI_EL_CONTROLLER ||
        !erabi_el_answers(r->esv, f->esv))
        return false;
    for (size_t i = 0; i < r->n_tids; i++)
        if (r->tids[i] == f->tid)
            return true;
    return false;
}

static bool is_request(uint8_t esv)
{
    return (esv & 0xF0) == 0x60 || esv == ERABI_EL_INFC;
}

static void answer(struct erabi_el_session *s, in_addr_t from, const struct erabi_el_frame *f)
{
    uint64_t now = s->host->monotonic_ms(s->self);
    if (now - s->answers_since >= 1000) {
        s->answers_since = now;
        s->answers_left = OWN_ANSWERS_A_SECOND;
    }
    uint8_t bytes[ERABI_EL_FRAME_MAX];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    enum erabi_el_own_reply reply = erabi_el_own_answer(&s->own, f, &w);
    if (reply == ERABI_EL_SILENT || s->answers_left == 0)
        return;
    s->answers_left--;
    (void)send_to(s, reply == ERABI_EL_GROUP ? inet_addr(group_text) : from, bytes, w.used);
}

static void take(struct erabi_el_session *s, in_addr_t from, struct erabi_slice bytes)
{
    struct erabi_el_frame f;
    if (erabi_el_parse(bytes, &f)) {
        s->dropped++;
        return;
    }
    struct erabi_el_line *line = line_of(s, from, false);
    if (line && is_answer(line, &f)) {
        finish(line, 0, &f);
        return;
    }
    if (is_request(f.esv))
        answer(s, from, &f);
    if (!is_request(f.esv) || f.esv == ERABI_EL_INFC)
        s->options.on_frame(s->options.user, from, &f);
}

/* The interface a datagram came in by, 0 when the kernel did not say. */
static int ingress(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            erabi_copy_bytes(&info, CMSG_DATA(c), sizeof(info));
            return info.ipi_ifindex;
        }
    return 0;
}

static void on_readable(void *arg, uint32_t events)
{
    struct erabi_el_session *s = arg;
    for (int i = 0; i < DATAGRAMS_A_TURN && s->fd >= 0; i++) {
        uint8_t bytes[ERABI_EL_FRAME_MAX];
        struct sockaddr_in from = {0};
        struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        union {
            struct cmsghdr align;
            char room[256];
        } control;
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof(from),
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0)
            continue; /* an ICMP error of an earlier send */
        in_addr_t source = from.sin_addr.s_addr;
        if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || ingress(&m) != (int)s->ifindex ||
            ((source ^ s->address) & s->netmask) != 0 || source == s->address) {
            s->dropped++;
            continue;
        }
        take(s, source, erabi_slice(bytes, (size_t)n));
    }
}

static int find_interface(struct erabi_el_session *s)
{
    s->ifindex = if_nametoindex(s->options.interface);
    struct ifaddrs *all = NULL;
    if (s->ifindex == 0 || getifaddrs(&all) < 0)
        return -ENODEV;
    for (struct ifaddrs *a = all; a && !s->address; a = a->ifa_next) {
        if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET ||
            strcmp(a->ifa_name, s->options.interface) != 0)
            continue;
        s->address = ((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr.s_addr;
        s->netmask = ((struct sockaddr_in *)(void *)a->ifa_netmask)->sin_addr.s_addr;
    }
    freeifaddrs(all);
    return s->address ? 0 : -EADDRNOTAVAIL;
}

static void read_mac(int fd, const char *interface, uint8_t mac[6])
{
    struct ifreq r = {0};
    if (erabi_copy_text(r.ifr_name, sizeof(r.ifr_name), interface) && ioctl(fd, SIOCGIFHWADDR, &r) == 0)
        erabi_copy_bytes(mac, r.ifr_hwaddr.sa_data, 6);
}

static int set(int fd, int option, int value)
{
    return setsockopt(fd, IPPROTO_IP, option, &value, sizeof(value));
}

static int prepare(struct erabi_el_session *s, int fd)
{
    struct ip_mreqn group = {.imr_multiaddr = {.s_addr = inet_addr(group_text)},
                             .imr_address = {.s_addr = s->address},
                             .imr_ifindex = (int)s->ifindex};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(ERABI_EL_PORT)};
    /* Binding to the device is a second lock beside the check of every datagram; older kernels ask a
     * privilege for it. */
    (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, s->options.interface,
                     (socklen_t)strlen(s->options.interface));
    if (set(fd, IP_PKTINFO, 1) || set(fd, IP_TTL, 1) || set(fd, IP_MULTICAST_TTL, 1) ||
        set(fd, IP_MULTICAST_LOOP, 0) || set(fd, IP_MULTICAST_ALL, 0) ||
        bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)) ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
        return -errno;
    return 0;
}

int erabi_el_session_open(struct erabi_el_session *s, const struct erab_host *host, erab_self *self,
                          const struct erabi_el_session_options *options)
{
    s->host = host;
    s->self = self;
    s->options = *options;
    s->fd = -1;
    int e = find_interface(s);
    if (e) {
        say(s, ERAB_LOG_ERROR, "interface %s: %s", options->interface,
            e == -ENODEV ? "does not exist" : "has no IPv4 address");
        return e;
    }
    _close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    e = fd < 0 ? -errno : prepare(s, fd);
    if (e) {
        say(s, ERAB_LOG_ERROR, "UDP port %d on %s: %s", ERABI_EL_PORT, options->interface, strerror(-e));
        return e;
    }
    uint8_t mac[6] = {0};
    read_mac(fd, options->interface, mac);
    erabi_el_own_init(&s->own, mac);
    s->watch = host->watch(self, fd, ERAB_READABLE, on_readable, s);
    if (!s->watch)
        return -ENOMEM;
    s->fd = fd;
    fd = -1;
    return 0;
}

void erabi_el_session_close(struct erabi_el_session *s)
{
    for (size_t i = 0; i < ERABI_EL_NODES_MAX && s->host; i++) {
        if (s->lines[i].timer)
            s->host->timer_free(s->self, s->lines[i].timer);
        s->lines[i].timer = NULL;
        s->lines[i].n = 0;
        s->lines[i].outstanding = false;
    }
    if (s->watch)
        s->host->watch_free(s->self, s->watch);
    s->watch = NULL;
    if (s->host && s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
