/* Guideline 3.7: what data tells about people decides where it may go. Every field of a body has a category
 * (<erab/privacy.h>); an interface carries some categories, and the field that is of another is named. For the
 * categories that need it, the person's consent for this recipient and purpose must be on record. It only votes:
 * masking is done where the message is made. A vote is a DENY or none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <erab/privacy.h>

#include "base/cursor.h"
#include "plugins.h"
#include "words.h"

struct purpose {
    char to[WORDS_MAX + 1], name[WORDS_MAX + 1];
    enum erab_type type;           /* 0: any */
    enum erab_interface interface; /* NONE: any */
};

struct consent {
    char subject[WORDS_MAX + 1], to[WORDS_MAX + 1], purpose[WORDS_MAX + 1];
    uint64_t until_ms;
};

struct privacy {
    uint32_t allowed[ERAB_IF_COUNT];
    uint32_t consent_for;
    uint32_t group_min;
    struct purpose *purposes;
    struct consent *consents;
    uint32_t n_purposes, n_consents;
    char said[128];
};

#define CATEGORIES_HELP "categories that may pass: operation sensor-group sensor-home personal security"

static const struct erab_option options[] = {
    {.name = "r1", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "r2", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "r3", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "r4", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "r5", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "internal", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "info", .type = ERAB_OPTION_LIST, .help = CATEGORIES_HELP},
    {.name = "group_min_members", .type = ERAB_OPTION_INTEGER, .default_value = "0", .max = 100000,
     .help = "a sum of fewer members counts as the value of a home; 0: sums are believed"},
    {.name = "consent_for", .type = ERAB_OPTION_LIST, .help = "categories that need a consent on record"},
    {.name = "purposes",
     .type = ERAB_OPTION_LIST,
     .max = 256,
     .help = "what is sent for what, as 'type=telemetry to=retail purpose=settlement'"},
    {.name = "consents",
     .type = ERAB_OPTION_LIST,
     .max = 4096,
     .help = "entries as 'subject=home-7 to=retail purpose=settlement until=2027-03-31'"},
    {.name = NULL},
};

static int read_categories(const struct erab_config *config, const char *option, uint32_t *out,
                           struct erab_error *error)
{
    const char *const *list = words_option(config, option)->list;
    if (!list)
        return 0;
    *out = 0;
    for (uint32_t i = 0; list[i]; i++) {
        enum erab_category category = erab_category_from_name(list[i]);
        if (!category)
            return words_fail(error, option, i + 1, "known are operation sensor-group sensor-home personal security");
        *out |= ERAB_CATEGORY_BIT(category);
    }
    return 0;
}

static const char *take_purpose(void *user, const char *name, const char *value)
{
    struct purpose *p = user;
    if (strcmp(name, "to") == 0)
        return erabi_copy_text(p->to, sizeof(p->to), value) ? NULL : "too long";
    if (strcmp(name, "purpose") == 0)
        return erabi_copy_text(p->name, sizeof(p->name), value) ? NULL : "too long";
    if (strcmp(name, "type") == 0)
        return (p->type = erab_type_from_name(value)) ? NULL : "no message type";
    if (strcmp(name, "interface") == 0)
        return (p->interface = erab_interface_from_name(value)) ? NULL : "no interface";
    return "known are type interface to purpose";
}

static const char *take_consent(void *user, const char *name, const char *value)
{
    struct consent *c = user;
    if (strcmp(name, "subject") == 0)
        return erabi_copy_text(c->subject, sizeof(c->subject), value) ? NULL : "too long";
    if (strcmp(name, "to") == 0)
        return erabi_copy_text(c->to, sizeof(c->to), value) ? NULL : "too long";
    if (strcmp(name, "purpose") == 0)
        return erabi_copy_text(c->purpose, sizeof(c->purpose), value) ? NULL : "too long";
    if (strcmp(name, "until") == 0)
        return words_date(value, &c->until_ms) ? NULL : "must be a day as 2027-03-31";
    return "known are subject to purpose until";
}

static int read_purpose(const char *text, uint32_t item, struct purpose *p, struct erab_error *error)
{
    *p = (struct purpose){.to = "*"};
    int r = words_read("purposes", item, text, take_purpose, p, error);
    return r == 0 && !p->name[0] ? words_fail(error, "purposes", item, "needs purpose=") : r;
}

static int read_consent(const char *text, uint32_t item, struct consent *c, struct erab_error *error)
{
    *c = (struct consent){0};
    int r = words_read("consents", item, text, take_consent, c, error);
    if (r == 0 && !(c->subject[0] && c->to[0] && c->purpose[0] && c->until_ms))
        return words_fail(error, "consents", item, "needs subject= to= purpose= until=");
    return r;
}

static uint32_t count(const char *const *list)
{
    uint32_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

static int fill(struct privacy *p, const struct erab_config *config, struct erab_error *error)
{
    static const char *const names[ERAB_IF_COUNT] = {"", "r1", "r2", "r3", "r4", "r5", "internal", "info"};
    int r = 0;
    for (int i = ERAB_IF_R1; i < ERAB_IF_COUNT && r == 0; i++) {
        p->allowed[i] = erab_privacy_allowed((enum erab_interface)i);
        r = read_categories(config, names[i], &p->allowed[i], error);
    }
    if (r == 0)
        r = read_categories(config, "consent_for", &p->consent_for, error);
    p->group_min = (uint32_t)words_option(config, "group_min_members")->integer;
    const char *const *purposes = words_option(config, "purposes")->list;
    const char *const *consents = words_option(config, "consents")->list;
    p->n_purposes = count(purposes);
    p->n_consents = count(consents);
    p->purposes = calloc(p->n_purposes + 1, sizeof(*p->purposes));
    p->consents = calloc(p->n_consents + 1, sizeof(*p->consents));
    if (!p->purposes || !p->consents)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->n_purposes && r == 0; i++)
        r = read_purpose(purposes[i], i + 1, &p->purposes[i], error);
    for (uint32_t i = 0; i < p->n_consents && r == 0; i++)
        r = read_consent(consents[i], i + 1, &p->consents[i], error);
    return r;
}

static void fini(void *instance)
{
    struct privacy *p = instance;
    free(p->purposes);
    free(p->consents);
}

static int check(const struct erab_config *config, struct erab_error *error)
{
    struct privacy p = {0};
    int r = fill(&p, config, error);
    fini(&p);
    return r;
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    return fill(instance, config, error);
}

/* ---- judging ---- */

struct look {
    struct privacy *privacy;
    const struct erab_policy_request *request;
    uint32_t allowed;
    bool needs_consent, has_subject, failed;
    const char *purpose; /* NULL: none is stated */
};

static void deny(struct privacy *p, struct erab_verdict *verdict, enum erab_reason reason)
{
    verdict->vote = ERAB_DENY;
    verdict->reason = reason;
    verdict->section = "3.7.2";
    verdict->detail = p->said;
}

static bool look_at(void *user, const struct erab_privacy_field *field)
{
    struct look *look = user;
    uint32_t bit = ERAB_CATEGORY_BIT(field->category);
    look->needs_consent |= (look->privacy->consent_for & bit) != 0;
    if (look->allowed & bit)
        return true;
    snprintf(look->privacy->said, sizeof(look->privacy->said), "%s.%s is of category %s, which %s does not carry",
             field->message, field->field, erab_category_name(field->category),
             erab_interface_name(look->request->interface));
    return false;
}

/* Of a body that is not there (wants_body): what passes is all allowed, so there is no field to name. */
static void look_at_categories(struct look *look)
{
    struct privacy *p = look->privacy;
    uint32_t categories = look->request->body ? 0 : look->request->categories;
    look->needs_consent |= (p->consent_for & categories) != 0;
    look->failed = categories & ~look->allowed;
    if (look->failed)
        snprintf(p->said, sizeof(p->said), "a field is of a category that %s does not carry",
                 erab_interface_name(look->request->interface));
}

static const char *purpose_of(const struct privacy *p, const struct erab_policy_request *request)
{
    for (uint32_t i = 0; i < p->n_purposes; i++) {
        const struct purpose *row = &p->purposes[i];
        if ((!row->type || row->type == request->header->type) &&
            (row->interface == ERAB_IF_NONE || row->interface == request->interface) &&
            words_match(row->to, request->to))
            return row->name;
    }
    return NULL;
}

static bool consented(const struct look *look, const char *subject)
{
    const struct privacy *p = look->privacy;
    for (uint32_t i = 0; i < p->n_consents; i++) {
        const struct consent *c = &p->consents[i];
        if (look->request->now_ms < c->until_ms && strcmp(c->purpose, look->purpose) == 0 &&
            words_match(c->to, look->request->to) && words_match(c->subject, subject))
            return true;
    }
    return false;
}

/* Who it is about must have consented. The name is not said: it is a person's, and details are logged. */
static bool look_at_subject(void *user, const struct erab_privacy_field *field)
{
    struct look *look = user;
    if (!field->is_subject || !field->text)
        return true;
    look->has_subject = true;
    look->failed = !consented(look, field->text);
    return !look->failed;
}

static void decide_consent(struct look *look, struct erab_verdict *verdict)
{
    struct privacy *p = look->privacy;
    look->purpose = purpose_of(p, look->request);
    if (!look->purpose) {
        snprintf(p->said, sizeof(p->said), "no purpose is stated for %s to %.40s",
                 erab_type_name(look->request->header->type), look->request->to);
        deny(p, verdict, ERAB_REASON_CONSENT_MISSING);
        return;
    }
    if (look->request->body)
        erab_privacy_walk(look->request->body, look->request->header->category, p->group_min, look_at_subject, look);
    if (!look->has_subject)
        look->failed = !consented(look, look->request->from);
    if (!look->failed)
        return;
    snprintf(p->said, sizeof(p->said), "a consent is missing: to %.40s for %.40s", look->request->to, look->purpose);
    deny(p, verdict, ERAB_REASON_CONSENT_MISSING);
}

/* Only to name the field that is refused, to know whose consent is asked, and to look at the size of sums. */
static bool wants_body(void *instance, const struct erab_policy_request *request)
{
    const struct privacy *p = instance;
    if ((unsigned)request->interface >= ERAB_IF_COUNT)
        return false;
    uint32_t told = request->categories | ERAB_CATEGORY_BIT(request->header->category);
    return !request->categories || told & ~p->allowed[request->interface] || told & p->consent_for ||
           (p->group_min && request->has_members);
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    struct privacy *p = instance;
    enum erab_category stated = request->header->category;
    if ((unsigned)request->interface >= ERAB_IF_COUNT)
        return;
    struct look look = {.privacy = p, .request = request, .allowed = p->allowed[request->interface]};
    look.needs_consent = p->consent_for & ERAB_CATEGORY_BIT(stated);
    if (!(look.allowed & ERAB_CATEGORY_BIT(stated))) {
        snprintf(p->said, sizeof(p->said), "the message says it is of category %s, which %s does not carry",
                 erab_category_name(stated), erab_interface_name(request->interface));
        deny(p, verdict, ERAB_REASON_CATEGORY_REFUSED);
        return;
    }
    look_at_categories(&look);
    if (look.failed || (request->body && !erab_privacy_walk(request->body, stated, p->group_min, look_at, &look))) {
        deny(p, verdict, ERAB_REASON_CATEGORY_REFUSED);
        return;
    }
    if (look.needs_consent)
        decide_consent(&look, verdict);
}

const struct erab_policy erab_policy_privacy = {
    .size = sizeof(struct erab_policy),
    .abi_major = 0,
    .abi_minor = 1,
    .name = "privacy",
    .version = "1",
    .vendor = "erab-broker",
    .stages = ERAB_STAGE_INGRESS,
    .needs = ERAB_NEEDS_BODY,
    .options = options,
    .instance_size = sizeof(struct privacy),
    .check = check,
    .init = init,
    .decide = decide,
    .fini = fini,
    .wants_body = wants_body,
};
