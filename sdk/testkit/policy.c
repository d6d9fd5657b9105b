/* The checks of a policy, and what both kinds share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testkit/testkit.h"

static const char *const no_parties[] = {NULL};

struct judge {
    const struct erab_policy *policy;
    void *instance;
    erab_self *self;
    erab_call calls;
    char fault[256];
};

void testkit_end(const struct testkit_report *report, const char *what, const char *check, const char *fault)
{
    report->end(report->user, what, check, *fault ? TESTKIT_FAIL : TESTKIT_PASS, fault);
}

const char *testkit_undescribed(const char *version, const char *vendor, const struct erab_option *options)
{
    for (const struct erab_option *o = options; o && o->name; o++)
        if (!o->help || !*o->help)
            return "an option has no help text";
    if (!version || !*version)
        return "version is not stated";
    return !vendor || !*vendor ? "vendor is not stated" : NULL;
}

bool testkit_options(struct erab_config *out, const char *what, const struct erab_option *table,
                     int (*check)(const struct erab_config *config, struct erab_error *error), const json_t *options,
                     const struct testkit_report *report)
{
    struct erab_error error = {.size = sizeof error};
    report->begin(report->user, what, "options");
    bool lacking = false;
    for (const struct erab_option *o = table; o && o->name; o++)
        lacking = lacking || ((o->flags & ERAB_OPTION_REQUIRED) && !json_object_get(options, o->name));
    int r = erabi_module_options(out, table, options, &error);
    if (!r && check)
        r = check(out, &error);
    if (!r) {
        report->end(report->user, what, "options", TESTKIT_PASS, "");
        return true;
    }
    erabi_module_options_deinit(out, table);
    report->end(report->user, what, "options", lacking ? TESTKIT_SKIP : TESTKIT_FAIL, error.text);
    if (lacking)
        report->end(report->user, what, "life", TESTKIT_SKIP, "give the required options as NAME=VALUE");
    return false;
}

static const char *verdict_fault(const struct erab_verdict *v)
{
    if ((unsigned)v->vote > ERAB_PENDING)
        return "a vote that does not exist";
    if (v->vote == ERAB_DENY && (v->reason == ERAB_REASON_NONE || v->reason >= ERAB_REASON_COUNT))
        return "denied without a reason";
    if (v->vote == ERAB_ALLOW && v->reason != ERAB_REASON_NONE)
        return "allowed with a reason of refusal";
    if ((v->section && strnlen(v->section, 64) == 64) || (v->detail && strnlen(v->detail, 256) == 256))
        return "a section of over 63 bytes or a detail of over 255";
    return NULL;
}

static ProtobufCMessage *empty_body(enum erab_type type)
{
    const ProtobufCMessageDescriptor *d = erab_body_descriptor(type);
    ProtobufCMessage *m = d ? calloc(1, d->sizeof_message) : NULL;
    if (m)
        d->message_init(m);
    return m;
}

static bool is_voted(const erab_self *self, void *arg)
{
    (void)arg;
    return erab_fake_vote(self);
}

/* NULL or what is wrong. */
static const char *ask_once(struct judge *j, const struct erab_policy_request *request, struct erab_verdict *v)
{
    erab_call call = ++j->calls;
    *v = (struct erab_verdict){.size = sizeof *v, .section = "", .detail = ""};
    erab_fake_ask(j->self, call);
    j->policy->decide(j->instance, call, request, v);
    if (v->size != sizeof *v)
        return "changed the size of the verdict";
    if (v->vote == ERAB_PENDING) {
        erab_fake_run(j->self, ERAB_FAKE_VOTE_MS, is_voted, NULL);
        const struct erab_verdict *vote = erab_fake_vote(j->self);
        erab_fake_ask(j->self, 0);
        if (!vote) {
            if (j->policy->cancel)
                j->policy->cancel(j->instance, call);
            return "left its vote pending for 30 s";
        }
        if (vote->vote == ERAB_PENDING)
            return "voted PENDING by decide()";
        *v = *vote;
    }
    return verdict_fault(v);
}

static void ask(struct judge *j, const struct erab_policy_request *request)
{
    struct erab_verdict v[2];
    for (unsigned i = 0; i < 2 && !*j->fault; i++) {
        const char *why = ask_once(j, request, &v[i]);
        if (why)
            snprintf(j->fault, sizeof j->fault, "%s on %s: %s", erab_type_name(request->header->type),
                     erab_interface_name(request->interface), why);
    }
    if (!*j->fault && (j->policy->flags & ERAB_POLICY_CACHEABLE) &&
        (v[0].vote != v[1].vote || v[0].reason != v[1].reason))
        snprintf(j->fault, sizeof j->fault, "is marked cacheable and judged the same %s on %s in two ways",
                 erab_type_name(request->header->type), erab_interface_name(request->interface));
}

/* Every type on every interface, signed and not, drill and not. */
static void ask_all(struct judge *j)
{
    for (unsigned type = 1; type <= ERAB_TYPE_MAX; type++) {
        ProtobufCMessage *body = empty_body((enum erab_type)type);
        for (unsigned kind = 0; body && kind < ERAB_IF_COUNT * 4u; kind++) {
            struct erab_header h = {.type = (enum erab_type)type, .category = ERAB_OPERATION, .version = 1};
            h.issued_at_ms = 1800000000000u;
            h.expires_at_ms = h.issued_at_ms + 60000;
            h.exercise = kind & 1u;
            erabi_copy_text(h.from, sizeof h.from, "alder");
            erabi_copy_text(h.to, sizeof h.to, "birch");
            struct erab_policy_request r = {.size = sizeof r,
                                            .stage = ERAB_STAGE_INGRESS,
                                            .interface = (enum erab_interface)(kind >> 2),
                                            .from_role = ERAB_ROLE_AC,
                                            .to_role = ERAB_ROLE_RA,
                                            .from = h.from,
                                            .to = h.to,
                                            .is_signed = kind & 2u,
                                            .header = &h,
                                            .body = j->policy->needs & ERAB_NEEDS_BODY ? body : NULL,
                                            .now_ms = h.issued_at_ms + 10,
                                            .body_size = (uint32_t)protobuf_c_message_get_packed_size(body)};
            if ((j->policy->stages & r.stage) && !*j->fault)
                ask(j, &r);
        }
        free(body);
    }
}

static void life(struct judge *j, const struct erab_policy *p, const struct erab_config *config, bool judging)
{
    struct erab_error error = {.size = sizeof error};
    erab_self *self = erab_fake_new(no_parties);
    *j = (struct judge){.policy = p, .self = self, .instance = calloc(1, p->instance_size ? p->instance_size : 1)};
    if (!self || !j->instance) {
        snprintf(j->fault, sizeof j->fault, "out of memory");
    } else if (p->init && p->init(j->instance, self, &erab_fake_host, config, &error)) {
        snprintf(j->fault, sizeof j->fault, "init failed: %.200s", error.text);
    } else {
        erab_fake_enter(self, ERAB_FAKE_RUNNING);
        if (judging)
            ask_all(j);
    }
    if (p->fini && j->instance)
        p->fini(j->instance);
    if (self && !*j->fault)
        erabi_copy_text(j->fault, sizeof j->fault, erab_fake_fault(self));
    if (self && !*j->fault && erab_fake_handles(self))
        snprintf(j->fault, sizeof j->fault, "left timers or watches after fini");
    erab_fake_free(self);
    free(j->instance);
}

void testkit_policy(const struct erab_policy *p, const json_t *options, const struct testkit_report *report)
{
    struct erab_config config;
    struct judge j;
    report->begin(report->user, p->name, "described");
    const char *missing = testkit_undescribed(p->version, p->vendor, p->options);
    if (!missing && (p->stages & ~(uint32_t)(ERAB_STAGE_CONNECT | ERAB_STAGE_INGRESS | ERAB_STAGE_EGRESS | ERAB_STAGE_ADMIN)))
        missing = "stages holds unknown bits";
    if (!missing && p->stages != ERAB_STAGE_INGRESS)
        missing = "asks for more than INGRESS, which is all that a policy in a process of its own is asked";
    testkit_end(report, p->name, "described", missing ? missing : "");
    if (!testkit_options(&config, p->name, p->options, p->check, options, report))
        return;
    report->begin(report->user, p->name, "init-then-fini");
    life(&j, p, &config, false);
    testkit_end(report, p->name, "init-then-fini", j.fault);
    report->begin(report->user, p->name, "verdicts");
    life(&j, p, &config, true);
    testkit_end(report, p->name, "verdicts", j.fault);
    erabi_module_options_deinit(&config, p->options);
}
