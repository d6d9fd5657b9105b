/* Writes the whole of a buffer to a blocking descriptor, however often the kernel takes a part. */
#ifndef ERABI_WRITE_ALL_H
#define ERABI_WRITE_ALL_H

#include <stddef.h>

/* 0 or a negative errno; then it is not known how much was written. */
int erabi_write_all(int fd, const void *bytes, size_t size);

#endif
