/* erab-runner: one process, one adapter instance. main.c starts and stops it, document.c reads what erabd
 * hands down, module.c prints a module, options.c checks options, policy.c is the process of a policy and doors.c shuts it in, host.c is its host table,
 * deliver.c brings messages to it, store.c keeps its small state, link.c is its end of the channel to the supervisor.
 * The other half, without foreign code: supervisor.c makes the sandbox (sandbox.c), owns the real sockets (relay*.c),
 * answers refused calls (notify.c) and passes on what is printed (logs.c).
 * How a module is verified and loaded: module/module.h. */
#ifndef ERABI_RUNNER_H
#define ERABI_RUNNER_H

#include <limits.h>
#include <pthread.h>
#include <sys/queue.h>

#include <jansson.h>
#include <uv.h>

#include <erab/adapter.h>
#include <erab/client.h>

#include "module/module.h"

#define RUNNER_DOCUMENT_MAX (1u << 20)
#define RUNNER_PARTIES_MAX  1024u
#define RUNNER_SIGNERS_MAX  16u
#define RUNNER_CALLS_MAX    4096u
#define RUNNER_BACKLOG_MAX  1024u
#define RUNNER_BACKLOG_BYTES (4u << 20)
#define RUNNER_HANDLES_MAX  4096u
#define RUNNER_POSTS_MAX    4096u

struct document {
    char instance[64];
    char module[PATH_MAX];
    char adapter[64];
    char endpoint[256];
    char hub[ERAB_PARTY_MAX + 1];
    char state_dir[PATH_MAX];
    uint8_t server_key[ERAB_KEY_SIZE];
    struct erab_identity identity;
    char **parties; /* NULL-ended */
    struct erab_trusted *trusted;
    size_t n_trusted;
    json_t *options;
    uint8_t (*signers)[ERAB_KEY_SIZE]; /* whose modules may be loaded */
    size_t n_signers;
    uint32_t liveness_ms; /* silence after which it counts as hung */
};

struct call {
    erab_call id; /* 0: free */
    struct erab_header header;
    uint8_t hash[ERAB_HASH_SIZE];
};

struct kept_back {
    STAILQ_ENTRY(kept_back) entry;
    struct erab_header header;
    uint8_t hash[ERAB_HASH_SIZE];
    size_t body_size, header_size, signature_size;
    uint8_t data[];
};

struct posted {
    STAILQ_ENTRY(posted) entry;
    void (*fn)(void *arg);
    void *arg;
};

struct erab_self {
    struct document document;
    struct erabi_module *module;
    const struct erab_adapter *adapter; /* of the module */
    void *instance;
    struct erab_config config;
    struct erab_client *client;
    int store; /* directory, -1: none */
    uv_loop_t loop;
    uv_poll_t poll, link;
    int32_t question; /* of life, to be answered from the loop; 0: none */
    uv_timer_t tick, limit;
    uv_signal_t terminate, interrupt;
    uv_async_t async;
    uv_idle_t drain;
    struct call *calls;
    uint32_t max_calls, n_calls;
    erab_call next_call;
    STAILQ_HEAD(, kept_back) backlog;
    size_t n_backlog, backlog_bytes, n_handles;
    pthread_mutex_t lock;
    STAILQ_HEAD(, posted) posts; /* under lock */
    size_t n_posts;              /* under lock */
    bool stopping, quiet;
    int exit_code;
};

/* 0 or a negative errno with `error` filled. Secrets of the text are wiped. */
int runner_document_read(struct document *out, int fd, struct erab_error *error);
/* A copy in a memory file, which can be read twice; or a negative errno. */
int runner_document_copy(int from);
void runner_document_deinit(struct document *document);
/* Whose modules count, from a list of keys in hex. */
int runner_document_signers(struct document *document, const json_t *list, struct erab_error *error);

/* `erab-runner --check FILE`: loads a module, whoever signed it, and prints its tables. Its code runs
 * without network, and reads libraries only. */
int runner_module_print(const char *path);
/* The file is read and verified with every right, then the doors are shut, and only then its code is mapped. */
int runner_module_load(erab_self *self, const char *path, struct erab_error *error);

/* options.c: looks at the options in the document on `fd` as the module declares them and prints each fault; starts
 * nothing. The exit code. */
int runner_options(int fd);

/* doors.c: limits, and no core, for a process without a supervisor. */
int runner_doors_limit(struct erab_error *error);
/* Only the system calls for loading a module, then only those for thinking. */
enum doors { DOORS_LOADING, DOORS_THINKING };
int runner_doors_close(enum doors doors, struct erab_error *error);

/* policy.c: the whole life of a policy's process; its exit code. */
int runner_policy(int fd);

extern const struct erab_host runner_host;
void runner_log(erab_self *self, enum erab_log_level level, const char *text);
void runner_run_posts(erab_self *self);

int runner_on_message(void *user, struct erab_client *client, const struct erab_message *message);
void runner_on_receipt(void *user, struct erab_client *client, const struct erab_receipt *receipt);
void runner_complete(erab_self *self, erab_call call, enum erab_receipt_state state, enum erab_reason reason,
                     const char *detail);
/* Cancels what has expired. */
void runner_cancel_expired(erab_self *self);
void runner_drain(uv_idle_t *handle);
void runner_deliver_deinit(erab_self *self);

int runner_store_put(erab_self *self, const char *key, const void *value, size_t size);
int runner_store_get(erab_self *self, const char *key, void *value, size_t *size);

/* link.c: into the filter, with the supervisor watching what it refuses. 0 or a negative errno with `error`. */
int runner_link_lock(int parent, struct erab_error *error);
/* files.c: from now on no files but its own. After the document is read. */
int runner_files_lock(erab_self *self, struct erab_error *error);
int runner_link_start(erab_self *self);
/* A message without content (channel.h). */
void runner_link_tell(uint32_t kind);
void runner_link_tick(erab_self *self);
int runner_connect_stream(erab_self *self, const char *option);
int runner_open_datagram(erab_self *self, const struct erab_datagram_options *options,
                         struct erab_datagram_info *info);
int runner_listen_streams(erab_self *self, const char *option);
int runner_accept_stream(erab_self *self, int listener, struct erab_accepted *from);

__attribute__((format(printf, 3, 4))) int runner_fail(struct erab_error *error, int code, const char *format, ...);

#endif
