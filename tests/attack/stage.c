#include "stage.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zmq.h>

static bool is_honest(const struct stage *s, const uint8_t *key)
{
    return key && sodium_memcmp(key, s->bystander.client_public, 32) == 0;
}

static enum erabi_admission on_key(void *user, struct erabi_listener *l, const uint8_t key[ERABI_KEY_SIZE],
                                   const char *address, enum erab_reason *reason)
{
    struct stage *s = user;
    if (is_honest(s, key))
        return ERABI_ADMIT;
    s->keys_seen++;
    return sodium_memcmp(key, s->keys.client_public, 32) == 0 ? s->verdict : ERABI_REFUSE;
}

static void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
{
    struct stage *s = user;
    if (is_honest(s, erabi_connection_key(c)))
        return;
    s->opened++;
    s->last = c;
}

static void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    struct stage *s = user;
    bool honest = is_honest(s, erabi_connection_key(c));
    *(honest ? &s->heard : &s->packets) += 1;
    if (!honest && size == 3 && sodium_memcmp(packet, "cut", 3) == 0)
        erabi_connection_cut(c, ERAB_REASON_REVOKED);
    else if (honest || !s->mute)
        erabi_connection_send(c, packet, size);
}

static void note_end(struct stage *s, const struct erabi_transport_event *e)
{
    if (is_honest(s, e->key))
        return;
    s->reason = e->reason;
    erabi_copy_text(s->detail, sizeof s->detail, e->detail);
}

static void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *e)
{
    struct stage *s = user;
    if (c == s->last)
        s->last = NULL;
    if (!is_honest(s, e->key))
        s->closed++;
    note_end(s, e);
}

static void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *e)
{
    note_end(user, e);
}

unsigned stage_ended(const struct stage *s)
{
    struct erabi_transport_stats stats;
    erabi_transport_stats(s->transport, &stats);
    return s->closed + (unsigned)stats.refused;
}

size_t stage_memory(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void on_guard(uv_timer_t *timer)
{
    struct stage *s = timer->data;
    s->timed_out = uv_now(&s->loop) > s->give_up_ms;
}

void stage_guard(struct stage *s, bool on)
{
    s->guards += on ? 1 : -1;
    if (s->guards == 0)
        uv_timer_stop(&s->guard);
    if (!on || s->guards > 1)
        return; /* one wait inside another */
    uv_update_time(&s->loop);
    s->timed_out = false;
    s->give_up_ms = uv_now(&s->loop) + 15000;
    uv_timer_start(&s->guard, on_guard, 1, 2);
}

static void *dealer(struct stage *s)
{
    void *d = zmq_socket(s->zmq, ZMQ_DEALER);
    int zero = 0, soon = 20;
    char endpoint[128];
    unsigned port = 0;
    assert_int_equal(sscanf(erabi_listener_endpoint(s->listener), "tcp://127.0.0.1:%u", &port), 1);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.2:0;127.0.0.1:%u", port);
    zmq_setsockopt(d, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(d, ZMQ_RECONNECT_IVL, &soon, sizeof soon);
    zmq_setsockopt(d, ZMQ_CURVE_SERVERKEY, s->keys.server_public, 32);
    zmq_setsockopt(d, ZMQ_CURVE_PUBLICKEY, s->bystander.client_public, 32);
    zmq_setsockopt(d, ZMQ_CURVE_SECRETKEY, s->bystander.client_secret, 32);
    assert_int_equal(zmq_connect(d, endpoint), 0);
    return d;
}

struct stage *stage_new(const struct erabi_transport_limits *limits)
{
    static const struct erabi_transport_callbacks callbacks = {on_key, on_open, on_packet, NULL, on_close, on_refused};
    struct erabi_transport_limits l = limits ? *limits : (struct erabi_transport_limits){0};
    struct stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    if (!l.handshakes_per_second)
        l.handshakes_per_second = 100000;
    keys_init(&s->keys);
    s->bystander = s->keys;
    crypto_box_keypair(s->bystander.client_public, s->bystander.client_secret);
    s->verdict = ERABI_ADMIT;
    uv_loop_init(&s->loop);
    uv_timer_init(&s->loop, &s->guard);
    s->guard.data = s;
    s->zmq = zmq_ctx_new();
    assert_int_equal(erabi_transport_new(&s->transport, &s->loop, &l, &callbacks, s), 0);
    assert_int_equal(
        erabi_transport_listen(s->transport, &s->listener, "tcp://127.0.0.1:0", s->keys.server_secret, s), 0);
    return s;
}

static void on_stopped(void *user)
{
    struct stage *s = user;
    s->stopped = true;
}

void stage_free(struct stage *s)
{
    erabi_transport_stop(s->transport, on_stopped, s);
    while (!s->stopped)
        uv_run(&s->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&s->guard, NULL);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    if (s->honest)
        zmq_close(s->honest);
    zmq_ctx_term(s->zmq);
    free(s);
}

void stage_bystander_is_served(struct stage *s)
{
    char back[16];
    int got = -1;
    if (!s->honest)
        s->honest = dealer(s);
    assert_int_equal(zmq_send(s->honest, "hello", 5, 0), 5);
    STAGE_UNTIL(s, (got = zmq_recv(s->honest, back, sizeof back, ZMQ_DONTWAIT)) >= 0);
    assert_int_equal(got, 5);
    assert_memory_equal(back, "hello", 5);
}

int stage_connect(struct stage *s)
{
    int fd = stage_try_connect(s);
    assert_true(fd >= 0);
    return fd;
}

int stage_try_connect(struct stage *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned port = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    assert_int_equal(sscanf(erabi_listener_endpoint(s->listener), "tcp://127.0.0.1:%u", &port), 1);
    at.sin_port = htons((uint16_t)port);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

int stage_listen(char endpoint[64])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(endpoint, 64, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

int stage_accept(struct stage *s, int listening)
{
    int fd = -1;
    STAGE_UNTIL(s, (fd = accept(listening, NULL, NULL)) >= 0);
    return fd;
}

bool stage_write(struct stage *s, int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    bool fine = true;
    stage_guard(s, true);
    while (size && fine && !s->timed_out) {
        ssize_t n = send(fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            uv_run(&s->loop, UV_RUN_ONCE);
        } else {
            fine = false;
        }
    }
    stage_guard(s, false);
    if (s->timed_out)
        fail_msg("the other end takes nothing more");
    return fine;
}

bool stage_gone(int fd)
{
    uint8_t sink[4096];
    ssize_t n;
    while ((n = recv(fd, sink, sizeof sink, MSG_DONTWAIT)) > 0)
        continue;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

/* ---- raw clients ---- */

struct raw *raw_new(struct stage *s, const struct keys *keys)
{
    struct raw *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->stage = s;
    end_init_client(&r->end, keys ? keys : &s->keys);
    r->fd = stage_connect(s);
    return r;
}

struct raw *raw_serve(struct stage *s, int fd)
{
    struct raw *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->stage = s;
    r->fd = fd;
    end_init_server(&r->end, &s->keys);
    return r;
}

void raw_free(struct raw *r)
{
    if (!r)
        return;
    end_deinit(&r->end);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

static bool write_out(struct raw *r)
{
    size_t size = r->end.used;
    if (r->hold && r->chunk >= r->hold)
        return true;
    unsigned chunk = r->chunk++;
    if (r->spoil && chunk == r->spoil) {
        assert_true(r->spoil_at < size);
        r->end.out[r->spoil_at] ^= 1;
    }
    if (r->logged + size <= sizeof r->log) {
        erabi_copy_bytes(r->log + r->logged, r->end.out, size);
        r->logged += size;
    }
    r->end.used = 0;
    return stage_write(r->stage, r->fd, r->end.out, size);
}

bool raw_step(struct raw *r)
{
    uint8_t in[65536];
    ssize_t n = 1;
    if (r->end.used && !write_out(r))
        r->gone = true;
    while (!r->gone && !r->deaf && (n = recv(r->fd, in, sizeof in, MSG_DONTWAIT)) > 0) {
        end_feed(&r->end, in, (size_t)n);
        if (r->end.used && !write_out(r))
            r->gone = true;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        r->gone = true;
    return !r->gone;
}

void raw_enter(struct raw *r)
{
    STAGE_UNTIL(r->stage, !raw_step(r) || r->end.opened || r->end.known);
    assert_int_equal(r->end.opened + r->end.known, 1);
}

bool raw_packet(struct raw *r, const void *content, size_t size)
{
    end_send(&r->end, content, size);
    return write_out(r);
}

bool raw_message(struct raw *r, uint8_t outer, uint8_t inner, const void *content, size_t size)
{
    struct erabi_curve *c = &r->end.curve;
    struct erabi_writer w = erabi_writer(r->end.out, sizeof r->end.out);
    uint8_t nonce[24], *inside = malloc(size + 1);
    struct erabi_writer n = erabi_writer(nonce, sizeof nonce), i = erabi_writer(inside, size + 1);
    assert_non_null(inside);
    erabi_write_u8(&i, inner);
    erabi_write_bytes(&i, content, size);
    erabi_write_bytes(&n, c->server ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", 16);
    erabi_write_u64(&n, ++c->sent);
    erabi_zmtp_write_head(&w, false, size + 33);
    r->end.out[0] |= outer;
    erabi_write_bytes(&w, "\7MESSAGE", 8);
    erabi_write_u64(&w, c->sent);
    crypto_box_easy_afternm(erabi_write_room(&w, size + 17), inside, size + 1, nonce, c->shared);
    free(inside);
    r->end.used = w.used;
    return write_out(r);
}
