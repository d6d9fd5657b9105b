/* The judges of this broker: built from the configuration, swapped as a whole, stopped. */
#include <errno.h>

#include "broker.h"
#include "plugins.h"
#include "policy/build.h"
#include "record.h"

static void on_deadline(uv_timer_t *timer)
{
    struct erabi_broker *broker = timer->data;
    erabi_loop_read(&broker->loop);
    erabi_policy_tick(&broker->policies, broker->loop.mono_ms, erabi_now_ms(&broker->loop));
}

static void want_tick(void *user, uint64_t at_ms)
{
    struct erabi_broker *broker = user;
    uint64_t now = broker->loop.mono_ms;
    if (broker->stopping)
        return; /* nothing waits any more, and the timer is closing */
    uv_update_time(broker->uv); /* from now on, not from the turn's beginning: never early */
    uv_timer_start(&broker->policy_timer, on_deadline, at_ms > now ? at_ms - now : 0, 0);
}

static void on_policy_event(void *user, const char *instance, const char *what)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    erabi_broker_say(broker, "policy %s: %s", instance, what);
    erabi_record_admin(broker->audit, "policy", instance, what);
}

static void on_log(void *user, const char *instance, const char *text)
{
    erabi_broker_say(user, "policy %s: %.400s", instance, text);
}

static void on_policy_refused(void *user, const char *instance, const char *path, enum erab_reason reason)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    erabi_record_module(broker->audit, "policy", instance, path, reason);
}

int erabi_broker_start_policies(struct erabi_broker *broker)
{
    uv_timer_init(broker->uv, &broker->policy_timer);
    broker->policy_timer.data = broker;
    broker->policies_up = true;
    broker->policy_host = (struct erabi_policy_host){
        .loop = broker->uv, .engine = &broker->policies, .runner = broker->runner, .on_event = on_policy_event,
        .on_refused = on_policy_refused, .say = erabi_broker_say, .user = broker};
    int r = erabi_policy_engine_init(&broker->policies, want_tick, broker);
    broker->policies.on_log = on_log;
    return r;
}

int erabi_broker_build_policies(struct erabi_broker *broker, const struct erabi_config *config,
                                struct erabi_policy_chain **out, struct erabi_config_errors *errors)
{
    struct erabi_policy_source source = {erab_policies_shipped, &broker->policies, erabi_policy_host_open,
                                         &broker->policy_host};
    broker->policy_host.config = config; /* until it is known whether this one counts */
    int r = erabi_policy_build(out, config, broker->config_path, &source, broker->policies.chain, errors);
    if (r < 0)
        broker->policy_host.config = broker->config;
    return r;
}

int erabi_broker_check_policies(const struct erabi_config *config, const char *path,
                                struct erabi_config_errors *errors)
{
    struct erabi_policy_source source = {.shipped = erab_policies_shipped};
    struct erabi_policy_chain *chain;
    int r = erabi_policy_build(&chain, config, path, &source, NULL, errors);
    if (r == 0)
        erabi_policy_chain_unref(chain);
    return r;
}

void erabi_broker_stop_policies(struct erabi_broker *broker, void (*done)(void *user))
{
    erabi_policy_engine_stop(&broker->policies);
    erabi_policy_host_stop(&broker->policy_host, done, broker);
}
