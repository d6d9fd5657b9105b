#include "transport/zmtp.h"

#include <errno.h>
#include <stdlib.h>

enum { MORE = 1, LONG = 2, COMMAND = 4 };

static const uint8_t mechanism[20] = "CURVE";
static const uint8_t zeros[31];

void erabi_zmtp_init(struct erabi_zmtp *z, bool server)
{
    *z = (struct erabi_zmtp){.server = server, .limit = ERABI_ZMTP_HANDSHAKE_MAX};
}

static void drop_partial(struct erabi_zmtp *z)
{
    free(z->partial);
    z->partial = NULL;
    z->have = z->room = 0;
}

void erabi_zmtp_deinit(struct erabi_zmtp *z)
{
    drop_partial(z);
}

void erabi_zmtp_opened(struct erabi_zmtp *z)
{
    z->limit = ERABI_ZMTP_BODY_MAX;
}

void erabi_zmtp_write_greeting(struct erabi_writer *w, bool server)
{
    erabi_write_u8(w, 0xFF);
    erabi_write_u64(w, 1);
    erabi_write_u8(w, 0x7F);
    erabi_write_u8(w, 3);
    erabi_write_u8(w, 1);
    erabi_write_bytes(w, mechanism, sizeof mechanism);
    erabi_write_u8(w, server);
    erabi_write_bytes(w, zeros, sizeof zeros);
}

void erabi_zmtp_write_head(struct erabi_writer *w, bool command, size_t size)
{
    erabi_write_u8(w, (uint8_t)((command ? COMMAND : 0) | (size > 255 ? LONG : 0)));
    if (size > 255)
        erabi_write_u64(w, size);
    else
        erabi_write_u8(w, (uint8_t)size);
}

/* Judges what is there of the greeting, so that something that is not ZMTP at all ends at its first byte. */
static int check_greeting(const struct erabi_zmtp *z, struct erabi_fault *fault)
{
    struct erabi_reader r = erabi_reader(z->partial, z->have);
    if (erabi_read_u8(&r) != 0xFF && !r.bad)
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_WRONG_VERSION, "greeting: not ZMTP");
    erabi_read_slice(&r, 8); /* padding: version 1 peers read a length here, nobody else does */
    if (erabi_read_u8(&r) != 0x7F && !r.bad)
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_WRONG_VERSION, "greeting: not ZMTP");
    if (erabi_read_u8(&r) < 3 && !r.bad)
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_WRONG_VERSION, "greeting: version below 3");
    erabi_read_u8(&r); /* minor: CURVE is the same in all of them */
    struct erabi_slice name = erabi_read_slice(&r, sizeof mechanism);
    if (!r.bad && !erabi_slice_equal(name, erabi_slice(mechanism, sizeof mechanism)))
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_WRONG_MECHANISM, "greeting: mechanism is not CURVE");
    if (erabi_read_u8(&r) > (z->server ? 0 : 1) && !r.bad) /* libzmq's servers leave it at 0; CURVE proves them */
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_BAD_HANDSHAKE, "greeting: as-server does not fit");
    struct erabi_slice rest = erabi_read_slice(&r, sizeof zeros);
    if (!r.bad && !erabi_slice_equal(rest, erabi_slice(zeros, sizeof zeros)))
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_BAD_HANDSHAKE, "greeting: filler is not zero");
    return 0;
}

static size_t head_size(uint8_t flags)
{
    return flags & LONG ? 9 : 2;
}

/* 1 = known (`command` and `total` set), 0 = incomplete, -EPROTO. Judged as soon as it can be. */
static int read_head(const struct erabi_zmtp *z, struct erabi_reader r, bool *command, size_t *total,
                     struct erabi_fault *fault)
{
    uint8_t flags = erabi_read_u8(&r);
    if (r.bad)
        return 0;
    if (flags & ~(MORE | LONG | COMMAND))
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_BAD_FRAME, "frame: reserved flags");
    if (flags & MORE)
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_BAD_FRAME, "frame: more than one in a message");
    uint64_t size = flags & LONG ? erabi_read_u64(&r) : erabi_read_u8(&r);
    if (r.bad)
        return 0;
    if (size > z->limit)
        return erabi_refuse(fault, -EPROTO, ERAB_REASON_FRAME_TOO_LARGE, "frame: over the limit");
    *command = (flags & COMMAND) != 0;
    *total = (size_t)size + head_size(flags);
    return 1;
}

/* Moves up to `want - have` bytes into the partial buffer. */
static int gather(struct erabi_zmtp *z, struct erabi_reader *in, size_t want)
{
    size_t n = want - z->have < in->left ? want - z->have : in->left;
    size_t need = z->have + n;
    if (need > z->room) {
        size_t room = need * 2 < want ? need * 2 : want;
        uint8_t *grown = realloc(z->partial, room);
        if (!grown)
            return -ENOMEM;
        z->partial = grown;
        z->room = (uint32_t)room;
    }
    if (n)
        erabi_read_bytes(in, z->partial + z->have, n);
    z->have += (uint32_t)n;
    return 0;
}

static int feed_greeting(struct erabi_zmtp *z, struct erabi_reader *in, struct erabi_fault *fault)
{
    int r = gather(z, in, ERABI_ZMTP_GREETING_SIZE);
    if (r == 0)
        r = check_greeting(z, fault);
    if (r < 0)
        return r;
    if (z->have < ERABI_ZMTP_GREETING_SIZE)
        return ERABI_ZMTP_WANT;
    drop_partial(z);
    z->greeted = true;
    return ERABI_ZMTP_GREETED;
}

/* A frame that began in an earlier input. */
static int feed_partial(struct erabi_zmtp *z, struct erabi_reader *in, struct erabi_zmtp_frame *out,
                        struct erabi_fault *fault)
{
    for (;;) {
        size_t total = 0;
        int known = read_head(z, erabi_reader(z->partial, z->have), &out->command, &total, fault);
        if (known < 0)
            return known;
        if (known && z->have >= total) {
            size_t head = head_size(z->partial[0]);
            out->body = erabi_slice(z->partial + head, total - head);
            z->have = 0; /* the buffer itself lives until the next feed */
            return ERABI_ZMTP_FRAME;
        }
        if (in->left == 0)
            return ERABI_ZMTP_WANT;
        int r = gather(z, in, known ? total : (size_t)z->have + 1);
        if (r < 0)
            return r;
    }
}

int erabi_zmtp_feed(struct erabi_zmtp *z, struct erabi_reader *in, struct erabi_zmtp_frame *out,
                    struct erabi_fault *fault)
{
    if (!z->greeted)
        return feed_greeting(z, in, fault);
    if (z->have)
        return feed_partial(z, in, out, fault);
    drop_partial(z);
    size_t total = 0;
    int known = read_head(z, *in, &out->command, &total, fault);
    if (known < 0)
        return known;
    if (!known || total > in->left)
        return in->left ? feed_partial(z, in, out, fault) : ERABI_ZMTP_WANT;
    struct erabi_slice whole = erabi_read_slice(in, total);
    size_t head = head_size(whole.data[0]);
    out->body = erabi_slice(whole.data + head, total - head);
    return ERABI_ZMTP_FRAME;
}
