#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/check.h"

static unsigned choose_role(const char *name)
{
    return (unsigned)erab_role_from_name(name);
}

static unsigned choose_interface(const char *name)
{
    return (unsigned)erab_interface_from_name(name);
}

static unsigned choose_listener(const char *name)
{
    return (unsigned)erab_interface_from_name(name);
}

static unsigned choose_type(const char *name)
{
    return (unsigned)erab_type_from_name(name);
}

static unsigned choose_kind(const char *name)
{
    static const char *const names[] = {"", "self", "local", "adapter", "uplink"};
    for (unsigned i = 1; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return 0;
}

static bool check_path(const char *text)
{
    return text[0] == '/' && strlen(text) < 4096 && !strstr(text, "/../");
}

/* What a socket's address takes. */
static bool check_socket(const char *text)
{
    return check_path(text) && strlen(text) < 108;
}

static bool check_tcp(const char *text)
{
    return strncmp(text, "tcp://", 6) == 0 && strlen(text) < 128 && strrchr(text, ':') > text + 5;
}

static bool check_ipc(const char *text)
{
    return strncmp(text, "ipc:///", 7) == 0 && strlen(text) < 100;
}

static bool check_word(const char *text)
{
    return strlen(text) <= 63;
}

#define PATH_RIGHT "an absolute path without '..'"
#define ID_RIGHT   "an id as alder.rest"
#define ROLE_RIGHT "tso ac ra retailer ems-server ems-controller gateway device sensor maker body"
#define KEY_RIGHT  "64 hex digits, as 'erab key show' prints them"

#define AT(type, member) .offset = offsetof(struct erabi_config_##type, member)
#define LIST_AT(type, member)                                                                                \
    .offset = offsetof(struct erabi_config_##type, member), .count_offset = offsetof(struct erabi_config_##type, n_##member)

static const struct erabi_option owner_table[] = {
    {"party", ERABI_OPT_ID, AT(owner, party), .required = true, .right = ID_RIGHT},
    {"role", ERABI_OPT_CHOICE, AT(owner, role), .required = true, .choose = choose_role, .right = ROLE_RIGHT},
    {"firm", ERABI_OPT_ID, AT(owner, firm), .required = true, .right = "the firm's id"},
    {"key_file", ERABI_OPT_TEXT, AT(owner, key_file), .required = true, .check = check_path, .right = PATH_RIGHT},
    {"curve_key", ERABI_OPT_KEY, AT(owner, curve_key), .right = KEY_RIGHT},
    {"sign_key", ERABI_OPT_KEY, AT(owner, sign_key), .right = KEY_RIGHT},
    {0},
};

static const struct erabi_option listener_table[] = {
    {"interface", ERABI_OPT_CHOICE, AT(listener, interface), .required = true, .choose = choose_listener,
     .right = "r1 r2 r3 r4 r5 internal"},
    {"endpoint", ERABI_OPT_TEXT, AT(listener, endpoint), .required = true, .check = check_tcp,
     .right = "tcp://ADDRESS:PORT"},
    {"key_file", ERABI_OPT_TEXT, AT(listener, key_file), .required = true, .check = check_path, .right = PATH_RIGHT},
    {"curve_key", ERABI_OPT_KEY, AT(listener, curve_key), .right = KEY_RIGHT},
    {0},
};

static const struct erabi_option local_table[] = {
    {"endpoint", ERABI_OPT_TEXT, AT(local, endpoint), .required = true, .check = check_ipc,
     .right = "ipc:///absolute/path"},
    {"key_file", ERABI_OPT_TEXT, AT(local, key_file), .required = true, .check = check_path, .right = PATH_RIGHT},
    {0},
};

static const struct erabi_option attachment_table[] = {
    {"kind", ERABI_OPT_CHOICE, AT(attachment, kind), .required = true, .choose = choose_kind,
     .right = "self local adapter uplink"},
    {"interfaces", ERABI_OPT_MASK, AT(attachment, interfaces), .choose = choose_interface,
     .right = "a list of r1 r2 r3 r4 r5 internal info"},
    {"types", ERABI_OPT_MASK, AT(attachment, types), .choose = choose_type,
     .right = "a list of message types as [dispatch, opt]"},
    {"speaks_for", ERABI_OPT_IDS, LIST_AT(attachment, speaks_for), .max = ERABI_PARTIES_MAX,
     .right = "a list of party ids"},
    {0},
};

static const struct erabi_option party_table[] = {
    {"id", ERABI_OPT_ID, AT(party, id), .required = true, .right = ID_RIGHT},
    {"role", ERABI_OPT_CHOICE, AT(party, role), .required = true, .choose = choose_role, .right = ROLE_RIGHT},
    {"firm", ERABI_OPT_ID, AT(party, firm), .required = true, .right = "the firm's id"},
    {"curve_keys", ERABI_OPT_KEYS, LIST_AT(party, curve_keys), .max = 4, .right = KEY_RIGHT},
    {"sign_keys", ERABI_OPT_KEYS, LIST_AT(party, sign_keys), .max = 4, .right = KEY_RIGHT},
    {"attachment", ERABI_OPT_SECTION, AT(party, attachment), .table = attachment_table, .right = "a section"},
    {"represented_by", ERABI_OPT_ID, AT(party, represented_by), .right = "a party or an adapter's instance"},
    {0},
};

static const struct erabi_option uplink_table[] = {
    {"party", ERABI_OPT_ID, AT(uplink, party), .required = true, .right = ID_RIGHT},
    {"endpoint", ERABI_OPT_TEXT, AT(uplink, endpoint), .required = true, .check = check_tcp,
     .right = "tcp://ADDRESS:PORT"},
    {"server_key", ERABI_OPT_KEY, AT(uplink, server_key), .required = true, .right = KEY_RIGHT},
    {0},
};

static const struct erabi_option group_table[] = {
    {"id", ERABI_OPT_ID, AT(group, id), .required = true, .right = "an id without '@'"},
    {"owner", ERABI_OPT_ID, AT(group, owner), .required = true, .right = ID_RIGHT},
    {"members", ERABI_OPT_IDS, LIST_AT(group, members), .required = true, .min = 1, .max = ERABI_PARTIES_MAX,
     .right = "a list of party ids"},
    {"enrolled", ERABI_OPT_BOOL, AT(group, enrolled), .right = "true or false"},
    {0},
};

static const struct erabi_option adapter_table[] = {
    {"instance", ERABI_OPT_ID, AT(adapter, instance), .required = true, .right = "a name of your choice"},
    {"module", ERABI_OPT_TEXT, AT(adapter, module), .required = true, .check = check_path, .right = PATH_RIGHT},
    {"name", ERABI_OPT_TEXT, AT(adapter, name), .required = true, .check = check_word,
     .right = "the adapter's name in the module"},
    {"key_file", ERABI_OPT_TEXT, AT(adapter, key_file), .required = true, .check = check_path, .right = PATH_RIGHT},
    {"parties", ERABI_OPT_IDS, LIST_AT(adapter, parties), .required = true, .min = 1, .max = ERABI_PARTIES_MAX,
     .right = "a list of party ids"},
    {"liveness_ms", ERABI_OPT_U64, AT(adapter, liveness_ms), .min = 100, .max = 60000, .fallback = 1000,
     .right = "a whole number, 100 to 60000, usually 1000"},
    {"options", ERABI_OPT_PAIRS, LIST_AT(adapter, options), .max = 256, .right = "names and values"},
    {0},
};

static const struct erabi_option policy_table[] = {
    {"name", ERABI_OPT_ID, AT(policy, name), .required = true, .right = "a policy as r1 or quota", .shorthand = true},
    {"instance", ERABI_OPT_ID, AT(policy, instance), .right = "a name of your choice"},
    {"module", ERABI_OPT_TEXT, AT(policy, module), .check = check_path, .right = PATH_RIGHT},
    {"deadline_ms", ERABI_OPT_U64, AT(policy, deadline_ms), .min = 10, .max = 30000, .fallback = 1000,
     .right = "milliseconds, 10 to 30000, usually 1000"},
    {"interfaces", ERABI_OPT_MASK, AT(policy, interfaces), .choose = choose_interface,
     .right = "a list of r1 r2 r3 r4 r5 internal info"},
    {"types", ERABI_OPT_MASK, AT(policy, types), .choose = choose_type,
     .right = "a list of message types as [dispatch, opt]"},
    {"options", ERABI_OPT_PAIRS, LIST_AT(policy, options), .max = 256, .right = "names and values"},
    {0},
};

static const struct erabi_option modules_table[] = {
    {"signers", ERABI_OPT_KEYS, LIST_AT(modules, signers), .required = true, .min = 1, .max = 16,
     .right = "a list of sign_public keys, as 'erab key show' prints them"},
    {0},
};

#define LIMIT(name, least, most, usual)                                                                      \
    {#name, ERABI_OPT_U64, AT(limits, name), .min = least, .max = most, .fallback = usual,                   \
     .right = "a whole number, " #least " to " #most ", usually " #usual}
#define LIVE_LIMIT(name, least, most, usual)                                                                 \
    {#name, ERABI_OPT_U64, AT(limits, name), .min = least, .max = most, .fallback = usual, .live = true,     \
     .right = "a whole number, " #least " to " #most ", usually " #usual}

static const struct erabi_option limits_table[] = {
    LIVE_LIMIT(connections, 8, 1000000, 8192),
    LIMIT(journal_queue, 64, 1048576, 16384),
    LIMIT(link_messages_per_second, 0, 10000000, 5000),
    {0},
};

static const struct erabi_option heads_table[] = {
    {"every", ERABI_OPT_U64, AT(heads, every), .min = 1, .max = 1000000, .fallback = 1000, .right = "a whole number"},
    {"to", ERABI_OPT_IDS, LIST_AT(heads, to), .max = 16, .live = true, .right = "a list of party ids"},
    {0},
};

static const struct erabi_option operator_table[] = {
    {"name", ERABI_OPT_ID, AT(operator, name), .required = true, .right = "a person's name as an id"},
    {"sign_key", ERABI_OPT_KEY, AT(operator, sign_key), .required = true,
     .right = "64 hex digits, as 'erab operator new' prints them"},
    {0},
};

static const struct erabi_option enrolment_table[] = {
    {"approvals", ERABI_OPT_U64, AT(enrolment, approvals), .min = 1, .max = 8, .fallback = 1,
     .right = "how many operators must approve a newcomer, 1 to 8"},
    {0},
};

#define KEEP(name)                                                                                           \
    {#name, ERABI_OPT_U64, AT(retention, name), .min = 0, .max = 31u * 86400u, .fallback = 0, .live = true,       \
     .right = "seconds, 0 to 2678400"}

static const struct erabi_option retention_table[] = {
    KEEP(operation), KEEP(sensor_group), KEEP(sensor_home), KEEP(personal), KEEP(security), {0},
};

#define TOP(member)      .offset = offsetof(struct erabi_config, member)
#define TOP_LIST(member) TOP(member), .count_offset = offsetof(struct erabi_config, n_##member)

static const struct erabi_option top_table[] = {
    {"owner", ERABI_OPT_SECTION, TOP(owner), .required = true, .table = owner_table, .right = "a section"},
    {"profile", ERABI_OPT_TEXT, TOP(profile), .required = true, .live = true, .check = check_path, .right = PATH_RIGHT},
    {"state_dir", ERABI_OPT_TEXT, TOP(state_dir), .required = true, .check = check_path, .right = PATH_RIGHT},
    {"audit", ERABI_OPT_TEXT, TOP(audit), .required = true, .check = check_path, .right = PATH_RIGHT},
    {"admin_socket", ERABI_OPT_TEXT, TOP(admin_socket), .required = true, .check = check_socket,
     .right = "an absolute path of at most 107 bytes"},
    {"listeners", ERABI_OPT_SECTIONS, TOP_LIST(listeners), .max = 32, .table = listener_table,
     .item_size = sizeof(struct erabi_config_listener), .right = "a list of sections"},
    {"local", ERABI_OPT_SECTION, TOP(local), .table = local_table, .right = "a section"},
    {"parties", ERABI_OPT_SECTIONS, TOP_LIST(parties), .required = true, .live = true, .min = 1, .max = ERABI_PARTIES_MAX,
     .table = party_table, .item_size = sizeof(struct erabi_config_party), .right = "a list of sections"},
    {"uplinks", ERABI_OPT_SECTIONS, TOP_LIST(uplinks), .max = 64, .table = uplink_table,
     .item_size = sizeof(struct erabi_config_uplink), .right = "a list of sections"},
    {"groups", ERABI_OPT_SECTIONS, TOP_LIST(groups), .live = true, .table = group_table,
     .item_size = sizeof(struct erabi_config_group), .right = "a list of sections"},
    {"adapters", ERABI_OPT_SECTIONS, TOP_LIST(adapters), .max = 64, .table = adapter_table,
     .item_size = sizeof(struct erabi_config_adapter), .right = "a list of sections"},
    {"modules", ERABI_OPT_SECTION, TOP(modules), .table = modules_table, .right = "a section"},
    {"policies", ERABI_OPT_SECTIONS, TOP_LIST(policies), .required = true, .live = true, .min = 1, .max = 64, .table = policy_table,
     .item_size = sizeof(struct erabi_config_policy), .right = "a list as [r1, r2, r3, r4, r5, info]"},
    {"limits", ERABI_OPT_SECTION, TOP(limits), .table = limits_table, .right = "a section"},
    {"heads", ERABI_OPT_SECTION, TOP(heads), .table = heads_table, .right = "a section"},
    {"operators", ERABI_OPT_SECTIONS, TOP_LIST(operators), .live = true, .max = 64, .table = operator_table,
     .item_size = sizeof(struct erabi_config_operator), .right = "a list of sections"},
    {"enrolment", ERABI_OPT_SECTION, TOP(enrolment), .live = true, .table = enrolment_table, .right = "a section"},
    {"retention", ERABI_OPT_SECTION, TOP(retention), .live = true, .table = retention_table, .right = "a section"},
    {0},
};

void erabi_config_free(struct erabi_config *config)
{
    if (!config)
        return;
    erabi_options_free(top_table, config);
    free(config);
}

static void config_freep(struct erabi_config **config)
{
    erabi_config_free(*config);
}

static void yaml_freep(struct erabi_yaml_node **node)
{
    erabi_yaml_free(*node);
}

int erabi_config_load(struct erabi_config **out, const char *path, struct erabi_config_errors *errors)
{
    *out = NULL;
    _cleanup_(yaml_freep) struct erabi_yaml_node *root = NULL;
    int r = erabi_yaml_load(&root, path, errors);
    if (r < 0)
        return r;
    _cleanup_(config_freep) struct erabi_config *config = calloc(1, sizeof(*config));
    if (!config)
        return -ENOMEM;
    bool good = erabi_options_fill(top_table, config, root, path, errors);
    /* Cross checks look at what could be read, so that one run tells everything. */
    if (!erabi_config_check(config, path, errors) || !good)
        return -EINVAL;
    *out = erabi_take(config);
    return 0;
}

const struct erabi_config_party *erabi_config_party(const struct erabi_config *config, const char *id)
{
    for (size_t i = 0; i < config->n_parties; i++)
        if (strcmp(config->parties[i].id, id) == 0)
            return &config->parties[i];
    return NULL;
}

const struct erabi_option *erabi_config_table(void)
{
    return top_table;
}
