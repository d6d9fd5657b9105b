/* A party's row as the journal gives it: what is taken is written and read the same again. */
#include <string.h>

#include "fuzz_file.h"
#include "identity/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct erabi_party_row row, again;
    static char text[ERABI_ROW_TEXT], second[ERABI_ROW_TEXT];
    if (erabi_row_decode(&row, (const char *)data, size) < 0)
        return 0;
    int n = erabi_row_encode(&row, text);
    if (n < 0)
        return 0;
    if (erabi_row_decode(&again, text, (size_t)n) < 0 || erabi_row_encode(&again, second) != n ||
        memcmp(text, second, (size_t)n) != 0)
        abort();
    return 0;
}
