/* The admin socket: one JSON object a line in, one a line out: {"verb": "health"} gives {"ok": true, ...}; a refusal
 * {"ok": false, "error": "..."}. Mode 0600; only our own user and root are heard. At most 16 clients, lines of 64 KiB,
 * 10 s without a whole request close a client. Loop thread. */
#ifndef ERABI_ADMIN_H
#define ERABI_ADMIN_H

#include <jansson.h>
#include <uv.h>

#define ERABI_ADMIN_CLIENTS  16
#define ERABI_ADMIN_LINE_MAX 65536

struct erabi_admin;
struct erabi_admin_ticket;

/* What a verb sets *error to, with NULL as its answer, when erabi_admin_answer will follow. */
extern const char ERABI_ADMIN_LATER[];

struct erabi_admin_verb {
    const char *name; /* NULL ends the table */
    /* Gives a new object with the answer's members (the socket adds ok and owns it), or NULL with *error set to a
     * static text. */
    json_t *(*run)(void *user, const json_t *request, const char **error);
};

/* `verbs` is borrowed. A stale socket file is replaced, a live one is not (-EADDRINUSE). 0 or a negative errno. */
int erabi_admin_new(struct erabi_admin **out, uv_loop_t *loop, const char *path, const struct erabi_admin_verb *verbs,
                    void *user);
/* Closes everything and removes the socket; `done` is called from the loop. */
void erabi_admin_stop(struct erabi_admin *admin, void (*done)(void *user), void *user);
/* Of the client whose verb runs now, for an answer that waits for something (at most 8 s: then the client is told so).
 * Not to be answered before the verb has returned. NULL: nobody asks, or no memory. */
struct erabi_admin_ticket *erabi_admin_later(struct erabi_admin *admin);
/* Once for each ticket; the client, and the admin socket, may be gone by then. Releases `answer`; when that is NULL
 * `error` is told. A NULL ticket is fine. */
void erabi_admin_answer(struct erabi_admin_ticket *ticket, json_t *answer, const char *error);
#endif
