/* A packet as it comes from a frame: all envelopes, their headers, and each header that is taken encoded again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct erabi_envelope envelopes[ERABI_ENVELOPES_MAX];
    enum erab_lane_group group;
    size_t n = 0;
    if (erabi_packet_read(erabi_slice(data, size), &group, envelopes, &n) < 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        struct erab_header header, again;
        enum erab_reason reason;
        uint8_t bytes[ERAB_HEADER_MAX];
        if (erabi_header_decode(envelopes[i].header, &header, &reason) < 0)
            continue;
        size_t used = erabi_header_encode(&header, bytes);
        if (erabi_header_decode(erabi_slice(bytes, used), &again, &reason) < 0)
            abort();
    }
    return 0;
}
