/* The simulated firms: a coordinator's broker, aggregator Alder's broker below it, and the parties around both.
 *
 *   rest.app ── coordinator.rest ──R3── alder (uplink) ──R4── gw1, gw2
 *                      └───R3── birch             └── alder.app                                             */
#ifndef ERAB_SIM_WORLD_H
#define ERAB_SIM_WORLD_H

#include <sys/queue.h>

#include <erab/identity.h>

#include "base/cursor.h"
#include "broker.h"
#include "sim.h"
#include "wire/wire.h"

/* A word in every order's text: it must never be seen on the network. */
#define WORLD_MARK "simulated-order"

enum { COORDINATOR, ALDER, BROKERS };
enum { REST_APP, ALDER_APP, BIRCH, GW1, GW2, INTRUDER, PARTIES };

struct world;

/* ---- what is known of every message, by who sees everything ---- */

struct message {
    STAILQ_ENTRY(message) entry;
    uint8_t id[ERAB_ID_SIZE];
    uint8_t hash[ERAB_HASH_SIZE];
    char from[ERAB_PARTY_MAX + 1], to[ERAB_ADDRESSEE_MAX + 1];
    enum erab_type type;
    uint64_t seq, issued_ms, expires_ms;
    uint64_t made_us, accepted_us; /* accepted: when its sender heard it first, 0 = never */
    uint64_t denied_us;            /* when it was told that its link is open, 0 = never */
    bool bad;          /* must never be delivered */
    bool accepted, ended; /* what its sender was told */
    enum erab_receipt_state told;
    unsigned ended_for; /* of a group: for whom its end was told, a bit each */
    unsigned got;      /* by party: who took it first-hand, a bit each */
    unsigned wanted;   /* by party: for whom it is */
    uint64_t order_no; /* in the order of sending */
};

/* ---- a party: the SDK's behaviour over the broker's own dialling half ---- */

struct item {
    STAILQ_ENTRY(item) entry;
    struct message *message; /* NULL: a receipt */
    uint8_t id[ERAB_ID_SIZE];
    enum erab_lane_group group;
    uint64_t expires_ms, sent_us;
    size_t header_size, body_size, signature_size;
    uint8_t bytes[];
};

struct party {
    struct world *world;
    unsigned index;
    const char *name;   /* of its keys */
    const char *speaks; /* the party it is or speaks for */
    unsigned broker;
    bool local, intruder;
    struct sim_node *node;
    struct erab_identity *keys;
    struct erabi_transport *transport;
    struct dial {
        struct party *party;
        enum erab_lane_group group;
        struct erabi_dialer *dialer;
        struct erabi_connection *connection;
        bool bound;
        uint64_t bound_us;
    } dials[2];
    STAILQ_HEAD(, item) items;
    uint64_t seqs[PARTIES + 4][ERAB_LANE_COUNT];
    struct taken {
        uint8_t id[ERAB_ID_SIZE], hash[ERAB_HASH_SIZE];
        uint64_t acked_us; /* on which connection's life */
    } taken[512];
    unsigned n_taken;
    uint64_t last_no[PARTIES + BROKERS][ERAB_LANE_COUNT]; /* by sender: order of what came first-hand */
    unsigned opened, ticks;
};

struct sending {
    enum erab_type type;
    const char *to;
    const ProtobufCMessage *body;
    uint32_t life_ms;
    const uint8_t *parent_id, *parent_hash;
    const char *from; /* NULL: as it should be */
    const uint8_t *id; /* of an older message; NULL: a new one */
    bool unsigned_too; /* leave the signature away */
    bool bad;          /* this must be refused */
};

void party_start(struct party *party);
void party_stop(struct party *party);
/* Makes a message, remembers it until it is answered, sends it. */
struct message *party_send(struct party *party, const struct sending *sending);
/* Sends the very bytes of another party's message under this one's connection. */
void party_replay(struct party *party, const struct item *item);

/* ---- brokers ---- */

enum { SEEN_MAX = 16 };

struct seat {
    struct world *world;
    unsigned index;
    const char *owner;
    struct sim_node *node; /* of this life */
    struct erabi_broker *broker; /* NULL: down */
    char state[160];
    unsigned life;
    struct seen { /* how far ahead the broker has seen its clock in this life, rising */
        uint64_t from_us;
        int64_t ahead_ms;
    } seen[SEEN_MAX];
    unsigned n_seen;
    uint64_t clock_since_us;
};

struct life { /* everything that ever ran, freed at the end */
    SLIST_ENTRY(life) entry;
    struct world *world;
    struct sim_node node;
    struct erabi_broker broker;
    bool stopped;
};

struct world {
    uint64_t seed;
    const char *folder; /* keys */
    char run[96];      /* this run's own */
    struct erab_identity keys[PARTIES], owners[BROKERS], listeners[BROKERS], locals[BROKERS];
    struct seat seats[BROKERS];
    struct sim_node nodes[PARTIES];
    struct party parties[PARTIES];
    struct sim_node god; /* where faults and the story happen */
    SLIST_HEAD(, life) lives;
    STAILQ_HEAD(, message) messages;
    uint64_t n_messages;
    unsigned orders;
    uint64_t revoked_us; /* when birch was revoked, 0 = not */
    bool verbose; /* the brokers' own lines on stderr */
    uint64_t tripped_us, closed_us; /* when an operator opened the link of birch, and let it on; 0 = not */
    bool trip_lost;      /* the broker crashed before its disk had it */
    struct opened {
        char a[ERAB_PARTY_MAX + 1], b[ERAB_PARTY_MAX + 1];
    } opened[16]; /* links whose breaker has opened, for whatever cause */
    unsigned n_opened;
    bool quiet;          /* the end: no new faults, no new messages */
    char violation[512]; /* the first one */
    struct tapped *tapped;
    size_t n_tapped;
    struct { unsigned sent, accepted, delivered, expired, refused, crashes, breaks, resent; } count;
};

/* Keys are made once for all runs. */
int world_prepare(struct world *world, const char *folder);
int world_begin(struct world *world, uint64_t seed);
void world_end(struct world *world);
void world_crash(struct world *world, unsigned seat);
void world_revive(struct world *world, unsigned seat);
int world_revoke(struct world *world, const char *party);
/* An operator's decisions about the link of coordinator.rest and birch. */
int world_trip(struct world *world);
int world_close(struct world *world);
/* Has a breaker between these two ever opened? `to` may be the group. */
bool world_opened(const struct world *world, const char *from, const char *to);
unsigned world_node_of_broker(unsigned seat);
/* What the broker's clock said at least at this (past) time: it never runs back. */
uint64_t world_broker_wall(struct world *world, unsigned seat, uint64_t at_us);
void world_set_clock(struct world *world, unsigned seat, int64_t change_ms);

enum taking { TAKEN_FIRST, TAKEN_AGAIN, TAKEN_LATE };

/* ---- rules: what must hold whatever happens (rules.c) ---- */

void rule_broken(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `hash` NULL: the first one of this id. */
struct message *rules_message(struct world *world, const uint8_t id[ERAB_ID_SIZE], const uint8_t *hash);
void rules_receipt(struct party *party, struct message *message, const Erab__V1__Receipt *receipt);
void rules_delivered(struct party *party, const struct erab_header *header, const struct erabi_envelope *envelope,
                     const uint8_t hash[ERAB_HASH_SIZE], enum taking taking);
void rules_tap(void *user, uint32_t stream, unsigned from, unsigned to, const uint8_t *data, size_t size);
void rules_at_end(struct world *world);

/* ---- the story: what parties do, what goes wrong (story.c) ---- */
void story_plan(struct world *world);
void story_on_message(struct party *party, const struct erab_header *header, const uint8_t hash[ERAB_HASH_SIZE]);

#endif
