/* Bytes as they come from a socket that knows no key: greeting, frames and the first commands, for both
 * halves. The first byte chooses the half and the size of the pieces. */
#include <stdlib.h>

#include "../support/curve_ends.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct end end;
    struct keys keys;
    if (size < 2)
        return 0;
    keys_init(&keys);
    if (data[0] & 1)
        end_init_server(&end, &keys);
    else
        end_init_client(&end, &keys);
    size_t chunk = (size_t)(data[0] >> 1) + 1;
    for (size_t at = 1; at < size; at += chunk)
        end_feed(&end, data + at, size - at < chunk ? size - at : chunk);
    if (end.known || end.opened || end.packets)
        abort(); /* nobody gets in without a key */
    end_deinit(&end);
    return 0;
}
