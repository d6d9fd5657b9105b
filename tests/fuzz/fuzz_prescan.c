/* The first byte names the message type, the rest is its body: what the pre-scan takes must unpack and be freed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <erab/message.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    ProtobufCMessage *body = NULL;
    enum erab_reason reason = ERAB_REASON_NONE;
    enum erab_type type = (enum erab_type)(data[0] % (ERAB_TYPE_MAX + 1));
    int r = erab_body_unpack(type, (struct erab_bytes){data + 1, size - 1}, &body, &reason);
    if (r == 0 && protobuf_c_message_get_packed_size(body) != size - 1)
        abort(); /* one encoding per value: what was taken has the size of what is packed */
    erab_body_free(body);
    return 0;
}
