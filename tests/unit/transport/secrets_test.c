/* No branch and no address of ours may depend on a secret. Under valgrind every secret key counts as not
 * initialized, and so does all that is computed from it; memcheck then tells each jump and each look-up that
 * depends on it. What is no secret any more is said so where libsodium hands it over: whether a box opened,
 * whether two secrets are equal, what the peer has sealed for us, and all that goes over the wire.
 * The linker puts the __wrap_ functions between our code and libsodium (see meson.build). */
#include <stdio.h>

#if __has_include(<valgrind/memcheck.h>)

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "../support/curve_ends.h"

#define PUBLIC(p, n) (void)VALGRIND_MAKE_MEM_DEFINED(p, n)
#define SECRET(p, n) (void)VALGRIND_MAKE_MEM_UNDEFINED(p, n)

#define WRAP(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

typedef unsigned char byte;
typedef unsigned long long length;

static int told(int result)
{
    PUBLIC(&result, sizeof result);
    return result;
}

WRAP(int, crypto_box_keypair, byte *public_key, byte *secret)
{
    int r = __real_crypto_box_keypair(public_key, secret);
    SECRET(secret, crypto_box_SECRETKEYBYTES);
    return r;
}

WRAP(void, randombytes_buf, void *out, size_t size)
{
    __real_randombytes_buf(out, size);
    if (size == crypto_secretbox_KEYBYTES) /* the key of the cookie; what is shorter is a nonce */
        SECRET(out, size);
}

WRAP(int, crypto_scalarmult_base, byte *public_key, const byte *secret)
{
    int r = told(__real_crypto_scalarmult_base(public_key, secret));
    PUBLIC(public_key, crypto_box_PUBLICKEYBYTES);
    return r;
}

WRAP(int, crypto_box_beforenm, byte *shared, const byte *public_key, const byte *secret)
{
    return told(__real_crypto_box_beforenm(shared, public_key, secret));
}

WRAP(int, crypto_box_easy, byte *box, const byte *text, length size, const byte *nonce,
     const byte *public_key, const byte *secret)
{
    return told(__real_crypto_box_easy(box, text, size, nonce, public_key, secret));
}

/* Holds the transient key of the peer and our public one, compared with sodium_memcmp: stays a secret. */
WRAP(int, crypto_box_open_easy, byte *text, const byte *box, length size, const byte *nonce,
     const byte *public_key, const byte *secret)
{
    return told(__real_crypto_box_open_easy(text, box, size, nonce, public_key, secret));
}

/* Holds our own transient secret key. */
WRAP(int, crypto_secretbox_open_easy, byte *text, const byte *box, length size, const byte *nonce,
     const byte *key)
{
    return told(__real_crypto_secretbox_open_easy(text, box, size, nonce, key));
}

/* The peer's commands and packets: to be looked at, once they are known to be the peer's. */
WRAP(int, crypto_box_open_easy_afternm, byte *text, const byte *box, length size, const byte *nonce,
     const byte *shared)
{
    int r = told(__real_crypto_box_open_easy_afternm(text, box, size, nonce, shared));
    if (r == 0)
        PUBLIC(text, size - crypto_box_MACBYTES);
    return r;
}

WRAP(int, sodium_memcmp, const void *a, const void *b, size_t size)
{
    return told(__real_sodium_memcmp(a, b, size));
}

/* ---- both ends, as curve_test.c drives them, but what one says is public before the other hears it ---- */

static struct end server, client;
static struct keys keys;
static struct rogue rogue;

static void expect(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not so: %s\n", what);
    exit(1);
}

static void begin(void)
{
    end_deinit(&server);
    end_deinit(&client);
    end_init_server(&server, &keys);
    end_init_client(&client, &keys);
    rogue_init(&rogue, &keys);
}

static void carry(struct end *from, struct end *to)
{
    static uint8_t wire[END_ROOM];
    size_t size = from->used;
    erabi_copy_bytes(wire, from->out, size);
    PUBLIC(wire, size);
    from->used = 0;
    end_feed(to, wire, size);
}

static void pump(void)
{
    while ((client.used && !server.failed) || (server.used && !client.failed)) {
        carry(&client, &server);
        carry(&server, &client);
    }
}

static void packets_and_heartbeats(void)
{
    begin();
    pump();
    expect(server.known == 1 && client.opened == 1, "the handshake ends well");
    end_send(&client, "up", 2);
    end_send(&server, "down", 4);
    pump();
    struct erabi_writer w = erabi_writer(server.out, sizeof server.out);
    expect(erabi_curve_ping(&server.curve, &w, 15000) == 0, "a PING is made");
    server.used = w.used;
    pump();
    expect(server.packets == 1 && client.packets == 1 && client.pings == 1, "all of it arrives");
}

static void refused_key(void)
{
    begin();
    server.refuses = true;
    pump();
    expect(client.failed && client.fault.reason == ERAB_REASON_UNKNOWN_KEY, "ERROR 400 is read");
}

/* Each command in turn comes with its last byte, which is sealed, another one. */
static void forged_commands(void)
{
    for (unsigned turn = 0; turn < 5; turn++) { /* HELLO, WELCOME, INITIATE, READY, MESSAGE */
        begin();
        carry(&client, &server); /* greetings */
        carry(&server, &client);
        struct end *from = &client, *to = &server;
        for (unsigned i = 0; i < turn; i++) {
            carry(from, to);
            from = from == &client ? &server : &client;
            to = to == &client ? &server : &client;
        }
        if (turn == 4)
            end_send(from, "packet", 6);
        expect(from->used > 0 && !from->failed, "there is a command to forge");
        from->out[from->used - 1] ^= 1;
        carry(from, to);
        expect(to->failed && to->fault.reason == ERAB_REASON_BAD_BOX, "a forged box does not open");
    }
}

/* The same for what is sealed inside INITIATE. */
static void forged_cookies_and_vouches(void)
{
    for (unsigned turn = 0; turn < 4; turn++) {
        begin();
        rogue.other_cookie = turn == 0;
        rogue.vouch_transient = turn == 1;
        rogue.vouch_server = turn == 2;
        rogue.vouch_box = turn == 3;
        rogue_greet(&server);
        rogue_hello(&rogue, &server);
        PUBLIC(server.out, server.used);
        rogue_take_welcome(&rogue, &server);
        rogue_initiate(&rogue, &server);
        expect(server.failed && server.fault.reason == ERAB_REASON_BAD_BOX, "a forged part is refused");
    }
}

/* With --leak it breaks the rule itself, to show that the harness would see that. */
int main(int argc, char **argv)
{
    if (!RUNNING_ON_VALGRIND) {
        fprintf(stderr, "SKIPPED: without valgrind this program shows nothing\n");
        return 77;
    }
    keys_init(&keys);
    SECRET(keys.server_secret, sizeof keys.server_secret);
    SECRET(keys.client_secret, sizeof keys.client_secret);
    if (argc > 1 && !strcmp(argv[1], "--leak")) {
        if (keys.server_secret[3] & 4)
            fputs("the bit is set\n", stderr);
        return 0;
    }
    packets_and_heartbeats();
    refused_key();
    forged_commands();
    forged_cookies_and_vouches();
    end_deinit(&server);
    end_deinit(&client);
    return 0;
}

#else

int main(void)
{
    fprintf(stderr,
            "SKIPPED: built without <valgrind/memcheck.h>, secret-dependent branches are unchecked\n");
    return 77;
}

#endif
