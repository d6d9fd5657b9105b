/* What the load generators say: 200 bytes of a measured value with the time of sending in it, and orders. */
#ifndef ERABI_BENCH_MESSAGE_H
#define ERABI_BENCH_MESSAGE_H

#include "link.h"

#define BODY_SIZE 200
#define ORDER_ROOM 1024

/* Puts n messages with the time of now to the receiver `to`: one packet or frame (CURVE), or one behind the other (TLS). */
void message_put(struct link *l, unsigned to, unsigned n);
/* How many messages came, with the time that the last one was sent; receipts and Pings do not count. */
unsigned message_count(struct link *l, const uint8_t *content, size_t size, uint64_t *sent_ns);

/* One signed Dispatch of ours into a buffer of ORDER_ROOM: header, body and signature. `to` UINT32_MAX: "@all". */
struct order {
    struct erabi_envelope envelope;
    uint8_t bytes[ORDER_ROOM];
};
void order_make(struct order *o, unsigned to, unsigned serial, const uint8_t sign_secret[ERAB_SIGN_SECRET]);
void orders_put(struct link *l, const struct order *orders, unsigned n);
/* How many orders are in a packet; answers DELIVERED to each, in one packet. */
unsigned orders_count(const uint8_t *packet, size_t size);
unsigned orders_answer(struct link *l, const uint8_t *packet, size_t size);
/* Counts receipts ACCEPTED; ends the program when one says REFUSED or EXPIRED. */
unsigned receipts_accepted(struct link *l, const uint8_t *packet, size_t size);

/* The folder of a broker whose parties the generators are: keys, configuration. */
int config_write(const char *folder, const char *profile, unsigned members);

#endif
