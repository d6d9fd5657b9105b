/* Which transport a program was linked with. */
#ifndef ERABI_TEST_TRANSPORT_KIND_H
#define ERABI_TEST_TRANSPORT_KIND_H

#include <stdbool.h>

extern const bool transport_is_router;

#endif
