/* The attack table of the transport: what is done, and what comes of it on the broker's own transport and on
 * libzmq's ROUTER behind the same header. Beside every case an honest client is served before, and after. */
#include "stage.h"

#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STAYS, GONE, EITHER };
#define ANY UINT32_MAX
#define _(x) ERAB_REASON_##x

struct expectation {
    unsigned opened, packets; /* ANY: the case itself looks */
    int end;                  /* as the attacker sees it */
    enum erab_reason reason;  /* NONE: not told apart */
};

struct run {
    struct stage *s;
    const struct row *row;
    const struct expectation *expected;
    struct raw *raw; /* the attacker whose end is looked at, or a bare descriptor */
    int fd, listening;
    struct rlimit descriptors;
};

struct row {
    const char *name;
    void (*attack)(struct run *run);
    struct expectation ours, router;
    struct erabi_transport_limits limits;
    const char *text;
    size_t size;
    unsigned a, b;
};

/* ---- greetings ---- */

static void greet_with(struct run *run, const char *mechanism, uint8_t major, bool as_server)
{
    uint8_t bytes[64] = {0xFF, [8] = 1, [9] = 0x7F, [10] = major, [11] = 1, [32] = as_server};
    erabi_copy_bytes(bytes + 12, mechanism, strlen(mechanism));
    run->fd = stage_connect(run->s);
    stage_write(run->s, run->fd, bytes, sizeof bytes);
}

static void greet(struct run *run)
{
    greet_with(run, run->row->text, (uint8_t)run->row->a, run->row->b);
}

static void say(struct run *run)
{
    run->fd = stage_connect(run->s);
    stage_write(run->s, run->fd, run->row->text, run->row->size);
}

static void greet_and_say(struct run *run)
{
    greet_with(run, "CURVE", 3, false);
    stage_write(run->s, run->fd, run->row->text, run->row->size);
}

/* At most one byte a millisecond. */
static bool drip(struct run *run, unsigned *at, uint64_t *last)
{
    static const uint8_t start[75] = {0xFF, [8] = 1, [9] = 0x7F, [10] = 3, [11] = 1, [12] = 'C', 'U', 'R', 'V', 'E',
                                      [64] = 6, [71] = 3, [72] = 0xE8}; /* then a frame of 1000 bytes */
    if (uv_now(&run->s->loop) == *last)
        return false;
    *last = uv_now(&run->s->loop);
    uint8_t byte = *at < sizeof start ? start[*at] : 0;
    bool fine = *at < 1000 && send(run->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
    ++*at;
    return !fine || stage_gone(run->fd);
}

static void handshake_of_single_bytes(struct run *run)
{
    unsigned at = 0;
    uint64_t last = 0;
    run->fd = stage_connect(run->s);
    STAGE_UNTIL(run->s, drip(run, &at, &last));
    assert_true(at < 1000); /* it was not let to its end */
}

/* ---- the handshake ---- */

static void stop_before_initiate(struct run *run)
{
    run->raw = raw_new(run->s, NULL);
    run->raw->hold = 2;
    STAGE_UNTIL(run->s, !raw_step(run->raw) || run->raw->end.used);
}

static void wrong_server_key(struct run *run)
{
    struct keys keys = run->s->keys;
    uint8_t secret[32];
    crypto_box_keypair(keys.server_public, secret);
    run->raw = raw_new(run->s, &keys);
}

static void unknown_key(struct run *run)
{
    struct keys keys = run->s->keys;
    crypto_box_keypair(keys.client_public, keys.client_secret);
    run->raw = raw_new(run->s, &keys);
    STAGE_UNTIL(run->s, !raw_step(run->raw) || run->raw->end.failed);
    assert_string_equal(run->raw->end.fault.detail, "ERROR 400: the server refuses our key"); /* ERROR 400 */
}

static void put_off(struct run *run)
{
    run->s->verdict = ERABI_PUT_OFF;
    run->raw = raw_new(run->s, NULL);
    STAGE_UNTIL(run->s, !raw_step(run->raw));
    assert_false(run->raw->end.failed); /* no ERROR, which would stop a libzmq client for ever */
}

/* One connection for every few bytes of the frame `a`, each with one bit flipped there. Ours ends each; ROUTER reads
 * over some (the padding of HELLO, the names of commands), but lets no spoilt packet through. */
static void spoil(struct run *run)
{
    static const uint8_t packet[48];
    unsigned n = 0, chunk = run->row->a;
    size_t size = chunk == 1 ? 202 : chunk == 2 ? 9 + 9 + 96 + 8 + 16 + 128 + 33 : 2 + 33 + sizeof packet;
    for (size_t at = 2; at < size; at += 5, n++) {
        struct raw *r = raw_new(run->s, NULL);
        r->spoil = chunk;
        r->spoil_at = at;
        if (chunk == 3) {
            raw_enter(r);
            raw_packet(r, packet, sizeof packet);
        }
        if (transport_is_router && chunk == 3)
            stage_bystander_is_served(run->s);
        else
            STAGE_UNTIL(run->s, !raw_step(r) || r->end.failed || (transport_is_router && r->end.opened));
        raw_free(r);
    }
    STAGE_UNTIL(run->s, transport_is_router || stage_ended(run->s) == n);
    assert_int_equal(run->s->opened, chunk == 3 && !transport_is_router ? n : 0);
}

static void recorded_connection_again(struct run *run)
{
    struct raw *first = raw_new(run->s, NULL);
    raw_enter(first);
    raw_packet(first, "pay 100", 7);
    STAGE_UNTIL(run->s, run->s->packets == 1);
    run->fd = stage_connect(run->s);
    stage_write(run->s, run->fd, first->log, first->logged);
    STAGE_UNTIL(run->s, stage_gone(run->fd));
    assert_int_equal(run->s->packets, 1);
    raw_free(first);
    STAGE_UNTIL(run->s, stage_ended(run->s) == 2);
    run->s->reason = ERAB_REASON_BAD_BOX; /* the second end, of the first connection, came last */
}

static void error_from_a_client(struct run *run)
{
    greet_with(run, "CURVE", 3, false);
    stage_write(run->s, run->fd, "\4\12\5ERROR\003400", 12);
}

/* ---- an authenticated peer ---- */

static void enter(struct run *run)
{
    run->raw = raw_new(run->s, NULL);
    raw_enter(run->raw);
}

static void message(struct run *run)
{
    enter(run);
    raw_message(run->raw, (uint8_t)run->row->a, (uint8_t)run->row->b, run->row->text, run->row->size);
}

static void raw_bytes(struct run *run)
{
    enter(run);
    stage_write(run->s, run->raw->fd, run->row->text, run->row->size);
}

static void oversized_packet(struct run *run)
{
    static const uint8_t packet[ERABI_PACKET_MAX + 1];
    enter(run);
    raw_message(run->raw, 0, 0, packet, sizeof packet);
}

static void message_twice(struct run *run)
{
    enter(run);
    size_t from = run->raw->logged;
    raw_packet(run->raw, "pay 100", 7);
    stage_write(run->s, run->raw->fd, run->raw->log + from, run->raw->logged - from);
}

static void silent(struct run *run)
{
    enter(run);
    run->raw->deaf = true;
    stage_write(run->s, run->raw->fd, run->row->text, run->row->size);
    STAGE_UNTIL(run->s, stage_gone(run->raw->fd));
    run->raw->gone = true;
}

static void endless_multipart(struct run *run)
{
    static const uint8_t part[1000];
    enter(run);
    for (unsigned i = 0; i < 200; i++)
        if (!raw_message(run->raw, 0, 1, part, sizeof part))
            break;
}

/* What is over the allowance waits in the sender's kernel; nobody else does. */
static void flood(struct run *run)
{
    static const uint8_t packet[200];
    struct raw *r;
    size_t at = 0, sent = 0;
    enter(run);
    r = run->raw;
    r->deaf = run->s->mute = true;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 1000; i++) {
            if (at == r->end.used) {
                at = r->end.used = 0;
                for (unsigned k = 0; k < 100; k++)
                    end_send(&r->end, packet, sizeof packet);
            }
            ssize_t n = send(r->fd, r->end.out + at, r->end.used - at, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n <= 0)
                break;
            at += (size_t)n;
            sent += (size_t)n;
        }
        stage_bystander_is_served(run->s);
    }
    r->end.used = 0;
    if (transport_is_router)
        return;
    struct erabi_transport_stats stats;
    erabi_transport_stats(run->s->transport, &stats);
    assert_true(sent > stats.bytes_in);
    assert_true(stats.bytes_in < 300000); /* two seconds' allowance, one read, and the honest client */
}

static void holds_at_most(size_t before, size_t most)
{
    struct mallinfo2 now = mallinfo2();
    if (now.uordblks > before + most)
        fail_msg("%zu bytes more are held", now.uordblks - before);
}

/* Everything is echoed to one who never reads. */
static void slow_reader(struct run *run)
{
    static uint8_t packet[60000];
    enter(run);
    run->raw->deaf = true;
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < 200; i++)
        assert_true(raw_packet(run->raw, packet, sizeof packet));
    STAGE_UNTIL(run->s, run->s->packets == 200);
    holds_at_most(before, 4u << 20);
}

static void pings_of_one_who_never_reads(struct run *run)
{
    enter(run);
    run->raw->deaf = true;
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < 20000; i++)
        assert_true(raw_message(run->raw, 0, 2, "\4PING\0\0sixteen bytes it", 5 + 2 + 16));
    raw_packet(run->raw, "end", 3);
    STAGE_UNTIL(run->s, run->s->packets == 1);
    holds_at_most(before, 4u << 20);
}

static void cut_in_the_middle_of_a_flood(struct run *run)
{
    struct raw *r;
    enter(run);
    r = run->raw;
    end_send(&r->end, "cut", 3);
    for (unsigned i = 0; i < 200; i++)
        end_send(&r->end, "after the cut", 13);
    raw_step(r);
}

static void half_close(struct run *run)
{
    enter(run);
    raw_packet(run->raw, "last", 4);
    shutdown(run->raw->fd, SHUT_WR);
}

/* ---- servers that one of ours has dialled ---- */

static int dialled(struct run *run)
{
    struct erabi_dialer *d;
    char endpoint[64];
    run->listening = stage_listen(endpoint);
    assert_int_equal(erabi_transport_dial(run->s->transport, &d, endpoint, run->s->keys.server_public,
                                          run->s->keys.client_secret, run),
                     0);
    assert_ptr_equal(erabi_dialer_tag(d), run);
    return stage_accept(run->s, run->listening);
}

static void server_says(struct run *run)
{
    run->fd = dialled(run);
    stage_write(run->s, run->fd, run->row->text, run->row->size);
}

static void server_refuses(struct run *run)
{
    run->raw = raw_serve(run->s, dialled(run));
    run->raw->end.refuses = true;
}

/* The frame `a` with one bit flipped at `b`; `a` 0: nothing wrong. */
static void server_spoils(struct run *run)
{
    struct raw *r = run->raw = raw_serve(run->s, dialled(run));
    r->spoil = run->row->a;
    r->spoil_at = run->row->b;
    if (r->spoil && r->spoil < 3)
        return;
    raw_enter(r);
    raw_packet(r, "hello", 5);
    if (!r->spoil)
        STAGE_UNTIL(run->s, raw_step(r) && r->end.packets == 1); /* the echo */
}

static void server_message(struct run *run)
{
    run->raw = raw_serve(run->s, dialled(run));
    raw_enter(run->raw);
    raw_message(run->raw, (uint8_t)run->row->a, (uint8_t)run->row->b, run->row->text, run->row->size);
}

static void server_message_twice(struct run *run)
{
    struct raw *r = run->raw = raw_serve(run->s, dialled(run));
    raw_enter(r);
    size_t from = r->logged;
    raw_packet(r, "stop", 4);
    stage_write(run->s, r->fd, r->log + from, r->logged - from);
}

/* ---- many ---- */

static void crowd(struct run *run)
{
    int fds[20];
    for (unsigned i = 0; i < 20; i++)
        fds[i] = stage_connect(run->s);
    STAGE_UNTIL(run->s, stage_ended(run->s) == (transport_is_router ? 0 : 16));
    stage_bystander_is_served(run->s);
    for (unsigned i = 0; i < 20; i++)
        close(fds[i]);
    STAGE_UNTIL(run->s, stage_ended(run->s) == 20);
}

static void resets(struct run *run)
{
    for (unsigned i = 0; i < 200; i++) {
        int fd = stage_connect(run->s);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
        uv_run(&run->s->loop, UV_RUN_NOWAIT);
    }
    enter(run); /* what they took of the source's allowance has come back */
    raw_packet(run->raw, "hello", 5);
}

static void hellos(struct run *run)
{
    for (unsigned i = 0; i < 100; i++) {
        struct raw *r = raw_new(run->s, NULL);
        r->hold = 2;
        STAGE_UNTIL(run->s, !raw_step(r) || r->end.used);
        assert_false(r->gone); /* WELCOME came, for those before have given their places back */
        raw_free(r);
    }
    STAGE_UNTIL(run->s, stage_ended(run->s) == 100);
}

static void descriptors(struct run *run)
{
    int fds[300];
    unsigned n = 0;
    uint64_t rounds = 0;
    while (n < 300 && (fds[n] = dup(0)) >= 0) { /* what else is needed is left out of account */
        close(fds[n]);
        fds[n++] = stage_connect(run->s);
        uv_run(&run->s->loop, UV_RUN_NOWAIT);
    }
    assert_true(n < 300);
    STAGE_UNTIL(run->s, ++rounds > 50);
    if (!transport_is_router)
        assert_true(stage_ended(run->s) > 0); /* told, and then accepting waits */
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
    int fd = stage_connect(run->s);
    close(fd);
    STAGE_UNTIL(run->s, stage_ended(run->s) >= n);
}

/* ---- the table ---- */

#define BYTES(x) .text = x, .size = sizeof x - 1
#define QUICK    .limits = {.handshake_ms = 300}
#define V1       "\1\0\6\0hello"
#define V2(rev)  "\377\0\0\0\0\0\0\0\1\177" rev "\5\0\0\0\5hello"

static const struct row table[] = {
    {"mechanism NULL", greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "NULL", .a = 3},
    {"mechanism PLAIN", greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "PLAIN", .a = 3},
    {"mechanism in lower case", greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "curve", .a = 3},
    {"mechanism CURVES", greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "CURVES", .a = 3},
    {"no mechanism", greet, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, .text = "", .a = 3},
    {"client that says it is the server", greet, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK, .text = "CURVE",
     .a = 3, .b = 1},
    {"downgrade to ZMTP 1", say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V1)},
    {"downgrade to ZMTP 2.0", say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V2("\1"))},
    {"downgrade to ZMTP 2.1", say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V2("\2"))},
    {"HTTP", say, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES("GET / HTTP/1.1\r\n\r\n")},
    {"nothing at all", say, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK, BYTES("")},
    {"half a greeting", say, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK,
     BYTES("\377\0\0\0\0\0\0\0\1\177\3\1CURVE")},
    {"greeting only", greet, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK, .text = "CURVE", .a = 3},
    {"handshake of single bytes", handshake_of_single_bytes, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK},
    {"stop before INITIATE", stop_before_initiate, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK},
    {"large frame in the handshake", greet_and_say, {0, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE}, QUICK,
     BYTES("\6\0\0\0\0\0\1\0\0")},
    {"frame of 2^64 - 1 in the handshake", greet_and_say, {0, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE}, QUICK,
     BYTES("\6\377\377\377\377\377\377\377\377")},
    {"no command frame in the handshake", greet_and_say, {0, 0, GONE, _(BAD_FRAME)}, {0, 0, GONE}, QUICK,
     BYTES("\0\5hello")},
    {"MESSAGE instead of HELLO", greet_and_say, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK,
     BYTES("\4\42\7MESSAGE\0\0\0\0\0\0\0\1abcdefghijklmnopqr")},
    {"INITIATE instead of HELLO", greet_and_say, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK,
     BYTES("\4\11\10INITIATE")},
    {"ERROR of a client", error_from_a_client, {0, 0, GONE, _(BAD_HANDSHAKE)}, {0, 0, GONE}, QUICK},
    {"wrong server key", wrong_server_key, {0, 0, GONE, _(BAD_BOX)}, {0, 0, GONE}, QUICK},
    {"unknown key", unknown_key, {0, 0, GONE, _(UNKNOWN_KEY)}, {0, 0, GONE}, QUICK},
    {"known key at a bad time", put_off, {0, 0, GONE, _(CONNECTION_LIMIT)}, {0, 0, GONE}, QUICK},
    {"spoilt HELLO", spoil, {0, 0, STAYS, _(BAD_BOX)}, {0, 0, STAYS}, QUICK, .a = 1},
    {"spoilt INITIATE", spoil, {0, 0, STAYS, _(BAD_BOX)}, {0, 0, STAYS}, QUICK, .a = 2},
    {"spoilt MESSAGE", spoil, {ANY, 0, STAYS, _(BAD_BOX)}, {0, 0, STAYS}, QUICK, .a = 3},
    {"recorded connection again", recorded_connection_again, {1, 1, GONE, _(BAD_BOX)}, {1, 1, GONE}, QUICK},
    {"MESSAGE twice", message_twice, {1, 1, GONE, _(NONCE_ORDER)}, {1, 1, EITHER}},
    {"packet over the limit", oversized_packet, {1, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE}},
    {"frame of 2^64 - 1", raw_bytes, {1, 0, GONE, _(FRAME_TOO_LARGE)}, {0, 0, GONE},
     BYTES("\2\377\377\377\377\377\377\377\377")},
    {"frame with reserved flags", message, {1, 0, GONE, _(BAD_FRAME)}, {1, 1, STAYS}, .a = 0x80, BYTES("x")},
    {"MESSAGE as a command", message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .a = 4, BYTES("x")},
    {"MESSAGE with reserved inner flags", message, {1, 0, GONE, _(BAD_FRAME)}, {1, 1, STAYS}, .b = 0x80, BYTES("x")},
    {"unknown inner command", message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .b = 2, BYTES("\3FOOx")},
    {"PING that ends early", message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .b = 2, BYTES("\4PING\1")},
    {"PING with a long context", message, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}, .b = 2,
     BYTES("\4PING\0\1more than sixteen bytes")},
    {"empty packet", message, {1, 0, GONE, _(BAD_FRAME)}, {1, 0, STAYS}, BYTES("")},
    {"HELLO again", raw_bytes, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, EITHER}, BYTES("\4\6\5HELLO")},
    {"endless multipart", endless_multipart, {1, 0, GONE, _(BAD_FRAME)}, {0, 0, STAYS}},
    {"silence after the handshake", silent, {1, 0, GONE, _(HEARTBEAT_LOST)}, {0, 0, GONE},
     .limits = {.heartbeat_ms = 50, .heartbeat_timeout_ms = 200}, BYTES("")},
    {"frame that never ends", silent, {1, 0, GONE, _(HEARTBEAT_LOST)}, {0, 0, GONE},
     .limits = {.heartbeat_ms = 50, .heartbeat_timeout_ms = 200}, BYTES("\2\0\0\0\0\0\0\372\0begun")},
    {"half close", half_close, {1, 1, GONE, _(CLOSED_BY_PEER)}, {1, 1, GONE}},
    {"cut in the middle of a flood", cut_in_the_middle_of_a_flood, {1, 1, GONE, _(REVOKED)}, {1, 1, GONE, _(REVOKED)}},
    {"flood of an authenticated peer", flood, {1, ANY, STAYS}, {1, ANY, STAYS}, .limits = {.bytes_per_second = 2000}},
    {"slow reader", slow_reader, {1, 200, STAYS}, {1, 200, STAYS}},
    {"PINGs of one who never reads", pings_of_one_who_never_reads, {1, 1, STAYS}, {1, 1, STAYS}},
    {"dialled server, nothing wrong", server_spoils, {1, 1, STAYS}, {1, 1, STAYS}},
    {"dialled server says nothing", server_says, {0, 0, GONE, _(HANDSHAKE_TIMEOUT)}, {0, 0, GONE}, QUICK, BYTES("")},
    {"dialled server downgrades", server_says, {0, 0, GONE, _(WRONG_VERSION)}, {0, 0, GONE}, QUICK, BYTES(V2("\1"))},
    {"dialled server without CURVE", server_says, {0, 0, GONE, _(WRONG_MECHANISM)}, {0, 0, GONE}, QUICK,
     BYTES("\377\0\0\0\0\0\0\0\1\177\3\1NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"dialled server refuses", server_refuses, {0, 0, GONE, _(UNKNOWN_KEY)}, {0, 0, GONE, _(UNKNOWN_KEY)}},
    {"dialled server spoils WELCOME", server_spoils, {0, 0, GONE, _(BAD_BOX)}, {0, 0, GONE, _(BAD_BOX)}, .a = 1, .b = 40},
    {"dialled server spoils READY", server_spoils, {0, 0, GONE, _(BAD_BOX)}, {0, 0, GONE, _(BAD_BOX)}, .a = 2, .b = 30},
    {"dialled server spoils MESSAGE", server_spoils, {1, 0, GONE, _(BAD_BOX)}, {1, 0, EITHER}, .a = 3, .b = 30},
    {"dialled server says it twice", server_message_twice, {1, 1, GONE, _(NONCE_ORDER)}, {1, 1, EITHER}},
    {"dialled server never ends a message", server_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 0, STAYS}, .b = 1, BYTES("x")},
    {"dialled server, empty packet", server_message, {1, 0, GONE, _(BAD_FRAME)}, {1, 0, STAYS}, BYTES("")},
    {"many connections of one source", crowd, {0, 0, STAYS}, {0, 0, STAYS}, .limits = {.connections_per_source = 4}},
    {"connections reset at once", resets, {1, 1, STAYS}, {1, 1, STAYS}},
    {"a hundred HELLOs", hellos, {0, 0, STAYS}, {0, 0, STAYS}},
    {"all descriptors", descriptors, {0, 0, STAYS}, {0, 0, STAYS}, .limits = {.connections_per_source = 1000}, .b = 200},
};

static void run_row(void **state)
{
    struct run run = {.row = *state, .fd = -1, .listening = -1};
    const struct row *row = run.row;
    run.expected = transport_is_router ? &row->router : &row->ours;
    getrlimit(RLIMIT_NOFILE, &run.descriptors);
    if (row->attack == descriptors)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){row->b, run.descriptors.rlim_max});
    run.s = stage_new(&row->limits);
    stage_bystander_is_served(run.s);
    row->attack(&run);
    struct stage *s = run.s;
    bool looked_at = run.raw || run.fd >= 0;
    if (looked_at && run.expected->end == GONE)
        STAGE_UNTIL(s, run.raw ? !raw_step(run.raw) : stage_gone(run.fd));
    stage_bystander_is_served(s);
    if (run.expected->opened != ANY)
        STAGE_UNTIL(s, s->opened == run.expected->opened);
    if (run.expected->packets != ANY)
        STAGE_UNTIL(s, s->packets == run.expected->packets);
    if (run.expected->reason)
        STAGE_UNTIL(s, s->reason == run.expected->reason);
    stage_bystander_is_served(s);
    if (looked_at && run.expected->end == STAYS)
        assert_false(run.raw ? !raw_step(run.raw) : stage_gone(run.fd));
    raw_free(run.raw);
    if (run.fd >= 0)
        close(run.fd);
    if (run.listening >= 0)
        close(run.listening);
    stage_free(s);
    setrlimit(RLIMIT_NOFILE, &run.descriptors);
}

/* With an argument: only the cases whose name contains it. */
int main(int argc, char **argv)
{
    static struct CMUnitTest tests[sizeof table / sizeof *table];
    size_t n = 0;
    if (sodium_init() < 0)
        return 1;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (argc < 2 || strstr(table[i].name, argv[1]))
            tests[n++] = (struct CMUnitTest){table[i].name, run_row, NULL, NULL, (void *)(uintptr_t)&table[i]};
    return _cmocka_run_group_tests(transport_is_router ? "attacks on ROUTER" : "attacks on our transport", tests, n,
                                   NULL, NULL);
}
