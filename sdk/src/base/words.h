/* How far a mistyped word is from a known one, for "did you mean". */
#ifndef ERABI_WORDS_H
#define ERABI_WORDS_H

#include <stddef.h>

/* Single insertions, deletions and changes between two words; of longer ones the first 48 bytes count. */
size_t erabi_word_distance(const char *a, const char *b);

#endif
