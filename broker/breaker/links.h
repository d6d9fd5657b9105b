/* The links that something is known about: one record for a pair of parties on an interface, the same for both
 * directions. A link without a record is closed. Bounded; the table forgets what has been quiet. Loop thread. */
#ifndef ERABI_BREAKER_LINKS_H
#define ERABI_BREAKER_LINKS_H

#include <stddef.h>

#include <erab/types.h>

#include "breaker/availability.h"

#define ERABI_LINKS_MAX 65536u
#define ERABI_NOTE_MAX  120

struct erabi_delivery;

/* Each kind of breaker has a member of its own here and is told by its own functions only. */
struct erabi_link {
    struct erabi_link *next;
    char a[ERAB_PARTY_MAX + 1], b[ERAB_PARTY_MAX + 1]; /* a before b in the order of strcmp */
    enum erab_interface interface;
    uint32_t users; /* messages under way that point here */
    struct erabi_delivery *waiting; /* these, newest first; of the layer that owns them */
    struct erabi_availability availability;
    uint64_t denied;              /* since it opened */
    uint64_t trip;                /* the number of an operator's last trip; the caller's */
    char note[ERABI_NOTE_MAX + 1]; /* an operator's, "" when none */
};

struct erabi_links;

/* `limits` is copied; NULL: the usual ones. At most `most` records (0: ERABI_LINKS_MAX). */
int erabi_links_new(struct erabi_links **out, const struct erabi_availability_limits *limits, size_t most);
void erabi_links_free(struct erabi_links *links);
const struct erabi_availability_limits *erabi_links_limits(const struct erabi_links *links);

/* The order of the two parties does not matter. NULL: nothing is known of it. */
struct erabi_link *erabi_links_find(const struct erabi_links *links, const char *x, enum erab_interface interface,
                                    const char *y);
/* Makes the record when there is none. NULL: the table is full of what cannot be forgotten, memory is out, or an id
 * does not fit. */
struct erabi_link *erabi_links_get(struct erabi_links *links, const char *x, enum erab_interface interface,
                                   const char *y, uint64_t now_ms);
/* All records in turn, in no particular order; NULL begins and ends. Nothing may be added or ticked meanwhile. */
struct erabi_link *erabi_links_next(const struct erabi_links *links, const struct erabi_link *after);
/* How many are open now: 0 spares the search for what to keep out. */
size_t erabi_links_open(const struct erabi_links *links);
/* The order of `erab breaker list`. */
int erabi_link_compare(const struct erabi_link *x, const struct erabi_link *y);

/* A message under way holds its link. NULL is fine. */
struct erabi_link *erabi_link_ref(struct erabi_link *link);
void erabi_link_unref(struct erabi_link *link);
bool erabi_link_is_open(const struct erabi_link *link);

/* The facts and decisions of availability.h, counted. */
enum erabi_breaker_change erabi_links_fact(struct erabi_links *links, struct erabi_link *link,
                                           enum erabi_breaker_fact fact, uint64_t now_ms);
enum erabi_breaker_change erabi_links_trip(struct erabi_links *links, struct erabi_link *link, uint64_t now_ms);
enum erabi_breaker_change erabi_links_close(struct erabi_links *links, struct erabi_link *link, uint64_t now_ms);
/* Once a second: tells each change of time, then forgets what has been quiet. `changed` may not add records. */
void erabi_links_tick(struct erabi_links *links, uint64_t now_ms,
                      void (*changed)(void *user, struct erabi_link *link, enum erabi_breaker_change change),
                      void *user);
#endif
