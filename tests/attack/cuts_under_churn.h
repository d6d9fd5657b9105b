#ifndef ERABI_TEST_CUTS_UNDER_CHURN_H
#define ERABI_TEST_CUTS_UNDER_CHURN_H
#include <stddef.h>
#include <stdint.h>

/* Sorts and prints. */
void tell_times(const char *what, uint64_t *ns, size_t n);
/* The folder of a good run. */
void remove_run(const char *folder);
/* Reads the audit log of a run; prints the first faults and returns how many there are. */
unsigned audit_faults(const char *path, const char *hub, unsigned cuts);

/* From the decision to the last descriptor that was closed until the clock was stopped; on the loop's thread. */
struct cut_time {
    uint64_t began_ns, began_cpu_ns, at_ns, cpu_ns;
    unsigned closed;
};
void cut_clock_start(struct cut_time *t);
void cut_clock_stop(void);
#endif
