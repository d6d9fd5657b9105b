/* A whole broker inside another program: liberab-broker.
 *
 * The library has no state of its own beside what erab_broker_new makes: any number of brokers may live in one process,
 * each with its own configuration. It never ends the process, writes to no stream, changes no signal, umask or limit.
 * The host ignores SIGPIPE in ways 2 and 3, as every host of libuv does (in way 1 the broker's thread blocks it). With
 * adapters configured, libuv takes SIGCHLD to see them end.
 *
 * Three ways to run one; a broker is run in one way, once:
 *
 *   1. a thread of its own        erab_broker_start ... erab_broker_stop
 *   2. the host's libuv loop      erab_broker_attach ... erab_broker_detach, then the loop runs on until `done`
 *   3. step by step               erab_broker_open; poll erab_broker_fd for reading for at most
 *                                 erab_broker_timeout_ms; erab_broker_step; at the end erab_broker_close and more
 *                                 steps until erab_broker_step returns 0
 *
 * then erab_broker_free. In ways 2 and 3 all calls come from the thread that runs the loop or the steps, but for
 * erab_broker_reload. Negative returns are negative errno values; what was wrong stands in the log. */
#ifndef ERAB_BROKER_H
#define ERAB_BROKER_H

#include <erab/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uv_loop_s;
struct erab_broker;

enum erab_broker_line {
    ERAB_BROKER_EVENT = 1,   /* what happens, or why something does not */
    ERAB_BROKER_FINDING = 2, /* a fault of a configuration: FILE:LINE:COLUMN: what is wrong; what would be right */
};

/* One line without its end, from the thread that runs the broker. It must not call the broker. */
typedef void (*erab_broker_log)(void *user, enum erab_broker_line kind, const char *text);

struct erab_broker_options {
    size_t size;        /* sizeof(struct erab_broker_options) */
    const char *config; /* path of the configuration, read again at each reload */
    erab_broker_log log; /* may be NULL */
    void *user;          /* of log */
    const char *runner;  /* path of erab-runner, for modules; NULL: beside the program */
};

/* Reads and checks the configuration and its profile as a start would; opens no key file. 0 when it is good. */
ERAB_API int erab_broker_check(const struct erab_broker_options *options);

/* Copies the options; nothing is read yet. 0, -EINVAL (options) or -ENOMEM. */
ERAB_API int erab_broker_new(struct erab_broker **out, const struct erab_broker_options *options);
/* A broker that was started must have been stopped before. NULL is fine. */
ERAB_API void erab_broker_free(struct erab_broker *broker);

/* 1. Returns when it is up, or has failed (then there is no thread any more). */
ERAB_API int erab_broker_start(struct erab_broker *broker);
/* Ends it in order and waits for its thread; with adapters this may take their 12 seconds. */
ERAB_API void erab_broker_stop(struct erab_broker *broker);

/* 2. Returns when it is up. After a failure what was opened closes in the loop: detach it to hear when it has. */
ERAB_API int erab_broker_attach(struct erab_broker *broker, struct uv_loop_s *loop);
/* Begins to end it; `done` (may be NULL) is called from the loop when nothing of it is left in there, or at once when
 * nothing was. */
ERAB_API void erab_broker_detach(struct erab_broker *broker, void (*done)(void *user), void *user);

/* 3. Returns when it is up, or has failed (nothing is left open then). */
ERAB_API int erab_broker_open(struct erab_broker *broker);
ERAB_API int erab_broker_fd(const struct erab_broker *broker);
/* For poll: how long to wait at most; -1 = until the descriptor is readable. */
ERAB_API int erab_broker_timeout_ms(const struct erab_broker *broker);
/* Does what is due, without waiting. 1 = there is more to come, 0 = it has closed. */
ERAB_API int erab_broker_step(struct erab_broker *broker);
/* Begins to end it. */
ERAB_API void erab_broker_close(struct erab_broker *broker);

/* Reads the configuration again and takes over all of it or nothing; the log and the audit log tell what changed or why
 * not. Any thread, while the broker runs. 0 = asked for; -EAGAIN. */
ERAB_API int erab_broker_reload(struct erab_broker *broker);

/* While it runs. Would a command be accepted now? */
ERAB_API bool erab_broker_ready(const struct erab_broker *broker);
/* The party that it belongs to. */
ERAB_API const char *erab_broker_owner(const struct erab_broker *broker);
/* Where it listens for this interface (ERAB_IF_NONE: the local endpoint), with the port really bound; NULL: it does
 * not. `index` counts the listeners of one interface from 0. In way 1 read these three only before others know the
 * broker, for its thread may isolate an interface. */
ERAB_API const char *erab_broker_endpoint(const struct erab_broker *broker, enum erab_interface interface,
                                          size_t index);

#ifdef __cplusplus
}
#endif

#endif
