/* What became of a message to a group, member by member, until all is said: gathered into one receipt a second
 * and a last one at the deadline. Loop thread. */
#ifndef ERABI_ROUTE_GATHER_H
#define ERABI_ROUTE_GATHER_H

#include <sys/queue.h>

#include <erab/message.h>

#include "base/id_table.h"

/* Members of all messages together. */
#define ERABI_GATHER_MEMBERS_MAX 1000000u

struct erabi_gather_member {
    uint32_t party; /* index */
    enum erab_receipt_state state;
    enum erab_reason reason;
};

struct erabi_gather {
    struct erabi_id_entry entry; /* first; the message */
    TAILQ_ENTRY(erabi_gather) link;
    uint8_t hash[ERAB_HASH_SIZE];
    char from[ERAB_PARTY_MAX + 1];
    uint64_t expires_at_ms;
    bool exercise;
    bool accepted; /* its commit is through: before it nothing is told */
    bool news;
    size_t n, room;
    struct erabi_gather_member members[]; /* by party */
};

struct erabi_gather_table {
    struct erabi_id_table ids;
    TAILQ_HEAD(, erabi_gather) list;
    size_t members;
};

void erabi_gather_init(struct erabi_gather_table *table);
void erabi_gather_deinit(struct erabi_gather_table *table);
/* Room for `n` members, none yet. NULL: too many in all, or out of memory. */
struct erabi_gather *erabi_gather_new(struct erabi_gather_table *table, const struct erab_header *header,
                                      const uint8_t hash[ERAB_HASH_SIZE], size_t n);
void erabi_gather_free(struct erabi_gather_table *table, struct erabi_gather *gather);
struct erabi_gather *erabi_gather_find(const struct erabi_gather_table *table, const uint8_t id[ERAB_ID_SIZE]);
/* A member, once each. */
void erabi_gather_add(struct erabi_gather *gather, uint32_t party, enum erab_receipt_state state,
                      enum erab_reason reason);
/* A member has come further: 1. 0: not a member, or it was there already or beyond (APPLIED, EXPIRED and REFUSED are
 * ends). */
int erabi_gather_note(struct erabi_gather *gather, uint32_t party, enum erab_receipt_state state,
                      enum erab_reason reason);
/* The least that every member has reached that was neither refused nor came too late; when there is no such member,
 * EXPIRED if one came too late, else REFUSED. */
enum erab_receipt_state erabi_gather_state(const struct erabi_gather *gather);
/* Nothing more can come. */
bool erabi_gather_over(const struct erabi_gather *gather, uint64_t now_ms);

#endif
