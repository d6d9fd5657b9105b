/* The broker's configuration: immutable once loaded; any thread may read it. */
#ifndef ERABI_CONFIG_H
#define ERABI_CONFIG_H

#include <erab/types.h>

#include "config/options.h"

#define ERABI_PARTIES_MAX 65536u

typedef char erabi_party_text[ERAB_PARTY_MAX + 1];
typedef uint8_t erabi_key_bytes[ERAB_KEY_SIZE];

/* How a key is attached. */
enum erabi_attachment_kind {
    ERABI_ATTACH_NONE,
    ERABI_ATTACH_SELF,    /* a party that connects by itself */
    ERABI_ATTACH_LOCAL,   /* the owner's application, speaks for the owner, on the local endpoint */
    ERABI_ATTACH_ADAPTER, /* a module in a runner, on the local endpoint */
    ERABI_ATTACH_UPLINK,  /* another broker: its owner, speaks for the parties behind it */
};

struct erabi_config_owner {
    struct erabi_mark mark;
    erabi_party_text party;
    unsigned role;
    erabi_party_text firm;
    char *key_file;
    erabi_key_bytes curve_key, sign_key; /* its public ones, for checks without the file; zeros: not given */
};

struct erabi_config_listener {
    struct erabi_mark mark;
    unsigned interface; /* ERAB_IF_R1 .. ERAB_IF_INFO */
    char *endpoint;     /* tcp:// */
    char *key_file;
    erabi_key_bytes curve_key; /* its public one; zeros: not given */
};

struct erabi_config_local {
    struct erabi_mark mark; /* line 0: there is no local endpoint */
    char *endpoint;         /* ipc:// */
    char *key_file;
};

struct erabi_config_attachment {
    struct erabi_mark mark;
    unsigned kind;
    uint64_t interfaces; /* bits 1 << enum erab_interface; 0 = those of its listeners by role pair */
    uint64_t types;      /* bits 1 << enum erab_type; 0 in the file = all; never 0 once loaded */
    erabi_party_text *speaks_for;
    size_t n_speaks_for;
};

/* The owner itself stands in the list as well (its sign key comes from its key file, more may be given here). A local
 * application is an entry of kind local with its own id and curve keys and without sign keys. */
struct erabi_config_party {
    struct erabi_mark mark;
    erabi_party_text id;
    unsigned role;
    erabi_party_text firm;
    erabi_key_bytes *curve_keys;
    size_t n_curve_keys;
    erabi_key_bytes *sign_keys;
    size_t n_sign_keys;
    struct erabi_config_attachment attachment; /* kind NONE: represented by another entry */
    erabi_party_text represented_by;           /* "" or the party or adapter instance that signs for it */
};

struct erabi_config_uplink {
    struct erabi_mark mark;
    erabi_party_text party; /* the other broker's owner */
    char *endpoint;
    erabi_key_bytes server_key;
};

/* Members of groups that are not under 'parties'. */
#define ERABI_GROUPS_ABSENT_MAX 4096u

struct erabi_config_group {
    struct erabi_mark mark;
    erabi_party_text id; /* without '@' */
    erabi_party_text owner;
    erabi_party_text *members;
    size_t n_members;
    bool enrolled; /* members may be parties that are not configured, but enrolled at some time */
};

struct erabi_config_adapter {
    struct erabi_mark mark;
    erabi_party_text instance;
    char *module; /* absolute path */
    char *name;   /* of the adapter in the module */
    char *key_file; /* its proxy sign keys */
    uint64_t liveness_ms; /* silence after which it counts as hung [1000] */
    erabi_party_text *parties;
    size_t n_parties;
    struct erabi_option_pair *options;
    size_t n_options;
};

/* One judge, in the order of the file. Which names and options there are is known to policy/build.c. */
struct erabi_config_policy {
    struct erabi_mark mark;
    erabi_party_text name;     /* of the policy, shipped or in `module` */
    erabi_party_text instance; /* for the log; as `name` when not given */
    char *module;              /* NULL: shipped with the broker; else the file that erab-runner loads */
    uint64_t deadline_ms;      /* for a vote that comes later */
    uint64_t interfaces;       /* bits 1 << enum erab_interface that it is asked on; 0 = all */
    uint64_t types;            /* bits 1 << enum erab_type that it is asked about; 0 = all */
    struct erabi_option_pair *options;
    size_t n_options;
};

/* Whose modules may be loaded: none without a signature of one of these. */
struct erabi_config_modules {
    struct erabi_mark mark;
    erabi_key_bytes *signers;
    size_t n_signers;
};

struct erabi_config_limits {
    struct erabi_mark mark;
    uint64_t connections;             /* [8192] */
    uint64_t journal_queue;           /* entries waiting for a commit [16384] */
    uint64_t link_messages_per_second; /* above it a link's breaker opens; 0: no limit [5000] */
};

struct erabi_config_heads {
    struct erabi_mark mark;
    uint64_t every;       /* records between signed heads [1000] */
    erabi_party_text *to; /* parties that are handed each head */
    size_t n_to;
};

/* Who may decide: a person with an Ed25519 key of their own. */
struct erabi_config_operator {
    struct erabi_mark mark;
    erabi_party_text name;
    erabi_key_bytes sign_key;
};

struct erabi_config_enrolment {
    struct erabi_mark mark;
    uint64_t approvals; /* different operators needed for a newcomer [1] */
};

/* Seconds that a body is kept in the journal after its message has ended, by category [0: until nobody waits for it]. */
struct erabi_config_retention {
    struct erabi_mark mark;
    uint64_t operation, sensor_group, sensor_home, personal, security;
};

struct erabi_config {
    struct erabi_mark mark;
    struct erabi_config_owner owner;
    char *profile;      /* absolute path */
    char *state_dir;    /* absolute path */
    char *audit;        /* absolute path */
    char *admin_socket; /* absolute path */
    struct erabi_config_listener *listeners;
    size_t n_listeners;
    struct erabi_config_local local;
    struct erabi_config_party *parties;
    size_t n_parties;
    struct erabi_config_uplink *uplinks;
    size_t n_uplinks;
    struct erabi_config_group *groups;
    size_t n_groups;
    struct erabi_config_adapter *adapters;
    size_t n_adapters;
    struct erabi_config_modules modules;
    struct erabi_config_policy *policies;
    size_t n_policies;
    struct erabi_config_limits limits;
    struct erabi_config_heads heads;
    struct erabi_config_operator *operators;
    size_t n_operators;
    struct erabi_config_enrolment enrolment;
    struct erabi_config_retention retention;
};

/* All or nothing: 0 and the caller owns *out, or a negative errno with every fault in `errors`. Opens no key file. */
int erabi_config_load(struct erabi_config **out, const char *path, struct erabi_config_errors *errors);
void erabi_config_free(struct erabi_config *config);
/* The entry of a party or NULL. A walk over the list: for start-up, not for the data plane (registry). */
const struct erabi_config_party *erabi_config_party(const struct erabi_config *config, const char *id);
/* The option table of the whole file. */
const struct erabi_option *erabi_config_table(void);
#endif
