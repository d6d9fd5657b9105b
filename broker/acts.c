/* An operator's act is answered when the disk has it. What a disk refuses is written again later. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "record.h"

struct erabi_act {
    struct erabi_broker *broker;
    struct erabi_admin_ticket *ticket;
    const char *name, *lost; /* static */
    char object[2 * (ERAB_PARTY_MAX + 1) + 16];
    json_t *answer;
};

struct erabi_act *erabi_act_new(struct erabi_broker *broker, const char *name, const char *object, json_t *answer,
                                const char *lost)
{
    struct erabi_act *act = answer ? calloc(1, sizeof(*act)) : NULL;
    if (!act) {
        json_decref(answer);
        return NULL;
    }
    *act = (struct erabi_act){.broker = broker, .name = name, .lost = lost, .answer = answer};
    erabi_copy_text(act->object, sizeof(act->object), object);
    return act;
}

struct erabi_broker *erabi_act_broker(const struct erabi_act *act)
{
    return act->broker;
}

void erabi_act_already(struct erabi_act *act, bool already)
{
    json_object_set_new(act->answer, "already", json_boolean(already));
}

void erabi_act_record(struct erabi_act *act, const char *verdict)
{
    erabi_loop_read(&act->broker->loop);
    erabi_record_admin(act->broker->audit, act->name, act->object, verdict);
}

json_t *erabi_act_wait(struct erabi_act *act, const char **error)
{
    act->ticket = erabi_admin_later(act->broker->admin);
    *error = ERABI_ADMIN_LATER;
    return NULL;
}

json_t *erabi_act_now(struct erabi_act *act, int result, const char **error)
{
    json_t *answer = result < 0 ? NULL : json_incref(act->answer);
    *error = act->lost;
    erabi_act_done(act, result);
    return answer;
}

void erabi_act_done(void *user, int result)
{
    struct erabi_act *act = user;
    erabi_loop_read(&act->broker->loop);
    if (result == 1)
        erabi_act_already(act, true);
    if (result == -ECANCELED) {
        erabi_act_record(act, "overtaken");
        erabi_admin_answer(act->ticket, NULL, "not done: something else happened in the same moment; look at it, then ask again");
    } else if (result < 0) {
        erabi_act_record(act, "not kept");
        erabi_admin_answer(act->ticket, NULL, act->lost);
    } else {
        erabi_admin_answer(act->ticket, json_incref(act->answer), NULL);
    }
    json_decref(act->answer);
    free(act);
}

void erabi_acts_tick(struct erabi_broker *broker)
{
    erabi_revocations_keep(broker);
    erabi_isolation_keep(broker);
}
