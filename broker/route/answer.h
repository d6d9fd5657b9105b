/* What the broker itself says to a peer: receipts about messages, and the answer to a Ping. Both come from the
 * owner party, are unsigned (the connection proves who speaks) and are never answered. */
#ifndef ERABI_ROUTE_ANSWER_H
#define ERABI_ROUTE_ANSWER_H

#include "route/parcel.h"

/* How long an answer is worth delivering. */
#define ERABI_ANSWER_LIFE_MS 60000u

struct erabi_answer {
    const char *owner; /* party id */
    const char *to;
    uint64_t seq;
    uint64_t now_ms;
    uint64_t life_ms;          /* 0: ERABI_ANSWER_LIFE_MS */
    const uint8_t *about;      /* NULL: a telemetry summary */
    const uint8_t *about_hash; /* NULL when the bytes were not trusted so far */
    enum erab_receipt_state state;
    enum erab_reason reason;
    const char *section; /* "" = none */
    const char *detail;  /* "" = none */
    Erab__V1__ReceiptMember **members;
    size_t n_members;
    uint32_t shed;
    bool exercise; /* as what it answers */
};

/* One reference, the caller's; NULL: out of memory or over the size of a body. */
struct erabi_parcel *erabi_answer_receipt(const struct erabi_answer *answer);
/* `takes`: bits 1 << enum erab_type, what its application takes from now on. */
enum erabi_ping_kind { ERABI_PING_ASKS, ERABI_PING_ANSWERS };
struct erabi_parcel *erabi_answer_ping(const char *owner, const char *to, uint64_t seq, uint64_t now_ms,
                                       enum erabi_ping_kind kind, bool ready, uint64_t takes);

#endif
