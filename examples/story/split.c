#include "split.h"

#include <errno.h>
#include <math.h>

int story_split(int64_t total, const uint64_t *weights, size_t n, int64_t *shares)
{
    uint64_t sum = 0, remainder[STORY_WEIGHTS_MAX];
    if (n == 0 || n > STORY_WEIGHTS_MAX || total > STORY_WATTS_MAX || total < -STORY_WATTS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (weights[i] > STORY_WEIGHT_MAX)
            return -EINVAL;
        sum += weights[i];
    }
    if (sum == 0)
        return -EINVAL;
    uint64_t size = (uint64_t)(total < 0 ? -total : total), left = size;
    for (size_t i = 0; i < n; i++) {
        unsigned __int128 product = (unsigned __int128)size * weights[i];
        uint64_t share = (uint64_t)(product / sum);
        remainder[i] = (uint64_t)(product % sum);
        shares[i] = (int64_t)share;
        left -= share;
    }
    /* left < n: each member misses less than one watt. */
    while (left > 0) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (remainder[i] > remainder[best])
                best = i;
        shares[best]++;
        remainder[best] = 0;
        left--;
    }
    if (total < 0)
        for (size_t i = 0; i < n; i++)
            shares[i] = -shares[i];
    return 0;
}

int story_watts(double kw, int64_t *watts)
{
    if (!isfinite(kw) || fabs(kw) * 1000.0 > (double)STORY_WATTS_MAX)
        return -ERANGE;
    *watts = llround(kw * 1000.0);
    return 0;
}
