/* Whether the modules of a configuration would take their options: their runner looks, in a process that holds nothing
 * and starts nothing, and what is wrong is told at its line. Any thread; waits for each of them, at most some seconds. */
#ifndef ERABI_HOST_OPTIONS_H
#define ERABI_HOST_OPTIONS_H

#include "config/config.h"

/* `runner` is the path of erab-runner; NULL: beside this program. A module that may not be loaded is no fault of the
 * options: it is told as a note, as the broker goes on without it. 0 or -EINVAL with `errors` filled. */
int erabi_host_options_check(const struct erabi_config *config, const char *file, const char *runner,
                             struct erabi_config_errors *errors);

#endif
