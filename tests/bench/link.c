#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

_Noreturn void die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("erab-load: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    _exit(1);
}

uint64_t mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void party_name(unsigned number, char name[16])
{
    if (number == 0)
        erabi_copy_text(name, 16, "birch");
    else
        snprintf(name, 16, "hems-%05u", number);
}

/* The same in every process, so that nothing has to be handed over. These keys are of no use elsewhere. */
void party_identity(unsigned number, struct erab_identity *out)
{
    uint8_t seed[32] = "keys of a load generator";
    party_name(number, out->party);
    erabi_copy_bytes(seed + 26, &number, sizeof(number));
    crypto_box_seed_keypair(out->curve_public, out->curve_secret, seed);
    crypto_sign_seed_keypair(out->sign_public, out->sign_secret, seed);
}

void world_init(struct world *w)
{
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0)
        die("epoll: %s", strerror(errno));
    if (w->kind == OURS || w->kind == BARE)
        return;
    char path[512];
    w->tls = SSL_CTX_new(TLS_client_method());
    snprintf(path, sizeof(path), "%s/ca.pem", w->certificates);
    if (!w->tls || SSL_CTX_load_verify_locations(w->tls, path, NULL) != 1)
        die("cannot read %s", path);
    SSL_CTX_set_verify(w->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(w->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    snprintf(path, sizeof(path), "%s/client.pem", w->certificates);
    if (SSL_CTX_use_certificate_file(w->tls, path, SSL_FILETYPE_PEM) != 1)
        die("cannot read %s", path);
    snprintf(path, sizeof(path), "%s/client.key", w->certificates);
    if (SSL_CTX_use_PrivateKey_file(w->tls, path, SSL_FILETYPE_PEM) != 1)
        die("cannot read %s", path);
}

/* ---- what waits to be sent ---- */

static uint8_t *out_room(struct link *l, size_t n)
{
    if (l->out_gone && l->out_gone == l->out_used)
        l->out_gone = l->out_used = 0;
    if (l->out_used + n > l->out_size) {
        size_t size = l->out_size ? l->out_size : 1024;
        while (size < l->out_used + n)
            size *= 2;
        l->out = realloc(l->out, size);
        if (!l->out)
            die("out of memory");
        l->out_size = size;
    }
    return l->out + l->out_used;
}

uint8_t *in_room(struct link *l, size_t n)
{
    if (l->in_used + n > l->in_size) {
        size_t size = l->in_size ? l->in_size : 4096;
        while (size < l->in_used + n)
            size *= 2;
        l->in = realloc(l->in, size);
        if (!l->in)
            die("out of memory");
        l->in_size = size;
    }
    return l->in + l->in_used;
}

size_t link_waiting(const struct link *l)
{
    return l->out_used - l->out_gone;
}

void put_raw(struct link *l, const void *bytes, size_t size)
{
    erabi_copy_bytes(out_room(l, size), bytes, size);
    l->out_used += size;
}

void link_put(struct link *l, const void *bytes, size_t size)
{
    if (l->ssl) {
        put_raw(l, bytes, size);
        return;
    }
    size_t sealed = erabi_curve_sealed_size(size);
    struct erabi_writer w = erabi_writer(out_room(l, sealed), sealed);
    if (erabi_curve_seal(&l->curve, &w, bytes, size) < 0)
        die("link %u takes no packet", l->number);
    l->out_used += w.used;
}

void link_flush(struct link *l)
{
    while (l->out_gone < l->out_used) {
        size_t left = l->out_used - l->out_gone;
        ssize_t n;
        if (l->ssl && l->stage > 1) {
            int r = SSL_write(l->ssl, l->out + l->out_gone, (int)(left > 1 << 20 ? 1 << 20 : left));
            if (r <= 0 && SSL_get_error(l->ssl, r) == SSL_ERROR_WANT_WRITE)
                return;
            n = r;
        } else {
            n = send(l->fd, l->out + l->out_gone, left, MSG_NOSIGNAL);
            if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
                return;
        }
        if (n <= 0) {
            l->failed = true;
            return;
        }
        l->out_gone += (size_t)n;
    }
}

/* ---- CURVE ---- */

/* The first one binds the connection, later ones are its signs of life. */
static void ping_ours(struct link *l)
{
    static const uint8_t body[] = {8, 1}; /* protocol 1 */
    uint8_t bytes[1024], head[ERAB_HEADER_MAX];
    uint64_t now = wall_ms();
    struct erab_header header = {.type = ERAB_PING, .category = ERAB_OPERATION, .issued_at_ms = now,
                                 .expires_at_ms = now + 60000, .seq = ++l->seq, .version = 1};
    erab_id_new(header.id, now);
    party_name(l->number, header.from);
    erabi_copy_text(header.to, sizeof(header.to), "alder");
    struct erabi_envelope e = {.header = erabi_slice(head, erabi_header_encode(&header, head)),
                               .body = erabi_slice(body, sizeof(body))};
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_packet_begin(&w, l->group);
    erabi_packet_add(&w, &e);
    link_put(l, bytes, w.used);
    l->pinged_ns = mono_ns();
}

static void greet_bare(struct link *l)
{
    uint8_t hello[BARE_HEAD] = {0};
    struct erabi_writer w = erabi_writer(hello, sizeof(hello));
    erabi_write_u32(&w, BARE_HELLO);
    erabi_write_u32(&w, l->number);
    link_put(l, hello, sizeof(hello));
}

static void curve_frame(struct link *l, const struct erabi_zmtp_frame *frame)
{
    static uint8_t plain[ERABI_ZMTP_BODY_MAX];
    uint8_t reply[ERABI_CURVE_REPLY];
    struct erabi_writer w = erabi_writer(reply, sizeof(reply));
    struct erabi_slice content;
    struct erabi_fault fault;
    switch (erabi_curve_receive(&l->curve, frame, plain, &w, &content, &fault)) {
    case ERABI_CURVE_QUIET:
        break;
    case ERABI_CURVE_OPEN:
        erabi_zmtp_opened(&l->zmtp);
        if (l->world->kind == OURS)
            ping_ours(l);
        else
            greet_bare(l);
        link_flush(l);
        return;
    case ERABI_CURVE_PACKET:
        if (l->up)
            l->world->on_message(l->world->user, l, content.data, content.size);
        l->up = true; /* the first packet answers our Ping or hello */
        return;
    case ERABI_CURVE_PING:
        erabi_curve_pong(&l->curve, &w, content);
        break;
    default:
        die("link %u: %s", l->number, fault.detail);
    }
    put_raw(l, reply, w.used);
    link_flush(l);
}

static void curve_step(struct link *l)
{
    static uint8_t bytes[262144];
    for (;;) {
        ssize_t n = recv(l->fd, bytes, sizeof(bytes), 0);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
            return;
        if (n <= 0) {
            l->failed = true;
            return;
        }
        struct erabi_reader in = erabi_reader(bytes, (size_t)n);
        for (;;) {
            struct erabi_zmtp_frame frame;
            struct erabi_fault fault = {0, ""};
            int step = erabi_zmtp_feed(&l->zmtp, &in, &frame, &fault);
            if (step == ERABI_ZMTP_WANT)
                break;
            if (step < 0)
                die("link %u: %s", l->number, fault.detail);
            if (step == ERABI_ZMTP_FRAME) {
                curve_frame(l, &frame);
                continue;
            }
            uint8_t hello[ERABI_CURVE_REPLY];
            struct erabi_writer w = erabi_writer(hello, sizeof(hello));
            if (erabi_curve_hello(&l->curve, &w) < 0)
                die("no HELLO");
            put_raw(l, hello, w.used);
            link_flush(l);
        }
        if ((size_t)n < sizeof(bytes))
            return;
    }
}

static void curve_begin(struct link *l)
{
    struct erab_identity identity = {0};
    uint8_t greeting[ERABI_ZMTP_GREETING_SIZE];
    struct erabi_writer w = erabi_writer(greeting, sizeof(greeting));
    party_identity(l->number, &identity);
    erabi_copy_bytes(l->secret, identity.curve_secret, sizeof(l->secret));
    if (erabi_curve_init_client(&l->curve, l->world->server_key, l->secret) < 0)
        die("keys");
    erabi_zmtp_init(&l->zmtp, false);
    erabi_zmtp_write_greeting(&w, false);
    put_raw(l, greeting, w.used);
}

/* ---- any ---- */

/* A server may limit the handshakes of one address: the links come from two thousand. */
void link_open(struct world *w, struct link *l, unsigned number, enum erab_lane_group group)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
    int one = 1;
    *l = (struct link){.world = w, .next = w->links, .number = number, .group = group};
    w->links = l;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    here.sin_addr.s_addr = htonl(0x7F000100u + (number / 250 % 8) * 256u + 1u + number % 250);
    inet_pton(AF_INET, w->host, &there.sin_addr);
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(l->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&here, sizeof(here)) < 0 ||
        (connect(l->fd, (const struct sockaddr *)&there, sizeof(there)) < 0 && errno != EINPROGRESS))
        die("link %u: %s", number, strerror(errno));
    if (w->tls)
        tls_begin(l);
    else
        curve_begin(l);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = l};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, l->fd, &e) < 0)
        die("epoll: %s", strerror(errno));
}

static void ping_all(struct world *w)
{
    uint64_t now = mono_ns();
    if (w->kind != OURS || now - w->pinged_ns < UINT64_C(1000000000))
        return;
    w->pinged_ns = now;
    for (struct link *l = w->links; l; l = l->next)
        if (l->up && now - l->pinged_ns > UINT64_C(4000000000)) {
            ping_ours(l);
            link_flush(l);
        }
}

void world_step(struct world *w, int timeout_ms)
{
    struct epoll_event events[256];
    ping_all(w);
    int n = epoll_wait(w->epoll, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct link *l = events[i].data.ptr;
        if (w->tls)
            tls_step(l);
        else {
            link_flush(l);
            curve_step(l);
        }
        if (l->failed || events[i].events & (EPOLLERR | EPOLLHUP))
            die("link %u was closed", l->number);
    }
}

void link_wait_up(struct world *w, struct link *links, unsigned n)
{
    uint64_t end = mono_ns() + UINT64_C(30000000000);
    for (unsigned i = 0; i < n; i++)
        while (!links[i].up) {
            if (mono_ns() > end)
                die("link %u is not up in time", links[i].number);
            world_step(w, 100);
        }
}
