/* A module as somebody wrote it for ABI 0.1: built with the headers of this folder for ever. */
#include <erab/adapter.h>
#include <erab/policy.h>

struct frozen {
    erab_self *self;
    const struct erab_host *host;
};

static const struct erab_option options[] = {
    {"level", ERAB_OPTION_INTEGER, 0, "3", 1, 9, 0, "a level"},
    {"token", ERAB_OPTION_TEXT, ERAB_OPTION_SECRET, 0, 0, 0, 0, "a secret"},
    {0, ERAB_OPTION_TEXT, 0, 0, 0, 0, 0, 0},
};

static int init(void *instance, erab_self *self, const struct erab_host *host, const struct erab_config *config,
                struct erab_error *error)
{
    struct frozen *f = instance;
    (void)error;
    f->self = self;
    f->host = host;
    return config->n == 2 && config->values[0].integer == 3 ? 0 : -22;
}

static int start(void *instance)
{
    const struct frozen *f = instance;
    f->host->log(f->self, ERAB_LOG_INFO, "frozen and well");
    return 0;
}

static int deliver(void *instance, erab_call call, const struct erab_message *message)
{
    const struct frozen *f = instance;
    if (call && message->header->type != ERAB_DEVICE_COMMAND && message->header->type != ERAB_DISPATCH_CANCEL)
        return ERAB_REASON_NOT_SUPPORTED;
    if (call)
        f->host->complete(f->self, call, ERAB_APPLIED, ERAB_REASON_NONE, 0);
    return 0;
}

static void cancel(void *instance, erab_call call)
{
    (void)instance;
    (void)call;
}

static void stop(void *instance)
{
    const struct frozen *f = instance;
    f->host->quiesced(f->self);
}

static void fini(void *instance)
{
    (void)instance;
}

static void decide(void *instance, erab_call call, const struct erab_policy_request *request,
                   struct erab_verdict *verdict)
{
    (void)instance;
    (void)call;
    if (request->interface != ERAB_IF_R3)
        return;
    verdict->vote = request->is_signed ? ERAB_ALLOW : ERAB_DENY;
    verdict->reason = request->is_signed ? ERAB_REASON_NONE : ERAB_REASON_SIGNATURE_MISSING;
    verdict->section = "3.6.3";
    verdict->detail = "";
}

static const struct erab_adapter adapter = {
    sizeof(struct erab_adapter), 0, 1, "frozen", "1", "tests", "tests", 0, 2, options, sizeof(struct frozen), 0, init,
    start, deliver, cancel, 0, stop, fini};
static const struct erab_policy policy = {
    sizeof(struct erab_policy), 0, 1, "frozen", "1", "tests", ERAB_POLICY_CACHEABLE, ERAB_STAGE_INGRESS, 0, 0, 0, 0, 0,
    decide, 0};
static const struct erab_adapter *const adapters[] = {&adapter, 0};
static const struct erab_policy *const policies[] = {&policy, 0};

ERAB_MODULE(0, 1, "frozen 0.1", adapters, policies);
