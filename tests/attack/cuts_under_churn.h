#ifndef ERABI_TEST_CUTS_UNDER_CHURN_H
#define ERABI_TEST_CUTS_UNDER_CHURN_H
/* Reads the audit log of a run; prints the first faults and returns how many there are. */
unsigned audit_faults(const char *path, const char *hub, unsigned cuts);
#endif
