/* Writes into the channel to the supervisor, which is none of its business: packets of every kind and of none. */
#include <sys/socket.h>

#include "shell.h"

#define CHANNEL 4
#define MOST    400

static void began(struct bad *b)
{
    uint32_t packet[MOST / 4];
    uint32_t random = 1;
    if (!first_time(b))
        return;
    for (unsigned i = 4; i < 3000; i++) {
        for (size_t k = 0; k < MOST / 4; k++)
            packet[k] = i % 3 ? (random = random * 1664525 + 1013904223) : 0;
        packet[0] = i % 24;
        /* Most have a wrong size; where it is right, the kind decides. */
        (void)!send(CHANNEL, packet, i % 5 ? 152 + i % 9 : i % MOST, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    say(b, "has written");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    return apply(b, call);
}
