/* `erab isolate r1`: one interface is closed as a whole, at once; the others go on. */
#include <errno.h>
#include <string.h>

#include "broker.h"
#include "record.h"

static const char lost[] = "done now, but not yet on disk: it is written as soon as the disk takes it; until 'erab health' says "
                           "ready a restart would forget it";

static void on_kept(void *user, int result)
{
    struct erabi_broker *broker = user;
    if (result < 0)
        broker->isolation_owed = true;
}

static void on_act_kept(void *user, int result)
{
    on_kept(erabi_act_broker(user), result);
    erabi_act_done(user, result);
}

static int keep(struct erabi_broker *broker, struct erabi_act *act)
{
    uint8_t bytes[8];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, broker->pipeline.isolated);
    int r = erabi_journal_state(broker->journal, ERABI_STATE_ISOLATED, erabi_slice(bytes, sizeof(bytes)),
                                act ? on_act_kept : on_kept, act ? (void *)act : (void *)broker);
    if (r < 0)
        broker->isolation_owed = true;
    return r;
}

void erabi_isolation_keep(struct erabi_broker *broker)
{
    if (!broker->isolation_owed || !erabi_journal_writable(broker->journal))
        return;
    broker->isolation_owed = false;
    keep(broker, NULL);
}

void erabi_isolate_restore(struct erabi_broker *broker, struct erabi_slice value)
{
    struct erabi_reader r = erabi_reader(value.data, value.size);
    uint64_t mask = erabi_read_u64(&r);
    /* What cannot be read closes everything rather than nothing. */
    broker->pipeline.isolated = erabi_reader_done(&r) ? mask : ~UINT64_C(1);
    for (int i = ERAB_IF_R1; i < ERAB_IF_COUNT; i++)
        if (broker->pipeline.isolated >> i & 1)
            erabi_broker_say(broker, "%s is isolated; 'erab join %s' ends that",
                             erab_interface_name((enum erab_interface)i), erab_interface_name((enum erab_interface)i));
}

json_t *erabi_isolated_names(const struct erabi_broker *broker)
{
    json_t *names = json_array();
    for (int i = ERAB_IF_R1; names && i < ERAB_IF_COUNT; i++)
        if (broker->pipeline.isolated >> i & 1)
            json_array_append_new(names, json_string(erab_interface_name((enum erab_interface)i)));
    return names;
}

static enum erab_interface wanted(const json_t *request, const char **error)
{
    const char *name = json_string_value(json_object_get(request, "interface"));
    enum erab_interface interface = name ? erab_interface_from_name(name) : ERAB_IF_NONE;
    if (interface == ERAB_IF_NONE)
        *error = "interface: one of r1 r2 r3 r4 r5 internal info is needed";
    return interface;
}

/* It is so now; it is answered when the disk has it. */
static json_t *kept(struct erabi_broker *broker, const char *act_name, const char *name, bool already, const char **error)
{
    struct erabi_act *act = erabi_act_new(broker, act_name, name,
                                          json_pack("{s:s, s:b, s:o}", "interface", name, "already", already, "isolated",
                                                    erabi_isolated_names(broker)),
                                          lost);
    int r = keep(broker, act);
    *error = lost;
    return !act ? NULL : r < 0 ? erabi_act_now(act, r, error) : erabi_act_wait(act, error);
}

json_t *erabi_verb_isolate(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    enum erab_interface interface = wanted(request, error);
    if (interface == ERAB_IF_NONE)
        return NULL;
    bool already = broker->pipeline.isolated >> interface & 1;
    const char *name = erab_interface_name(interface);
    /* The decision stands in the log before its consequences. */
    erabi_record_admin(broker->audit, "isolate", name, already ? "was isolated already" : "done");
    erabi_pipeline_isolate(&broker->pipeline, interface, true);
    erabi_network_isolate(broker, interface);
    erabi_broker_say(broker, "%s is isolated", name);
    return kept(broker, "isolate", name, already, error);
}

json_t *erabi_verb_join(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    enum erab_interface interface = wanted(request, error);
    if (interface == ERAB_IF_NONE)
        return NULL;
    bool already = !(broker->pipeline.isolated >> interface & 1);
    const char *name = erab_interface_name(interface);
    if (!erabi_permit_act(broker, "join", name, interface, "", error))
        return NULL;
    erabi_pipeline_isolate(&broker->pipeline, interface, false);
    if (!already && erabi_network_join(broker, interface) < 0) {
        erabi_pipeline_isolate(&broker->pipeline, interface, true);
        erabi_network_isolate(broker, interface);
        erabi_record_admin(broker->audit, "join", name, "refused");
        *error = "its listener or uplink cannot be opened, so it stays isolated; the broker's log says why";
        return NULL;
    }
    erabi_record_admin(broker->audit, "join", name, already ? "was not isolated" : "done");
    return kept(broker, "join", name, already, error);
}
