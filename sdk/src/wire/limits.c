#include "wire/limits.h"

#include <erab/message.h>

#define T(name) &erab__v1__##name##__descriptor

/* The numbers of the comments in schemas/erab/v1. Rows of one type stand together. */
static const struct erabi_limit limits[] = {
    {T(telemetry), 1, 1, 1024},
    {T(dispatch), 6, 1, 96},
    {T(dispatch_cancel), 2, ERAB_ID_SIZE, ERAB_ID_SIZE},
    {T(origin), 3, 32, 32},
    {T(origin), 4, 32, 32},
    {T(opt), 4, ERAB_ID_SIZE, ERAB_ID_SIZE},
    {T(plan), 5, 1, 384},
    {T(baseline), 3, 1, 384},
    {T(baseline), 4, ERAB_HASH_SIZE, ERAB_HASH_SIZE},
    {T(device_property), 2, 1, 255},
    {T(device_state), 6, 0, 64},
    {T(registration), 11, 0, 64},
    {T(registration), 12, ERAB_KEY_SIZE, ERAB_KEY_SIZE},
    {T(registration), 13, ERAB_KEY_SIZE, ERAB_KEY_SIZE},
    {T(result), 1, ERAB_ID_SIZE, ERAB_ID_SIZE},
    {T(receipt), 1, ERAB_ID_SIZE, ERAB_ID_SIZE},
    {T(receipt), 2, ERAB_HASH_SIZE, ERAB_HASH_SIZE},
    {T(receipt), 8, 0, 1024},
    {T(ping), 5, 0, 32},
    {T(party_key), 1, ERAB_KEY_SIZE, ERAB_KEY_SIZE},
    {T(party_key), 2, ERAB_KEY_SIZE, ERAB_KEY_SIZE},
    {T(party_card), 4, 1, 4},
    {T(evidence), 8, ERAB_HASH_SIZE, ERAB_HASH_SIZE},
    {T(evidence), 10, ERAB_ID_SIZE, ERAB_ID_SIZE},
    {T(evidence_withdrawal), 1, ERAB_ID_SIZE, ERAB_ID_SIZE},
    {T(evidence_request), 3, 1, 64},
    {T(advisory), 5, 0, 64},
    {T(incident), 7, 0, 64},
    {T(breaker_notice), 9, 0, 4},
    {T(audit_head), 1, 16, 16},
    {T(audit_head), 3, ERAB_HASH_SIZE, ERAB_HASH_SIZE},
};

const struct erabi_limit *erabi_limits_of(const ProtobufCMessageDescriptor *type, size_t *n)
{
    const size_t all = sizeof(limits) / sizeof(limits[0]);
    size_t first = 0;
    while (first < all && limits[first].type != type)
        first++;
    size_t end = first;
    while (end < all && limits[end].type == type)
        end++;
    *n = end - first;
    return *n ? &limits[first] : NULL;
}
