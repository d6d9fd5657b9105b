/* What the rows of the attack table do. */
#include "transport_attacks.h"

#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- greetings ---- */

static void greet_with(struct run *run, const char *mechanism, uint8_t major, bool as_server)
{
    uint8_t bytes[64] = {0xFF, [8] = 1, [9] = 0x7F, [10] = major, [11] = 1, [32] = as_server};
    erabi_copy_bytes(bytes + 12, mechanism, strlen(mechanism));
    run->fd = stage_connect(run->s);
    stage_write(run->s, run->fd, bytes, sizeof bytes);
}

void attack_greet(struct run *run)
{
    greet_with(run, run->row->text, (uint8_t)run->row->a, run->row->b);
}

void attack_say(struct run *run)
{
    run->fd = stage_connect(run->s);
    stage_write(run->s, run->fd, run->row->text, run->row->size);
}

void attack_greet_and_say(struct run *run)
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

void attack_handshake_of_single_bytes(struct run *run)
{
    unsigned at = 0;
    uint64_t last = 0;
    run->fd = stage_connect(run->s);
    STAGE_UNTIL(run->s, drip(run, &at, &last));
    assert_true(at < 1000); /* it was not let to its end */
}

/* ---- the handshake ---- */

void attack_stop_before_initiate(struct run *run)
{
    run->raw = raw_new(run->s, NULL);
    run->raw->hold = 2;
    STAGE_UNTIL(run->s, !raw_step(run->raw) || run->raw->end.used);
}

void attack_wrong_server_key(struct run *run)
{
    struct keys keys = run->s->keys;
    uint8_t secret[32];
    crypto_box_keypair(keys.server_public, secret);
    run->raw = raw_new(run->s, &keys);
}

void attack_unknown_key(struct run *run)
{
    struct keys keys = run->s->keys;
    crypto_box_keypair(keys.client_public, keys.client_secret);
    run->raw = raw_new(run->s, &keys);
    STAGE_UNTIL(run->s, !raw_step(run->raw) || run->raw->end.failed);
    assert_string_equal(run->raw->end.fault.detail, "ERROR 400: the server refuses our key"); /* ERROR 400 */
}

void attack_put_off(struct run *run)
{
    run->s->verdict = ERABI_PUT_OFF;
    run->raw = raw_new(run->s, NULL);
    STAGE_UNTIL(run->s, !raw_step(run->raw));
    assert_false(run->raw->end.failed); /* no ERROR, which would stop a libzmq client for ever */
}

/* One connection for every few bytes of the frame `a`, each with one bit flipped there. Ours ends each; ROUTER reads
 * over some (the padding of HELLO, the names of commands), but lets no spoilt packet through. */
void attack_spoil(struct run *run)
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

void attack_recorded_connection_again(struct run *run)
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

void attack_error_from_a_client(struct run *run)
{
    greet_with(run, "CURVE", 3, false);
    stage_write(run->s, run->fd, "\4\12\5ERROR\003400", 12);
}

/* ---- an authenticated peer ---- */

void attack_enter(struct run *run)
{
    run->raw = raw_new(run->s, NULL);
    raw_enter(run->raw);
}

void attack_message(struct run *run)
{
    attack_enter(run);
    raw_message(run->raw, (uint8_t)run->row->a, (uint8_t)run->row->b, run->row->text, run->row->size);
}

void attack_raw_bytes(struct run *run)
{
    attack_enter(run);
    stage_write(run->s, run->raw->fd, run->row->text, run->row->size);
}

void attack_oversized_packet(struct run *run)
{
    static const uint8_t packet[ERABI_PACKET_MAX + 1];
    attack_enter(run);
    raw_message(run->raw, 0, 0, packet, sizeof packet);
}

void attack_message_twice(struct run *run)
{
    attack_enter(run);
    size_t from = run->raw->logged;
    raw_packet(run->raw, "pay 100", 7);
    stage_write(run->s, run->raw->fd, run->raw->log + from, run->raw->logged - from);
}

void attack_silent(struct run *run)
{
    attack_enter(run);
    run->raw->deaf = true;
    stage_write(run->s, run->raw->fd, run->row->text, run->row->size);
    STAGE_UNTIL(run->s, stage_gone(run->raw->fd));
    run->raw->gone = true;
}

void attack_endless_multipart(struct run *run)
{
    static const uint8_t part[1000];
    attack_enter(run);
    for (unsigned i = 0; i < 200; i++)
        if (!raw_message(run->raw, 0, 1, part, sizeof part))
            break;
}

/* What is over the allowance waits in the sender's kernel; nobody else does. */
void attack_flood(struct run *run)
{
    static const uint8_t packet[200];
    struct raw *r;
    size_t at = 0, sent = 0;
    attack_enter(run);
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
    size_t now = stage_memory();
    if (now > before + most)
        fail_msg("%zu bytes more are held", now - before);
}

/* Everything is echoed to one who never reads. */
void attack_slow_reader(struct run *run)
{
    static uint8_t packet[60000];
    attack_enter(run);
    run->raw->deaf = true;
    size_t before = stage_memory();
    for (unsigned i = 0; i < 200; i++)
        assert_true(raw_packet(run->raw, packet, sizeof packet));
    STAGE_UNTIL(run->s, run->s->packets == 200);
    holds_at_most(before, 4u << 20);
}

void attack_pings_of_one_who_never_reads(struct run *run)
{
    int little = 4096;
    attack_enter(run);
    run->raw->deaf = true;
    setsockopt(run->raw->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    size_t before = stage_memory();
    for (unsigned i = 0; i < 50000; i++) /* 2.8 MB of PONGs, would they all be kept */
        assert_true(raw_message(run->raw, 0, 2, "\4PING\0\0sixteen bytes it", 5 + 2 + 16));
    raw_packet(run->raw, "end", 3);
    STAGE_UNTIL(run->s, transport_is_router || run->s->packets == 1); /* ROUTER hears no more of it */
    holds_at_most(before, 1u << 20);
}

void attack_cut_in_the_middle_of_a_flood(struct run *run)
{
    struct raw *r;
    attack_enter(run);
    r = run->raw;
    end_send(&r->end, "cut", 3);
    for (unsigned i = 0; i < 200; i++)
        end_send(&r->end, "after the cut", 13);
    raw_step(r);
}

void attack_half_close(struct run *run)
{
    attack_enter(run);
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

void attack_server_says(struct run *run)
{
    run->fd = dialled(run);
    stage_write(run->s, run->fd, run->row->text, run->row->size);
}

void attack_server_refuses(struct run *run)
{
    run->raw = raw_serve(run->s, dialled(run));
    run->raw->end.refuses = true;
}

/* The frame `a` with one bit flipped at `b`; `a` 0: nothing wrong. */
void attack_server_spoils(struct run *run)
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

void attack_server_message(struct run *run)
{
    run->raw = raw_serve(run->s, dialled(run));
    raw_enter(run->raw);
    raw_message(run->raw, (uint8_t)run->row->a, (uint8_t)run->row->b, run->row->text, run->row->size);
}

void attack_server_message_twice(struct run *run)
{
    struct raw *r = run->raw = raw_serve(run->s, dialled(run));
    raw_enter(r);
    size_t from = r->logged;
    raw_packet(r, "stop", 4);
    stage_write(run->s, r->fd, r->log + from, r->logged - from);
}

/* ---- many ---- */

void attack_crowd(struct run *run)
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

void attack_resets(struct run *run)
{
    for (unsigned i = 0; i < 200; i++) {
        int fd = stage_connect(run->s);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
        uv_run(&run->s->loop, UV_RUN_NOWAIT);
    }
    attack_enter(run); /* what they took of the source's allowance has come back */
    raw_packet(run->raw, "hello", 5);
}

void attack_hellos(struct run *run)
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

void attack_descriptors(struct run *run)
{
    int fds[300];
    unsigned n = 0;
    uint64_t rounds = 0;
    while (n < 300 && (fds[n] = stage_try_connect(run->s)) >= 0) {
        n++;
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
