/* A frame from the process of a third party's policy. */
#include <string.h>

#include "fuzz_file.h"
#include "host/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct erabi_policy_reply reply;
    if (!erabi_policy_reply_read(&reply, erabi_slice(data, size)))
        return 0;
    if (strlen(reply.section) >= sizeof(reply.section) || strlen(reply.detail) >= sizeof(reply.detail))
        abort();
    for (const char *c = reply.detail; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            abort();
    return 0;
}
