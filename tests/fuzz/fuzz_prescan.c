/* The first byte names the message type, the rest is its body: what the pre-scan takes must unpack and be freed, and what
 * it says is in the body must be what a walk through the unpacked one meets. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <erab/privacy.h>

#include "privacy_seen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct met {
    uint32_t categories;
    bool members;
};

static bool meet(void *user, const struct erab_privacy_field *field)
{
    struct met *met = user;
    met->categories |= ERAB_CATEGORY_BIT(field->category);
    met->members |= strcmp(field->message, "TelemetryPoint") == 0 && strcmp(field->field, "members") == 0;
    return true;
}

static void compare(const struct erabi_seen *seen, const ProtobufCMessage *body)
{
    for (int c = ERAB_OPERATION; c <= ERAB_SECURITY; c++) {
        struct met met = {0};
        bool members;
        erab_privacy_walk(body, (enum erab_category)c, 0, meet, &met);
        uint32_t told = erabi_privacy_seen(seen, (enum erab_category)c, &members);
        if (!seen->more && (told != met.categories || members != met.members))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_NONE;
    enum erab_type type = (enum erab_type)(data[0] % (ERAB_TYPE_MAX + 1));
    struct erabi_seen seen = {0};
    int r = erab_body_unpack(type, (struct erab_bytes){data + 1, size - 1}, &body, &reason);
    int scanned = erabi_body_scan(type, erabi_slice(data + 1, size - 1), &seen, &reason);
    if ((r == 0 && scanned != 0) || (r != 0 && scanned == 0 && erab_type_lane(type) == ERAB_LANE_TELEMETRY))
        abort(); /* telemetry is only scanned */
    if (r == 0)
        compare(&seen, body);
    if (r == 0 && protobuf_c_message_get_packed_size(body) != size - 1)
        abort(); /* one encoding per value: what was taken has the size of what is packed */
    erab_body_free(body);
    return 0;
}
