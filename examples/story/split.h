/* Dividing power among members, in whole watts. Pure arithmetic. */
#ifndef STORY_SPLIT_H
#define STORY_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#define STORY_WEIGHTS_MAX 64
/* Largest power that is divided: 100 GW. */
#define STORY_WATTS_MAX INT64_C(100000000000)
#define STORY_WEIGHT_MAX UINT64_C(1000000000)

/* Divides `total` in proportion to the weights. The shares add up to `total` exactly and each differs by less
 * than 1 W from its exact proportion; what is left over goes to the largest remainders, the first of equal
 * ones first. 0, or -EINVAL: no weights, too many, all zero, or a value over its limit. */
int story_split(int64_t total, const uint64_t *weights, size_t n, int64_t *shares);

/* kW as they stand in messages to whole watts. 0 or -ERANGE (not a number, or over STORY_WATTS_MAX). */
int story_watts(double kw, int64_t *watts);

#endif
