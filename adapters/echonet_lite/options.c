#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <erab/privacy.h>

#include "adapter.h"

static const char *const masks[] = {"r1", "r2", "r3", "r4", "r5", "internal", NULL};

const struct erab_option erabi_el_options[] = {
    {"interface", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL,
     "network interface of the devices, e.g. eth1; nothing else is listened to"},
    {"gateway", ERAB_OPTION_TEXT, ERAB_OPTION_REQUIRED, NULL, 0, 0, NULL,
     "party that registrations, telemetry and device states go to"},
    {"devices", ERAB_OPTION_LIST, ERAB_OPTION_REQUIRED, NULL, 1, ERABI_EL_DEVICES_MAX, NULL,
     "party=027D01@192.0.2.5 (address) or party=027D01@id:HEX (34 digits of property 83 of its node)"},
    {"masked_for", ERAB_OPTION_TEXT, 0, "r5", 0, 0, masks,
     "interface whose privacy table holds for what is told: what may not go there is left out before signing; r3 where "
     "the gateway's messages go further up"},
    {"poll_s", ERAB_OPTION_INTEGER, 0, "10", 1, 3600, NULL, "seconds between two readings of a device"},
    {"timeout_ms", ERAB_OPTION_INTEGER, 0, "5000", 100, 60000, NULL, "time for an answer"},
    {"tries", ERAB_OPTION_INTEGER, 0, "3", 1, ERABI_EL_TRIES_MAX, NULL, "of a request that may be repeated"},
    {"verify_ms", ERAB_OPTION_INTEGER, 0, "20000", 500, 300000, NULL,
     "time for a device to show that it does what was set"},
    {"stop_ms", ERAB_OPTION_INTEGER, 0, "10000", 100, 60000, NULL, "time to give devices back when stopping"},
    {NULL, ERAB_OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL},
};

static const struct erab_config_value *find(const struct erab_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->n; i++)
        if (strcmp(config->values[i].name, name) == 0)
            return &config->values[i];
    return NULL;
}

__attribute__((format(printf, 2, 3))) static int wrong(struct erab_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (error)
        vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return -EINVAL;
}

static bool parse_hex(const char *text, size_t digits, uint8_t *out, size_t size)
{
    size_t n;
    return strlen(text) == digits && sodium_hex2bin(out, size, text, digits, NULL, &n, NULL) == 0 &&
           n == size;
}

static int parse_device(const char *text, struct erabi_el_entry *e, struct erab_error *error)
{
    const char *eq = strchr(text, '='), *at = eq ? strchr(eq, '@') : NULL;
    char eoj_text[7];
    uint8_t eoj[3];
    if (!at || (size_t)(eq - text) > ERAB_PARTY_MAX || at - eq != 7)
        return wrong(error, "devices: \"%.80s\" is not party=027D01@address or party=027D01@id:HEX", text);
    snprintf(e->party, sizeof(e->party), "%.*s", (int)(eq - text), text);
    snprintf(eoj_text, sizeof(eoj_text), "%.6s", eq + 1);
    if (!erab_party_valid(e->party))
        return wrong(error, "devices: \"%.80s\": the party id is not valid", text);
    if (!parse_hex(eoj_text, 6, eoj, sizeof(eoj)) || eoj[2] < 1 || eoj[2] > 0x7F)
        return wrong(error, "devices: \"%.80s\": the object must be six hex digits, instance 01 to 7F", text);
    e->eoj = (uint32_t)eoj[0] << 16 | (uint32_t)eoj[1] << 8 | eoj[2];
    if (e->eoj >> 8 != ERABI_EL_BATTERY)
        return wrong(error, "devices: \"%.80s\": only class 027D (storage battery) is supported", text);
    struct in_addr address;
    e->by_id = strncmp(at + 1, "id:", 3) == 0;
    if (e->by_id) {
        if (!parse_hex(at + 4, 34, e->id, sizeof(e->id)))
            return wrong(error, "devices: \"%.80s\": the id must be 34 hex digits", text);
    } else if (inet_pton(AF_INET, at + 1, &address) != 1 || address.s_addr == 0) {
        return wrong(error, "devices: \"%.80s\": not an IPv4 address", text);
    } else {
        e->address = address.s_addr;
    }
    return 0;
}

static int parse_devices(const struct erab_config_value *v, struct erabi_el_settings *out,
                         struct erab_error *error)
{
    for (size_t i = 0; v && v->list && v->list[i]; i++) {
        if (i == ERABI_EL_DEVICES_MAX)
            return wrong(error, "devices: at most %d", ERABI_EL_DEVICES_MAX);
        struct erabi_el_entry *e = &out->devices[out->n_devices];
        if (parse_device(v->list[i], e, error))
            return -EINVAL;
        for (size_t j = 0; j < out->n_devices; j++) {
            const struct erabi_el_entry *o = &out->devices[j];
            bool same_node = o->by_id == e->by_id &&
                             (e->by_id ? sodium_memcmp(o->id, e->id, 17) == 0 : o->address == e->address);
            if (strcmp(o->party, e->party) == 0 || (o->eoj == e->eoj && same_node))
                return wrong(error, "devices: \"%.80s\": party or device given twice", v->list[i]);
        }
        out->n_devices++;
    }
    return out->n_devices ? 0 : wrong(error, "devices: name at least one, as party=027D01@address");
}

static uint32_t number(const struct erab_config *config, const char *name)
{
    const struct erab_config_value *v = find(config, name);
    for (const struct erab_option *o = erabi_el_options; !v && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return (uint32_t)strtoul(o->default_value, NULL, 10);
    return (uint32_t)v->integer;
}

int erabi_el_settings_read(const struct erab_config *config, struct erabi_el_settings *out,
                           struct erab_error *error)
{
    *out = (struct erabi_el_settings){0};
    const struct erab_config_value *interface = find(config, "interface"), *gateway = find(config, "gateway");
    if (!interface || !interface->text || !*interface->text || strlen(interface->text) >= IFNAMSIZ)
        return wrong(error, "interface: name the network interface of the devices, e.g. eth1");
    if (!gateway || !gateway->text || !erab_party_valid(gateway->text))
        return wrong(error, "gateway: name the party that telemetry goes to");
    out->interface = interface->text;
    out->gateway = gateway->text;
    const struct erab_config_value *masked = find(config, "masked_for");
    enum erab_interface mask = masked && masked->text ? erab_interface_from_name(masked->text) : ERAB_IF_R5;
    if (mask == ERAB_IF_NONE)
        return wrong(error, "masked_for: must be an interface as r5");
    out->allowed = erab_privacy_allowed(mask);
    out->poll_ms = number(config, "poll_s") * 1000;
    out->timeout_ms = number(config, "timeout_ms");
    out->verify_ms = number(config, "verify_ms");
    out->stop_ms = number(config, "stop_ms");
    out->tries = (uint8_t)number(config, "tries");
    if (out->poll_ms == 0 || out->timeout_ms == 0 || out->tries < 1 || out->tries > ERABI_EL_TRIES_MAX)
        return wrong(error, "poll_s, timeout_ms and tries must be positive, tries at most %d",
                     ERABI_EL_TRIES_MAX);
    return parse_devices(find(config, "devices"), out, error);
}
