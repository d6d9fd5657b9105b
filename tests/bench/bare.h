/* Frames of the bare ROUTER: a number to send to, 12 bytes unused, the body. */
#ifndef ERABI_BENCH_BARE_H
#define ERABI_BENCH_BARE_H

#include <stdint.h>

#define BARE_HEAD  16
#define BARE_HELLO UINT32_C(0xFFFFFFFF) /* "I am number ..."; answered by one byte */
#define BARE_ALL   UINT32_C(0xFFFFFFFE) /* to every number above 0 */

#endif
