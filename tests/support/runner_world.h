/* erab-runner as a real process with a real module, and a libzmq ROUTER that plays the broker. For cmocka tests. */
#ifndef RUNNER_WORLD_H
#define RUNNER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <erab/client.h>

struct world {
    void *context, *router;
    char endpoint[128], dir[64], module[160]; /* the copy that is run */
    struct erab_identity server, tso, me, signer;
    pid_t pid;
    int log; /* read end of the runner's stderr */
    char text[262144];
    size_t text_size;
    uint8_t peer[2][16];
    size_t peer_size[2];
    unsigned pings, delivered, applied, refused, foreign; /* foreign: from another party than alder */
    char code[64];
};

extern const char *world_runner; /* path of erab-runner */

/* False, and it is told, where no runner can start: without user namespaces. */
bool world_possible(void);
int world_setup(void **state);
int world_teardown(void **state);
/* A copy of the module in the world's folder. */
void world_copy(struct world *w, const char *module);
void world_sign(struct world *w, const struct erab_identity *signer);
/* Runs the copy. `options` is JSON. */
void world_run(struct world *w, const char *adapter, const char *options);
/* Copies, signs with the signer that the runner is told of, and runs. */
void world_start(struct world *w, const char *module, const char *adapter, const char *options);
/* Exit code, or minus the signal that ended it. */
int world_exit(struct world *w);
/* What the runner has written so far holds this text. */
bool world_said(struct world *w, const char *text);
unsigned world_lines(struct world *w);
void world_command(struct world *w);
void world_turn(struct world *w);

/* The bound only ends a broken test. */
#define until(w, condition)                                                                                  \
    do {                                                                                                     \
        for (unsigned turn_ = 0; turn_ < 1500 && !(condition); turn_++)                                      \
            world_turn(w);                                                                                     \
        assert_true(condition);                                                                              \
    } while (0)

#endif
