/* What a process that holds foreign code may do. Two steps: `isolate` before the program is executed anew (so
 * that nothing of the supervisor's memory is in it), `lock` after, before any foreign code is mapped. */
#ifndef ERABI_RUNNER_SANDBOX_H
#define ERABI_RUNNER_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#define SANDBOX_DATA_BYTES    (256ul << 20) /* private memory */
#define SANDBOX_ADDRESS_BYTES (4ul << 30)   /* address space: also shared memory */
#define SANDBOX_FILE_BYTES    (16ul << 20)  /* of one file */
#define SANDBOX_DESCRIPTORS   256ul
#define SANDBOX_THREADS       32u

/* A user namespace and an empty network namespace, no capabilities. 0 or a negative errno with *step naming
 * what failed. The caller is single-threaded. */
int sandbox_isolate(const char **step);
/* No core, no new privileges, limits, and the filter of system calls; the process ends with `parent`. Returns
 * the descriptor by which refused network calls are seen, or a negative errno with *step. */
int sandbox_lock(int parent, const char **step);
/* Where the limit of processes does not count, for root. */
bool sandbox_has_too_many_threads(pid_t pid);
/* For the supervisor: nobody of the same user reads its memory, no core file is left, and it does not outlive erabd. */
int sandbox_harden(void);

#endif
