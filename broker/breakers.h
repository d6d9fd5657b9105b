/* The breakers in the path of messages: which facts are told to a link, what happens when it opens. Loop thread.
 *
 * A trip, in this order, in one turn of the loop: the audit line (its mono_ms is the moment of the decision); from then
 * on nothing of the link passes; what waits for it is dropped and its senders are told; the connections of a key that
 * serves no closed link any more are cut. */
#ifndef ERABI_BREAKERS_H
#define ERABI_BREAKERS_H

#include "identity/registry.h"
#include "journal/journal.h"
#include "route/target.h"

struct erabi_pipeline;

/* Keys in the journal of what operators opened: "breaker:INTERFACE:PARTY:PARTY". */
#define ERABI_BREAKER_STATE "breaker:"

struct erabi_breakers {
    struct erabi_links *links;
    struct erabi_target_gate gate;
    void (*cut)(void *user, const struct erabi_link *link);
    void *user;
    uint64_t trips;   /* of operators, counted */
    unsigned closing; /* closes on their way to the disk */
    bool owed;        /* a trip is not on disk: all are written again each second until it takes them */
};

int erabi_breakers_init(struct erabi_pipeline *pipeline, void (*cut)(void *user, const struct erabi_link *link),
                        void *user);

/* A message came from a connection: counts it. False: it is not even looked at. */
bool erabi_breakers_take(struct erabi_pipeline *pipeline, const struct erabi_target *source,
                         const struct erab_header *header);
/* May it pass over this link? */
bool erabi_breakers_pass(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                         const struct erabi_registry_party *to, enum erab_interface interface,
                         const struct erab_header *header);
/* The same when it is accepted: takes the one place that half-open gives. Not so: its row leaves the outbox. */
bool erabi_breakers_claim(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                          const struct erabi_registry_party *to, enum erab_interface interface,
                          const struct erab_header *header, int64_t row);
/* No link of a stored message is left: that is what the same bytes are told from now on. Takes *known; true. */
struct erabi_known;
bool erabi_breakers_too_late(struct erabi_pipeline *pipeline, struct erabi_known **known);
/* erabi_target_push over a link. */
int erabi_breakers_push(struct erabi_pipeline *pipeline, struct erabi_target *target, struct erabi_parcel *parcel,
                        int64_t row, const struct erabi_registry_party *to, enum erab_interface interface,
                        enum erabi_push how);
/* There was no room for a message in the recipient's queue. */
void erabi_breakers_full(struct erabi_pipeline *pipeline, const struct erabi_registry_party *from,
                         const struct erabi_registry_party *to, enum erab_interface interface);
/* A delivery's deadline is over. */
void erabi_breakers_expired(struct erabi_pipeline *pipeline, const struct erabi_delivery *delivery);
/* A key has bound its command connection. */
void erabi_breakers_connected(struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                              enum erab_interface interface);
/* Is every link that this attachment serves on the interface (ERAB_IF_NONE: the local endpoint, all of them) open?
 * False when it serves none. */
bool erabi_breakers_all_open(const struct erabi_pipeline *pipeline, const struct erabi_attachment *attachment,
                             enum erab_interface interface);
void erabi_breakers_tick(struct erabi_pipeline *pipeline);

/* decisions.c: an operator's decisions. A trip acts before it returns: 0, or 1 when it was so already; `done` (may be
 * NULL) follows when the disk has it, or with -EIO when it has not; it is then written again until it does. Else `done`
 * is not called: -EINVAL (these two have no such interface), -ENOSPC (no room; nothing was done), -EIO (it acts, the
 * journal takes nothing now, it is written later). */
int erabi_breakers_trip(struct erabi_pipeline *pipeline, const char *party, enum erab_interface interface,
                        const char *peer, const char *note, erabi_journal_done_fn done, void *user);
/* A close acts when the disk has it. 0: `done` follows with 0, 1 (was closed already), -ECANCELED (tripped since, stays
 * open) or -EIO (not kept, stays open). Else `done` is not called: 1 (nothing is known of this link: it is closed),
 * -ENOSPC or -EIO. */
int erabi_breakers_close(struct erabi_pipeline *pipeline, const char *party, enum erab_interface interface,
                         const char *peer, erabi_journal_done_fn done, void *user);
/* Once a second. */
void erabi_breakers_keep_owed(struct erabi_pipeline *pipeline);
/* breakers.c, for decisions.c: the interface of two parties (ERAB_IF_NONE: none); what follows from a change. */
enum erab_interface erabi_breakers_interface(const struct erabi_pipeline *pipeline, const struct erabi_registry_party *p,
                                             const struct erabi_registry_party *q);
void erabi_breakers_changed(struct erabi_pipeline *pipeline, struct erabi_link *link, enum erabi_breaker_change change,
                            const char *by);
/* What an operator had opened before the start. 0 or a negative errno. */
int erabi_breakers_restore(struct erabi_pipeline *pipeline, const char *key, struct erabi_slice value);

#endif
