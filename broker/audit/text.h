/* JSON written straight into a buffer: a record has a dozen members, and a tree of them would cost ten times as much. */
#ifndef ERABI_AUDIT_TEXT_H
#define ERABI_AUDIT_TEXT_H

#include "base/cursor.h"

/* A string of at most `cap` bytes of the text, in ASCII alone: what is not is escaped. The hex digits of its first 4,096
 * bytes when it is no UTF-8 or holds the one control character that JSON leaves. A cut halves no character. */
void erabi_text_string(struct erabi_writer *w, const char *text, size_t cap);
void erabi_text_number(struct erabi_writer *w, uint64_t number);
#endif
