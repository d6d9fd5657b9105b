/* ZMTP 3.1 below its security mechanism: the greeting and the frames. Pure: bytes in, frames out, no I/O,
 * no clock. Every refusal carries a reason and a static text for the log. */
#ifndef ERABI_ZMTP_H
#define ERABI_ZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <erab/reason.h>

#include "base/cursor.h"

#define ERABI_ZMTP_GREETING_SIZE 64
#define ERABI_ZMTP_VERSION_SIZE  11 /* of it: signature and major version, by which libzmq knows ZMTP 3 */
#define ERABI_ZMTP_HEAD_MAX      9     /* flags and an 8 byte size */
#define ERABI_ZMTP_BODY_MAX      65536 /* after the handshake */
#define ERABI_ZMTP_HANDSHAKE_MAX 1024  /* during it: INITIATE with its metadata is the largest */

struct erabi_fault {
    enum erab_reason reason;
    const char *detail; /* static text */
};

struct erabi_zmtp {
    bool server;      /* our end is the CURVE server */
    bool greeted;     /* the peer's greeting was read and is fine */
    uint32_t limit;   /* largest body taken now */
    uint32_t have;    /* bytes in `partial` */
    uint32_t room;    /* size of `partial` */
    uint8_t *partial; /* a frame (or greeting) of which only a part has come; grows with what really came */
};

struct erabi_zmtp_frame {
    bool command;
    struct erabi_slice body; /* borrowed: valid until the next feed, and while the input is */
};

enum erabi_zmtp_step {
    ERABI_ZMTP_WANT,    /* all input consumed, more is needed */
    ERABI_ZMTP_GREETED, /* the greeting is complete and fine; feed again with the rest */
    ERABI_ZMTP_FRAME,   /* one frame; feed again with the rest */
};

void erabi_zmtp_init(struct erabi_zmtp *z, bool server);
void erabi_zmtp_deinit(struct erabi_zmtp *z);
/* The handshake is over: frames up to ERABI_ZMTP_BODY_MAX from here on. */
void erabi_zmtp_opened(struct erabi_zmtp *z);

/* Consumes from `in`. Returns a step, -EPROTO with `fault` filled (the connection must end), or -ENOMEM. */
int erabi_zmtp_feed(struct erabi_zmtp *z, struct erabi_reader *in, struct erabi_zmtp_frame *out,
                    struct erabi_fault *fault);

void erabi_zmtp_write_greeting(struct erabi_writer *w, bool server);
/* The head of a frame whose body of `size` bytes the caller writes next. */
void erabi_zmtp_write_head(struct erabi_writer *w, bool command, size_t size);

static inline int erabi_refuse(struct erabi_fault *fault, int error, enum erab_reason reason,
                               const char *detail)
{
    *fault = (struct erabi_fault){reason, detail};
    return error;
}

#endif
