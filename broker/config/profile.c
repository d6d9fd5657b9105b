#include "config/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "config/options.h"

#define ENDS_MAX 16 /* flows with id endings */

struct pair_row {
    struct erabi_mark mark;
    unsigned *roles;
    size_t n_roles;
    unsigned interface;
    char *section;
    bool one_firm;
};

struct origin_row {
    struct erabi_mark mark;
    unsigned role;
    unsigned interface;
};

struct flow_row {
    struct erabi_mark mark;
    unsigned interface;
    uint64_t types, from, to;
    bool is_signed;
    char *from_ends, *to_ends;
};

struct file_rows {
    struct erabi_mark mark;
    char *name;
    struct pair_row *pairs;
    size_t n_pairs;
    struct origin_row *originators;
    size_t n_originators;
    struct flow_row *flows;
    size_t n_flows;
};

/* A cell of the flow table. Endings are few: `ends` is 0 or the number of a rule that the ids must meet. */
struct cell {
    uint8_t allowed : 1;
    uint8_t is_signed : 1;
    uint8_t ends : 6;
};

struct erabi_profile {
    char name[64];
    struct erabi_profile_pair pairs[ERAB_ROLE_COUNT][ERAB_ROLE_COUNT];
    char sections[ERAB_ROLE_COUNT][ERAB_ROLE_COUNT][16];
    bool originates[ERAB_ROLE_COUNT][ERAB_IF_COUNT];
    struct cell flows[ERAB_TYPE_MAX + 1][ERAB_IF_COUNT][ERAB_ROLE_COUNT][ERAB_ROLE_COUNT];
    char ends[ENDS_MAX][2][24];
    size_t n_ends;
};

static unsigned choose_role(const char *name)
{
    return (unsigned)erab_role_from_name(name);
}

static unsigned choose_interface(const char *name)
{
    return (unsigned)erab_interface_from_name(name);
}

static unsigned choose_type(const char *name)
{
    return (unsigned)erab_type_from_name(name);
}

static bool check_short(const char *text)
{
    return strlen(text) < 16;
}

static const struct erabi_option pair_table[] = {
    {"roles", ERABI_OPT_CHOICES, offsetof(struct pair_row, roles), offsetof(struct pair_row, n_roles), .required = true,
     .min = 2, .max = 2, .choose = choose_role, .right = "two roles as [ac, ra]"},
    {"interface", ERABI_OPT_CHOICE, offsetof(struct pair_row, interface), .required = true, .choose = choose_interface,
     .right = "r1 r2 r3 r4 r5 internal info"},
    {"section", ERABI_OPT_TEXT, offsetof(struct pair_row, section), .check = check_short, .right = "as \"3.6.3\""},
    {"one_firm", ERABI_OPT_BOOL, offsetof(struct pair_row, one_firm), .right = "true or false"},
    {0},
};

static const struct erabi_option origin_table[] = {
    {"role", ERABI_OPT_CHOICE, offsetof(struct origin_row, role), .required = true, .choose = choose_role,
     .right = "a role"},
    {"interface", ERABI_OPT_CHOICE, offsetof(struct origin_row, interface), .required = true,
     .choose = choose_interface, .right = "r1 r2 r3 r4 r5 internal info"},
    {0},
};

static const struct erabi_option flow_table[] = {
    {"interface", ERABI_OPT_CHOICE, offsetof(struct flow_row, interface), .required = true, .choose = choose_interface,
     .right = "r1 r2 r3 r4 r5 internal info"},
    {"types", ERABI_OPT_MASK, offsetof(struct flow_row, types), .required = true, .choose = choose_type,
     .right = "message types as [dispatch, opt]"},
    {"from", ERABI_OPT_MASK, offsetof(struct flow_row, from), .required = true, .choose = choose_role,
     .right = "roles as [ac]"},
    {"to", ERABI_OPT_MASK, offsetof(struct flow_row, to), .required = true, .choose = choose_role,
     .right = "roles as [ra]"},
    {"signed", ERABI_OPT_BOOL, offsetof(struct flow_row, is_signed), .required = true, .right = "true or false"},
    {"from_id_ends", ERABI_OPT_TEXT, offsetof(struct flow_row, from_ends), .check = check_short, .right = "as .rest"},
    {"to_id_ends", ERABI_OPT_TEXT, offsetof(struct flow_row, to_ends), .check = check_short, .right = "as .direct"},
    {0},
};

#define ROWS(member, row)                                                                                    \
    .offset = offsetof(struct file_rows, member), .count_offset = offsetof(struct file_rows, n_##member),    \
    .required = true, .table = row##_table, .item_size = sizeof(struct row##_row), .right = "a list of sections"

static bool check_name(const char *text)
{
    return strlen(text) < 64;
}

static const struct erabi_option file_table[] = {
    {"name", ERABI_OPT_TEXT, offsetof(struct file_rows, name), .required = true, .check = check_name,
     .right = "the profile's name"},
    {"pairs", ERABI_OPT_SECTIONS, ROWS(pairs, pair)},
    {"originators", ERABI_OPT_SECTIONS, ROWS(originators, origin)},
    {"flows", ERABI_OPT_SECTIONS, ROWS(flows, flow)},
    {0},
};

static bool add_pair(struct erabi_profile *p, const struct pair_row *row, const char *file,
                     struct erabi_config_errors *errors)
{
    unsigned a = row->roles[0], b = row->roles[1];
    if (p->pairs[a][b].interface != ERAB_IF_NONE) {
        erabi_config_error(errors, file, row->mark, "these two roles stand twice; a pair has one interface");
        return false;
    }
    for (int turn = 0; turn < 2; turn++) {
        unsigned x = turn ? b : a, y = turn ? a : b;
        erabi_copy_text(p->sections[x][y], sizeof(p->sections[x][y]), row->section ? row->section : "");
        p->pairs[x][y] = (struct erabi_profile_pair){(enum erab_interface)row->interface, p->sections[x][y],
                                                     row->one_firm};
    }
    return true;
}

static bool add_flow(struct erabi_profile *p, const struct flow_row *row, const char *file,
                     struct erabi_config_errors *errors)
{
    unsigned ends = 0;
    if (row->from_ends || row->to_ends) {
        if (p->n_ends == ENDS_MAX) {
            erabi_config_error(errors, file, row->mark, "too many flows with id endings; at most 16");
            return false;
        }
        erabi_copy_text(p->ends[p->n_ends][0], sizeof(p->ends[0][0]), row->from_ends ? row->from_ends : "");
        erabi_copy_text(p->ends[p->n_ends][1], sizeof(p->ends[0][1]), row->to_ends ? row->to_ends : "");
        ends = (unsigned)++p->n_ends;
    }
    for (unsigned t = 1; t <= ERAB_TYPE_MAX; t++)
        for (unsigned from = 1; from < ERAB_ROLE_COUNT; from++)
            for (unsigned to = 1; to < ERAB_ROLE_COUNT; to++) {
                if (!(row->types >> t & 1) || !(row->from >> from & 1) || !(row->to >> to & 1))
                    continue;
                struct cell *c = &p->flows[t][row->interface][from][to];
                if (c->allowed) {
                    erabi_config_error(errors, file, row->mark, "%s from %s to %s on %s stands twice",
                                       erab_type_name((enum erab_type)t), erab_role_name((enum erab_role)from),
                                       erab_role_name((enum erab_role)to),
                                       erab_interface_name((enum erab_interface)row->interface));
                    return false;
                }
                *c = (struct cell){1, row->is_signed, (uint8_t)(ends & 63)};
            }
    return true;
}

static bool build(struct erabi_profile *p, const struct file_rows *rows, const char *file,
                  struct erabi_config_errors *errors)
{
    bool good = erabi_copy_text(p->name, sizeof(p->name), rows->name);
    for (size_t i = 0; i < rows->n_pairs; i++)
        good = add_pair(p, &rows->pairs[i], file, errors) && good;
    for (size_t i = 0; i < rows->n_originators; i++)
        p->originates[rows->originators[i].role][rows->originators[i].interface] = true;
    for (size_t i = 0; i < rows->n_flows; i++)
        good = add_flow(p, &rows->flows[i], file, errors) && good;
    return good;
}

int erabi_profile_load(struct erabi_profile **out, const char *path, struct erabi_config_errors *errors)
{
    *out = NULL;
    struct erabi_yaml_node *root;
    int r = erabi_yaml_load(&root, path, errors);
    if (r < 0)
        return r;
    struct file_rows rows = {0};
    struct erabi_profile *p = calloc(1, sizeof(*p));
    if (!p)
        r = -ENOMEM;
    else if (!erabi_options_fill(file_table, &rows, root, path, errors) || !build(p, &rows, path, errors))
        r = -EINVAL;
    erabi_options_free(file_table, &rows);
    erabi_yaml_free(root);
    if (r < 0) {
        free(p);
        return r;
    }
    *out = p;
    return 0;
}

void erabi_profile_free(struct erabi_profile *profile)
{
    free(profile);
}

const char *erabi_profile_name(const struct erabi_profile *profile)
{
    return profile->name;
}

struct erabi_profile_pair erabi_profile_pair(const struct erabi_profile *profile, enum erab_role a, enum erab_role b)
{
    if ((unsigned)a >= ERAB_ROLE_COUNT || (unsigned)b >= ERAB_ROLE_COUNT ||
        profile->pairs[a][b].interface == ERAB_IF_NONE)
        return (struct erabi_profile_pair){ERAB_IF_NONE, "", false};
    return profile->pairs[a][b];
}

bool erabi_profile_originates(const struct erabi_profile *profile, enum erab_role role, enum erab_interface interface)
{
    return (unsigned)role < ERAB_ROLE_COUNT && (unsigned)interface < ERAB_IF_COUNT &&
           profile->originates[role][interface];
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return m == 0 || (n > m && strcmp(text + n - m, end) == 0);
}

struct erabi_profile_flow erabi_profile_flow(const struct erabi_profile *profile, enum erab_type type,
                                             enum erab_interface interface, enum erab_role from, enum erab_role to,
                                             const char *from_id, const char *to_id)
{
    if ((unsigned)type > ERAB_TYPE_MAX || (unsigned)interface >= ERAB_IF_COUNT || (unsigned)from >= ERAB_ROLE_COUNT ||
        (unsigned)to >= ERAB_ROLE_COUNT)
        return (struct erabi_profile_flow){false, true};
    struct cell c = profile->flows[type][interface][from][to];
    if (c.allowed && c.ends &&
        (!ends_with(from_id, profile->ends[c.ends - 1][0]) || !ends_with(to_id, profile->ends[c.ends - 1][1])))
        c.allowed = 0;
    return (struct erabi_profile_flow){c.allowed, !c.allowed || c.is_signed};
}
