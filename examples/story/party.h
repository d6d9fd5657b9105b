/* What all example parties share: the command line, connections, events, the loop.
 *
 * A party runs on one thread. Its role gets every message unpacked, every receipt, and a tick about ten times
 * a second. The gateway has a second connection, to the listener of R5. */
#ifndef STORY_PARTY_H
#define STORY_PARTY_H

#include <erab/client.h>

#include "split.h"

#define STORY_MEMBERS_MAX 16
#define STORY_TRUSTED_MAX 64

struct story_member {
    char party[ERAB_PARTY_MAX + 1];
    uint64_t weight;
};

struct story_options {
    const char *key;
    const char *endpoint, *hub;
    uint8_t server_key[ERAB_KEY_SIZE];
    bool has_server_key;
    const char *r5_endpoint, *r5_hub;
    uint8_t r5_server_key[ERAB_KEY_SIZE];
    bool has_r5_server_key;
    const char *as;       /* the party spoken for when it is not the key's own */
    bool local;           /* the owner's application: the broker signs */
    const char *up;       /* where orders come from */
    const char *device;   /* gateway: below it; retailer: what it may not command */
    const char *resource; /* name of what is reported upward */
    uint64_t fleet;       /* aggregator: simulated homes beside the real ones */
    uint64_t report_ms;
    uint64_t timeout_ms;
    struct story_member members[STORY_MEMBERS_MAX];
    size_t n_members;
    struct erab_trusted trusted[STORY_TRUSTED_MAX];
    size_t n_trusted;
};

struct story_party;

struct story_role {
    const char *name;
    size_t state_size; /* zeroed memory, party->state */
    /* 0 or -EINVAL after a line on standard error. */
    int (*check)(const struct story_options *options);
    /* 0: taken; a positive enum erab_reason: refused. `body` is borrowed. */
    int (*on_message)(struct story_party *party, struct erab_client *client, const struct erab_message *message,
                      const ProtobufCMessage *body);
    void (*on_receipt)(struct story_party *party, struct erab_client *client, const struct erab_receipt *receipt);
    void (*on_tick)(struct story_party *party, uint64_t now_ms);
};

struct story_party {
    const struct story_options *options;
    const struct story_role *role;
    struct erab_client *client;
    struct erab_client *r5; /* NULL but in a gateway */
    const char *name;
    void *state;
    bool done;
    int exit_code;
};

extern const struct story_role story_coordinator_direct, story_coordinator_rest, story_aggregator, story_retailer,
    story_gateway;

/* 0, 1 for --help, or -EINVAL after a line on standard error. */
int story_options_parse(struct story_options *options, int argc, char **argv);

/* Runs until SIGTERM, SIGINT or party->done; returns the exit code. */
int story_party_run(const struct story_role *role, const struct story_options *options);

/* Sends a message of this party and prints an event. `parent` and `hash` may both be NULL. */
int story_send(struct story_party *party, struct erab_client *client, const char *to, enum erab_type type,
               enum erab_category category, uint64_t expires_at_ms, const struct erab_header *parent,
               const uint8_t *hash, const ProtobufCMessage *body, uint8_t id[ERAB_ID_SIZE]);

uint64_t story_now_ms(void);

#endif
