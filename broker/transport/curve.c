#include "transport/curve.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

enum state { DEAD, AWAIT_HELLO, AWAIT_INITIATE, AWAIT_VERDICT, SEND_HELLO, AWAIT_WELCOME, AWAIT_READY, UP };
enum { KEY = ERABI_CURVE_KEY, MAC = crypto_box_MACBYTES, NONCE = crypto_box_NONCEBYTES };
enum { INNER_MORE = 1, INNER_COMMAND = 2 };
enum {
    COOKIE_SIZE = 96,
    VOUCH_SIZE = 80,
    HELLO_SIZE = 200,
    WELCOME_SIZE = 168,
    INITIATE_SIZE = 257, /* and metadata */
    MESSAGE_SIZE = ERABI_CURVE_OVERHEAD,
};

struct erabi_curve_handshake {
    const uint8_t *secret;    /* long-term, borrowed */
    uint8_t server_key[KEY];  /* S */
    uint8_t long_shared[KEY]; /* from (S, C'): opens HELLO and WELCOME */
    uint8_t own[KEY];         /* our transient secret, s' or c' */
    uint8_t own_public[KEY];
    uint8_t peer[KEY]; /* the peer's transient public key */
    uint8_t cookie_key[KEY];
};

static const uint8_t zeros[72];

/* A nonce is a text and a tail that make 24 bytes together. */
static void nonce_of(uint8_t nonce[NONCE], const char *text, struct erabi_slice tail)
{
    struct erabi_writer w = erabi_writer(nonce, NONCE);
    erabi_write_bytes(&w, text, NONCE - tail.size);
    erabi_write_bytes(&w, tail.data, tail.size);
}

static void nonce_of_counter(uint8_t nonce[NONCE], const char *text, uint64_t counter)
{
    struct erabi_writer w = erabi_writer(nonce, NONCE);
    erabi_write_bytes(&w, text, NONCE - sizeof counter);
    erabi_write_u64(&w, counter);
}

static int init(struct erabi_curve *c, bool server, const uint8_t *server_key, const uint8_t *secret)
{
    *c = (struct erabi_curve){.server = server};
    struct erabi_curve_handshake *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    c->handshake = h;
    h->secret = secret;
    erabi_copy_bytes(h->server_key, server_key, KEY);
    crypto_box_keypair(h->own_public, h->own);
    if (server)
        randombytes_buf(h->cookie_key, KEY);
    c->state = server ? AWAIT_HELLO : SEND_HELLO;
    return 0;
}

int erabi_curve_init_server(struct erabi_curve *c, const uint8_t public_key[ERABI_CURVE_KEY],
                            const uint8_t secret[ERABI_CURVE_KEY])
{
    return init(c, true, public_key, secret);
}

static void end_handshake(struct erabi_curve *c)
{
    if (c->handshake)
        sodium_memzero(c->handshake, sizeof *c->handshake);
    free(c->handshake);
    c->handshake = NULL;
}

int erabi_curve_init_client(struct erabi_curve *c, const uint8_t server_key[ERABI_CURVE_KEY],
                            const uint8_t secret[ERABI_CURVE_KEY])
{
    int r = init(c, false, server_key, secret);
    if (r < 0)
        return r;
    erabi_copy_bytes(c->peer_key, server_key, KEY);
    if (crypto_box_beforenm(c->handshake->long_shared, server_key, c->handshake->own) != 0) {
        erabi_curve_deinit(c);
        return -EINVAL; /* a key of low order */
    }
    return 0;
}

void erabi_curve_deinit(struct erabi_curve *c)
{
    end_handshake(c);
    sodium_memzero(c, sizeof *c);
}

static int refuse(struct erabi_curve *c, struct erabi_fault *fault, enum erab_reason reason,
                  const char *detail)
{
    c->state = DEAD;
    end_handshake(c);
    sodium_memzero(c->shared, sizeof c->shared);
    return erabi_refuse(fault, -EPROTO, reason, detail);
}

static int bad(struct erabi_curve *c, struct erabi_fault *fault, const char *detail)
{
    return refuse(c, fault, ERAB_REASON_BAD_HANDSHAKE, detail);
}

static bool take_counter(struct erabi_curve *c, uint64_t counter)
{
    if (counter <= c->heard)
        return false;
    c->heard = counter;
    return true;
}

/* ---- metadata ---- */

static void write_property(struct erabi_writer *w, const char *name, size_t name_size, const char *value,
                           size_t value_size)
{
    erabi_write_u8(w, (uint8_t)name_size);
    erabi_write_bytes(w, name, name_size);
    erabi_write_u32(w, (uint32_t)value_size);
    erabi_write_bytes(w, value, value_size);
}

static bool is(struct erabi_slice s, const char *text, size_t size)
{
    return erabi_slice_equal(s, erabi_slice(text, size));
}

/* NULL when fine, else what is wrong. */
static const char *check_metadata(struct erabi_slice metadata, bool from_client)
{
    struct erabi_reader r = erabi_reader(metadata.data, metadata.size);
    bool typed = false, named = false;
    while (r.left && !r.bad) {
        struct erabi_slice name = erabi_read_slice(&r, erabi_read_u8(&r));
        struct erabi_slice value = erabi_read_slice(&r, erabi_read_u32(&r));
        if (r.bad || name.size == 0)
            return "metadata: malformed";
        if (is(name, "Socket-Type", 11)) {
            if (typed || !(from_client ? is(value, "DEALER", 6) : is(value, "ROUTER", 6)))
                return "metadata: Socket-Type does not fit";
            typed = true;
        } else if (is(name, "Identity", 8)) {
            if (named || value.size)
                return "metadata: Identity must be empty";
            named = true;
        }
    }
    if (r.bad)
        return "metadata: malformed";
    return typed ? NULL : "metadata: Socket-Type missing";
}

/* ---- server ---- */

static void write_cookie(struct erabi_curve_handshake *h, struct erabi_writer *w)
{
    uint8_t nonce[NONCE], inside[2 * KEY], tail[16];
    randombytes_buf(tail, sizeof tail);
    nonce_of(nonce, "COOKIE--", erabi_slice(tail, sizeof tail));
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
    nonce_of(nonce, "WELCOME-", erabi_slice(tail, sizeof tail));
    erabi_zmtp_write_head(out, true, WELCOME_SIZE);
    erabi_write_bytes(out, "\7WELCOME", 8);
    erabi_write_bytes(out, tail, sizeof tail);
    uint8_t *box = erabi_write_room(out, sizeof inside + MAC);
    if (!box)
        return -ENOSPC;
    crypto_box_easy_afternm(box, inside, sizeof inside, nonce, h->long_shared);
    return 0;
}

static int on_hello(struct erabi_curve *c, struct erabi_slice body, struct erabi_writer *out,
                    struct erabi_fault *fault)
{
    struct erabi_curve_handshake *h = c->handshake;
    struct erabi_reader r = erabi_reader(body.data, body.size);
    if (body.size != HELLO_SIZE)
        return bad(c, fault, "HELLO: wrong size");
    if (!erabi_read_expect(&r, "\5HELLO", 6))
        return bad(c, fault, "HELLO expected");
    if (!erabi_read_expect(&r, "\1\0", 2))
        return bad(c, fault, "HELLO: version is not 1.0");
    if (!erabi_read_expect(&r, zeros, 72))
        return bad(c, fault, "HELLO: padding is not zero");
    erabi_read_bytes(&r, h->peer, KEY);
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, 64 + MAC);
    if (!take_counter(c, counter))
        return refuse(c, fault, ERAB_REASON_NONCE_ORDER, "HELLO: counter is zero");
    uint8_t nonce[NONCE], inside[64];
    nonce_of_counter(nonce, "CurveZMQHELLO---", counter);
    if (crypto_box_beforenm(h->long_shared, h->peer, h->secret) != 0 ||
        crypto_box_open_easy_afternm(inside, box.data, box.size, nonce, h->long_shared) != 0)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "HELLO: box does not open");
    if (!sodium_is_zero(inside, sizeof inside))
        return bad(c, fault, "HELLO: box does not hold zeros");
    if (write_welcome(h, out) < 0)
        return bad(c, fault, "WELCOME: no room");
    c->state = AWAIT_INITIATE;
    return ERABI_CURVE_QUIET;
}

/* The cookie is ours, of this very connection, and used once: its key dies here. */
static bool open_cookie(struct erabi_curve_handshake *h, struct erabi_slice cookie)
{
    uint8_t nonce[NONCE], inside[2 * KEY];
    struct erabi_reader r = erabi_reader(cookie.data, cookie.size);
    nonce_of(nonce, "COOKIE--", erabi_read_slice(&r, 16));
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
    nonce_of(nonce, "VOUCH---", tail);
    if (crypto_box_open_easy(inside, box.data, box.size, nonce, c->peer_key, h->own) != 0)
        return "INITIATE: vouch does not open";
    if (sodium_memcmp(inside, h->peer, KEY) != 0)
        return "INITIATE: vouch names another key";
    if (sodium_memcmp(inside + KEY, h->server_key, KEY) != 0)
        return "INITIATE: vouch names another server";
    return NULL;
}

static int on_initiate(struct erabi_curve *c, struct erabi_slice body, uint8_t *plain,
                       struct erabi_fault *fault)
{
    struct erabi_curve_handshake *h = c->handshake;
    struct erabi_reader r = erabi_reader(body.data, body.size);
    if (body.size < INITIATE_SIZE)
        return bad(c, fault, "INITIATE: wrong size");
    if (!erabi_read_expect(&r, "\10INITIATE", 9))
        return bad(c, fault, "INITIATE expected");
    struct erabi_slice cookie = erabi_read_slice(&r, COOKIE_SIZE);
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, r.left);
    if (!open_cookie(h, cookie))
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "INITIATE: cookie is not of this connection");
    if (!take_counter(c, counter))
        return refuse(c, fault, ERAB_REASON_NONCE_ORDER, "INITIATE: counter does not rise");
    uint8_t nonce[NONCE];
    nonce_of_counter(nonce, "CurveZMQINITIATE", counter);
    if (crypto_box_beforenm(c->shared, h->peer, h->own) != 0 ||
        crypto_box_open_easy_afternm(plain, box.data, box.size, nonce, c->shared) != 0)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "INITIATE: box does not open");
    r = erabi_reader(plain, box.size - MAC);
    erabi_read_bytes(&r, c->peer_key, KEY);
    struct erabi_slice tail = erabi_read_slice(&r, 16);
    struct erabi_slice vouch = erabi_read_slice(&r, VOUCH_SIZE);
    const char *wrong = check_vouch(c, tail, vouch);
    if (wrong)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, wrong);
    wrong = check_metadata(erabi_read_slice(&r, r.left), true);
    if (wrong)
        return bad(c, fault, wrong);
    c->state = AWAIT_VERDICT;
    return ERABI_CURVE_KNOWN;
}

int erabi_curve_admit(struct erabi_curve *c, struct erabi_writer *out)
{
    if (c->state != AWAIT_VERDICT)
        return -EPIPE;
    uint8_t metadata[64], nonce[NONCE];
    struct erabi_writer w = erabi_writer(metadata, sizeof metadata);
    write_property(&w, "Socket-Type", 11, "ROUTER", 6);
    write_property(&w, "Identity", 8, "", 0);
    nonce_of_counter(nonce, "CurveZMQREADY---", ++c->sent);
    erabi_zmtp_write_head(out, true, 6 + 8 + MAC + w.used);
    erabi_write_bytes(out, "\5READY", 6);
    erabi_write_u64(out, c->sent);
    uint8_t *box = erabi_write_room(out, MAC + w.used);
    if (!box)
        return -ENOSPC;
    crypto_box_easy_afternm(box, metadata, w.used, nonce, c->shared);
    end_handshake(c);
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
    end_handshake(c);
    return out->bad ? -ENOSPC : 0;
}

/* ---- client ---- */

int erabi_curve_hello(struct erabi_curve *c, struct erabi_writer *out)
{
    if (c->state != SEND_HELLO)
        return -EPIPE;
    struct erabi_curve_handshake *h = c->handshake;
    uint8_t nonce[NONCE];
    nonce_of_counter(nonce, "CurveZMQHELLO---", ++c->sent);
    erabi_zmtp_write_head(out, true, HELLO_SIZE);
    erabi_write_bytes(out, "\5HELLO\1\0", 8);
    erabi_write_bytes(out, zeros, 72);
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
    nonce_of(nonce, "VOUCH---", erabi_slice(tail, sizeof tail));
    erabi_write_bytes(&w, tail, sizeof tail);
    if (crypto_box_easy(erabi_write_room(&w, VOUCH_SIZE), vouch, sizeof vouch, nonce, h->peer, h->secret) !=
        0)
        return -EINVAL;
    write_property(&w, "Socket-Type", 11, "DEALER", 6);
    write_property(&w, "Identity", 8, "", 0);
    nonce_of_counter(nonce, "CurveZMQINITIATE", ++c->sent);
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
    return body.size >= 6 && is(erabi_slice(body.data, 6), "\5ERROR", 6);
}

static int on_error(struct erabi_curve *c, struct erabi_slice body, struct erabi_fault *fault)
{
    if (is(body, "\5ERROR\003400", 10))
        return refuse(c, fault, ERAB_REASON_UNKNOWN_KEY, "ERROR 400: the server refuses our key");
    return bad(c, fault, "ERROR of the server");
}

static int on_welcome(struct erabi_curve *c, struct erabi_slice body, struct erabi_writer *out,
                      struct erabi_fault *fault)
{
    struct erabi_curve_handshake *h = c->handshake;
    struct erabi_reader r = erabi_reader(body.data, body.size);
    uint8_t nonce[NONCE], inside[KEY + COOKIE_SIZE];
    if (is_error(body))
        return on_error(c, body, fault);
    if (body.size != WELCOME_SIZE)
        return bad(c, fault, "WELCOME: wrong size");
    if (!erabi_read_expect(&r, "\7WELCOME", 8))
        return bad(c, fault, "WELCOME expected");
    nonce_of(nonce, "WELCOME-", erabi_read_slice(&r, 16));
    struct erabi_slice box = erabi_read_slice(&r, sizeof inside + MAC);
    if (crypto_box_open_easy_afternm(inside, box.data, box.size, nonce, h->long_shared) != 0)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "WELCOME: box does not open");
    r = erabi_reader(inside, sizeof inside);
    erabi_read_bytes(&r, h->peer, KEY);
    if (crypto_box_beforenm(c->shared, h->peer, h->own) != 0)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "WELCOME: weak key");
    if (write_initiate(c, erabi_read_slice(&r, COOKIE_SIZE), out) < 0)
        return bad(c, fault, "INITIATE: cannot be made");
    c->state = AWAIT_READY;
    return ERABI_CURVE_QUIET;
}

static int on_ready(struct erabi_curve *c, struct erabi_slice body, uint8_t *plain, struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(body.data, body.size);
    if (is_error(body))
        return on_error(c, body, fault);
    if (body.size < 6 + 8 + MAC)
        return bad(c, fault, "READY: wrong size");
    if (!erabi_read_expect(&r, "\5READY", 6))
        return bad(c, fault, "READY expected");
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, r.left);
    if (!take_counter(c, counter))
        return refuse(c, fault, ERAB_REASON_NONCE_ORDER, "READY: counter is zero");
    uint8_t nonce[NONCE];
    nonce_of_counter(nonce, "CurveZMQREADY---", counter);
    if (crypto_box_open_easy_afternm(plain, box.data, box.size, nonce, c->shared) != 0)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "READY: box does not open");
    const char *wrong = check_metadata(erabi_slice(plain, box.size - MAC), false);
    if (wrong)
        return bad(c, fault, wrong);
    end_handshake(c);
    c->state = UP;
    return ERABI_CURVE_OPEN;
}

/* ---- traffic ---- */

static int on_inner_command(struct erabi_curve *c, struct erabi_slice inside, struct erabi_slice *content,
                            struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(inside.data, inside.size);
    struct erabi_slice name = erabi_read_slice(&r, 5);
    bool ping = is(name, "\4PING", 5);
    if (!ping && !is(name, "\4PONG", 5))
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: unknown command inside");
    if (ping)
        erabi_read_u16(&r); /* the peer's ttl: our own time-out is the one that holds */
    *content = erabi_read_slice(&r, r.left);
    if (r.bad || content->size > ERABI_PING_CONTEXT)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: malformed PING or PONG");
    return ping ? ERABI_CURVE_PING : ERABI_CURVE_QUIET;
}

static int on_message(struct erabi_curve *c, const struct erabi_zmtp_frame *frame, uint8_t *plain,
                      struct erabi_slice *content, struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(frame->body.data, frame->body.size);
    if (frame->command)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: has the command flag");
    if (frame->body.size < MESSAGE_SIZE)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: too short");
    if (!erabi_read_expect(&r, "\7MESSAGE", 8))
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE expected");
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, r.left);
    if (!take_counter(c, counter))
        return refuse(c, fault, ERAB_REASON_NONCE_ORDER, "MESSAGE: counter does not rise");
    uint8_t nonce[NONCE];
    nonce_of_counter(nonce, c->server ? "CurveZMQMESSAGEC" : "CurveZMQMESSAGES", counter);
    if (crypto_box_open_easy_afternm(plain, box.data, box.size, nonce, c->shared) != 0)
        return refuse(c, fault, ERAB_REASON_BAD_BOX, "MESSAGE: box does not open");
    r = erabi_reader(plain, box.size - MAC);
    uint8_t flags = erabi_read_u8(&r);
    *content = erabi_read_slice(&r, r.left);
    if (flags == INNER_COMMAND)
        return on_inner_command(c, *content, content, fault);
    if (flags & INNER_MORE)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: more than one frame");
    if (flags)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: reserved flags");
    if (content->size == 0)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: empty");
    return ERABI_CURVE_PACKET;
}

int erabi_curve_receive(struct erabi_curve *c, const struct erabi_zmtp_frame *frame, uint8_t *plain,
                        struct erabi_writer *out, struct erabi_slice *content, struct erabi_fault *fault)
{
    if (c->state == UP)
        return on_message(c, frame, plain, content, fault);
    if (!frame->command)
        return refuse(c, fault, ERAB_REASON_BAD_FRAME, "handshake: not a command frame");
    switch (c->state) {
    case AWAIT_HELLO:
        return on_hello(c, frame->body, out, fault);
    case AWAIT_INITIATE:
        return on_initiate(c, frame->body, plain, fault);
    case AWAIT_WELCOME:
        return on_welcome(c, frame->body, out, fault);
    case AWAIT_READY:
        return on_ready(c, frame->body, plain, fault);
    default:
        return bad(c, fault, "handshake: a command out of turn");
    }
}

size_t erabi_curve_sealed_size(size_t size)
{
    size_t body = size + ERABI_CURVE_OVERHEAD;
    return body + (body > 255 ? 9 : 2);
}

/* The content is put together in its place in `out` and encrypted there. */
static int seal(struct erabi_curve *c, struct erabi_writer *out, uint8_t flags, struct erabi_slice head,
                struct erabi_slice tail)
{
    size_t size = head.size + tail.size;
    if (c->state != UP)
        return -EPIPE;
    if (out->bad || erabi_curve_sealed_size(size) > out->size - out->used)
        return -ENOSPC;
    uint8_t nonce[NONCE];
    nonce_of_counter(nonce, c->server ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", ++c->sent);
    erabi_zmtp_write_head(out, false, size + ERABI_CURVE_OVERHEAD);
    erabi_write_bytes(out, "\7MESSAGE", 8);
    erabi_write_u64(out, c->sent);
    uint8_t *mac = erabi_write_room(out, MAC);
    uint8_t *text = out->start + out->used;
    erabi_write_u8(out, flags);
    erabi_write_bytes(out, head.data, head.size);
    erabi_write_bytes(out, tail.data, tail.size);
    crypto_box_detached_afternm(text, mac, text, size + 1, nonce, c->shared);
    return 0;
}

int erabi_curve_seal(struct erabi_curve *c, struct erabi_writer *out, const uint8_t *packet, size_t size)
{
    return seal(c, out, 0, erabi_slice(packet, size), erabi_slice(NULL, 0));
}

int erabi_curve_ping(struct erabi_curve *c, struct erabi_writer *out, uint32_t ttl_ms)
{
    uint8_t ping[7];
    struct erabi_writer w = erabi_writer(ping, sizeof ping);
    uint32_t tenths = ttl_ms / 100 < UINT16_MAX ? ttl_ms / 100 : UINT16_MAX;
    erabi_write_bytes(&w, "\4PING", 5);
    erabi_write_u16(&w, (uint16_t)tenths);
    return seal(c, out, INNER_COMMAND, erabi_slice(ping, sizeof ping), erabi_slice(NULL, 0));
}

int erabi_curve_pong(struct erabi_curve *c, struct erabi_writer *out, struct erabi_slice context)
{
    return seal(c, out, INNER_COMMAND, erabi_slice("\4PONG", 5), context);
}
