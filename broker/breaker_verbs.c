/* breaker-list, breaker-trip, breaker-close on the admin socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "broker.h"
#include "record.h"

#define OBJECT_MAX (2 * (ERAB_PARTY_MAX + 1) + 16)
#define PAGE 64u /* links an answer: it stays under the size of a line */

struct named {
    const char *party, *peer, *note;
    enum erab_interface interface;
};

static const char *text(const json_t *request, const char *name)
{
    const char *value = json_string_value(json_object_get(request, name));
    return value ? value : "";
}

/* NULL, or what is wrong. */
static const char *read_link(const json_t *request, struct named *out)
{
    *out = (struct named){.party = text(request, "party"),
                          .peer = text(request, "peer"),
                          .note = text(request, "note"),
                          .interface = erab_interface_from_name(text(request, "interface"))};
    if (!erab_party_valid(out->party))
        return "party: a party id is needed";
    if (out->interface == ERAB_IF_NONE)
        return "interface: one of r1, r2, r3, r4, r5, internal and info is needed";
    if (!erab_party_valid(out->peer))
        return "peer: a party id is needed";
    if (strlen(out->note) > ERABI_NOTE_MAX)
        return "note: at most 120 bytes";
    return NULL;
}

#define TRIP "breaker-trip"
#define CLOSE "breaker-close"

/* Only now it is closed. */
static void on_closed(void *user, int result)
{
    if (result >= 0)
        erabi_act_record(user, result ? "was so already" : "done");
    erabi_act_done(user, result);
}

static const char *wrong(int r, bool trip)
{
    if (r == -EINVAL)
        return "these two parties have no link on this interface; see `erab config check` and the profile";
    if (r == -ENOSPC)
        return "too many links are remembered: close some, or revoke the party";
    return trip ? "open now, but not yet on disk: it is written as soon as the disk takes it; until 'erab health' says ready "
                  "a restart would forget it"
                : "not closed: the journal could not keep it; repeat this when 'erab health' says ready";
}

/* A link has two ends: a policy is asked about it from either, for a rule may name it by the other. */
static bool may_close(struct erabi_broker *broker, const struct named *link, const char *by, const char **error)
{
    char one[OBJECT_MAX], other[OBJECT_MAX];
    const char *interface = erab_interface_name(link->interface);
    snprintf(one, sizeof(one), "%s %s %s", link->party, interface, link->peer);
    snprintf(other, sizeof(other), "%s %s %s", link->peer, interface, link->party);
    return erabi_permit_act(broker, CLOSE, one, link->interface, by, error) &&
           erabi_permit_act(broker, CLOSE, other, link->interface, by, error);
}

static json_t *decide(struct erabi_broker *broker, const json_t *request, bool trip, const char **error)
{
    _statement_ struct erabi_statement s = {0};
    struct named link;
    char object[OBJECT_MAX];
    const char *name = trip ? TRIP : CLOSE;
    const json_t *said = erabi_operator_request(broker, &s, request, name, error);
    const char *bad = said ? read_link(said, &link) : NULL;
    if (!said || bad) {
        *error = bad ? bad : *error;
        return NULL;
    }
    snprintf(object, sizeof(object), "%s %s %s", link.party, erab_interface_name(link.interface), link.peer);
    if (!trip && !may_close(broker, &link, s.operator, error))
        return NULL;
    struct erabi_act *act = erabi_act_new(
        broker, name, object,
        json_pack("{s:s, s:s, s:s, s:b}", "party", link.party, "interface", erab_interface_name(link.interface), "peer",
                  link.peer, "already", 0),
        wrong(-EIO, trip));
    if (!act) {
        *error = "no memory";
        return NULL;
    }
    int r = trip ? erabi_breakers_trip(&broker->pipeline, link.party, link.interface, link.peer, link.note,
                                       erabi_act_done, act)
                 : erabi_breakers_close(&broker->pipeline, link.party, link.interface, link.peer, on_closed, act);
    erabi_operator_record(broker, name, object,
                          r == 1                ? "was so already"
                          : r == 0              ? trip ? "done" : "asked"
                          : r == -EIO && trip ? "done"
                                                : "refused",
                          &s);
    if (r == 0 || (r == 1 && trip)) {
        erabi_act_already(act, r == 1);
        return erabi_act_wait(act, error);
    }
    json_t *answer = erabi_act_now(act, r, error);
    if (r < 0)
        *error = wrong(r, trip);
    return answer;
}

json_t *erabi_breaker_verb_trip(void *user, const json_t *request, const char **error)
{
    return decide(user, request, true, error);
}

json_t *erabi_breaker_verb_close(void *user, const json_t *request, const char **error)
{
    return decide(user, request, false, error);
}

/* ---- list ---- */

static bool worth_telling(const struct erabi_link *link)
{
    return link->availability.state != ERABI_BREAKER_CLOSED || link->availability.time_outs;
}

/* The PAGE smallest links after `after` (NULL: from the first), in order; one more than PAGE is counted only. */
static size_t page_of(const struct erabi_links *links, const struct erabi_link *after,
                      const struct erabi_link *page[PAGE + 1])
{
    size_t n = 0;
    for (const struct erabi_link *l = erabi_links_next(links, NULL); l; l = erabi_links_next(links, l)) {
        if (!worth_telling(l) || (after && erabi_link_compare(l, after) <= 0))
            continue;
        if (n == PAGE + 1 && erabi_link_compare(l, page[PAGE]) >= 0)
            continue;
        size_t at = n < PAGE + 1 ? n++ : PAGE;
        for (; at > 0 && erabi_link_compare(l, page[at - 1]) < 0; at--)
            page[at] = page[at - 1];
        page[at] = l;
    }
    return n;
}

static json_t *told(const struct erabi_broker *broker, const struct erabi_link *link)
{
    const struct erabi_availability *a = &link->availability;
    uint64_t now = broker->loop.mono_ms;
    bool swap = strcmp(link->b, broker->owner.party) == 0;
    bool waits = a->state == ERABI_BREAKER_OPEN && !a->latched && a->retry_ms > now;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:s}", "party",
                     swap ? link->b : link->a, "interface", erab_interface_name(link->interface), "peer",
                     swap ? link->a : link->b, "kind", "availability", "state", erabi_breaker_state_name(a->state),
                     "cause", erabi_breaker_cause_name(a->cause), "by_operator", a->latched, "for_s",
                     (json_int_t)((now - a->since_ms) / 1000), "retry_in_s",
                     (json_int_t)(waits ? (a->retry_ms - now + 999) / 1000 : 0), "time_outs", (json_int_t)a->time_outs,
                     "denied", (json_int_t)link->denied, "note", link->note);
}

json_t *erabi_breaker_verb_list(void *user, const json_t *request, const char **error)
{
    struct erabi_broker *broker = user;
    const struct erabi_links *links = broker->pipeline.breakers.links;
    const json_t *from = json_object_get(request, "after");
    erabi_loop_read(&broker->loop);
    struct erabi_link after = {.interface = ERAB_IF_NONE};
    if (from) { /* as `next` of the page before */
        after.interface = erab_interface_from_name(text(from, "interface"));
        if (after.interface == ERAB_IF_NONE || !erabi_copy_text(after.a, sizeof(after.a), text(from, "a")) ||
            !erabi_copy_text(after.b, sizeof(after.b), text(from, "b"))) {
            *error = "after: the `next` of the page before is needed";
            return NULL;
        }
    }
    const struct erabi_link *page[PAGE + 1];
    size_t n = page_of(links, from ? &after : NULL, page);
    json_t *list = json_array(), *next = json_null();
    for (size_t i = 0; i < n && i < PAGE; i++)
        json_array_append_new(list, told(broker, page[i]));
    if (n > PAGE)
        next = json_pack("{s:s, s:s, s:s}", "interface", erab_interface_name(page[PAGE - 1]->interface), "a",
                         page[PAGE - 1]->a, "b", page[PAGE - 1]->b);
    return json_pack("{s:o, s:I, s:o}", "links", list, "open", (json_int_t)erabi_links_open(links), "next", next);
}
