/* What the two halves of the handshake and curve.c share. Nothing of it is for other files. */
#ifndef ERABI_CURVE_INTERNAL_H
#define ERABI_CURVE_INTERNAL_H

#include <sodium.h>

#include "transport/curve.h"

enum state { DEAD, AWAIT_HELLO, AWAIT_INITIATE, AWAIT_VERDICT, SEND_HELLO, AWAIT_WELCOME, AWAIT_READY, UP };
enum { KEY = ERABI_CURVE_KEY, MAC = crypto_box_MACBYTES, NONCE = crypto_box_NONCEBYTES };
enum {
    PADDING = 72, /* zeros in HELLO, so that it is larger than WELCOME */
    COOKIE_SIZE = 96,
    VOUCH_SIZE = 80,
    HELLO_SIZE = 200,
    WELCOME_SIZE = 168,
    INITIATE_SIZE = 257, /* and metadata */
    MESSAGE_SIZE = ERABI_CURVE_OVERHEAD,
};

struct erabi_curve_handshake {
    const uint8_t *secret;    /* long-term, borrowed */
    const uint8_t *also_secret, *also_public; /* server, while a key follows another; or NULL */
    uint8_t server_key[KEY];  /* S */
    uint8_t long_shared[KEY]; /* from (S, C'): opens HELLO and WELCOME */
    uint8_t own[KEY];         /* our transient secret, s' or c' */
    uint8_t own_public[KEY];
    uint8_t peer[KEY]; /* the peer's transient public key */
    uint8_t cookie_key[KEY];
};

/* A nonce is a text and a tail that make 24 bytes together. */
void erabi_curve_nonce(uint8_t nonce[NONCE], const char *text, struct erabi_slice tail);
void erabi_curve_counter_nonce(uint8_t nonce[NONCE], const char *text, uint64_t counter);

/* Wipes and frees what only the handshake needs. */
void erabi_curve_settle(struct erabi_curve *c);
/* The connection is dead, its keys wiped: -EPROTO with `fault` filled; bad() is that with BAD_HANDSHAKE. */
int erabi_curve_end(struct erabi_curve *c, struct erabi_fault *fault, enum erab_reason reason,
                    const char *detail);
int erabi_curve_bad(struct erabi_curve *c, struct erabi_fault *fault, const char *detail);
/* False when the peer's counter does not rise. */
bool erabi_curve_take_counter(struct erabi_curve *c, uint64_t counter);

void erabi_curve_write_metadata(struct erabi_writer *w, const char *socket_type, size_t size);
/* NULL when fine, else what is wrong. */
const char *erabi_curve_check_metadata(struct erabi_slice metadata, bool from_client);

int erabi_curve_on_hello(struct erabi_curve *c, struct erabi_slice body, struct erabi_writer *out,
                         struct erabi_fault *fault);
int erabi_curve_on_initiate(struct erabi_curve *c, struct erabi_slice body, uint8_t *plain,
                            struct erabi_fault *fault);
int erabi_curve_on_welcome(struct erabi_curve *c, struct erabi_slice body, struct erabi_writer *out,
                           struct erabi_fault *fault);
int erabi_curve_on_ready(struct erabi_curve *c, struct erabi_slice body, uint8_t *plain,
                         struct erabi_fault *fault);

static inline bool erabi_curve_is(struct erabi_slice s, const char *text, size_t size)
{
    return erabi_slice_equal(s, erabi_slice(text, size));
}

#endif
