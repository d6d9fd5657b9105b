/* The socket services of a host, for the hosts of tests: the runner's own relays, in the same process. */
#ifndef ERABI_TEST_RELAY_HOST_H
#define ERABI_TEST_RELAY_HOST_H

#include <errno.h>
#include <string.h>

#include "relay.h"

static const char *relay_host_option(const struct erab_config *config, const char *name)
{
    for (uint32_t i = 0; name && i < config->n; i++)
        if (strcmp(config->values[i].name, name) == 0)
            return config->values[i].text;
    return NULL;
}

static inline int relay_host_stream(struct relay *relay, const struct erab_config *config, const char *option)
{
    const char *endpoint = relay_host_option(config, option);
    return endpoint ? relay_stream(relay, endpoint) : -EINVAL;
}

static inline int relay_host_datagram(struct relay *relay, const struct erab_config *config,
                                      const struct erab_datagram_options *o, struct erab_datagram_info *info)
{
    const char *interface = relay_host_option(config, o->interface);
    return interface ? relay_datagram(relay, interface, o->port, o->group, info) : -EINVAL;
}

#endif
