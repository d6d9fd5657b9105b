/* libFuzzer: any bytes as a message of a VTN. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oadr_message *m;
    if (erabi_oadr_parse(data, size, "VEN_1", &m) == 0) {
        /* What was let through keeps the promises of the header. */
        if (m->n_events > OADR_EVENTS_MAX || m->n_requests > OADR_REQUESTS_MAX)
            abort();
        for (size_t i = 0; i < m->n_events; i++)
            if (m->events[i].n_slots > OADR_SLOTS_MAX || m->events[i].end_ms < m->events[i].start_ms)
                abort();
        erabi_oadr_message_free(m);
    }
    return 0;
}
