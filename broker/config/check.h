/* What a table cannot say of a configuration: how its parts fit together. Used by config.c alone. */
#ifndef ERABI_CONFIG_CHECK_H
#define ERABI_CONFIG_CHECK_H

#include "config/config.h"

/* Fills what follows from other parts (all types, speaks_for itself) and adds every fault to `errors`; false when
 * there was one. Bears half-filled sections. */
bool erabi_config_check(struct erabi_config *config, const char *file, struct erabi_config_errors *errors);
#endif
