/* A server on the broker's transport that sends every packet back: the other end for foreign clients.
 *   echo_server ENDPOINT [--put-off N] [KEY_HEX ...]
 * Admits the keys named (everyone when none is), puts the first N handshakes off, cuts a peer that sends
 * "cut" and answers "big" with a packet of the largest size. Prints its endpoint and public key, then ends
 * with its standard input. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "transport/transport.h"

enum { KEYS_MAX = 16 };

struct server {
    struct erabi_transport *transport;
    uint8_t keys[KEYS_MAX][ERABI_KEY_SIZE];
    unsigned key_count;
    long put_off;
    uv_pipe_t input;
    char sink[64];
};

static bool is(const uint8_t *packet, size_t size, const char *text)
{
    return erabi_slice_equal(erabi_slice(packet, size), erabi_slice(text, strlen(text)));
}

static enum erabi_admission on_key(void *user, struct erabi_listener *listener,
                                   const uint8_t key[ERABI_KEY_SIZE], const char *address,
                                   enum erab_reason *reason)
{
    struct server *s = user;
    if (s->put_off > 0) {
        s->put_off--;
        return ERABI_PUT_OFF;
    }
    for (unsigned i = 0; i < s->key_count; i++)
        if (sodium_memcmp(s->keys[i], key, ERABI_KEY_SIZE) == 0)
            return ERABI_ADMIT;
    *reason = ERAB_REASON_UNKNOWN_KEY;
    return s->key_count ? ERABI_REFUSE : ERABI_ADMIT;
}

static void on_open(void *user, struct erabi_connection *c, struct erabi_listener *l, struct erabi_dialer *d)
{
}

static void on_packet(void *user, struct erabi_connection *c, const uint8_t *packet, size_t size)
{
    static uint8_t big[ERABI_PACKET_MAX];
    if (is(packet, size, "cut"))
        erabi_connection_cut(c, ERAB_REASON_REPLACED);
    else if (is(packet, size, "big"))
        erabi_connection_send(c, big, sizeof big);
    else if (erabi_connection_send(c, packet, size) < 0)
        erabi_connection_cut(c, ERAB_REASON_QUEUE_FULL);
}

static void tell(const char *what, const struct erabi_transport_event *event)
{
    fprintf(stderr, "%s %s (%s) from %s\n", what, erab_reason_code(event->reason), event->detail,
            event->address);
}

static void on_close(void *user, struct erabi_connection *c, const struct erabi_transport_event *event)
{
    tell("closed", event);
}

static void on_refused(void *user, struct erabi_listener *l, const struct erabi_transport_event *event)
{
    tell("refused", event);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct server *s = handle->data;
    *buf = uv_buf_init(s->sink, sizeof s->sink);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct server *s = stream->data;
    if (n >= 0)
        return;
    uv_close((uv_handle_t *)stream, NULL);
    erabi_transport_stop(s->transport, NULL, NULL);
}

static int read_arguments(struct server *s, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--put-off") == 0 && i + 1 < argc)
            s->put_off = strtol(argv[++i], NULL, 10);
        else if (s->key_count == KEYS_MAX || sodium_hex2bin(s->keys[s->key_count++], ERABI_KEY_SIZE, argv[i],
                                                            strlen(argv[i]), NULL, NULL, NULL) != 0)
            return -1;
    }
    return argc < 2 ? -1 : 0;
}

int main(int argc, char **argv)
{
    static const struct erabi_transport_callbacks callbacks = {on_key, on_open,  on_packet,
                                                               NULL,   on_close, on_refused};
    static const struct erabi_transport_limits limits = {.handshakes_per_second = 1000, .heartbeat_ms = 500};
    static struct server s;
    uint8_t secret[ERABI_KEY_SIZE], public_key[ERABI_KEY_SIZE];
    char hex[2 * ERABI_KEY_SIZE + 1];
    struct erabi_listener *listener;
    if (sodium_init() < 0 || read_arguments(&s, argc, argv) < 0) {
        fprintf(stderr, "usage: echo_server ENDPOINT [--put-off N] [KEY_HEX ...]\n");
        return 2;
    }
    crypto_box_keypair(public_key, secret);
    int r = erabi_transport_new(&s.transport, uv_default_loop(), &limits, &callbacks, &s);
    if (r == 0)
        r = erabi_transport_listen(s.transport, &listener, argv[1], secret, NULL);
    if (r < 0) {
        fprintf(stderr, "echo_server: %s: %s\n", argv[1], uv_strerror(r));
        return 1;
    }
    printf("%s %s\n", erabi_listener_endpoint(listener),
           sodium_bin2hex(hex, sizeof hex, public_key, sizeof public_key));
    fflush(stdout);
    uv_pipe_init(uv_default_loop(), &s.input, 0);
    s.input.data = &s;
    uv_pipe_open(&s.input, 0);
    uv_read_start((uv_stream_t *)&s.input, on_alloc, on_input);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_loop_close(uv_default_loop());
    return 0;
}
