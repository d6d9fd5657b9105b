/* Files that hold secrets: regular, owned by the user of the process, mode 0600 or less, never through a link. */
#ifndef ERABI_PRIVATE_FILE_H
#define ERABI_PRIVATE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Writes a text (unless `error` is NULL) and returns `code`. */
__attribute__((format(printf, 4, 5))) int erabi_fail(char *error, size_t size, int code, const char *format, ...);

/* Reads all of a file; at most `size` bytes, more is refused. `what` names such a file ("key file"), `make` says how one
 * is made. The size read, or a negative errno with `error` saying which path, why, and the way out. */
ssize_t erabi_private_read(const char *path, const char *what, const char *make, char *out, size_t size, char *error,
                           size_t error_size);
/* The same from a descriptor; the file's rules are not looked at. */
ssize_t erabi_private_read_fd(int fd, const char *path, const char *what, char *out, size_t size, char *error,
                              size_t error_size);
/* A new file with 0600, it and its folder fsynced. It is seen whole or not at all and never overwrites another: written
 * beside under a name of its own, then linked. 0 or a negative errno. */
int erabi_private_write(const char *path, const uint8_t *bytes, size_t size, char *error, size_t error_size);
/* The folder of this file, so that its name is there after a power cut. 0 or a negative errno. */
int erabi_sync_folder(const char *path);

#endif
