/* One oadrEvent of an oadrDistributeEvent. Part of the codec. */
#ifndef ERABI_OPENADR2B_EVENT_H
#define ERABI_OPENADR2B_EVENT_H

#include "codec.h"
#include "xml.h"

/* Fills *e. Without identity (eventID, modificationNumber, whether to answer) x goes bad; what else is wrong
 * becomes e->problem. */
void erabi_oadr_event_parse(struct erabi_xml *x, const xmlNode *node, const char *ven_id, struct oadr_event *e);

#endif
