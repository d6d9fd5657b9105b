/* What the broker says about messages (PROTOCOL.md, section 4). Loop thread. */
#ifndef ERABI_RECEIPTS_H
#define ERABI_RECEIPTS_H

#include "pipeline.h"

/* How long a receipt that is owed waits for a sender that is away. */
#define ERABI_OWED_LIFE_MS 3600000u

struct erabi_receipt_why {
    enum erab_receipt_state state;
    enum erab_reason reason;
    const char *section, *detail; /* NULL or "" = none */
};

/* The first answer, to where the message came from. `gather`: the members of a group (NULL otherwise): those refused are
 * listed. Not stored: whoever did not hear it sends the message again and is answered again. */
void erabi_receipts_first(struct erabi_pipeline *pipeline, struct erabi_target *source,
                          const struct erab_header *header, const uint8_t hash[ERAB_HASH_SIZE],
                          const struct erabi_gather *gather, const struct erabi_receipt_why *why);
/* What became of one delivery later; owed to its sender, or gathered when it was for a group. */
void erabi_receipts_later(struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery,
                          const struct erabi_receipt_why *why);
/* Where a message of `from` to the party `to` came from; NULL when the two have no interface any more. */
struct erabi_target *erabi_receipts_back(struct erabi_pipeline *pipeline, const char *from, uint32_t to);

/* A member of a group has come further. */
void erabi_receipts_member(struct erabi_pipeline *pipeline, struct erabi_gather *gather, uint32_t party,
                           enum erab_receipt_state state, enum erab_reason reason);
/* Is this a member's receipt about a message to a group? Then it is gathered and not passed on. */
bool erabi_receipts_gathered(struct erabi_pipeline *pipeline, const struct erab_header *header,
                             const Erab__V1__Receipt *receipt);
/* Where a receipt for the owner goes: to that of its applications which sent the message, else to `taker`. */
struct erabi_target *erabi_receipts_way(struct erabi_pipeline *pipeline, const Erab__V1__Receipt *receipt,
                                        struct erabi_target *taker);
/* Once a second: what was gathered is told. */
void erabi_receipts_tick(struct erabi_pipeline *pipeline, uint64_t now_ms);

/* Telemetry that came from `source` (of `from`, NULL: not known) and was not taken or not delivered; and once a second
 * its summary. */
void erabi_receipts_shed(struct erabi_target *source, const struct erabi_registry_party *from,
                         enum erab_reason reason);
void erabi_receipts_summary(struct erabi_pipeline *pipeline, struct erabi_target *target);

#endif
