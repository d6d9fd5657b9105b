/* What the pre-scan allows; printed in schemas/PROTOCOL.md. */
#ifndef ERABI_LIMITS_H
#define ERABI_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#define ERABI_PRESCAN_DEPTH           8    /* messages within messages, the body itself included */
#define ERABI_PRESCAN_FIELDS          8192 /* in all: 1,024 telemetry points with every field make 7,169 */
#define ERABI_PRESCAN_REPEATS         1024 /* of one repeated field, where no row says less */
#define ERABI_PRESCAN_FIELDS_PER_TYPE 32   /* that a message type may declare */

/* For a repeated field its number of items, for bytes and texts their length. */
struct erabi_limit {
    const ProtobufCMessageDescriptor *type;
    uint32_t field;
    uint32_t min;
    uint32_t max;
};

/* The rows of one type; they stand together. NULL and 0 when there are none. */
const struct erabi_limit *erabi_limits_of(const ProtobufCMessageDescriptor *type, size_t *n);

#endif
