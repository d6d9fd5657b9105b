/* Which of the owner's applications takes a type: one each. In this order:
 *   1. the first application whose row in the configuration names it and that has not said itself what it takes;
 *   2. the connected application that has said so in its Ping;
 *   3. the first application whose row names no types and that has not said itself what it takes;
 *   4. receipts: the first application that may have them.
 * Without one the owner's messages wait at the broker itself. Loop thread. */
#ifndef ERABI_TAKERS_H
#define ERABI_TAKERS_H

#include "pipeline.h"

/* NULL: nobody takes it now. */
struct erabi_target *erabi_takers_find(struct erabi_pipeline *pipeline, enum erab_type type);
/* The Ping of a command connection named these types (bits 1 << enum erab_type; 0: none, and `first` says whether the
 * connection is bound by it). All or nothing: NONE, or why not, for people in `detail`. */
enum erab_reason erabi_takers_say(struct erabi_pipeline *pipeline, struct erabi_session *session, uint64_t types,
                                  bool first, char detail[ERABI_SESSION_DETAIL]);
/* A connection of this target is unbound: when it was the command connection, what its application took has no taker. */
void erabi_takers_left(struct erabi_pipeline *pipeline, struct erabi_target *target);
/* What waits for the owner goes to who takes it now, or back to the broker itself. */
void erabi_takers_settle(struct erabi_pipeline *pipeline);
/* A message for `party` was promised room in `*target` before its commit: another may take its type by now. */
void erabi_takers_follow(struct erabi_pipeline *pipeline, uint32_t party, enum erab_type type, size_t size,
                         struct erabi_target **target);

#endif
