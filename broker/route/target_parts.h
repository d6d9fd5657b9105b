/* What target.c (how messages wait) and dequeue.c (how they leave) share. Nobody else's. Loop thread. */
#ifndef ERABI_ROUTE_TARGET_PARTS_H
#define ERABI_ROUTE_TARGET_PARTS_H

#include "route/target.h"

enum erabi_queue_name erabi_delivery_queue(const struct erabi_delivery *delivery);
/* Out of its list (`list` is a queue's or the told ones'), its table and its queue's count; the caller's from then on. */
void erabi_target_take_out(struct erabi_target *target, struct erabi_deliveries *list, struct erabi_delivery *delivery);
void erabi_delivery_free(struct erabi_delivery *delivery);
/* Takes it out, tells that it left, frees it. */
void erabi_target_leave(struct erabi_target *target, struct erabi_deliveries *list, struct erabi_delivery *delivery,
                        enum erab_reason reason);
/* The same for those that were taken out: who is told may push into this very target, so they are gathered first. */
void erabi_target_tell_left(struct erabi_target *target, struct erabi_deliveries *dead, enum erab_reason reason);

#endif
