/* The client half of the CurveZMQ handshake. */
#include <errno.h>

#include "transport/curve_internal.h"

static const uint8_t zeros[PADDING];

int erabi_curve_hello(struct erabi_curve *c, struct erabi_writer *out)
{
    if (c->state != SEND_HELLO)
        return -EPIPE;
    struct erabi_curve_handshake *h = c->handshake;
    uint8_t nonce[NONCE];
    erabi_curve_counter_nonce(nonce, "CurveZMQHELLO---", ++c->sent);
    erabi_zmtp_write_head(out, true, HELLO_SIZE);
    erabi_write_bytes(out, "\5HELLO\1\0", 8);
    erabi_write_bytes(out, zeros, PADDING);
    erabi_write_bytes(out, h->own_public, KEY);
    erabi_write_u64(out, c->sent);
    uint8_t *box = erabi_write_room(out, 64 + MAC);
    if (!box)
        return -ENOSPC;
    crypto_box_easy_afternm(box, zeros, 64, nonce, h->long_shared);
    c->state = AWAIT_WELCOME;
    return 0;
}

static int write_initiate(struct erabi_curve *c, struct erabi_slice cookie, struct erabi_writer *out)
{
    struct erabi_curve_handshake *h = c->handshake;
    uint8_t vouch[2 * KEY], nonce[NONCE], tail[16], inside[KEY + 16 + VOUCH_SIZE + 64];
    struct erabi_writer w = erabi_writer(inside, sizeof inside);
    crypto_scalarmult_base(erabi_write_room(&w, KEY), h->secret);
    erabi_copy_bytes(vouch, h->own_public, KEY);
    erabi_copy_bytes(vouch + KEY, h->server_key, KEY);
    randombytes_buf(tail, sizeof tail);
    erabi_curve_nonce(nonce, "VOUCH---", erabi_slice(tail, sizeof tail));
    erabi_write_bytes(&w, tail, sizeof tail);
    if (crypto_box_easy(erabi_write_room(&w, VOUCH_SIZE), vouch, sizeof vouch, nonce, h->peer, h->secret) !=
        0)
        return -EINVAL;
    erabi_curve_write_metadata(&w, "DEALER", 6);
    erabi_curve_counter_nonce(nonce, "CurveZMQINITIATE", ++c->sent);
    erabi_zmtp_write_head(out, true, 9 + COOKIE_SIZE + 8 + MAC + w.used);
    erabi_write_bytes(out, "\10INITIATE", 9);
    erabi_write_bytes(out, cookie.data, cookie.size);
    erabi_write_u64(out, c->sent);
    uint8_t *box = erabi_write_room(out, MAC + w.used);
    if (!box)
        return -ENOSPC;
    crypto_box_easy_afternm(box, inside, w.used, nonce, c->shared);
    return 0;
}

static bool is_error(struct erabi_slice body)
{
    return body.size >= 6 && erabi_curve_is(erabi_slice(body.data, 6), "\5ERROR", 6);
}

static int on_error(struct erabi_curve *c, struct erabi_slice body, struct erabi_fault *fault)
{
    if (erabi_curve_is(body, "\5ERROR\003400", 10))
        return erabi_curve_end(c, fault, ERAB_REASON_UNKNOWN_KEY, "ERROR 400: the server refuses our key");
    return erabi_curve_bad(c, fault, "ERROR of the server");
}

int erabi_curve_on_welcome(struct erabi_curve *c, struct erabi_slice body, struct erabi_writer *out,
                           struct erabi_fault *fault)
{
    struct erabi_curve_handshake *h = c->handshake;
    struct erabi_reader r = erabi_reader(body.data, body.size);
    uint8_t nonce[NONCE], inside[KEY + COOKIE_SIZE];
    if (is_error(body))
        return on_error(c, body, fault);
    if (body.size != WELCOME_SIZE)
        return erabi_curve_bad(c, fault, "WELCOME: wrong size");
    if (!erabi_read_expect(&r, "\7WELCOME", 8))
        return erabi_curve_bad(c, fault, "WELCOME expected");
    erabi_curve_nonce(nonce, "WELCOME-", erabi_read_slice(&r, 16));
    struct erabi_slice box = erabi_read_slice(&r, sizeof inside + MAC);
    if (crypto_box_open_easy_afternm(inside, box.data, box.size, nonce, h->long_shared) != 0)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "WELCOME: box does not open");
    r = erabi_reader(inside, sizeof inside);
    erabi_read_bytes(&r, h->peer, KEY);
    if (crypto_box_beforenm(c->shared, h->peer, h->own) != 0)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "WELCOME: weak key");
    if (write_initiate(c, erabi_read_slice(&r, COOKIE_SIZE), out) < 0)
        return erabi_curve_bad(c, fault, "INITIATE: cannot be made");
    c->state = AWAIT_READY;
    return ERABI_CURVE_QUIET;
}

int erabi_curve_on_ready(struct erabi_curve *c, struct erabi_slice body, uint8_t *plain,
                         struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(body.data, body.size);
    if (is_error(body))
        return on_error(c, body, fault);
    if (body.size < 6 + 8 + MAC)
        return erabi_curve_bad(c, fault, "READY: wrong size");
    if (!erabi_read_expect(&r, "\5READY", 6))
        return erabi_curve_bad(c, fault, "READY expected");
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, r.left);
    if (!erabi_curve_take_counter(c, counter))
        return erabi_curve_end(c, fault, ERAB_REASON_NONCE_ORDER, "READY: counter is zero");
    uint8_t nonce[NONCE];
    erabi_curve_counter_nonce(nonce, "CurveZMQREADY---", counter);
    if (crypto_box_open_easy_afternm(plain, box.data, box.size, nonce, c->shared) != 0)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "READY: box does not open");
    const char *wrong = erabi_curve_check_metadata(erabi_slice(plain, box.size - MAC), false);
    if (wrong)
        return erabi_curve_bad(c, fault, wrong);
    erabi_curve_settle(c);
    c->state = UP;
    return ERABI_CURVE_OPEN;
}
