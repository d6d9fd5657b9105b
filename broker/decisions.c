/* What operators decide about a link. A trip acts at once and is kept afterwards; a close acts when the disk has it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

#define KEY_MAX (sizeof(ERABI_BREAKER_STATE) + 16 + 2 * (ERAB_PARTY_MAX + 1))

/* On its way through the journal. */
struct decision {
    struct erabi_pipeline *pipeline;
    char a[ERAB_PARTY_MAX + 1], b[ERAB_PARTY_MAX + 1]; /* the link may be forgotten meanwhile */
    enum erab_interface interface;
    uint64_t trip;
    erabi_journal_done_fn done;
    void *user;
};

static int keep(struct erabi_pipeline *pipeline, const struct erabi_link *link, bool tripped, erabi_journal_done_fn done,
                void *user)
{
    char key[KEY_MAX];
    uint8_t bytes[8 + ERABI_NOTE_MAX];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, erabi_now_ms(pipeline->loop));
    erabi_write_bytes(&w, link->note, strlen(link->note));
    snprintf(key, sizeof(key), ERABI_BREAKER_STATE "%s:%s:%s", erab_interface_name(link->interface), link->a, link->b);
    return erabi_journal_state(pipeline->journal, key, erabi_slice(bytes, tripped ? w.used : 0), done, user) < 0 ? -EIO
                                                                                                                 : 0;
}

static struct decision *decide(struct erabi_pipeline *pipeline, const struct erabi_link *link, erabi_journal_done_fn done,
                               void *user)
{
    struct decision *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    *d = (struct decision){
        .pipeline = pipeline, .interface = link->interface, .trip = link->trip, .done = done, .user = user};
    erabi_copy_text(d->a, sizeof(d->a), link->a);
    erabi_copy_text(d->b, sizeof(d->b), link->b);
    return d;
}

static void end(struct decision *d, int result)
{
    if (d->done)
        d->done(d->user, result);
    free(d);
}

/* ---- trip ---- */

static void on_trip_kept(void *user, int result)
{
    struct decision *d = user;
    if (result < 0)
        d->pipeline->breakers.owed = true;
    end(d, result);
}

int erabi_breakers_trip(struct erabi_pipeline *pipeline, const char *party, enum erab_interface interface,
                        const char *peer, const char *note, erabi_journal_done_fn done, void *user)
{
    const struct erabi_registry_party *p = erabi_registry_party(pipeline->registry, party);
    const struct erabi_registry_party *q = erabi_registry_party(pipeline->registry, peer);
    uint64_t mono = pipeline->loop->mono_ms;
    if (!p || !q || interface == ERAB_IF_NONE || erabi_breakers_interface(pipeline, p, q) != interface)
        return -EINVAL;
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, party, interface, peer, mono);
    struct decision *d = link ? decide(pipeline, link, done, user) : NULL;
    if (!d)
        return -ENOSPC;
    link->trip = ++pipeline->breakers.trips;
    enum erabi_breaker_change change = erabi_links_trip(pipeline->breakers.links, link, mono);
    if (change || note[0])
        erabi_copy_text(link->note, sizeof(link->note), note);
    erabi_breakers_changed(pipeline, link, change, "operator");
    if (keep(pipeline, link, true, on_trip_kept, d) < 0) {
        pipeline->breakers.owed = true;
        free(d);
        return -EIO;
    }
    return !change;
}

static void on_kept_again(void *user, int result)
{
    struct erabi_pipeline *pipeline = user;
    if (result < 0)
        pipeline->breakers.owed = true;
}

/* Not while a close is on its way: that one would then be written over. */
void erabi_breakers_keep_owed(struct erabi_pipeline *pipeline)
{
    struct erabi_breakers *b = &pipeline->breakers;
    if (!b->owed || b->closing || !erabi_journal_writable(pipeline->journal))
        return;
    b->owed = false;
    for (const struct erabi_link *l = erabi_links_next(b->links, NULL); l; l = erabi_links_next(b->links, l))
        if (l->availability.latched && keep(pipeline, l, true, on_kept_again, pipeline) < 0)
            b->owed = true;
}

/* ---- close ---- */

static void on_close_kept(void *user, int result)
{
    struct decision *d = user;
    struct erabi_pipeline *pipeline = d->pipeline;
    pipeline->breakers.closing--;
    erabi_loop_read(pipeline->loop);
    struct erabi_link *link = erabi_links_find(pipeline->breakers.links, d->a, d->interface, d->b);
    if (result == 0 && !link) {
        result = 1;
    } else if (result == 0 && link->trip != d->trip) {
        result = -ECANCELED; /* tripped since, and that is on its way to the disk behind this */
    } else if (result == 0) {
        enum erabi_breaker_change change =
            erabi_links_close(pipeline->breakers.links, link, pipeline->loop->mono_ms);
        erabi_breakers_changed(pipeline, link, change, "operator");
        result = !change;
    }
    end(d, result);
}

int erabi_breakers_close(struct erabi_pipeline *pipeline, const char *party, enum erab_interface interface,
                         const char *peer, erabi_journal_done_fn done, void *user)
{
    const struct erabi_link *link = erabi_links_find(pipeline->breakers.links, party, interface, peer);
    if (!link)
        return 1;
    struct decision *d = decide(pipeline, link, done, user);
    if (!d)
        return -ENOSPC;
    if (keep(pipeline, link, false, on_close_kept, d) < 0) {
        free(d);
        return -EIO;
    }
    pipeline->breakers.closing++;
    return 0;
}

/* ---- start ---- */

int erabi_breakers_restore(struct erabi_pipeline *pipeline, const char *key, struct erabi_slice value)
{
    char text[KEY_MAX];
    struct erabi_reader r = erabi_reader(value.data, value.size);
    erabi_read_u64(&r);
    if (r.bad || r.left > ERABI_NOTE_MAX || !erabi_copy_text(text, sizeof(text), key + strlen(ERABI_BREAKER_STATE)))
        return -EBADMSG;
    char *rest = text;
    const char *words[3];
    for (size_t i = 0; i < 3; i++)
        words[i] = strsep(&rest, ":");
    enum erab_interface interface = words[2] ? erab_interface_from_name(words[0]) : ERAB_IF_NONE;
    if (interface == ERAB_IF_NONE || !erab_party_valid(words[1]) || !erab_party_valid(words[2]))
        return -EBADMSG;
    struct erabi_link *link = erabi_links_get(pipeline->breakers.links, words[1], interface, words[2], pipeline->loop->mono_ms);
    if (!link)
        return -ENOSPC;
    enum erabi_breaker_change change = erabi_links_trip(pipeline->breakers.links, link, pipeline->loop->mono_ms);
    size_t n = r.left;
    erabi_copy_bytes(link->note, erabi_read_slice(&r, n).data, n);
    link->note[n] = 0;
    erabi_breakers_changed(pipeline, link, change, "restored");
    return 0;
}
