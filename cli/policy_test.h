/* What the files of `erab policy test` share. */
#ifndef ERABI_CLI_POLICY_TEST_H
#define ERABI_CLI_POLICY_TEST_H

#include <erab/message.h>

#include "config/yaml.h"

/* A body of this type from a mapping of field names; times may be `now`, `now+90s`, `now-2h`. What is made has
 * passed the checks that a broker makes of what it receives. NULL with a fault in `errors`. Released with
 * erab_body_free. *size: its bytes on the wire. */
ProtobufCMessage *cli_body_read(enum erab_type type, const struct erabi_yaml_node *map, uint64_t now_ms,
                                const char *file, struct erabi_config_errors *errors, size_t *size);
/* A child of a mapping, or NULL. */
const struct erabi_yaml_node *cli_yaml_child(const struct erabi_yaml_node *map, const char *key);
#endif
