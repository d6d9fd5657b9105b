/* A thread that does one thing's work when woken: the one place where the broker's own code starts a thread. A program
 * that must run the same way twice links another implementation (tests/sim). */
#ifndef ERABI_JOURNAL_WORKER_H
#define ERABI_JOURNAL_WORKER_H

#include <stdbool.h>

struct erabi_worker;

/* `work` runs on the worker until it returns false (nothing left), after each wake. `ended` is the last thing that
 * runs there. 0 or a negative errno. */
int erabi_worker_new(struct erabi_worker **out, bool (*work)(void *user), void (*ended)(void *user), void *user);
/* There is work. Any thread, never blocks for long. */
void erabi_worker_wake(struct erabi_worker *worker);
/* Does what is left, then ends. */
void erabi_worker_end(struct erabi_worker *worker);
/* After `ended` has run; waits for the thread's last step. NULL is fine. */
void erabi_worker_free(struct erabi_worker *worker);

#endif
