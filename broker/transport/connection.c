#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "transport/internal.h"

enum { DRAIN_MS = 1000 };

static void on_timer(uv_timer_t *timer);

static uint64_t now_of(const struct erabi_connection *c)
{
    return uv_now(c->transport->loop);
}

/* ---- life ---- */

struct erabi_connection *erabi_connection_new(struct erabi_transport *t, struct erabi_listener *l,
                                              struct erabi_dialer *d, bool local)
{
    struct erabi_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->transport = t;
    c->listener = l;
    c->dialer = d;
    c->local = local;
    c->state = ERABI_CONNECTING;
    c->end_ms = now_of(c) + t->limits.handshake_ms;
    erabi_copy_text(c->address, sizeof c->address, "local");
    erabi_zmtp_init(&c->zmtp, l != NULL);
    int r = l ? erabi_curve_init_server(&c->curve, l->public_key, l->secret)
              : erabi_curve_init_client(&c->curve, d->server_key, d->secret);
    if (r == 0 && l && l->next_secret)
        erabi_curve_also(&c->curve, l->next_public, l->next_secret);
    if (r == 0)
        r = local ? uv_pipe_init(t->loop, &c->io.pipe, 0) : uv_tcp_init(t->loop, &c->io.tcp);
    if (r < 0) {
        erabi_curve_deinit(&c->curve);
        free(c);
        return NULL;
    }
    uv_timer_init(t->loop, &c->timer);
    c->io.handle.data = c->timer.data = c;
    c->handles = 2;
    if (l)
        l->connections++;
    else
        d->connections++;
    t->handles += 2;
    t->stats.handshaking++;
    LIST_INSERT_HEAD(&t->connections, c, entry);
    uv_timer_start(&c->timer, on_timer, t->limits.handshake_ms, 0);
    return c;
}

static void tell_end(struct erabi_connection *c)
{
    struct erabi_transport *t = c->transport;
    struct erabi_transport_event event = {c->reason, c->detail, c->address,
                                          c->known ? c->curve.peer_key : NULL};
    if (c->opened)
        t->callbacks.on_close(t->user, c, &event);
    else
        erabi_transport_refused(t, c->listener, &event);
    if (c->dialer && !t->stopping)
        erabi_dialer_ended(c->dialer, c->opened ? now_of(c) - c->opened_ms : 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct erabi_connection *c = handle->data;
    struct erabi_transport *t = c->transport;
    if (--c->handles == 0) {
        tell_end(c);
        LIST_REMOVE(c, entry);
        if (c->listener) {
            c->listener->connections--;
            erabi_listener_release(c->listener);
        } else {
            c->dialer->connections--;
            erabi_dialer_release(c->dialer);
        }
        erabi_zmtp_deinit(&c->zmtp);
        erabi_curve_deinit(&c->curve);
        free(c->out);
        free(c->writing);
        free(c);
    }
    erabi_transport_unref(t);
}

void erabi_connection_end(struct erabi_connection *c, enum erab_reason reason, const char *detail, bool reset)
{
    struct erabi_transport *t = c->transport;
    if (c->state == ERABI_CLOSED)
        return;
    if (c->state != ERABI_DRAINING) { /* a drained one has its reason already */
        c->reason = reason;
        c->detail = detail;
    }
    if (c->opened)
        t->stats.connections--;
    else
        t->stats.handshaking--;
    erabi_sources_leave(c->source);
    c->source = NULL;
    c->state = ERABI_CLOSED;
    erabi_transport_clean(t, c);
    uv_os_fd_t fd;
    if (reset && uv_fileno(&c->io.handle, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    uv_close(&c->io.handle, on_closed); /* closes the descriptor before it returns */
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

/* Ends in order: what is queued is still sent, and what the peer sent before it saw our end is still read. */
static void drain(struct erabi_connection *c, enum erab_reason reason, const char *detail)
{
    c->reason = reason;
    c->detail = detail;
    c->state = ERABI_DRAINING;
    uv_timer_start(&c->timer, on_timer, DRAIN_MS, 0);
    erabi_transport_dirty(c->transport, c);
}

void erabi_connection_cut(struct erabi_connection *c, enum erab_reason reason)
{
    if (c->state == ERABI_DRAINING)
        c->state = ERABI_UP; /* the cut's reason is the one that counts */
    erabi_connection_end(c, reason, "cut", true);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct erabi_connection *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)c->transport->input, ERABI_INPUT_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void set_reading(struct erabi_connection *c)
{
    bool want = c->state != ERABI_CONNECTING && c->state != ERABI_CLOSED && !c->paused && !c->throttled &&
                !c->yielded;
    if (want == c->reading || c->state == ERABI_CLOSED)
        return;
    c->reading = want;
    if (!want) {
        uv_read_stop(&c->io.stream);
        return;
    }
    c->heard_ms = now_of(c); /* silence counts only while we listen */
    if (uv_read_start(&c->io.stream, on_alloc, on_read) < 0)
        erabi_connection_end(c, ERAB_REASON_IO_ERROR, "read failed", false);
}

void erabi_connection_pause(struct erabi_connection *c, bool paused)
{
    c->paused = paused;
    set_reading(c);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void arm(struct erabi_connection *c)
{
    const struct erabi_transport_limits *l = &c->transport->limits;
    uint64_t now = now_of(c), due = earlier(c->end_ms, c->pinged_ms + l->heartbeat_ms);
    if (c->reading)
        due = earlier(due, c->heard_ms + l->heartbeat_timeout_ms);
    if (c->throttled)
        due = earlier(due, now + 1 + (uint64_t)-c->tokens * 1000 / l->bytes_per_second);
    uv_timer_start(&c->timer, on_timer, due > now ? due - now : 1, 0);
}

/* Refills the allowance and takes n bytes of it. */
static void meter(struct erabi_connection *c, size_t n)
{
    int64_t rate = c->transport->limits.bytes_per_second, full = rate * 2;
    uint64_t now = now_of(c), passed = now - c->tokens_ms;
    int64_t more = passed >= 4000 ? full * 2 : rate * (int64_t)passed / 1000;
    if (more > 0) { /* else the fraction would be lost at every call */
        c->tokens = c->tokens + more < full ? c->tokens + more : full;
        c->tokens_ms = now;
    }
    c->tokens -= (int64_t)n;
    bool throttled = c->tokens < 0;
    if (throttled == c->throttled)
        return;
    c->throttled = throttled;
    set_reading(c);
    if (c->state == ERABI_UP)
        arm(c);
}

static void up(struct erabi_connection *c)
{
    struct erabi_transport *t = c->transport;
    uint64_t age = (uint64_t)t->limits.connection_age_s * 1000;
    c->state = ERABI_UP;
    c->opened = c->known = true;
    c->opened_ms = c->heard_ms = c->pinged_ms = c->tokens_ms = now_of(c);
    c->end_ms = c->opened_ms + age - age / 10 * randombytes_uniform(1000) / 1000; /* not all at once */
    c->tokens = (int64_t)t->limits.bytes_per_second * 2;
    erabi_zmtp_opened(&c->zmtp);
    erabi_sources_leave(c->source);
    c->source = NULL;
    t->stats.handshaking--;
    t->stats.connections++;
    arm(c);
    t->callbacks.on_open(t->user, c, c->listener, c->dialer);
}

static void judge_key(struct erabi_connection *c)
{
    struct erabi_transport *t = c->transport;
    enum erab_reason reason = ERAB_REASON_NONE;
    c->known = true;
    enum erabi_admission verdict =
        t->callbacks.on_key(t->user, c->listener, c->curve.peer_key, c->address, &reason);
    if (c->state != ERABI_HANDSHAKE)
        return; /* the callback stopped us */
    struct erabi_writer w = erabi_connection_reserve(c, ERABI_CURVE_REPLY);
    if (verdict == ERABI_ADMIT && erabi_curve_admit(&c->curve, &w) == 0) {
        erabi_connection_commit(c, &w);
        up(c);
    } else if (verdict == ERABI_REFUSE && erabi_curve_refuse(&c->curve, &w) == 0) {
        erabi_connection_commit(c, &w);
        drain(c, reason ? reason : ERAB_REASON_UNKNOWN_KEY, "key refused, ERROR 400");
    } else {
        erabi_connection_end(c, reason ? reason : ERAB_REASON_CONNECTION_LIMIT, "key put off", false);
    }
}

static void answer_ping(struct erabi_connection *c, struct erabi_slice context)
{
    if (c->state != ERABI_UP)
        return;
    size_t size = erabi_curve_sealed_size(5 + context.size);
    if (erabi_connection_queued(c) + size > c->transport->limits.send_bytes)
        return; /* the peer does not read: there is enough on its way to show that we live */
    struct erabi_writer w = erabi_connection_reserve(c, size);
    if (!w.bad && erabi_curve_pong(&c->curve, &w, context) == 0)
        erabi_connection_commit(c, &w);
}

static void on_frame(struct erabi_connection *c, const struct erabi_zmtp_frame *frame)
{
    struct erabi_transport *t = c->transport;
    struct erabi_slice content = {NULL, 0};
    struct erabi_fault fault;
    struct erabi_writer w = erabi_writer(NULL, 0);
    if (!c->opened)
        w = erabi_connection_reserve(c, ERABI_CURVE_REPLY);
    switch (erabi_curve_receive(&c->curve, frame, t->plain, &w, &content, &fault)) {
    case ERABI_CURVE_QUIET:
        erabi_connection_commit(c, &w);
        break;
    case ERABI_CURVE_KNOWN:
        judge_key(c);
        break;
    case ERABI_CURVE_OPEN:
        up(c);
        break;
    case ERABI_CURVE_PACKET:
        t->stats.packets_in++;
        t->callbacks.on_packet(t->user, c, content.data, content.size);
        break;
    case ERABI_CURVE_PING:
        answer_ping(c, content);
        break;
    default:
        erabi_connection_end(c, fault.reason, fault.detail, true);
    }
}

/* The bytes [from, to) of our greeting. */
static void send_greeting(struct erabi_connection *c, size_t from, size_t to)
{
    uint8_t bytes[ERABI_ZMTP_GREETING_SIZE];
    struct erabi_writer greeting = erabi_writer(bytes, sizeof bytes);
    struct erabi_writer w = erabi_connection_reserve(c, to - from);
    erabi_zmtp_write_greeting(&greeting, c->listener != NULL);
    erabi_write_bytes(&w, bytes + from, to - from);
    erabi_connection_commit(c, &w);
}

static void greeted(struct erabi_connection *c)
{
    if (c->listener)
        send_greeting(c, ERABI_ZMTP_VERSION_SIZE, ERABI_ZMTP_GREETING_SIZE);
    if (c->listener)
        return;
    struct erabi_writer w = erabi_connection_reserve(c, ERABI_CURVE_REPLY);
    if (erabi_curve_hello(&c->curve, &w) == 0)
        erabi_connection_commit(c, &w);
    else
        erabi_connection_end(c, ERAB_REASON_INTERNAL, "HELLO cannot be made", false);
}

static bool takes_input(const struct erabi_connection *c)
{
    return c->state == ERABI_HANDSHAKE || c->state == ERABI_UP || (c->state == ERABI_DRAINING && c->opened);
}

static void on_bytes(struct erabi_connection *c, const void *data, size_t size)
{
    struct erabi_reader in = erabi_reader(data, size);
    while (takes_input(c)) {
        struct erabi_zmtp_frame frame;
        struct erabi_fault fault = {ERAB_REASON_INTERNAL, "no memory"};
        int step = erabi_zmtp_feed(&c->zmtp, &in, &frame, &fault);
        if (step == ERABI_ZMTP_WANT)
            break;
        if (step == ERABI_ZMTP_FRAME)
            on_frame(c, &frame);
        else if (step == ERABI_ZMTP_GREETED)
            greeted(c);
        else
            erabi_connection_end(c, fault.reason, fault.detail, true);
    }
}

/* There is more, and libuv would read on in this turn. */
static void yield(struct erabi_connection *c)
{
    if (c->state == ERABI_CLOSED)
        return;
    c->yielded = true;
    set_reading(c);
    erabi_transport_dirty(c->transport, c);
}

void erabi_connection_resume(struct erabi_connection *c)
{
    if (!c->yielded)
        return;
    c->yielded = false;
    set_reading(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct erabi_connection *c = stream->data;
    if (c->state == ERABI_CLOSED || n == 0)
        return;
    if (n < 0) {
        bool peer = n == UV_EOF || n == UV_ECONNRESET;
        erabi_connection_end(c, peer ? ERAB_REASON_CLOSED_BY_PEER : ERAB_REASON_IO_ERROR,
                             peer ? "closed by the peer" : "read failed", false);
        return;
    }
    c->heard_ms = now_of(c);
    c->transport->stats.bytes_in += (uint64_t)n;
    on_bytes(c, buf->base, (size_t)n);
    if (c->state == ERABI_UP)
        meter(c, (size_t)n);
    if (n == ERABI_INPUT_SIZE)
        yield(c);
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
    struct erabi_connection *c = timer->data;
    const struct erabi_transport_limits *l = &c->transport->limits;
    uint64_t now = now_of(c);
    if (c->state == ERABI_DRAINING) {
        erabi_connection_end(c, c->reason, c->detail, false);
        return;
    }
    if (c->state != ERABI_UP) {
        erabi_connection_end(c, ERAB_REASON_HANDSHAKE_TIMEOUT, "handshake took too long", true);
        return;
    }
    if (now >= c->end_ms) {
        drain(c, ERAB_REASON_AGE_LIMIT, "age limit");
        return;
    }
    if (c->reading && now - c->heard_ms >= l->heartbeat_timeout_ms) {
        erabi_connection_end(c, ERAB_REASON_HEARTBEAT_LOST, "nothing heard", true);
        return;
    }
    /* Also where packets go out all the time: one that only listens is heard by its answers to these alone. */
    if (now - c->pinged_ms >= l->heartbeat_ms) {
        size_t size = erabi_curve_sealed_size(7);
        struct erabi_writer w = erabi_connection_reserve(c, size);
        if (!w.bad && erabi_curve_ping(&c->curve, &w, l->heartbeat_timeout_ms) == 0)
            erabi_connection_commit(c, &w);
        c->pinged_ms = now;
    }
    if (c->throttled)
        meter(c, 0);
    if (c->state == ERABI_UP)
        arm(c);
}

void erabi_connection_start(struct erabi_connection *c)
{
    uv_os_fd_t fd;
    int window = (int)c->transport->limits.kernel_window;
    c->state = ERABI_HANDSHAKE;
    if (uv_fileno(&c->io.handle, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window, sizeof window);
    if (!c->local)
        uv_tcp_nodelay(&c->io.tcp, 1);
    /* A listener tells its mechanism only after the peer's: a libzmq peer that wants another one would close
     * at once, and the audit could not say why. */
    send_greeting(c, 0, c->listener ? ERABI_ZMTP_VERSION_SIZE : ERABI_ZMTP_GREETING_SIZE);
    set_reading(c);
}

/* ---- what the layers above ask ---- */

void erabi_connection_set_user(struct erabi_connection *c, void *user)
{
    c->user = user;
}

void *erabi_connection_user(const struct erabi_connection *c)
{
    return c->user;
}

const uint8_t *erabi_connection_key(const struct erabi_connection *c)
{
    return c->curve.peer_key;
}

const char *erabi_connection_address(const struct erabi_connection *c)
{
    return c->address;
}
