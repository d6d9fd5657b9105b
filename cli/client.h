/* What `send` and `watch` share: a client with an identity, and bodies as text. */
#ifndef ERABI_CLI_CLIENT_H
#define ERABI_CLI_CLIENT_H

#include <jansson.h>

#include <erab/client.h>

#include "cli.h"

struct cli_way {
    struct erab_identity identity;
    uint8_t server_key[ERAB_KEY_SIZE];
    char from[ERAB_PARTY_MAX + 1]; /* in whose name it sends */
    struct erab_trusted *trusted;
    size_t n_trusted;
    enum erab_type takes[32]; /* of --take */
    size_t n_takes;
};

/* Reads --identity, --endpoint, --server-key, --hub, --from, --trust and --take. EXIT_DONE, or the exit code after what is wrong
 * was told; cli_way_close in either case. */
int cli_way_open(struct cli_way *way, const struct cli *cli);
void cli_way_close(struct cli_way *way);
/* 0 or a negative errno. */
int cli_way_client(const struct cli_way *way, const struct cli *cli, const struct erab_client_callbacks *callbacks,
                   void *user, struct erab_client **out);
/* A whole number of seconds; `usual` when the option was not given. False when it is none or over `most`. */
bool cli_seconds(const char *text, uint64_t usual, uint64_t most, uint64_t *out);

/* body_json.c: names as in PROTOCOL.md, bytes in hex. NULL without memory. */
json_t *cli_body_json(const ProtobufCMessage *body);
/* Bytes that one value of this field takes in the struct of its message. */
size_t cli_field_size(const ProtobufCFieldDescriptor *field);
#endif
