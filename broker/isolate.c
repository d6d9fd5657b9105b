/* `erab isolate r1`: one interface is closed as a whole, at once; the others go on. */
#include <errno.h>
#include <string.h>

#include "broker.h"
#include "record.h"

static void on_kept(void *user, int result)
{
    struct erabi_broker *broker = user;
    broker->isolating--;
    broker->isolation_lost = result < 0;
}

static void keep(struct erabi_broker *broker, const char **error)
{
    uint8_t bytes[8];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, broker->pipeline.isolated);
    if (erabi_journal_state(broker->journal, ERABI_STATE_ISOLATED, erabi_slice(bytes, sizeof(bytes)), on_kept, broker) ==
        0)
        broker->isolating++;
    else
        *error = "done now, but the journal could not keep it: repeat this when the broker is ready again";
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

json_t *erabi_verb_isolated(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    return json_pack("{s:o, s:b, s:b}", "isolated", erabi_isolated_names(broker), "kept", broker->isolating == 0,
                     "lost", broker->isolation_lost);
}

static enum erab_interface wanted(const json_t *request, const char **error)
{
    const char *name = json_string_value(json_object_get(request, "interface"));
    enum erab_interface interface = name ? erab_interface_from_name(name) : ERAB_IF_NONE;
    if (interface == ERAB_IF_NONE)
        *error = "interface: one of r1 r2 r3 r4 r5 internal info is needed";
    return interface;
}

json_t *erabi_verb_isolate(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    erabi_loop_read(&broker->loop);
    enum erab_interface interface = wanted(request, error);
    if (interface == ERAB_IF_NONE)
        return NULL;
    bool already = broker->pipeline.isolated >> interface & 1;
    const char *name = erab_interface_name(interface), *lost = NULL;
    /* The decision stands in the log before its consequences. */
    erabi_record_admin(broker->audit, "isolate", name, already ? "was isolated already" : "done");
    erabi_pipeline_isolate(&broker->pipeline, interface, true);
    erabi_network_isolate(broker, interface);
    keep(broker, &lost);
    erabi_broker_say(broker, "%s is isolated", name);
    if (lost) {
        *error = lost;
        return NULL;
    }
    return json_pack("{s:s, s:b, s:o}", "interface", name, "already", already, "isolated",
                     erabi_isolated_names(broker));
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
    const char *lost = NULL;
    erabi_record_admin(broker->audit, "join", name, already ? "was not isolated" : "done");
    keep(broker, &lost);
    if (lost) {
        *error = lost;
        return NULL;
    }
    return json_pack("{s:s, s:b, s:o}", "interface", name, "already", already, "isolated",
                     erabi_isolated_names(broker));
}
