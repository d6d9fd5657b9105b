/* Inside of a client: two links (one a lane group), each with a socket, its monitor and queues.
 * client.c (API, building messages), client_socket.c (libzmq), client_queue.c (what was sent),
 * client_receive.c (what came in). */
#ifndef ERABI_CLIENT_INTERNAL_H
#define ERABI_CLIENT_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include <erab/client.h>

#include "wire/wire.h"

#define CLIENT_BUCKETS   4096u
/* Answered messages are kept this long past their deadline, for it is the broker that tells of it. */
#define CLIENT_KEPT_AFTER_MS 10000u
#define CLIENT_KEPT_MAX  16384u /* answered messages whose APPLIED is still awaited */
#define CLIENT_DEDUP_MAX 16384u /* ids remembered of each lane group */
#define CLIENT_FLOWS_MAX 1024u  /* (from, to, lane) with a running number */
#define CLIENT_LINKS     2u
#define CLIENT_TRUST_MAX 16384u /* keys of others, given and learnt */
#define CLIENT_CARDS_MAX 4096u  /* parties of which a card was heard */

#define CLIENT_TAKES_MAX 32u

enum item_state { ITEM_WAITING, ITEM_SENT, ITEM_KEPT };

/* A message of ours. Waiting and sent ones hold their bytes, kept ones only the id. */
struct item {
    TAILQ_ENTRY(item) entry;
    struct item *chain; /* of the id table; only what is answered by receipts is in it */
    enum item_state state;
    enum erab_type type;
    uint8_t id[ERAB_ID_SIZE];
    uint8_t hash[ERAB_HASH_SIZE];
    uint64_t expires_at_ms;
    uint64_t sent_at; /* monotonic */
    size_t header_size, body_size, signature_size;
    uint8_t *data; /* header, body, signature */
};
TAILQ_HEAD(item_list, item);

struct link {
    struct erab_client *client;
    enum erab_lane_group group;
    void *socket;
    void *monitor;
    int fd, monitor_fd;
    uint8_t server_key[ERAB_KEY_SIZE]; /* with which the socket was made */
    bool up;          /* the handshake is done */
    bool ping_due;    /* the next packet must be a Ping */
    bool bound;       /* the broker has answered */
    bool rejected;
    uint64_t replace_at; /* monotonic; 0: not planned */
    uint64_t ping_at;    /* monotonic */
    uint64_t heard_at;   /* monotonic */
    struct item_list waiting, sent;
    struct item_list receipts_waiting, receipts_sent; /* never answered, so kept for a while after sending */
    size_t bytes, receipt_bytes;
};

#define DEDUP_BEGUN 0u /* state of what was not answered yet */

/* Ids received, oldest overwritten first; see erabi_dedup_add. */
struct dedup_entry {
    uint8_t id[ERAB_ID_SIZE];
    uint8_t hash[ERAB_HASH_SIZE];
    uint64_t expires_at_ms;
    uint32_t chain; /* index + 1 */
    uint8_t state, used;
    uint16_t reason;
    bool interrupted; /* begun in an earlier life of the process: whether it was done is not known */
};
struct dedup {
    struct dedup_entry *entries;
    uint32_t buckets[CLIENT_BUCKETS]; /* index + 1 */
    uint32_t next;
    bool evict; /* the oldest may go before it expired */
};

struct flow {
    char from[ERAB_PARTY_MAX + 1];
    char to[ERAB_ADDRESSEE_MAX + 1];
    enum erab_lane lane;
    uint64_t seq;
};

/* A key whose signatures are believed. */
struct trusted {
    char party[ERAB_PARTY_MAX + 1];
    uint8_t sign_key[ERAB_KEY_SIZE];
    uint64_t until_ms;
};

/* Kept in the file, and handed over once that is on the disk. */
struct begun {
    struct erab_header header;
    const struct erabi_envelope *envelope;
    struct dedup_entry *seen;
};

struct heard {
    char party[ERAB_PARTY_MAX + 1];
    uint32_t version;
};

struct erab_client {
    struct erab_client_options options;
    struct erab_client_callbacks callbacks;
    struct erab_identity identity;
    struct trusted *trusted;
    size_t n_trusted, most_trusted;
    struct heard *cards;
    size_t n_cards;
    char *endpoint, *software;
    Erab__V1__MessageType takes[CLIENT_TAKES_MAX];
    bool takes_told; /* with this reason */
    enum erab_reason takes_reason;
    uint8_t takes_ping[ERAB_ID_SIZE], takes_hash[ERAB_HASH_SIZE]; /* the last Ping that named them */
    void *context;
    int epoll, timer, kick;
    atomic_bool stop;
    bool in_step;
    int fault;
    enum erab_connection_state state;
    unsigned sockets_made;
    uint64_t shed;
    uint64_t next_expiry_ms;
    struct link links[CLIENT_LINKS];
    struct item_list kept;
    size_t n_kept, n_pending;
    struct item *buckets[CLIENT_BUCKETS];
    struct dedup dedup[CLIENT_LINKS];
    struct seen_file *seen; /* NULL: what was taken is remembered only in this life */
    struct begun *begun;    /* of one packet */
    size_t n_begun;
    struct flow *flows;
    size_t n_flows, next_flow;
    uint8_t packet[ERAB_PACKET_MAX];
    struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
};

static inline uint32_t erabi_client_bucket(const uint8_t id[ERAB_ID_SIZE])
{
    return ((uint32_t)id[14] << 8 | id[15]) % CLIENT_BUCKETS;
}

uint64_t erabi_client_now(const struct erab_client *client);
uint64_t erabi_client_monotonic(void);
/* Makes the descriptor readable until the next step. */
void erabi_client_kick(struct erab_client *client);

/* client_takes.c */
bool erabi_takes_valid(const struct erab_client_options *options);
/* What the broker said, to the application when it is news. */
void erabi_takes_tell(struct erab_client *client, enum erab_reason reason, const char *detail);
/* True when this receipt is about our last Ping that named types: then that is told. */
bool erabi_takes_receipt(struct erab_client *client, const struct erab_header *header, const Erab__V1__Receipt *receipt);
/* client_queue.c */
/* Takes over `item`. 0 or -EAGAIN (then the item is freed). */
int erabi_queue_add(struct link *link, struct item *item);
void erabi_item_free(struct item *item);
/* The connection is gone: what was sent and not answered waits again, in its old order. */
void erabi_queue_resend(struct link *link);
/* Fills and sends packets while the socket takes them. True when something was sent. */
bool erabi_queue_flush(struct link *link);
void erabi_queue_expire(struct erab_client *client, uint64_t now);
void erabi_queue_receipt(struct erab_client *client, const struct erab_header *header, const Erab__V1__Receipt *body);
void erabi_queue_deinit(struct erab_client *client);
bool erabi_queue_receipts_full(const struct link *link);

/* client_socket.c */
int erabi_link_open(struct link *link);
void erabi_link_close(struct link *link);
/* Reads what the monitor has to say. */
void erabi_link_monitor(struct link *link);
/* 0, -EAGAIN, or -EPIPE. */
int erabi_link_send(struct link *link, const uint8_t *bytes, size_t size);
bool erabi_link_receive(struct link *link, unsigned budget);
/* Pings, replacing; returns the monotonic time at which it wants to be called again. */
uint64_t erabi_link_tick(struct link *link, uint64_t now);
void erabi_link_lost(struct link *link);
void erabi_client_restate(struct erab_client *client);

/* client_receive.c */
void erabi_client_packet(struct link *link, struct erabi_slice packet);
int erabi_dedup_init(struct dedup *d, bool evict);
struct dedup_entry *erabi_dedup_find(struct dedup *d, const uint8_t id[ERAB_ID_SIZE], uint64_t now);
/* NULL when there is no room. */
struct dedup_entry *erabi_dedup_add(struct dedup *d, const struct erab_header *header,
                                    const uint8_t hash[ERAB_HASH_SIZE], uint64_t now);

/* client_seen.c; without a file these do nothing. */
/* 0, or: -EBUSY another process has it, -EPROTO it is another party's or hub's, -EBADMSG it is damaged, -errno. */
int erabi_seen_open(struct erab_client *client, const char *path);
int erabi_seen_keep(struct erab_client *client, const struct dedup_entry *entry);
int erabi_seen_sync(struct erab_client *client);
void erabi_seen_close(struct erab_client *client);

/* client_cards.c */
/* 0, -ENOMEM, -ENOSPC. */
int erabi_trust_add(struct erab_client *client, const char *party, const uint8_t key[ERAB_KEY_SIZE], uint64_t until_ms);
/* A message whose signature holds: true when it was a card of our hub, which is dealt with and has no answer. */
bool erabi_card_take(struct erab_client *client, const struct erab_header *header, const struct erabi_envelope *envelope,
                     uint64_t now);

/* client.c */
/* An envelope of ours as an item, header and signature made here; the body sealed to `seal_to` unless that is NULL. */
int erabi_client_build(struct erab_client *client, struct erab_header *header, const ProtobufCMessage *body,
                       const uint8_t *seal_to, struct item **out);
int erabi_client_ping(struct link *link);
/* An answer that changes nothing in the memory of what was answered. */
int erabi_client_receipt(struct erab_client *client, const struct erab_header *about, const uint8_t hash[ERAB_HASH_SIZE],
                         enum erab_receipt_state state, enum erab_reason reason, const char *detail);

#endif
