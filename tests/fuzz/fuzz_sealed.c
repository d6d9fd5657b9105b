/* What only a peer with a known key can say: the fuzzer's bytes are sealed, so that they come past the
 * boxes. The first byte chooses what they become:
 *   0  the content of HELLO's box and its clear fields
 *   1  the metadata of INITIATE
 *   2  the inside of MESSAGEs to the server (each: outer flags, inner flags, size, content)
 *   3  the metadata of READY to our client
 *   4  the inside of MESSAGEs to our client */
#include <sodium.h>
#include <stdlib.h>

#include "../support/curve_ends.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct end server, client;

/* Seals under what our own server end has agreed on with our client. */
static void seal_to_client(const char *name, size_t name_size, const char *nonce_text, bool command,
                           struct erabi_slice inside)
{
    static uint8_t bytes[70000];
    uint8_t nonce[24];
    struct erabi_writer w = erabi_writer(bytes, sizeof bytes), n = erabi_writer(nonce, sizeof nonce);
    uint64_t counter = ++server.curve.sent;
    erabi_write_bytes(&n, nonce_text, 16);
    erabi_write_u64(&n, counter);
    erabi_zmtp_write_head(&w, command, name_size + 8 + 16 + inside.size);
    erabi_write_bytes(&w, name, name_size);
    erabi_write_u64(&w, counter);
    uint8_t *box = erabi_write_room(&w, inside.size + 16);
    if (!box || crypto_box_easy_afternm(box, inside.data, inside.size, nonce, server.curve.shared) != 0)
        abort();
    end_feed(&client, bytes, w.used);
}

/* Greeting, HELLO, WELCOME, INITIATE between our halves; READY of the server is thrown away. */
static void bring_client_before_ready(void)
{
    end_feed(&client, server.out, server.used);
    server.used = 0;
    end_feed(&server, client.out, client.used);
    client.used = 0;
    end_feed(&client, server.out, server.used);
    server.used = 0;
    end_feed(&server, client.out, client.used);
    client.used = 0;
    if (server.known != 1)
        abort();
}

static struct erabi_slice next_part(struct erabi_reader *r)
{
    size_t size = erabi_read_u16(r);
    return erabi_read_slice(r, size < r->left ? size : r->left);
}

static void messages_to_server(struct rogue *rogue, struct erabi_reader *r)
{
    rogue_enter(rogue, &server);
    while (r->left >= 2 && !server.failed) {
        uint8_t outer = erabi_read_u8(r), inner = erabi_read_u8(r);
        struct erabi_slice content = next_part(r);
        server.used = 0;
        rogue_message(rogue, &server, outer & ~2, inner, content.data, content.size);
    }
}

static void messages_to_client(struct erabi_reader *r)
{
    bring_client_before_ready();
    end_feed(&client, server.out, server.used);
    if (client.opened != 1)
        abort();
    while (r->left >= 2 && !client.failed) {
        struct erabi_slice inside = next_part(r);
        client.used = 0;
        seal_to_client("\7MESSAGE", 8, "CurveZMQMESSAGES", false, inside);
    }
}

static void fields_of_hello(struct rogue *rogue, struct erabi_reader *r)
{
    rogue->hello_major = erabi_read_u8(r);
    rogue->hello_minor = erabi_read_u8(r);
    rogue->hello_padding = erabi_read_u8(r);
    rogue->hello_content = erabi_read_u8(r);
    rogue->counter = erabi_read_u64(r);
    rogue_greet(&server);
    rogue_hello(rogue, &server);
}

static void metadata_of_initiate(struct rogue *rogue, struct erabi_reader *r)
{
    rogue_greet(&server);
    rogue_hello(rogue, &server);
    rogue_take_welcome(rogue, &server);
    rogue->metadata = erabi_read_slice(r, r->left < 500 ? r->left : 500);
    rogue_initiate(rogue, &server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keys keys;
    struct rogue rogue;
    struct erabi_reader r = erabi_reader(data, size);
    keys_init(&keys);
    end_init_server(&server, &keys);
    end_init_client(&client, &keys);
    rogue_init(&rogue, &keys);
    switch (erabi_read_u8(&r) % 5) {
    case 0:
        fields_of_hello(&rogue, &r);
        break;
    case 1:
        metadata_of_initiate(&rogue, &r);
        break;
    case 2:
        messages_to_server(&rogue, &r);
        break;
    case 3:
        bring_client_before_ready();
        server.curve.sent = 0;
        seal_to_client("\5READY", 6, "CurveZMQREADY---", true,
                       erabi_read_slice(&r, r.left < 900 ? r.left : 900));
        break;
    default:
        messages_to_client(&r);
    }
    if (server.last_size > 65503 || client.last_size > 65503)
        abort();
    end_deinit(&server);
    end_deinit(&client);
    return 0;
}
