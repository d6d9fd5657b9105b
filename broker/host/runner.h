/* Keeps one erab-runner alive for an adapter of the configuration. Its keys and options travel in a JSON document
 * on an inherited descriptor, never on the command line; what happens to it comes back in lines on another. A runner
 * that ends is started again after about 1 s, doubling to 60 s, from 1 s again when it had worked for a minute; one
 * whose module was refused is tried again in the same way. Its small state lies in a folder of its own, STATE_DIR/adapter-INSTANCE. Loop thread. */
#ifndef ERABI_HOST_RUNNER_H
#define ERABI_HOST_RUNNER_H

#include <stdbool.h>

#include <uv.h>

#include <erab/identity.h>
#include <erab/reason.h>

#include "config/config.h"

#define ERABI_RUNNER_PATH 4096u

struct erabi_runner;

/* Where erab-runner is: beside this program, or in a build tree beside its folder. 0 or a negative errno. */
int erabi_runner_path(char path[ERABI_RUNNER_PATH]);

struct erabi_runner_wiring {
    const char *hub;                    /* owner's party id */
    const char *endpoint;               /* of the local listener */
    uint8_t server_key[ERAB_KEY_SIZE];  /* of the local listener */
    const struct erabi_config *config;  /* borrowed: parties whose signatures it may believe */
    const uint8_t *owner_sign_key;
    const char *runner;                 /* borrowed: path of erab-runner; NULL: beside the program */
    struct erab_identity keys;          /* copied and wiped at free: connection pair, proxy sign pair */
    /* The module at `path` was refused before a start; told again only for another reason. */
    void (*on_refused)(void *user, const char *instance, const char *path, enum erab_reason reason);
    /* For the audit: "started", "not started", "ready", "hung", "incident", "refused", "ended"; `detail` may be "". */
    void (*on_event)(void *user, const char *instance, const char *what, const char *detail);
    void (*say)(void *user, const char *format, ...) __attribute__((format(printf, 2, 3))); /* for the operator */
    void *user;
};

/* `adapter` is borrowed. The process is started at once. 0 or a negative errno. */
int erabi_runner_new(struct erabi_runner **out, uv_loop_t *loop, const struct erabi_config_adapter *adapter,
                     const struct erabi_runner_wiring *wiring);
/* Another configuration with the same adapter in it: what is borrowed changes, and the process reads it when it starts
 * next; with `restart` it is ended for that now. */
void erabi_runner_rewire(struct erabi_runner *runner, const struct erabi_config *config,
                         const struct erabi_config_adapter *adapter, bool restart);
/* Its process says that it works. */
bool erabi_runner_works(const struct erabi_runner *runner);
const char *erabi_runner_instance(const struct erabi_runner *runner);
/* SIGTERM, then SIGKILL after 14 s; frees itself when the process is gone, then calls `done`. */
void erabi_runner_stop(struct erabi_runner *runner, void (*done)(void *user), void *user);

#endif
