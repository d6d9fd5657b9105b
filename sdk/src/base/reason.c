#include <erab/reason.h>

#include <string.h>

static const struct {
    const char *code;
    int retry;
} reasons[] = {
#define REASON_ROW(name, code, retry) {code, retry},
    ERAB_REASONS(REASON_ROW)
#undef REASON_ROW
};

const char *erab_reason_code(enum erab_reason reason)
{
    if ((unsigned)reason >= ERAB_REASON_COUNT)
        return "internal";
    return reasons[reason].code;
}

enum erab_reason erab_reason_from_code(const char *code)
{
    for (unsigned i = 0; i < ERAB_REASON_COUNT; i++)
        if (strcmp(reasons[i].code, code) == 0)
            return (enum erab_reason)i;
    return ERAB_REASON_COUNT;
}

int erab_reason_retry(enum erab_reason reason)
{
    return (unsigned)reason < ERAB_REASON_COUNT && reasons[reason].retry;
}
