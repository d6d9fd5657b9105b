/* The objects of this node itself: node profile 0EF001 and controller 05FF01. They can be read and cannot be
 * set; anything else is met with silence, as the protocol wants it. Pure. */
#ifndef ERABI_EL_OBJECTS_H
#define ERABI_EL_OBJECTS_H

#include "codec.h"

#define ERABI_EL_NODE       0x0EF001u
#define ERABI_EL_CONTROLLER 0x05FF01u

struct erabi_el_own {
    uint8_t id[17]; /* property 83 */
};

/* FE, maker code "unregistered", then the hardware address of the interface. */
void erabi_el_own_init(struct erabi_el_own *own, const uint8_t mac[6]);

enum erabi_el_own_reply { ERABI_EL_SILENT, ERABI_EL_UNICAST, ERABI_EL_GROUP };
/* Writes the answer to a request for one of our objects and says where it goes. */
enum erabi_el_own_reply erabi_el_own_answer(const struct erabi_el_own *own,
                                            const struct erabi_el_frame *request, struct erabi_writer *out);
/* D5 or D6 of this node. */
extern const uint8_t erabi_el_own_instances[4];

#endif
