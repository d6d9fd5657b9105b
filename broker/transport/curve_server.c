/* The server half of the CurveZMQ handshake. */
#include <errno.h>

#include "transport/curve_internal.h"

static const uint8_t zeros[PADDING];

static void write_cookie(struct erabi_curve_handshake *h, struct erabi_writer *w)
{
    uint8_t nonce[NONCE], inside[2 * KEY], tail[16];
    randombytes_buf(tail, sizeof tail);
    erabi_curve_nonce(nonce, "COOKIE--", erabi_slice(tail, sizeof tail));
    erabi_copy_bytes(inside, h->peer, KEY);
    erabi_copy_bytes(inside + KEY, h->own, KEY);
    erabi_write_bytes(w, tail, sizeof tail);
    uint8_t *box = erabi_write_room(w, sizeof inside + MAC);
    if (box)
        crypto_secretbox_easy(box, inside, sizeof inside, nonce, h->cookie_key);
    sodium_memzero(inside, sizeof inside);
}

static int write_welcome(struct erabi_curve_handshake *h, struct erabi_writer *out)
{
    uint8_t nonce[NONCE], tail[16], inside[KEY + COOKIE_SIZE];
    struct erabi_writer w = erabi_writer(inside, sizeof inside);
    erabi_write_bytes(&w, h->own_public, KEY);
    write_cookie(h, &w);
    randombytes_buf(tail, sizeof tail);
    erabi_curve_nonce(nonce, "WELCOME-", erabi_slice(tail, sizeof tail));
    erabi_zmtp_write_head(out, true, WELCOME_SIZE);
    erabi_write_bytes(out, "\7WELCOME", 8);
    erabi_write_bytes(out, tail, sizeof tail);
    uint8_t *box = erabi_write_room(out, sizeof inside + MAC);
    if (!box)
        return -ENOSPC;
    crypto_box_easy_afternm(box, inside, sizeof inside, nonce, h->long_shared);
    return 0;
}

void erabi_curve_also(struct erabi_curve *c, const uint8_t *public_key, const uint8_t *secret)
{
    if (!c->handshake)
        return;
    c->handshake->also_public = public_key;
    c->handshake->also_secret = secret;
}

static bool open_hello(struct erabi_curve_handshake *h, const uint8_t *secret, uint8_t inside[64],
                       struct erabi_slice box, const uint8_t nonce[NONCE])
{
    return crypto_box_beforenm(h->long_shared, h->peer, secret) == 0 &&
           crypto_box_open_easy_afternm(inside, box.data, box.size, nonce, h->long_shared) == 0;
}

/* Sealed to our key, or to the one that follows it: from here on that one is ours on this connection. */
static bool open_with_either(struct erabi_curve_handshake *h, uint8_t inside[64], struct erabi_slice box,
                             const uint8_t nonce[NONCE])
{
    if (open_hello(h, h->secret, inside, box, nonce))
        return true;
    if (!h->also_secret || !open_hello(h, h->also_secret, inside, box, nonce))
        return false;
    erabi_copy_bytes(h->server_key, h->also_public, KEY);
    return true;
}

int erabi_curve_on_hello(struct erabi_curve *c, struct erabi_slice body, struct erabi_writer *out,
                         struct erabi_fault *fault)
{
    struct erabi_curve_handshake *h = c->handshake;
    struct erabi_reader r = erabi_reader(body.data, body.size);
    if (body.size != HELLO_SIZE)
        return erabi_curve_bad(c, fault, "HELLO: wrong size");
    if (!erabi_read_expect(&r, "\5HELLO", 6))
        return erabi_curve_bad(c, fault, "HELLO expected");
    if (!erabi_read_expect(&r, "\1\0", 2))
        return erabi_curve_bad(c, fault, "HELLO: version is not 1.0");
    if (!erabi_read_expect(&r, zeros, PADDING))
        return erabi_curve_bad(c, fault, "HELLO: padding is not zero");
    erabi_read_bytes(&r, h->peer, KEY);
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, 64 + MAC);
    if (!erabi_curve_take_counter(c, counter))
        return erabi_curve_end(c, fault, ERAB_REASON_NONCE_ORDER, "HELLO: counter is zero");
    uint8_t nonce[NONCE], inside[64];
    erabi_curve_counter_nonce(nonce, "CurveZMQHELLO---", counter);
    if (!open_with_either(h, inside, box, nonce))
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "HELLO: box does not open");
    if (!sodium_is_zero(inside, sizeof inside))
        return erabi_curve_bad(c, fault, "HELLO: box does not hold zeros");
    if (write_welcome(h, out) < 0)
        return erabi_curve_bad(c, fault, "WELCOME: no room");
    c->state = AWAIT_INITIATE;
    return ERABI_CURVE_QUIET;
}

/* The cookie is ours, of this very connection, and used once: its key dies here. */
static bool open_cookie(struct erabi_curve_handshake *h, struct erabi_slice cookie)
{
    uint8_t nonce[NONCE], inside[2 * KEY];
    struct erabi_reader r = erabi_reader(cookie.data, cookie.size);
    erabi_curve_nonce(nonce, "COOKIE--", erabi_read_slice(&r, 16));
    struct erabi_slice box = erabi_read_slice(&r, sizeof inside + MAC);
    bool fine = crypto_secretbox_open_easy(inside, box.data, box.size, nonce, h->cookie_key) == 0 &&
                sodium_memcmp(inside, h->peer, KEY) == 0 && sodium_memcmp(inside + KEY, h->own, KEY) == 0;
    sodium_memzero(inside, sizeof inside);
    sodium_memzero(h->cookie_key, sizeof h->cookie_key);
    return fine;
}

/* NULL when the holder of peer_key vouches for the transient key of this connection and means this server. */
static const char *check_vouch(struct erabi_curve *c, struct erabi_slice tail, struct erabi_slice box)
{
    struct erabi_curve_handshake *h = c->handshake;
    uint8_t nonce[NONCE], inside[2 * KEY];
    erabi_curve_nonce(nonce, "VOUCH---", tail);
    if (crypto_box_open_easy(inside, box.data, box.size, nonce, c->peer_key, h->own) != 0)
        return "INITIATE: vouch does not open";
    if (sodium_memcmp(inside, h->peer, KEY) != 0)
        return "INITIATE: vouch names another key";
    if (sodium_memcmp(inside + KEY, h->server_key, KEY) != 0)
        return "INITIATE: vouch names another server";
    return NULL;
}

int erabi_curve_on_initiate(struct erabi_curve *c, struct erabi_slice body, uint8_t *plain,
                            struct erabi_fault *fault)
{
    struct erabi_curve_handshake *h = c->handshake;
    struct erabi_reader r = erabi_reader(body.data, body.size);
    if (body.size < INITIATE_SIZE)
        return erabi_curve_bad(c, fault, "INITIATE: wrong size");
    if (!erabi_read_expect(&r, "\10INITIATE", 9))
        return erabi_curve_bad(c, fault, "INITIATE expected");
    struct erabi_slice cookie = erabi_read_slice(&r, COOKIE_SIZE);
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, r.left);
    if (!open_cookie(h, cookie))
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "INITIATE: cookie is not of this connection");
    if (!erabi_curve_take_counter(c, counter))
        return erabi_curve_end(c, fault, ERAB_REASON_NONCE_ORDER, "INITIATE: counter does not rise");
    uint8_t nonce[NONCE];
    erabi_curve_counter_nonce(nonce, "CurveZMQINITIATE", counter);
    if (crypto_box_beforenm(c->shared, h->peer, h->own) != 0 ||
        crypto_box_open_easy_afternm(plain, box.data, box.size, nonce, c->shared) != 0)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "INITIATE: box does not open");
    r = erabi_reader(plain, box.size - MAC);
    erabi_read_bytes(&r, c->peer_key, KEY);
    struct erabi_slice tail = erabi_read_slice(&r, 16);
    struct erabi_slice vouch = erabi_read_slice(&r, VOUCH_SIZE);
    const char *wrong = check_vouch(c, tail, vouch);
    if (wrong)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, wrong);
    wrong = erabi_curve_check_metadata(erabi_read_slice(&r, r.left), true);
    if (wrong)
        return erabi_curve_bad(c, fault, wrong);
    c->state = AWAIT_VERDICT;
    return ERABI_CURVE_KNOWN;
}

int erabi_curve_admit(struct erabi_curve *c, struct erabi_writer *out)
{
    if (c->state != AWAIT_VERDICT)
        return -EPIPE;
    uint8_t metadata[64], nonce[NONCE];
    struct erabi_writer w = erabi_writer(metadata, sizeof metadata);
    erabi_curve_write_metadata(&w, "ROUTER", 6);
    erabi_curve_counter_nonce(nonce, "CurveZMQREADY---", ++c->sent);
    erabi_zmtp_write_head(out, true, 6 + 8 + MAC + w.used);
    erabi_write_bytes(out, "\5READY", 6);
    erabi_write_u64(out, c->sent);
    uint8_t *box = erabi_write_room(out, MAC + w.used);
    if (!box)
        return -ENOSPC;
    crypto_box_easy_afternm(box, metadata, w.used, nonce, c->shared);
    erabi_curve_settle(c);
    c->state = UP;
    return 0;
}

int erabi_curve_refuse(struct erabi_curve *c, struct erabi_writer *out)
{
    if (c->state != AWAIT_VERDICT)
        return -EPIPE;
    erabi_zmtp_write_head(out, true, 10);
    erabi_write_bytes(out, "\5ERROR\003400", 10);
    c->state = DEAD;
    erabi_curve_settle(c);
    return out->bad ? -ENOSPC : 0;
}
