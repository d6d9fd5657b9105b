#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
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
    uint8_t packet[sizeof(struct erab_datagram) + ERABI_EL_FRAME_MAX];
    struct erab_datagram head = {.size = sizeof(head), .family = 4, .destination_port = ERABI_EL_PORT};
    if (size > ERABI_EL_FRAME_MAX)
        return -EMSGSIZE;
    erabi_copy_bytes(head.destination, &to, sizeof(to));
    erabi_copy_bytes(packet, &head, sizeof(head));
    erabi_copy_bytes(packet + sizeof(head), bytes, size);
    return send(s->fd, packet, sizeof(head) + size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
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

static void on_readable(void *arg, uint32_t events)
{
    struct erabi_el_session *s = arg;
    for (int i = 0; i < DATAGRAMS_A_TURN && s->fd >= 0; i++) {
        uint8_t packet[sizeof(struct erab_datagram) + ERABI_EL_FRAME_MAX];
        struct erab_datagram head;
        in_addr_t source;
        ssize_t n = recv(s->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n <= 0) { /* the host has closed it: nothing comes any more */
            s->host->watch_set(s->self, s->watch, 0);
            say(s, ERAB_LOG_ERROR, "the way to interface %s is closed", s->options.interface);
            return;
        }
        if ((size_t)n < sizeof(head) || (size_t)n > sizeof(packet)) {
            s->dropped++;
            continue;
        }
        erabi_copy_bytes(&head, packet, sizeof(head));
        erabi_copy_bytes(&source, head.source, sizeof(source));
        if (head.size != sizeof(head) || head.family != 4 || head.interface != s->ifindex ||
            ((source ^ s->address) & s->netmask) != 0 || source == s->address) {
            s->dropped++;
            continue;
        }
        take(s, source, erabi_slice(packet + sizeof(head), (size_t)n - sizeof(head)));
    }
}

int erabi_el_session_open(struct erabi_el_session *s, const struct erab_host *host, erab_self *self,
                          const struct erabi_el_session_options *options)
{
    s->host = host;
    s->self = self;
    s->options = *options;
    s->fd = -1;
    const struct erab_datagram_options datagram = {
        .size = sizeof(datagram), .interface = "interface", .group = group_text, .port = ERABI_EL_PORT};
    struct erab_datagram_info info = {.size = sizeof(info)};
    _close_ int fd = host->open_datagram(self, &datagram, &info);
    if (fd < 0) {
        say(s, ERAB_LOG_ERROR, "UDP port %d on interface %s: %s", ERABI_EL_PORT, options->interface,
            fd == -ENODEV          ? "it does not exist"
            : fd == -EADDRNOTAVAIL ? "it has no IPv4 address"
                                   : strerror(-fd));
        return fd;
    }
    s->ifindex = info.interface;
    erabi_copy_bytes(&s->address, info.address, sizeof(s->address));
    s->netmask = info.prefix_bits ? htonl(UINT32_MAX << (32 - info.prefix_bits)) : 0;
    erabi_el_own_init(&s->own, info.mac);
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
