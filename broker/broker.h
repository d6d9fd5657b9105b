/* The broker: builds its parts from a configuration, wires them, owns them. No message logic (pipeline.h). */
#ifndef ERABI_BROKER_H
#define ERABI_BROKER_H

#include <erab/broker.h>

#include "admin/admin.h"
#include "host/runner.h"
#include "host/policy.h"
#include "identity/statement.h"
#include "pipeline.h"

/* A listener with the interface that it serves (ERAB_IF_NONE: the local one). */
struct erabi_gate {
    enum erab_interface interface;
    struct erabi_listener *listener; /* NULL while the interface is isolated */
    char endpoint[ERABI_ENDPOINT_MAX]; /* where it listened before that */
    struct erab_identity keys;      /* also while nothing listens: it opens again with those that hold then */
    struct erab_identity next_keys; /* hold too while old_until_ms is not 0 */
    uint8_t configured[ERAB_KEY_SIZE]; /* the public key of the configuration's file */
    uint64_t old_until_ms, since_ms;
    uint32_t version; /* of the owner's card here */
};

/* An uplink: two dialled connections to another firm part's broker. */
struct erabi_uplink {
    const struct erabi_config_uplink *config;
    const struct erabi_attachment *attachment;
    enum erab_interface interface;
    struct erabi_dial {
        struct erabi_uplink *uplink;
        enum erab_lane_group group;
        struct erabi_dialer *dialer;
    } dials[2];
};

/* The latest statement that was taken of an operator. */
struct erabi_operator_mark {
    char name[ERAB_PARTY_MAX + 1];
    uint64_t at_ms;
};
#define ERABI_OPERATOR_MARKS 256 /* more than may be configured at a time: names change */

struct erabi_broker {
    uv_loop_t *uv;
    struct erabi_loop loop;
    struct erabi_config *config; /* these three are parts of the pipeline's snapshot, once there is one */
    struct erabi_profile *profile;
    struct erab_identity owner;
    struct erab_identity next_owner; /* follows when owner_until_ms is over; 0: there is none */
    uint8_t configured_owner[ERAB_KEY_SIZE]; /* the signature key of the configuration's file */
    uint64_t owner_until_ms;
    uint32_t owner_version;
    struct erabi_registry *registry;
    struct erabi_policy_engine policies;
    uv_timer_t policy_timer; /* the next deadline of a vote */
    struct erabi_policy_host policy_host;
    erab_broker_log log; /* NULL: nobody listens */
    void *log_user;
    char *config_path;
    const char *runner; /* of the options */
    struct erabi_reload *reload; /* being read */
    bool reload_again;           /* asked for meanwhile */
    uint64_t reload_serial;      /* of the last one that ended */
    json_t *reload_report;
    struct erabi_journal *journal;
    struct erabi_audit *audit;
    struct erabi_transport *transport;
    struct erabi_admin *admin;
    struct erabi_pipeline pipeline;
    struct erabi_session_host session_host;
    struct erabi_session *sessions;
    struct erabi_gate *gates; /* the listeners, the local one last */
    size_t n_gates;
    struct erabi_uplink *uplinks;
    struct erabi_runner **runners;
    size_t n_runners;
    uv_check_t flush;
    struct erabi_audit_head head; /* not told yet */
    bool has_head;
    bool isolation_owed; /* what is isolated is not on disk: written again each second until it takes it */
    struct erabi_operator_mark marks[ERABI_OPERATOR_MARKS];
    size_t n_marks;
    uint8_t file_hash[ERAB_HASH_SIZE], profile_hash[ERAB_HASH_SIZE]; /* of the configuration in use */
    bool revocations_owed; /* one is not on disk: all are written again each second until it takes them */
    bool revoking;         /* by an operator who waits for it */
    uint64_t clock_kept_ms; /* monotonic: the clock was last persisted */
    bool clock_deciding;    /* a decision about it is on its way to the disk */
    bool clock_told;        /* that it has jumped */
    uint64_t pipeline_floor_ms;        /* for its issued_after_ms */
    uint64_t copies_begun, copies_done; /* of the journal, by operators */
    int copy_result;                   /* of the last one */
    uint64_t told_generation, told_ms; /* of the journal, in the audit log */
    struct erabi_change *changes; /* waiting for the journal */
    char verb_error[256];         /* what an admin verb's answer borrows */
    int closing; /* parts that still close */
    bool stopping, loop_up, policies_up, network_up;
    uv_idle_t last; /* closed after everything else */
    void (*closed)(void *user);
    void *closed_user;
};

/* Everything up and listening, or a negative errno and a line in the log that says what and where; then stop it, too.
 * `options` lives as long as the broker. */
int erabi_broker_start(struct erabi_broker *broker, uv_loop_t *uv, const struct erab_broker_options *options);
/* Closes everything in order, then calls `closed` from the loop; only after that deinit. */
void erabi_broker_stop(struct erabi_broker *broker, void (*closed)(void *user), void *user);
void erabi_broker_deinit(struct erabi_broker *broker);

/* One line for the operator. `broker` is a struct erabi_broker. */
void erabi_broker_say(void *broker, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Every fault of a configuration, a line each. */
void erabi_broker_tell_errors(erab_broker_log log, void *user, const struct erabi_config_errors *errors);
/* True when the configuration states this public key (it need not) and it is another one. */
bool erabi_broker_other_key(const uint8_t said[ERAB_KEY_SIZE], const uint8_t key[ERAB_KEY_SIZE]);
/* A part that was waited for at the stop has ended. */
void erabi_broker_part_closed(void *broker);

/* stores.c: opens journal and audit log. */
int erabi_stores_open(struct erabi_broker *broker);
/* Tells the audit log which journal it goes on with; only then an accepted older one is a usual one. */
int erabi_stores_settle(struct erabi_broker *broker);

/* reload.c: reads the configuration anew, on a thread of libuv's pool; takes over all of it or nothing. */
void erabi_broker_reload(struct erabi_broker *broker);
/* BLAKE2b-256 of a file. 0 or a negative errno. */
int erabi_hash_file(const char *path, uint8_t hash[ERAB_HASH_SIZE]);
/* Writes into the audit log which configuration the broker starts with. */
void erabi_reload_record_start(struct erabi_broker *broker);
json_t *erabi_verb_reload(void *user, const json_t *request, const char **error);
json_t *erabi_verb_reload_status(void *user, const json_t *request, const char **error);

/* isolate.c: an interface is closed as a whole and stays so over restarts, until it is joined again. */
#define ERABI_STATE_ISOLATED "isolated"
void erabi_isolate_restore(struct erabi_broker *broker, struct erabi_slice value);
json_t *erabi_isolated_names(const struct erabi_broker *broker);
json_t *erabi_verb_isolate(void *user, const json_t *request, const char **error);
json_t *erabi_verb_join(void *user, const json_t *request, const char **error);
void erabi_isolation_keep(struct erabi_broker *broker);

/* acts.c: an operator's act on its way through the journal, answered when the disk has it. */
struct erabi_act;
/* Takes over `answer`; `name` and `lost` (told when it was not kept) are static. NULL: no memory. */
struct erabi_act *erabi_act_new(struct erabi_broker *broker, const char *name, const char *object, json_t *answer,
                                const char *lost);
struct erabi_broker *erabi_act_broker(const struct erabi_act *act);
void erabi_act_already(struct erabi_act *act, bool already);
void erabi_act_record(struct erabi_act *act, const char *verdict);
/* What the verb returns: erabi_act_done follows; or, when it cannot, its result now, which ends the act. */
json_t *erabi_act_wait(struct erabi_act *act, const char **error);
json_t *erabi_act_now(struct erabi_act *act, int result, const char **error);
/* The journal's word on it: 0, 1 (it was so already), or a negative errno. Frees the act. */
void erabi_act_done(void *act, int result);
/* Once a second: what the disk refused is written again. */
void erabi_acts_tick(struct erabi_broker *broker);

/* operators.c: reads a statement of this act and takes it once; a refusal stands in the audit log. `s` must be empty. */
#define ERABI_OPERATOR_STATE "operator/" /* the journal's states of the marks begin so */
bool erabi_operator_statement(struct erabi_broker *broker, struct erabi_statement *s, const json_t *request,
                              const char *act, uint64_t now_ms, const char **error);
/* Where the configuration names operators one of them signs, else whoever may use the socket decides: the members of
 * what is asked, or NULL. */
const json_t *erabi_operator_request(struct erabi_broker *broker, struct erabi_statement *s, const json_t *request,
                                     const char *act, const char **error);
void erabi_operator_record(struct erabi_broker *broker, const char *act, const char *object, const char *verdict,
                           const struct erabi_statement *s);
void erabi_operators_load(struct erabi_broker *broker, const char *name, struct erabi_slice value);

/* After a decision about the clock: nobody's mark is ahead of it. */
void erabi_operators_rewind(struct erabi_broker *broker);

/* clock.c: the wall clock never starts below what it was, nor follows a jump that nobody accepted. */
#define ERABI_CLOCK_STATE "clock-floor"
void erabi_clock_load(struct erabi_broker *broker, struct erabi_slice value);
void erabi_clock_loaded(struct erabi_broker *broker); /* after all else of the journal */
void erabi_clock_tick(struct erabi_broker *broker);
json_t *erabi_verb_clock_show(void *user, const json_t *request, const char **error);
json_t *erabi_verb_clock_accept(void *user, const json_t *request, const char **error);
json_t *erabi_verb_clock_reject(void *user, const json_t *request, const char **error);

/* revocations.c */
void erabi_revocation_persist(void *broker, const char *party);
void erabi_revocations_keep(struct erabi_broker *broker);

/* permits.c: the policies are asked about connections and acts. False: the session was cut; the act is refused, *error
 * says by whom and why. `by`: the operator whose signed statement it is, or "". Both stand in the audit log. */
bool erabi_permit_session(struct erabi_broker *broker, struct erabi_session *session);
bool erabi_permit_act(struct erabi_broker *broker, const char *act, const char *object, enum erab_interface interface,
                      const char *by, const char **error);

/* policies.c: the judges of a configuration, as a chain to be swapped in (erabi_policy_engine_swap); instances whose
 * options are the same are kept. 0 and one reference, or a negative errno with every fault in `errors`. */
int erabi_broker_build_policies(struct erabi_broker *broker, const struct erabi_config *config,
                                struct erabi_policy_chain **out, struct erabi_config_errors *errors);
/* Only checks. Modules of others are looked at by erab-runner when they start. */
int erabi_broker_check_policies(const struct erabi_config *config, const char *path,
                                struct erabi_config_errors *errors);
int erabi_broker_start_policies(struct erabi_broker *broker);
/* Denies what waits for a vote; then the processes of policies end, each with `done`. */
void erabi_broker_stop_policies(struct erabi_broker *broker, void (*done)(void *user));

/* network.c: listeners, uplinks, sessions. */
int erabi_network_start(struct erabi_broker *broker);
/* Cuts the connections of an adapter's process that hangs or is gone; the links open again when it is back. */
void erabi_network_cut_adapter(struct erabi_broker *broker, const char *instance, const char *why);
/* Cuts every connection of the attachments behind this party and drops what waits for them. */
void erabi_network_cut(struct erabi_broker *broker, uint32_t party, enum erab_reason reason);
/* One connection: audit line, then cut. */
void erabi_network_cut_session(struct erabi_broker *broker, struct erabi_session *session, enum erab_reason reason,
                               const char *detail);
/* The same when its line stands already. */
void erabi_network_drop_session(struct erabi_broker *broker, struct erabi_session *session, enum erab_reason reason);
/* cutting.c: a link has opened: closes the connections of each key that serves no closed link any more. */
void erabi_network_trip(void *broker, const struct erabi_link *link);
void erabi_network_tick(struct erabi_broker *broker);
void erabi_network_cut_target(struct erabi_broker *broker, const struct erabi_target *target, enum erab_reason reason,
                              const char *detail);
/* After a new snapshot: cuts the sessions whose key it does not have any more, or not so. */
void erabi_network_reconfigured(struct erabi_broker *broker);
/* Closes the listeners and uplinks of an interface and all its connections, or opens them again. */
void erabi_network_isolate(struct erabi_broker *broker, enum erab_interface interface);
int erabi_network_join(struct erabi_broker *broker, enum erab_interface interface);

/* Cuts the sessions whose key is not good any more. */
void erabi_network_recheck(struct erabi_broker *broker);

/* A change of a party's row on its way through the journal; it counts once it is on disk. */
struct erabi_change {
    struct erabi_change *next;
    struct erabi_broker *broker;
    struct erabi_party_row row;
    const char *act;                                /* for the audit */
    struct erabi_act *asked;                        /* an operator's, answered when it is on disk; may be NULL */
    void (*done)(struct erabi_change *c, int result); /* may be NULL; before the change is freed */
    struct erabi_target *target;                    /* of a Registration: where the answer goes */
    struct erab_header header;
    uint8_t hash[ERAB_HASH_SIZE];
};

/* enrol.c: how a newcomer becomes a party. */
/* Takes over a heap-allocated change. 0 or a negative errno (then it is freed and nothing happens). */
int erabi_enrol_change(struct erabi_change *change);
/* Neither anybody's key nor in a change on its way. */
bool erabi_enrol_key_free(const struct erabi_broker *broker, const uint8_t key[ERAB_KEY_SIZE]);
struct erabi_change *erabi_enrol_prepare(struct erabi_broker *broker, const char *act);
int erabi_enrol_load(struct erabi_broker *broker, const char *id, struct erabi_slice value);
/* One envelope over a connection of an invitation's seed. */
void erabi_enrol_receive(struct erabi_broker *broker, struct erabi_session *session, const struct erab_header *header,
                         const struct erabi_envelope *envelope);
#define ERABI_ENROL_STATE "party/" /* the journal's states of the rows begin so */

/* cards.c: signed cards tell connected peers the keys of others. */
void erabi_cards_greet(struct erabi_broker *broker, struct erabi_session *session);
void erabi_cards_tell(struct erabi_broker *broker, const char *party);

/* The owner's own card, to all who came over this listener. */
void erabi_cards_tell_own(struct erabi_broker *broker, enum erab_interface interface);

/* server_keys.c: a listener, or the owner, gets newer keys; the older ones hold for a while. */
json_t *erabi_verb_key_rotate(void *user, const json_t *request, const char **error);
int erabi_server_keys_load(struct erabi_broker *broker, const char *interface, struct erabi_slice value);
void erabi_server_keys_tick(struct erabi_broker *broker);
/* Overwrites the secrets of the owner and of the listeners. */
void erabi_keys_wipe(struct erabi_broker *broker);
/* A hub that we dial has told its keys: the next connections go to the newest. */
void erabi_uplinks_follow(struct erabi_broker *broker, const char *party);
#define ERABI_SERVER_KEY_STATE "server-key/"

/* rotate.c: parties announce the keys that follow theirs. */
enum erab_reason erabi_rotate_check(void *user, const struct erabi_attachment *source, const struct erab_header *header,
                                    const Erab__V1__PartyCard *card);
void erabi_rotate_take(void *user, const struct erabi_attachment *source, const struct erab_header *header,
                       const Erab__V1__PartyCard *card);

/* party_verbs.c */
json_t *erabi_verb_party_invite(void *user, const json_t *request, const char **error);
json_t *erabi_verb_party_list(void *user, const json_t *request, const char **error);
json_t *erabi_verb_party_show(void *user, const json_t *request, const char **error);
json_t *erabi_verb_party_approve(void *user, const json_t *request, const char **error);
json_t *erabi_verb_party_deny(void *user, const json_t *request, const char **error);
json_t *erabi_verb_party_revoke(void *user, const json_t *request, const char **error); /* revocations.c */

/* journal_verbs.c */
json_t *erabi_verb_journal_backup(void *user, const json_t *request, const char **error);
json_t *erabi_verb_journal_status(void *user, const json_t *request, const char **error);

/* breaker_verbs.c */
json_t *erabi_breaker_verb_list(void *user, const json_t *request, const char **error);
json_t *erabi_breaker_verb_trip(void *user, const json_t *request, const char **error);
json_t *erabi_breaker_verb_close(void *user, const json_t *request, const char **error);
/* verbs.c: what the admin socket can do. */
extern const struct erabi_admin_verb erabi_verbs[];

#endif
