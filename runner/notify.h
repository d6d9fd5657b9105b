/* Network calls of the sandboxed half that its filter hands to the supervisor. Each is answered here and none
 * goes on: the only one that succeeds, connecting to the broker's local socket, is made by the supervisor on its
 * own copy of the address. */
#ifndef ERABI_RUNNER_NOTIFY_H
#define ERABI_RUNNER_NOTIFY_H

#include <sys/types.h>

struct notify {
    int fd;          /* of the filter */
    int pidfd;       /* of the sandboxed half */
    pid_t pid;
    const char *broker; /* path of its local socket */
    void (*incident)(void *user, const char *text);
    void *user;
};

/* Answers what waits, a bounded number. 0, or a negative errno when the filter is gone. */
int notify_answer(struct notify *notify);

#endif
