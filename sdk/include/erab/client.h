/* A client of the broker: what a party, an owner's application or a tool connects with.
 *
 * It keeps two connections (command+control, telemetry) over libzmq, sends, resends commands until the
 * broker has answered, hands every incoming message over exactly once as long as the message is valid and the
 * process lives (with a `seen_file`: also after it was killed and started again), and replaces a libzmq socket that
 * has stopped. Of what it sends nothing outlives the process.
 *
 * Thread: one client belongs to one thread; nothing here blocks but erab_client_run(). Callbacks are made
 * from erab_client_step() and erab_client_run() only; they may call any function here except
 * erab_client_free(). */
#ifndef ERAB_CLIENT_H
#define ERAB_CLIENT_H

#include <erab/identity.h>
#include <erab/message.h>
#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct erab_client;

/* What became of a message that this client sent; `receipt` is borrowed. Called for every Receipt about it,
 * in the order received, and with `local` true for what the client itself found: EXPIRED (deadline passed
 * without an answer) and REFUSED queue-full. After EXPIRED, REFUSED or APPLIED nothing more is kept of it. */
struct erab_receipt {
    size_t size;
    uint8_t about[ERAB_ID_SIZE];
    enum erab_receipt_state state;
    enum erab_reason reason;
    bool local;
    const char *code;    /* the reason's text as sent, also when this build does not know it */
    const char *section; /* of the guideline, or "" */
    const char *detail;  /* or "" */
    const char *from;    /* who says so: the hub or the recipient */
    uint32_t retry_after_ms;
    const Erab__V1__Receipt *body; /* members of a group, shed telemetry; NULL when local */
};

enum erab_connection_state {
    ERAB_DISCONNECTED,
    ERAB_CONNECTED, /* both connections bound: the broker has answered the first Ping on each */
    ERAB_REJECTED   /* the broker refused this key (ERROR 400); tried again every 60 s */
};

struct erab_client_callbacks {
    size_t size;
    /* A message for one of this client's parties: deadline checked; for types that must be signed the
     * signature too. DELIVERED is told to the sender when this returns 0 (the application has taken it);
     * a positive enum erab_reason refuses it with that reason. May be NULL: then everything is refused with
     * not-supported. */
    int (*on_message)(void *user, struct erab_client *client, const struct erab_message *message);
    void (*on_receipt)(void *user, struct erab_client *client, const struct erab_receipt *receipt);
    void (*on_state)(void *user, struct erab_client *client, enum erab_connection_state state);
    /* The hub told by a signed card which keys a party has now (or that they are withdrawn). The client believes it
     * already; an application that wants to know it after its next start keeps it. About the hub itself: the server
     * key may have changed, see erab_client_server_key. May be NULL. */
    void (*on_card)(void *user, struct erab_client *client, const Erab__V1__PartyCard *card);
    /* What the broker said to `takes` of the options: NONE (they are this client's now), or why not. Told when it changes;
     * what was refused is asked for again with each sign of life. May be NULL. */
    void (*on_takes)(void *user, struct erab_client *client, enum erab_reason reason, const char *detail);
};

/* A sender whose signatures this client believes. With the hub's own key among them (as the invitation pins it), the keys
 * of others are learnt from its signed cards; a card takes the place of what was given here for that party. */
struct erab_trusted {
    char party[ERAB_PARTY_MAX + 1];
    uint8_t sign_key[ERAB_KEY_SIZE];
};

struct erab_client_options {
    size_t size;
    const char *endpoint;                   /* "tcp://..." or "ipc://..." */
    uint8_t server_key[ERAB_KEY_SIZE];      /* of that listener */
    char hub[ERAB_PARTY_MAX + 1];           /* party that owns the broker */
    const struct erab_identity *identity;   /* copied. For local applications sign_secret may be zero */
    bool sign;                              /* false for local applications: the broker signs for its owner */
    const struct erab_trusted *trusted;     /* copied; at most 4,096 */
    size_t n_trusted;
    const struct erab_client_callbacks *callbacks; /* copied */
    void *user;
    uint32_t command_bytes;                 /* own queue for command and control [1 MiB] */
    uint32_t telemetry_bytes;               /* own queue for telemetry; when full the oldest is shed [1 MiB] */
    uint32_t ping_ms;                       /* application sign of life [10,000] */
    uint64_t (*now_ms)(void *user);         /* wall clock, NULL: CLOCK_REALTIME */
    const char *software;                   /* told to the broker, may be NULL */
    const char *const *parties;             /* whose messages are taken, NULL-terminated, borrowed; NULL: the identity's party
                                               when `sign`, else anybody's. Messages to groups are always taken */
    const enum erab_type *takes; /* of a local application: the types that it takes, as long as it is connected; copied, at
                                    most 32. None: those that the configuration gives it */
    size_t n_takes;
    /* A file of this client's own (made when missing, mode 0600), in which the ids of commands and control messages that
     * it takes are kept until an hour after their deadline: on the disk before on_message is called. What comes again
     * after a restart is answered as before and not handed over; what on_message was in the middle of when the process
     * ended is REFUSED `internal`, with a detail saying that it is not known whether it was done. When it cannot be
     * written, messages are REFUSED `storage`. erab_client_new then also returns -EBUSY (another process has it),
     * -EPROTO (another party's or hub's) or -EBADMSG (damaged). NULL: remembered in memory only. Copied. */
    const char *seen_file;
};

/* 0 or a negative errno. Connecting begins at once and goes on for ever. */
ERAB_API int erab_client_new(struct erab_client **out, const struct erab_client_options *options);
/* NULL is fine. What was not answered yet is forgotten. */
ERAB_API void erab_client_free(struct erab_client *client);

/* What a caller fills to send. `from` NULL: the identity's party. */
struct erab_outgoing {
    size_t size;
    const char *from;
    const char *to;
    enum erab_type type;
    enum erab_category category;
    uint64_t expires_at_ms;                /* 0: now + 60 s */
    const struct erab_message *parent;     /* or NULL */
    const uint8_t *parent_id;              /* instead of `parent`, with parent_hash */
    const uint8_t *parent_hash;
    bool exercise;
    const uint8_t *trace_id;               /* NULL: the parent's, or none */
    const ProtobufCMessage *body;
    const uint8_t *seal_to; /* the recipient's connection key: the body travels sealed; NULL: it does not. Not for orders */
};

/* Queues a message; its id is written to `id` (may be NULL). Commands and control messages are sent again
 * after a reconnect until a receipt other than QUEUED came or they expire. Returns 0; -EAGAIN when the
 * client's queue is full; -EMSGSIZE; -EINVAL. */
ERAB_API int erab_client_send(struct erab_client *client, const struct erab_outgoing *message,
                              uint8_t id[ERAB_ID_SIZE]);

/* Tells the sender of a message what became of it: APPLIED, or REFUSED with a reason. `from` NULL: the
 * party that the message was addressed to (for a group: the identity's). */
ERAB_API int erab_client_answer(struct erab_client *client, const struct erab_message *message,
                                enum erab_receipt_state state, enum erab_reason reason, const char *detail);
/* The same later, from what was remembered of it. */
ERAB_API int erab_client_answer_later(struct erab_client *client, const struct erab_header *header,
                                      const uint8_t hash[ERAB_HASH_SIZE], enum erab_receipt_state state,
                                      enum erab_reason reason, const char *detail);

/* Opens the body of a message whose header says `sealed`: erab_body_open with this client's keys. Freed with free(). */
ERAB_API int erab_client_open(const struct erab_client *client, const struct erab_message *message, uint8_t **body,
                              size_t *size);

/* A descriptor that is readable whenever erab_client_step() has something to do, timers included: put it
 * into any event loop. Level-triggered. Owned by the client. */
ERAB_API int erab_client_fd(const struct erab_client *client);
/* Does what is due without blocking; bounded work a call. 0, or a negative errno after which the client is
 * of no more use. */
ERAB_API int erab_client_step(struct erab_client *client);
/* Runs for at most timeout_ms (-1: until stopped). Returns 0, or 1 when erab_client_stop was called. */
ERAB_API int erab_client_run(struct erab_client *client, int timeout_ms);
/* Makes erab_client_run return. The one call that any thread or signal handler may make. */
ERAB_API void erab_client_stop(struct erab_client *client);

ERAB_API enum erab_connection_state erab_client_state(const struct erab_client *client);
/* Messages not answered yet (command and control) and telemetry waiting. */
ERAB_API size_t erab_client_pending(const struct erab_client *client);
/* The server key of the next connection: the one given, or what a card of the hub put in its place. */
ERAB_API void erab_client_server_key(const struct erab_client *client, uint8_t key[ERAB_KEY_SIZE]);
ERAB_API uint64_t erab_client_shed(const struct erab_client *client);

#ifdef __cplusplus
}
#endif

#endif
