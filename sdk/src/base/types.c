#include <erab/types.h>

#include <string.h>

static const char *const interfaces[ERAB_IF_COUNT] = {"none", "r1", "r2", "r3", "r4", "r5", "internal", "info"};

static const char *const roles[ERAB_ROLE_COUNT] = {
    "none",    "tso",    "ac",     "ra",    "retailer", "ems-server", "ems-controller",
    "gateway", "device", "sensor", "maker", "body",
};

static const char *const types[ERAB_TYPE_MAX + 1] = {
    [ERAB_DISPATCH] = "dispatch",
    [ERAB_DISPATCH_CANCEL] = "dispatch-cancel",
    [ERAB_DEVICE_COMMAND] = "device-command",
    [ERAB_OPT] = "opt",
    [ERAB_CAPABILITY] = "capability",
    [ERAB_PLAN] = "plan",
    [ERAB_BASELINE] = "baseline",
    [ERAB_REGISTRATION] = "registration",
    [ERAB_PARTY_CARD] = "party-card",
    [ERAB_EVIDENCE] = "evidence",
    [ERAB_EVIDENCE_WITHDRAWAL] = "evidence-withdrawal",
    [ERAB_EVIDENCE_REQUEST] = "evidence-request",
    [ERAB_ADVISORY] = "advisory",
    [ERAB_INCIDENT] = "incident",
    [ERAB_BREAKER_NOTICE] = "breaker-notice",
    [ERAB_AUDIT_HEAD] = "audit-head",
    [ERAB_RESULT] = "result",
    [ERAB_RECEIPT] = "receipt",
    [ERAB_PING] = "ping",
    [ERAB_TELEMETRY] = "telemetry",
    [ERAB_DEVICE_STATE] = "device-state",
};

static const char *const categories[] = {NULL, "operation", "sensor-group", "sensor-home", "personal", "security"};
static const char *const lanes[ERAB_LANE_COUNT] = {"command", "control", "telemetry"};
static const char *const states[] = {NULL,        "queued",  "accepted", "delivered",
                                     "applied", "expired", "refused"};

static const char *name_of(const char *const *names, size_t n, unsigned v)
{
    return v < n && names[v] ? names[v] : "?";
}

static unsigned number_of(const char *const *names, size_t n, const char *name)
{
    for (unsigned i = 1; i < n; i++)
        if (names[i] && strcmp(names[i], name) == 0)
            return i;
    return 0;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *erab_interface_name(enum erab_interface v)
{
    return name_of(interfaces, COUNT(interfaces), v);
}

enum erab_interface erab_interface_from_name(const char *name)
{
    return (enum erab_interface)number_of(interfaces, COUNT(interfaces), name);
}

const char *erab_role_name(enum erab_role v)
{
    return name_of(roles, COUNT(roles), v);
}

enum erab_role erab_role_from_name(const char *name)
{
    return (enum erab_role)number_of(roles, COUNT(roles), name);
}

const char *erab_type_name(enum erab_type v)
{
    return name_of(types, COUNT(types), v);
}

enum erab_type erab_type_from_name(const char *name)
{
    return (enum erab_type)number_of(types, COUNT(types), name);
}

const char *erab_category_name(enum erab_category v)
{
    return name_of(categories, COUNT(categories), v);
}

enum erab_category erab_category_from_name(const char *name)
{
    return (enum erab_category)number_of(categories, COUNT(categories), name);
}

const char *erab_lane_name(enum erab_lane v)
{
    return name_of(lanes, COUNT(lanes), v);
}

const char *erab_receipt_state_name(enum erab_receipt_state v)
{
    return name_of(states, COUNT(states), v);
}

enum erab_lane erab_type_lane(enum erab_type type)
{
    return type < 10 ? ERAB_LANE_COMMAND : type < 30 ? ERAB_LANE_CONTROL : ERAB_LANE_TELEMETRY;
}

bool erab_party_valid(const char *text)
{
    size_t n = strnlen(text, ERAB_PARTY_MAX + 1);
    if (n == 0 || n > ERAB_PARTY_MAX || text[0] == '.' || text[0] == '-')
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

bool erab_addressee_valid(const char *text)
{
    return erab_party_valid(text[0] == '@' ? text + 1 : text);
}
