/* The table of <erab/privacy.h>, read by what the pre-scan saw instead of by an unpacked body. Any thread. */
#ifndef ERABI_PRIVACY_SEEN_H
#define ERABI_PRIVACY_SEEN_H

#include "wire/wire.h"

/* The categories of the fields that are there (ERAB_CATEGORY_BIT), sums of members believed, measured values being of
 * `stated`; *has_members: a point says of how many members it is the sum. 0: not everything was seen. What
 * erab_privacy_walk with group_min 0 would meet, no more and no less. */
uint32_t erabi_privacy_seen(const struct erabi_seen *seen, enum erab_category stated, bool *has_members);

#endif
