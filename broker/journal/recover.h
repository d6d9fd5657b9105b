/* Opens a store and decides whether it is what was committed last. */
#ifndef ERABI_JOURNAL_RECOVER_H
#define ERABI_JOURNAL_RECOVER_H

#include "journal/journal.h"
#include "journal/store.h"

/* As erabi_journal_open. `store` may be set in any case, `kept` open: close both. To USE writes the head's file, unless
 * something is damaged. */
int erabi_journal_recover(const struct erabi_journal_options *options, enum erabi_store_mode mode, struct erabi_store **store,
                          struct erabi_journal_head_file *kept, bool *damaged, char *error, size_t error_size);
#endif
