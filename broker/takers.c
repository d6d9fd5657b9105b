#include "takers.h"

#include <stdio.h>

#include "record.h"

static bool permits(const struct erabi_attachment *a, enum erab_type type)
{
    return !a->revoked && (a->types >> type & 1);
}

static bool names_types(const struct erabi_attachment *a)
{
    return a->types != ~UINT64_C(0);
}

/* Those that name their types stand first (outlets.c). */
struct erabi_target *erabi_takers_find(struct erabi_pipeline *pipeline, enum erab_type type)
{
    struct erabi_target *said = NULL, *rest = NULL, *any = NULL;
    for (size_t i = 0; i < pipeline->tables.n_locals; i++) {
        const struct erabi_attachment *a = pipeline->tables.locals[i];
        if (!permits(a, type))
            continue;
        struct erabi_target *target = erabi_pipeline_outlet(pipeline, a, ERAB_IF_NONE);
        if (!target)
            continue;
        any = any ? any : target;
        if (target->says && !said && (target->takes >> type & 1))
            said = target;
        else if (!target->says && names_types(a))
            return target;
        else if (!target->says && !rest)
            rest = target;
        if (pipeline->n_saying == 0 && rest)
            break; /* nobody has said anything: the first one it is */
    }
    if (!said && !rest && type == ERAB_RECEIPT)
        return any; /* whose message it is about is not known after a restart: an answer never waits for a taker */
    return said ? said : rest;
}

/* ---- what an application says ---- */

/* Who has it already, so that `target` cannot; NULL: nobody. */
static const char *holder(struct erabi_pipeline *pipeline, const struct erabi_target *target, enum erab_type type,
                          bool *configured)
{
    for (size_t i = 0; i < pipeline->tables.n_locals; i++) {
        const struct erabi_attachment *a = pipeline->tables.locals[i];
        struct erabi_target *other = permits(a, type) ? erabi_pipeline_outlet(pipeline, a, ERAB_IF_NONE) : NULL;
        if (!other || other == target)
            continue;
        *configured = !other->says;
        if (other->says ? other->takes >> type & 1 : names_types(a))
            return a->name;
    }
    return NULL;
}

static enum erab_reason judge(struct erabi_pipeline *pipeline, const struct erabi_target *target, uint64_t types,
                              char detail[ERABI_SESSION_DETAIL])
{
    const struct erabi_attachment *a = target->attachment;
    if (a->kind != ERABI_ATTACH_LOCAL) {
        snprintf(detail, ERABI_SESSION_DETAIL, "only an application of the owner says what it takes");
        return ERAB_REASON_TYPE_NOT_YOURS;
    }
    for (int i = 0; i <= ERAB_TYPE_MAX; i++) {
        enum erab_type type = (enum erab_type)i;
        bool configured = false;
        if (!(types >> i & 1))
            continue;
        if (type == ERAB_PING || !permits(a, type)) {
            snprintf(detail, ERABI_SESSION_DETAIL, "%s: 'types' of %s in the configuration does not permit it",
                     erab_type_name(type), a->name);
            return ERAB_REASON_TYPE_NOT_YOURS;
        }
        const char *other = holder(pipeline, target, type, &configured);
        if (!other)
            continue;
        if (configured)
            snprintf(detail, ERABI_SESSION_DETAIL, "%s: the configuration gives it to %s", erab_type_name(type), other);
        else
            snprintf(detail, ERABI_SESSION_DETAIL, "%s: %s takes it as long as it is connected", erab_type_name(type),
                     other);
        return ERAB_REASON_TYPE_TAKEN;
    }
    return ERAB_REASON_NONE;
}

static void list(uint64_t types, char text[ERABI_SESSION_DETAIL])
{
    int n = 0;
    text[0] = '\0';
    for (int i = 0; i <= ERAB_TYPE_MAX && n < ERABI_SESSION_DETAIL; i++)
        if (types >> i & 1)
            n += snprintf(text + n, (size_t)(ERABI_SESSION_DETAIL - n), "%s%s", n ? "," : "",
                          erab_type_name((enum erab_type)i));
}

static void record(struct erabi_pipeline *pipeline, const struct erabi_session *session, enum erab_reason reason,
                   const char *detail)
{
    const struct erabi_attachment *a = session->target->attachment;
    const char *interface = session->target->interface ? erab_interface_name(session->target->interface) : "local";
    erabi_record_connection(pipeline->audit, reason ? "takes-nothing" : "takes", a->name, interface,
                            erabi_connection_address(session->connection), erabi_connection_key(session->connection),
                            reason, detail);
}

/* Whoever has said something takes that, and nothing when it was refused. */
static bool set(struct erabi_pipeline *pipeline, struct erabi_target *target, bool says, uint64_t takes)
{
    if (target->says == says && target->takes == takes)
        return false;
    pipeline->n_saying += (size_t)says - (size_t)target->says;
    target->says = says;
    target->takes = takes;
    erabi_takers_settle(pipeline);
    return true;
}

enum erab_reason erabi_takers_say(struct erabi_pipeline *pipeline, struct erabi_session *session, uint64_t types,
                                  bool first, char detail[ERABI_SESSION_DETAIL])
{
    struct erabi_target *target = session->target;
    detail[0] = '\0';
    if (types == 0) {
        if (first)
            set(pipeline, target, false, 0);
        return ERAB_REASON_NONE;
    }
    enum erab_reason reason = judge(pipeline, target, types, detail);
    const struct erabi_attachment *a = target->attachment;
    if (reason == ERAB_REASON_NONE) {
        char text[ERABI_SESSION_DETAIL];
        list(types, text);
        if (set(pipeline, target, true, types))
            record(pipeline, session, reason, text);
    } else if (a->kind == ERABI_ATTACH_LOCAL && (first || !target->says)) {
        set(pipeline, target, true, 0);
    }
    if (reason && session->takes_refused != reason)
        record(pipeline, session, reason, detail);
    session->takes_refused = reason;
    return reason;
}

void erabi_takers_left(struct erabi_pipeline *pipeline, struct erabi_target *target)
{
    if (target->says && !target->connection[ERAB_LANES_COMMAND])
        set(pipeline, target, true, 0);
}

/* ---- what waits ---- */

static bool is_ours(const struct erabi_pipeline *pipeline, const struct erabi_target *target)
{
    const struct erabi_attachment *a = target->attachment;
    return a == &pipeline->self || a->kind == ERABI_ATTACH_LOCAL;
}

static struct erabi_target *whither(void *user, const struct erabi_delivery *delivery)
{
    struct erabi_pipeline *pipeline = user;
    if (delivery->party != erabi_registry_owner(pipeline->registry)->index)
        return NULL;
    if (delivery->sent_ms && delivery->target->connection[ERAB_LANES_COMMAND])
        return NULL; /* it has been handed over: an answer is on its way */
    enum erab_type type = delivery->parcel->header.type;
    if (type == ERAB_RECEIPT && delivery->target->attachment != &pipeline->self)
        return NULL; /* it is that application's own */
    struct erabi_target *taker = erabi_takers_find(pipeline, type);
    return taker ? taker : erabi_pipeline_outlet(pipeline, &pipeline->self, ERAB_IF_NONE);
}

void erabi_takers_settle(struct erabi_pipeline *pipeline)
{
    erabi_pipeline_outlet(pipeline, &pipeline->self, ERAB_IF_NONE); /* the table must not grow while it is gone through */
    for (size_t i = 0; i < pipeline->tables.n_locals; i++)
        erabi_pipeline_outlet(pipeline, pipeline->tables.locals[i], ERAB_IF_NONE);
    size_t moved = 0, n = pipeline->n_targets;
    for (size_t i = 0; i < n; i++)
        if (is_ours(pipeline, pipeline->targets[i]))
            moved += erabi_target_move(pipeline->targets[i], whither, pipeline);
    for (size_t i = 0; moved && i < n; i++)
        if (is_ours(pipeline, pipeline->targets[i]))
            erabi_target_pump(pipeline->targets[i], pipeline->loop->mono_ms, erabi_now_ms(pipeline->loop));
}

void erabi_takers_follow(struct erabi_pipeline *pipeline, uint32_t party, enum erab_type type, size_t size,
                         struct erabi_target **target)
{
    if (type == ERAB_RECEIPT || party != erabi_registry_owner(pipeline->registry)->index)
        return;
    struct erabi_target *now = erabi_pipeline_target(pipeline, party, ERAB_IF_NONE, type);
    if (!now || now == *target || erabi_target_hold(now, type, size) < 0)
        return;
    erabi_target_unhold(*target, type, size);
    *target = now;
}
