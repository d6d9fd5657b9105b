/* Finding the configured devices. Multicast is lossy, so a search is repeated; nodes with a fixed address
 * are asked directly as well. Nodes that are not configured are never spoken to beyond their identification.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "adapter.h"

enum { SEARCH_MISSING_MS = 60000, SEARCH_ALL_FOUND_MS = 300000, HINT_EVERY_MS = 1000 };
static const uint32_t first_searches_ms[] = {15000, 45000}; /* after the one at 0: at 15 s and at 60 s */

static void identify(struct erabi_el_device *d);

static void copy_ascii(char *to, size_t size, struct erabi_slice from)
{
    size_t n = 0;
    for (size_t i = 0; i < from.size && n + 1 < size && from.data[i]; i++)
        if (from.data[i] > 0x20 && from.data[i] < 0x7F)
            to[n++] = (char)from.data[i];
    to[n] = '\0';
}

/* A node is believed to be the same by its property 83: the configured one, or the first one seen. */
static bool check_id(struct erabi_el_device *d, struct erabi_slice id)
{
    char key[ERAB_PARTY_MAX + 8];
    uint8_t known[17];
    size_t size = sizeof(known);
    if (id.size != sizeof(known))
        return false;
    if (d->entry.by_id)
        return sodium_memcmp(id.data, d->entry.id, sizeof(known)) == 0;
    const struct erab_host *host = d->adapter->host;
    snprintf(key, sizeof(key), "node:%s", d->entry.party);
    if (host->store_get(d->adapter->self, key, known, &size) == 0)
        return size == sizeof(known) && sodium_memcmp(id.data, known, sizeof(known)) == 0;
    return host->store_put(d->adapter->self, key, id.data, id.size) == 0;
}

static void take_node(struct erabi_el_device *d, const struct erabi_el_frame *answer)
{
    struct erabi_slice v;
    uint32_t objects[ERABI_EL_INSTANCES_MAX];
    size_t n = 0;
    if (erabi_el_outcome(answer, 0x83, &v) == ERABI_EL_TAKEN)
        d->id_matches = check_id(d, v);
    if (erabi_el_outcome(answer, 0xD6, &v) == ERABI_EL_TAKEN && erabi_el_instances_read(v, objects, &n) == 0)
        for (size_t i = 0; i < n; i++)
            d->object_there |= objects[i] == d->entry.eoj;
}

static void take_object(struct erabi_el_device *d, const struct erabi_el_frame *answer)
{
    static const uint8_t epcs[] = {0x9D, 0x9E, 0x9F};
    struct erabi_el_map *maps[] = {&d->battery.tells, &d->battery.can_set, &d->battery.can_get};
    struct erabi_slice v;
    for (size_t i = 0; i < 3; i++)
        if (erabi_el_outcome(answer, epcs[i], &v) == ERABI_EL_TAKEN)
            (void)erabi_el_map_read(v, maps[i]); /* a bad map is an empty one: nothing may be set */
    if (erabi_el_outcome(answer, 0x8A, &v) == ERABI_EL_TAKEN && v.size == sizeof(d->maker))
        erabi_copy_bytes(d->maker, v.data, v.size);
    if (erabi_el_outcome(answer, 0x8C, &v) == ERABI_EL_TAKEN)
        copy_ascii(d->model, sizeof(d->model), v);
    if (erabi_el_outcome(answer, 0x8D, &v) == ERABI_EL_TAKEN)
        copy_ascii(d->serial, sizeof(d->serial), v);
}

static void take_facts(struct erabi_el_device *d, const struct erabi_el_frame *answer)
{
    struct erabi_slice v;
    int64_t wh;
    if (erabi_el_outcome(answer, 0xA0, &v) == ERABI_EL_TAKEN &&
        erabi_el_number(v, ERABI_EL_U32, &wh) == ERABI_EL_GOOD)
        d->capacity_wh = wh;
    erabi_el_battery_read(&d->battery, answer, &d->reading);
}

static void gave_up(struct erabi_el_device *d, const char *why)
{
    d->identifying = false;
    erabi_el_log(d->adapter, ERAB_LOG_WARNING, "%s: %s", d->entry.party, why);
    erabi_el_adapter_rested(d->adapter);
}

static void facts_done(struct erabi_el_device *d, int status)
{
    if (status) {
        gave_up(d, "found, but did not tell its facts");
        return;
    }
    d->identifying = false;
    d->ready = true;
    d->reachable = true;
    d->misses = 0;
    erabi_el_log(d->adapter, ERAB_LOG_INFO, "%s: storage battery found", d->entry.party);
    if (!d->registered)
        erabi_el_report_registration(d);
    d->registered = true;
    erabi_el_report_telemetry(d);
    erabi_el_report_state(d);
    erabi_el_run_ready(d);
}

static void object_done(struct erabi_el_device *d, int status)
{
    uint8_t epcs[16];
    size_t n = erabi_el_battery_polled(&d->battery, epcs);
    if (n < sizeof(epcs) && erabi_el_map_has(&d->battery.can_get, 0xA0))
        epcs[n++] = 0xA0;
    d->reading = (struct erabi_el_reading){0};
    if (status || n == 0 || !erabi_el_fetch(d, d->entry.eoj, epcs, n, take_facts, facts_done))
        gave_up(d, "found, but did not tell its property maps");
}

static void node_done(struct erabi_el_device *d, int status)
{
    static const uint8_t epcs[] = {0x9D, 0x9E, 0x9F, 0x82, 0x8A, 0x8C, 0x8D};
    d->id_changed = status == 0 && !d->id_matches;
    if (status || !d->id_matches || !d->object_there) {
        d->ready = false;
        gave_up(d, status ? "does not answer"
                   : !d->id_matches
                       ? "another node answers at its address; not used until a person has looked"
                       : "its node has no such object");
        return;
    }
    if (!erabi_el_fetch(d, d->entry.eoj, epcs, sizeof(epcs), take_object, object_done))
        gave_up(d, "could not be asked");
}

static void identify(struct erabi_el_device *d)
{
    static const uint8_t epcs[] = {0x82, 0x83, 0x8A, 0xD6};
    if (d->identifying || d->getter.busy || d->adapter->stopping)
        return;
    d->id_matches = d->object_there = false;
    d->identifying = erabi_el_fetch(d, ERABI_EL_NODE, epcs, sizeof(epcs), take_node, node_done);
}

static void probed(void *arg, int status, const struct erabi_el_frame *answer)
{
    struct erabi_el_probe *p = arg;
    struct erabi_el_adapter *a = p->adapter;
    struct erabi_slice id;
    in_addr_t address = p->address;
    p->address = 0;
    if (status || erabi_el_outcome(answer, 0x83, &id) != ERABI_EL_TAKEN || id.size != 17)
        return;
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        struct erabi_el_device *d = &a->devices[i];
        if (!d->entry.by_id || sodium_memcmp(d->entry.id, id.data, 17) != 0 || (d->ready && d->reachable))
            continue;
        d->address = address;
        identify(d);
    }
}

/* A node said that it is there. */
static void heard(struct erabi_el_adapter *a, in_addr_t from)
{
    static const uint8_t id_epc[] = {0x83};
    struct erabi_el_probe *free_probe = NULL;
    bool wanted = false;
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        struct erabi_el_device *d = &a->devices[i];
        if (d->ready && d->reachable)
            continue;
        if (d->address == from)
            identify(d);
        else
            wanted |= d->entry.by_id;
    }
    for (size_t i = 0; i < ERABI_EL_PROBES_MAX; i++) {
        if (a->probes[i].address == from)
            return;
        if (a->probes[i].address == 0)
            free_probe = &a->probes[i];
    }
    if (!wanted || !free_probe || a->stopping)
        return;
    *free_probe = (struct erabi_el_probe){.adapter = a, .address = from};
    if (erabi_el_get(&a->session, from, ERABI_EL_NODE, id_epc, 1, probed, free_probe))
        free_probe->address = 0;
}

static bool is_search_answer(const struct erabi_el_adapter *a, const struct erabi_el_frame *f)
{
    if (f->seoj != ERABI_EL_NODE || f->esv != ERABI_EL_GET_RES ||
        erabi_el_outcome(f, 0xD6, NULL) != ERABI_EL_TAKEN)
        return false;
    for (size_t i = 0; i < 4 && i < a->n_searches; i++)
        if (a->searches[i] == f->tid)
            return true;
    return false;
}

void erabi_el_discovery_frame(struct erabi_el_adapter *a, in_addr_t from, const struct erabi_el_frame *f)
{
    if (is_search_answer(a, f) || (f->seoj == ERABI_EL_NODE && f->esv == ERABI_EL_INF &&
                                   erabi_el_outcome(f, 0xD5, NULL) == ERABI_EL_TAKEN)) {
        heard(a, from);
        return;
    }
    if (f->esv != ERABI_EL_INF && f->esv != ERABI_EL_INFC)
        return;
    /* An announcement is a hint and no more: what it says is read from the device before it is believed. */
    uint64_t now = a->host->monotonic_ms(a->self);
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        struct erabi_el_device *d = &a->devices[i];
        if (d->ready && d->address == from && d->entry.eoj == f->seoj && now - d->hint_at >= HINT_EVERY_MS) {
            d->hint_at = now;
            erabi_el_read(d);
        }
    }
}

static void search(void *arg)
{
    struct erabi_el_adapter *a = arg;
    uint16_t tid;
    bool missing = false;
    if (erabi_el_tell_all(&a->session, ERABI_EL_GET, 0xD6, erabi_slice(NULL, 0), &tid) == 0)
        a->searches[a->n_searches % 4] = tid;
    (void)erabi_el_tell_all(&a->session, ERABI_EL_INF, 0xD5,
                            erabi_slice(erabi_el_own_instances, sizeof(erabi_el_own_instances)), NULL);
    for (size_t i = 0; i < a->settings.n_devices; i++) {
        struct erabi_el_device *d = &a->devices[i];
        bool found = d->ready && d->reachable;
        missing |= !found;
        if (!found && d->address)
            identify(d);
    }
    uint64_t next = a->n_searches < 2 ? first_searches_ms[a->n_searches]
                    : missing         ? SEARCH_MISSING_MS
                                      : SEARCH_ALL_FOUND_MS;
    a->n_searches++;
    erabi_el_arm(a, &a->search_timer, next, search, a);
}

void erabi_el_discovery_start(struct erabi_el_adapter *a)
{
    search(a);
}
