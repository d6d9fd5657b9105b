/* Runs a function in a process of its own, which code from elsewhere may crash, block or end. */
#ifndef ERABI_CLI_CHILD_H
#define ERABI_CLI_CHILD_H

#include <jansson.h>
#include <stdbool.h>

/* The child runs fn(arg, out) and writes JSON lines to `out`; each line comes to line(). Its address space is bounded,
 * it leaves no core file, and it is killed, with all that it started, when no line has come for `seconds`. NULL when it
 * ended by itself with exit code 0, else how it ended; static text. */
const char *cli_child(void (*fn)(void *arg, int out), void *arg, unsigned seconds,
                      void (*line)(void *user, const json_t *value), void *user);
/* In the child: one line. Releases the value. */
void cli_child_say(int out, json_t *value);

#endif
