#include <errno.h>
#include <stdlib.h>

#include "transport/curve_internal.h"

enum { INNER_MORE = 1, INNER_COMMAND = 2 };

void erabi_curve_nonce(uint8_t nonce[NONCE], const char *text, struct erabi_slice tail)
{
    struct erabi_writer w = erabi_writer(nonce, NONCE);
    erabi_write_bytes(&w, text, NONCE - tail.size);
    erabi_write_bytes(&w, tail.data, tail.size);
}

void erabi_curve_counter_nonce(uint8_t nonce[NONCE], const char *text, uint64_t counter)
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
    if (!server)
        crypto_box_keypair(h->own_public, h->own);
    c->state = server ? AWAIT_HELLO : SEND_HELLO;
    return 0;
}

int erabi_curve_init_server(struct erabi_curve *c, const uint8_t public_key[ERABI_CURVE_KEY],
                            const uint8_t secret[ERABI_CURVE_KEY])
{
    return init(c, true, public_key, secret);
}

void erabi_curve_settle(struct erabi_curve *c)
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
    erabi_curve_settle(c);
    sodium_memzero(c, sizeof *c);
}

int erabi_curve_end(struct erabi_curve *c, struct erabi_fault *fault, enum erab_reason reason,
                    const char *detail)
{
    c->state = DEAD;
    erabi_curve_settle(c);
    sodium_memzero(c->shared, sizeof c->shared);
    return erabi_refuse(fault, -EPROTO, reason, detail);
}

int erabi_curve_bad(struct erabi_curve *c, struct erabi_fault *fault, const char *detail)
{
    return erabi_curve_end(c, fault, ERAB_REASON_BAD_HANDSHAKE, detail);
}

bool erabi_curve_take_counter(struct erabi_curve *c, uint64_t counter)
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

void erabi_curve_write_metadata(struct erabi_writer *w, const char *socket_type, size_t size)
{
    write_property(w, "Socket-Type", 11, socket_type, size);
    write_property(w, "Identity", 8, "", 0);
}

const char *erabi_curve_check_metadata(struct erabi_slice metadata, bool from_client)
{
    struct erabi_reader r = erabi_reader(metadata.data, metadata.size);
    bool typed = false, named = false;
    while (r.left && !r.bad) {
        struct erabi_slice name = erabi_read_slice(&r, erabi_read_u8(&r));
        struct erabi_slice value = erabi_read_slice(&r, erabi_read_u32(&r));
        if (r.bad || name.size == 0)
            return "metadata: malformed";
        if (erabi_curve_is(name, "Socket-Type", 11)) {
            if (typed ||
                !(from_client ? erabi_curve_is(value, "DEALER", 6) : erabi_curve_is(value, "ROUTER", 6)))
                return "metadata: Socket-Type does not fit";
            typed = true;
        } else if (erabi_curve_is(name, "Identity", 8)) {
            if (named || value.size)
                return "metadata: Identity must be empty";
            named = true;
        }
    }
    if (r.bad)
        return "metadata: malformed";
    return typed ? NULL : "metadata: Socket-Type missing";
}

/* ---- traffic ---- */

static int on_inner_command(struct erabi_curve *c, struct erabi_slice inside, struct erabi_slice *content,
                            struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(inside.data, inside.size);
    struct erabi_slice name = erabi_read_slice(&r, 5);
    bool ping = erabi_curve_is(name, "\4PING", 5);
    if (!ping && !erabi_curve_is(name, "\4PONG", 5))
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: unknown command inside");
    if (ping)
        erabi_read_u16(&r); /* the peer's ttl: our own time-out is the one that holds */
    *content = erabi_read_slice(&r, r.left);
    if (r.bad || content->size > ERABI_PING_CONTEXT)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: malformed PING or PONG");
    return ping ? ERABI_CURVE_PING : ERABI_CURVE_QUIET;
}

static int on_message(struct erabi_curve *c, const struct erabi_zmtp_frame *frame, uint8_t *plain,
                      struct erabi_slice *content, struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(frame->body.data, frame->body.size);
    if (frame->command)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: has the command flag");
    if (frame->body.size < MESSAGE_SIZE)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: too short");
    if (!erabi_read_expect(&r, "\7MESSAGE", 8))
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE expected");
    uint64_t counter = erabi_read_u64(&r);
    struct erabi_slice box = erabi_read_slice(&r, r.left);
    if (!erabi_curve_take_counter(c, counter))
        return erabi_curve_end(c, fault, ERAB_REASON_NONCE_ORDER, "MESSAGE: counter does not rise");
    uint8_t nonce[NONCE];
    erabi_curve_counter_nonce(nonce, c->server ? "CurveZMQMESSAGEC" : "CurveZMQMESSAGES", counter);
    if (crypto_box_open_easy_afternm(plain, box.data, box.size, nonce, c->shared) != 0)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_BOX, "MESSAGE: box does not open");
    r = erabi_reader(plain, box.size - MAC);
    uint8_t flags = erabi_read_u8(&r);
    *content = erabi_read_slice(&r, r.left);
    if (flags == INNER_COMMAND)
        return on_inner_command(c, *content, content, fault);
    if (flags & INNER_MORE)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: more than one frame");
    if (flags)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: reserved flags");
    if (content->size == 0)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "MESSAGE: empty");
    return ERABI_CURVE_PACKET;
}

int erabi_curve_receive(struct erabi_curve *c, const struct erabi_zmtp_frame *frame, uint8_t *plain,
                        struct erabi_writer *out, struct erabi_slice *content, struct erabi_fault *fault)
{
    if (c->state == UP)
        return on_message(c, frame, plain, content, fault);
    if (!frame->command)
        return erabi_curve_end(c, fault, ERAB_REASON_BAD_FRAME, "handshake: not a command frame");
    switch (c->state) {
    case AWAIT_HELLO:
        return erabi_curve_on_hello(c, frame->body, out, fault);
    case AWAIT_INITIATE:
        return erabi_curve_on_initiate(c, frame->body, plain, fault);
    case AWAIT_WELCOME:
        return erabi_curve_on_welcome(c, frame->body, out, fault);
    case AWAIT_READY:
        return erabi_curve_on_ready(c, frame->body, plain, fault);
    default:
        return erabi_curve_bad(c, fault, "handshake: a command out of turn");
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
    erabi_curve_counter_nonce(nonce, c->server ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", ++c->sent);
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
