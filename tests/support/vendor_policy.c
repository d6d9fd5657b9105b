/* A policy as a vendor might bring it, good and bad: what it does is named by the order that it is asked about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <erab/policy.h>

#define WAITING_MAX 16

struct vendor {
    erab_self *self;
    const struct erab_host *host;
    const char *detail;
    uint64_t slow_ms;
    struct waiting {
        struct vendor *vendor;
        erab_timer *timer;
        erab_call call;
    } waiting[WAITING_MAX];
};

static const struct erab_option options[] = {
    {.name = "detail", .type = ERAB_OPTION_TEXT, .default_value = "the vendor says no", .help = "of its refusals"},
    {.name = "slow_ms", .type = ERAB_OPTION_INTEGER, .default_value = "20", .help = "of its later votes"},
    {.name = NULL},
};

static int check(const struct erab_config *config, struct erab_error *error)
{
    if (strcmp(config->values[0].text, "crash at the check") == 0)
        abort();
    for (volatile int on = 1; on && strcmp(config->values[0].text, "hang at the check") == 0;)
        ;
    if (config->values[1].integer <= 60000)
        return 0;
    snprintf(error->text, sizeof(error->text), "more than a minute is no vote; give at most 60000");
    snprintf(error->option, sizeof(error->option), "slow_ms");
    return -22;
}

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct vendor *v = instance;
    v->self = self;
    v->host = host;
    v->detail = config->values[0].text;
    v->slow_ms = (uint64_t)config->values[1].integer;
    return 0;
}

static void later(void *arg)
{
    struct waiting *w = arg;
    struct erab_verdict allow = {.size = sizeof(allow), .vote = ERAB_ALLOW, .section = "", .detail = ""};
    w->vendor->host->timer_free(w->vendor->self, w->timer);
    w->timer = NULL;
    w->vendor->host->decide(w->vendor->self, w->call, &allow);
}

static void wait_a_little(struct vendor *v, erab_call call, struct erab_verdict *verdict)
{
    for (int i = 0; i < WAITING_MAX; i++) {
        struct waiting *w = &v->waiting[i];
        if (w->timer)
            continue;
        w->vendor = v;
        w->call = call;
        w->timer = v->host->timer(v->self, v->slow_ms, later, w);
        verdict->vote = w->timer ? ERAB_PENDING : ERAB_DENY;
        return;
    }
}

static void deny(struct erab_verdict *verdict, const char *detail)
{
    verdict->vote = ERAB_DENY;
    verdict->reason = ERAB_REASON_DECLINED;
    verdict->section = "3.6.3";
    verdict->detail = detail;
}

static bool shut_on_loading;

__attribute__((constructor)) static void look_around(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    shut_on_loading = child < 0 && socket(AF_INET, SOCK_STREAM, 0) < 0 && socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

/* What it must not be able to do. */
static void try_the_doors(struct erab_verdict *verdict)
{
    pid_t child = -1;
    struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
    bool shut = shut_on_loading && socket(AF_INET, SOCK_STREAM, 0) < 0 && socket(AF_UNIX, SOCK_STREAM, 0) < 0 && !getenv("PATH") &&
                kill(getppid(), 0) < 0 && setrlimit(RLIMIT_AS, &more) < 0;
    FILE *file = fopen("/etc/passwd", "r");
    shut = shut && !file && (child = fork()) < 0;
    if (child == 0)
        _exit(0);
    if (file)
        fclose(file);
    deny(verdict, shut ? "every door is shut" : "a door is open");
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    struct vendor *v = instance;
    const Erab__V1__Dispatch *dispatch = (const void *)request->body;
    const char *what = request->header->type == ERAB_DISPATCH && dispatch ? dispatch->order : "";
    struct erab_verdict allow = {.size = sizeof(allow), .vote = ERAB_ALLOW, .section = "", .detail = ""};
    if (strcmp(what, "deny") == 0) {
        deny(verdict, v->detail);
    } else if (strcmp(what, "crash") == 0) {
        abort();
    } else if (strcmp(what, "hang") == 0) {
        for (;;)
            pause();
    } else if (strcmp(what, "later") == 0) {
        wait_a_little(v, call, verdict);
    } else if (strcmp(what, "silent") == 0) {
        verdict->vote = ERAB_PENDING;
    } else if (strcmp(what, "foreign") == 0) { /* votes for calls that are not its own */
        for (erab_call c = 1; c < 2000; c++)
            v->host->decide(v->self, (call & ~UINT64_C(0xffff)) | c, c == (call & 0xffff) ? NULL : &allow);
        verdict->vote = ERAB_PENDING;
    } else if (strcmp(what, "garbage") == 0) {
        if (send(3, "\2nonsense", 9, 0) < 0)
            abort();
        verdict->vote = ERAB_ALLOW;
    } else if (strcmp(what, "no-vote") == 0) {
        verdict->vote = (enum erab_vote)77;
    } else if (strcmp(what, "doors") == 0) {
        try_the_doors(verdict);
    }
}

static const struct erab_policy vendor = {.size = sizeof(struct erab_policy),
                                          .abi_major = 0,
                                          .abi_minor = 1,
                                          .name = "vendor",
                                          .version = "1",
                                          .vendor = "example",
                                          .stages = ERAB_STAGE_INGRESS,
                                          .needs = ERAB_NEEDS_BODY,
                                          .options = options,
                                          .instance_size = sizeof(struct vendor),
                                          .check = check,
                                           .init = init,
                                          .decide = decide};

/* What no runner takes: it asks for more than INGRESS. */
static const struct erab_policy everywhere = {.size = sizeof(struct erab_policy),
                                              .abi_major = 0,
                                              .abi_minor = 1,
                                              .name = "everywhere",
                                              .version = "1",
                                              .vendor = "example",
                                              .stages = ERAB_STAGE_INGRESS | ERAB_STAGE_EGRESS,
                                              .needs = ERAB_NEEDS_BODY,
                                              .options = options,
                                              .instance_size = sizeof(struct vendor),
                                              .init = init,
                                              .decide = decide};

static const struct erab_policy *const policies[] = {&vendor, &everywhere, NULL};

ERAB_MODULE(0, 2, "test", NULL, policies);
