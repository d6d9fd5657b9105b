#include "../support/curve_ends.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void keys_init(struct keys *k)
{
    static const uint8_t seeds[2][32] = {"the server of these tests", "the client of these tests"};
    if (sodium_init() < 0)
        abort();
    crypto_box_seed_keypair(k->server_public, k->server_secret, seeds[0]);
    crypto_box_seed_keypair(k->client_public, k->client_secret, seeds[1]);
}

static struct erabi_writer room(struct end *e)
{
    return erabi_writer(e->out + e->used, sizeof e->out - e->used);
}

static void init(struct end *e, bool server, int r)
{
    if (r < 0)
        abort();
    e->used = e->last_size = 0;
    e->packets = e->pings = e->known = e->opened = 0;
    e->refuses = e->failed = false;
    e->fault = (struct erabi_fault){ERAB_REASON_NONE, ""};
    erabi_zmtp_init(&e->zmtp, server);
    struct erabi_writer w = room(e);
    erabi_zmtp_write_greeting(&w, server);
    e->used += w.used;
}

void end_init_server(struct end *e, const struct keys *k)
{
    init(e, true, erabi_curve_init_server(&e->curve, k->server_public, k->server_secret));
}

void end_init_client(struct end *e, const struct keys *k)
{
    init(e, false, erabi_curve_init_client(&e->curve, k->server_public, k->client_secret));
}

void end_deinit(struct end *e)
{
    erabi_zmtp_deinit(&e->zmtp);
    erabi_curve_deinit(&e->curve);
}

static void on_frame(struct end *e, const struct erabi_zmtp_frame *frame)
{
    struct erabi_slice content = {NULL, 0};
    struct erabi_writer w = room(e);
    switch (erabi_curve_receive(&e->curve, frame, e->plain, &w, &content, &e->fault)) {
    case ERABI_CURVE_QUIET:
        break;
    case ERABI_CURVE_KNOWN:
        e->known++;
        if ((e->refuses ? erabi_curve_refuse : erabi_curve_admit)(&e->curve, &w) < 0)
            abort();
        if (!e->refuses)
            erabi_zmtp_opened(&e->zmtp);
        break;
    case ERABI_CURVE_OPEN:
        e->opened++;
        erabi_zmtp_opened(&e->zmtp);
        break;
    case ERABI_CURVE_PACKET:
        e->packets++;
        e->last_size = content.size;
        erabi_copy_bytes(e->last, content.data, content.size);
        break;
    case ERABI_CURVE_PING:
        e->pings++;
        erabi_curve_pong(&e->curve, &w, content);
        break;
    default:
        e->failed = true;
    }
    e->used += w.used;
}

void end_feed(struct end *e, const uint8_t *bytes, size_t size)
{
    struct erabi_reader in = erabi_reader(bytes, size);
    while (!e->failed) {
        struct erabi_zmtp_frame frame;
        int step = erabi_zmtp_feed(&e->zmtp, &in, &frame, &e->fault);
        if (step == ERABI_ZMTP_WANT)
            return;
        if (step < 0) {
            e->failed = true;
        } else if (step == ERABI_ZMTP_FRAME) {
            on_frame(e, &frame);
        } else if (!e->zmtp.server) {
            struct erabi_writer w = room(e);
            if (erabi_curve_hello(&e->curve, &w) < 0)
                abort();
            e->used += w.used;
        }
    }
}

void end_send(struct end *e, const void *packet, size_t size)
{
    struct erabi_writer w = room(e);
    if (erabi_curve_seal(&e->curve, &w, packet, size) < 0)
        abort();
    e->used += w.used;
}

static void carry(struct end *from, struct end *to, size_t chunk)
{
    size_t size = from->used;
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        abort();
    erabi_copy_bytes(bytes, from->out, size);
    from->used = 0;
    for (size_t at = 0; at < size; at += chunk)
        end_feed(to, bytes + at, size - at < chunk ? size - at : chunk);
    free(bytes);
}

void ends_pump(struct end *a, struct end *b, size_t chunk)
{
    while ((a->used || b->used) && !a->failed && !b->failed) {
        carry(a, b, chunk);
        carry(b, a, chunk);
    }
}

/* ---- rogue ---- */

static const uint8_t good_metadata[] = "\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0"; /* ends in its NUL */

void rogue_init(struct rogue *r, const struct keys *k)
{
    *r = (struct rogue){.keys = *k, .hello_major = 1};
    crypto_box_keypair(r->transient_public, r->transient_secret);
    r->metadata = erabi_slice(good_metadata, sizeof good_metadata);
}

static void nonce_of(uint8_t nonce[24], const char *text, const void *tail, size_t tail_size)
{
    struct erabi_writer w = erabi_writer(nonce, 24);
    erabi_write_bytes(&w, text, 24 - tail_size);
    erabi_write_bytes(&w, tail, tail_size);
}

static void nonce_counter(uint8_t nonce[24], const char *text, uint64_t counter)
{
    uint8_t tail[8];
    struct erabi_writer w = erabi_writer(tail, 8);
    erabi_write_u64(&w, counter);
    nonce_of(nonce, text, tail, 8);
}

static void put_frame(struct end *server, uint8_t flags, const uint8_t *body, size_t size)
{
    uint8_t head[9];
    struct erabi_writer w = erabi_writer(head, sizeof head);
    erabi_write_u8(&w, (uint8_t)(flags | (size > 255 ? 2 : 0)));
    if (size > 255)
        erabi_write_u64(&w, size);
    else
        erabi_write_u8(&w, (uint8_t)size);
    end_feed(server, head, w.used);
    end_feed(server, body, size);
}

void rogue_greet(struct end *server)
{
    uint8_t greeting[64];
    struct erabi_writer w = erabi_writer(greeting, sizeof greeting);
    erabi_zmtp_write_greeting(&w, false);
    end_feed(server, greeting, sizeof greeting);
    server->used = 0;
}

void rogue_hello(struct rogue *r, struct end *server)
{
    uint8_t body[200], nonce[24], content[64] = {r->hello_content};
    struct erabi_writer w = erabi_writer(body, sizeof body);
    uint8_t padding[72] = {r->hello_padding};
    erabi_write_bytes(&w, "\5HELLO", 6);
    erabi_write_u8(&w, r->hello_major);
    erabi_write_u8(&w, r->hello_minor);
    erabi_write_bytes(&w, padding, sizeof padding);
    erabi_write_bytes(&w, r->transient_public, 32);
    erabi_write_u64(&w, ++r->counter);
    nonce_counter(nonce, "CurveZMQHELLO---", r->counter);
    if (crypto_box_easy(erabi_write_room(&w, 80), content, 64, nonce, r->keys.server_public,
                        r->transient_secret))
        abort();
    put_frame(server, 4, body, w.used);
}

void rogue_take_welcome(struct rogue *r, struct end *server)
{
    uint8_t nonce[24], inside[128];
    nonce_of(nonce, "WELCOME-", server->out + 2 + 8, 16);
    if (server->used != 170 || crypto_box_open_easy(inside, server->out + 2 + 24, 144, nonce,
                                                    r->keys.server_public, r->transient_secret) != 0)
        abort();
    server->used = 0;
    erabi_copy_bytes(r->server_transient, inside, 32);
    erabi_copy_bytes(r->cookie, inside + 32, 96);
    if (crypto_box_beforenm(r->shared, r->server_transient, r->transient_secret) != 0)
        abort();
}

void rogue_initiate(struct rogue *r, struct end *server)
{
    uint8_t body[1024], inside[700], vouch[64], nonce[24], tail[16] = "vouch's own tail";
    struct erabi_writer w = erabi_writer(inside, sizeof inside);
    erabi_write_bytes(&w, r->keys.client_public, 32);
    erabi_write_bytes(&w, tail, 16);
    erabi_copy_bytes(vouch, r->transient_public, 32);
    erabi_copy_bytes(vouch + 32, r->keys.server_public, 32);
    vouch[0] ^= r->vouch_transient;
    vouch[32] ^= r->vouch_server;
    nonce_of(nonce, "VOUCH---", tail, 16);
    uint8_t *box = erabi_write_room(&w, 80);
    if (crypto_box_easy(box, vouch, 64, nonce, r->server_transient, r->keys.client_secret) != 0)
        abort();
    box[0] ^= r->vouch_box;
    erabi_write_bytes(&w, r->metadata.data, r->metadata.size);
    nonce_counter(nonce, "CurveZMQINITIATE", ++r->counter);
    struct erabi_writer b = erabi_writer(body, sizeof body);
    r->cookie[95] ^= r->other_cookie;
    erabi_write_bytes(&b, "\10INITIATE", 9);
    erabi_write_bytes(&b, r->cookie, 96);
    erabi_write_u64(&b, r->counter);
    crypto_box_easy_afternm(erabi_write_room(&b, w.used + 16), inside, w.used, nonce, r->shared);
    put_frame(server, 4, body, b.used);
}

void rogue_enter(struct rogue *r, struct end *server)
{
    rogue_greet(server);
    rogue_hello(r, server);
    rogue_take_welcome(r, server);
    rogue_initiate(r, server);
    if (server->failed || server->known != 1)
        abort();
}

void rogue_message(struct rogue *r, struct end *server, uint8_t outer, uint8_t inner, const void *content,
                   size_t size)
{
    uint8_t nonce[24], *body = malloc(size + 33), *inside = malloc(size + 1);
    if (!body || !inside)
        abort();
    struct erabi_writer w = erabi_writer(inside, size + 1), b = erabi_writer(body, size + 33);
    erabi_write_u8(&w, inner);
    erabi_write_bytes(&w, content, size);
    nonce_counter(nonce, "CurveZMQMESSAGEC", ++r->counter);
    erabi_write_bytes(&b, "\7MESSAGE", 8);
    erabi_write_u64(&b, r->counter);
    crypto_box_easy_afternm(erabi_write_room(&b, size + 17), inside, size + 1, nonce, r->shared);
    put_frame(server, outer, body, b.used);
    free(inside);
    free(body);
}
