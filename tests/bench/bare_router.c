/* The bare CURVE ROUTER: libzmq's own, which forwards frames by number and does nothing else.
 * It takes a free port and makes its keys, prints "ready PORT PUBLIC_KEY" and runs until it is ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <zmq.h>

#include "bare.h"
#include "base/cursor.h"

#define IDS_MAX 20000u

static struct {
    uint8_t bytes[16];
    size_t size;
} ids[IDS_MAX];

static unsigned highest;

static void forward(void *router, unsigned to, zmq_msg_t *frame)
{
    if (to >= IDS_MAX || ids[to].size == 0)
        return;
    if (zmq_send(router, ids[to].bytes, ids[to].size, ZMQ_SNDMORE) >= 0)
        zmq_msg_send(frame, router, 0);
}

static void one(void *router, const uint8_t *from, size_t size, zmq_msg_t *frame)
{
    struct erabi_reader r = erabi_reader(zmq_msg_data(frame), zmq_msg_size(frame));
    uint32_t to = erabi_read_u32(&r);
    if (to == BARE_HELLO) {
        unsigned number = erabi_read_u32(&r);
        if (number >= IDS_MAX || size > sizeof(ids[0].bytes))
            return;
        erabi_copy_bytes(ids[number].bytes, from, size);
        ids[number].size = size;
        highest = number > highest ? number : highest;
        if (zmq_send(router, from, size, ZMQ_SNDMORE) >= 0)
            zmq_send(router, "", 1, 0);
    } else if (to == BARE_ALL) {
        for (unsigned i = 1; i <= highest; i++) {
            zmq_msg_t copy;
            zmq_msg_init(&copy);
            zmq_msg_copy(&copy, frame);
            forward(router, i, &copy);
            zmq_msg_close(&copy);
        }
    } else {
        forward(router, to, frame);
    }
}

int main(void)
{
    int yes = 1, none = 0;
    char secret[41], public[41], endpoint[64];
    uint8_t key[32];
    size_t size = sizeof(endpoint);
    void *context = zmq_ctx_new(), *router;
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 1023);
    router = zmq_socket(context, ZMQ_ROUTER);
    zmq_curve_keypair(public, secret);
    zmq_setsockopt(router, ZMQ_CURVE_SERVER, &yes, sizeof(yes));
    zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, secret, 41);
    zmq_setsockopt(router, ZMQ_SNDHWM, &none, sizeof(none));
    zmq_setsockopt(router, ZMQ_RCVHWM, &none, sizeof(none));
    int many = 4096;
    zmq_setsockopt(router, ZMQ_BACKLOG, &many, sizeof(many));
    if (!router || zmq_bind(router, "tcp://127.0.0.1:*") < 0)
        return 1;
    zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size);
    zmq_z85_decode(key, public);
    char hex[65];
    sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
    printf("ready %s %s\n", strrchr(endpoint, ':') + 1, hex);
    fflush(stdout);
    for (;;) {
        uint8_t from[64];
        zmq_msg_t frame;
        int n = zmq_recv(router, from, sizeof(from), 0);
        zmq_msg_init(&frame);
        if (n < 0 || zmq_msg_recv(&frame, router, 0) < 0)
            return 1;
        one(router, from, (size_t)n, &frame);
        zmq_msg_close(&frame);
    }
}
