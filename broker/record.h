/* The records that the broker writes to its audit log about messages and connections: one place for their
 * members, which `erab trace` and the auditors read (docs/audit.md). */
#ifndef ERABI_RECORD_H
#define ERABI_RECORD_H

#include <erab/message.h>
#include <erab/policy.h>

#include "audit/audit.h"
#include "breaker/links.h"
#include "journal/head.h"

void erabi_record_message(struct erabi_audit *audit, const char *what, const struct erab_header *header,
                          const uint8_t hash[ERAB_HASH_SIZE], const char *verdict, enum erab_reason reason,
                          const char *section, const char *by);
/* One member of a group that did not get it. `by`, here and below: the attachment whose doing it is; of refusals and
 * connections no peer gets more than so many records a second, see erabi_audit_write_counted. */
void erabi_record_link(struct erabi_audit *audit, const struct erab_header *header, const char *to,
                       enum erab_reason reason, const char *by);
/* Telemetry of a party that was not taken or not delivered, a second's worth. */
void erabi_record_shed(struct erabi_audit *audit, const char *peer, const char *from, uint64_t n,
                       enum erab_reason reason);
/* A policy refused it on this link. */
void erabi_record_verdict(struct erabi_audit *audit, const struct erab_header *header, const char *to,
                          const char *policy, enum erab_reason reason, const char *section, const char *detail,
                          const char *by);
void erabi_record_connection(struct erabi_audit *audit, const char *verdict, const char *peer, const char *interface,
                             const char *address, const uint8_t *key, enum erab_reason reason, const char *detail);
/* How far the journal is: a start on an older one is seen by it. */
void erabi_record_journal(struct erabi_audit *audit, const struct erabi_journal_head *head);
/* What became of an adapter's process: started, ready, hung, ended, incident ... */
void erabi_record_adapter(struct erabi_audit *audit, const char *instance, const char *verdict, const char *detail);
/* What became of a link; `by`: "broker" or "operator". The owner of the broker stands first. */
void erabi_record_breaker(struct erabi_audit *audit, const struct erabi_link *link, const char *owner, const char *by);
void erabi_record_admin(struct erabi_audit *audit, const char *act, const char *object, const char *verdict);
/* What happened to a party's place in the registry: by whom, with the signed statement ("" where there is none). */
void erabi_record_party(struct erabi_audit *audit, const char *act, const char *party, const char *verdict,
                        const char *operator, const char *statement, const char *signature);
/* A policy refused an operator's act. */
void erabi_record_act_denied(struct erabi_audit *audit, const char *act, const char *object, const char *by,
                             const char *policy, const struct erab_verdict *why);
/* A module that may not be loaded, and why. */
void erabi_record_module(struct erabi_audit *audit, const char *act, const char *instance, const char *path,
                         enum erab_reason reason);

#endif
