/* The path of a message through the broker. Loop thread.
 *
 *   session: decode, from, deadline, replay, signature -> route (groups become links)
 *     -> per link: flow, policies (now or later), breaker, room -> parent -> journal (message and outbox rows, one
 *     commit) -> receipt -> outbox
 *
 * Nothing bypasses it: adapters, local applications and uplinks send through the same steps. */
#ifndef ERABI_PIPELINE_H
#define ERABI_PIPELINE_H

#include <erab/identity.h>

#include "audit/audit.h"
#include "breakers.h"
#include "config/profile.h"
#include "identity/registry.h"
#include "journal/journal.h"
#include "loop/loop.h"
#include "policy/judge.h"
#include "route/answer.h"
#include "route/gather.h"
#include "route/known.h"
#include "route/marks.h"
#include "route/refused.h"
#include "route/session.h"
#include "snapshot.h"

/* The lifetimes that a sender may give (PROTOCOL.md). */
#define ERABI_COMMAND_LIFE_MS 3600000u
#define ERABI_OTHER_LIFE_MS   86400000u
/* Passages waiting for a commit at most. */
#define ERABI_PASSAGES_MAX 16384u

/* What is derived from one configuration and its registry. */
struct erabi_tables {
    const struct erabi_config_group **groups; /* by id */
    size_t n_groups;
    const struct erabi_attachment **locals; /* the owner's applications, who names its types first */
    size_t n_locals;
};

struct erabi_pipeline {
    struct erabi_loop *loop;
    struct erabi_snapshot *snapshot; /* a reference; the four below are its parts */
    const struct erabi_config *config;
    const struct erabi_profile *profile;
    struct erabi_registry *registry;
    struct erabi_policy_engine *policies;
    struct erabi_journal *journal;
    struct erabi_audit *audit;
    const struct erab_identity *owner; /* signs for local applications */
    struct erabi_breakers breakers;
    struct erabi_known_table known;
    struct erabi_marks marks;
    struct erabi_refused_table refused;
    struct erabi_gather_table gathers;
    struct erabi_pool passage_pool, parcel_pool, delivery_pool;
    struct erabi_target *turn; /* targets with something to send, pumped at the end of the turn: fuller packets */
    struct erabi_target **targets;
    size_t n_targets;
    struct erabi_id_table target_ids; /* the same, by attachment and interface */
    struct erabi_tables tables;
    struct erabi_target **outlets; /* by party index and interface, filled when first used */
    uint64_t *seqs;                /* by party index: of the broker's own answers */
    struct erabi_attachment self; /* of what the broker says for its owner */
    size_t passages;
    size_t n_saying;   /* targets whose applications have said what they take (takers.c) */
    uint64_t issued_after_ms; /* an accepted older journal: what was sent before may have been taken already; 0: none */
    uint64_t isolated; /* bits 1 << enum erab_interface: nothing passes there */
    uint64_t void_ms;  /* commands issued before this count as expired: then the clock was set back */
    bool voiding;      /* that happens now, or was not done to its end before a restart: to all of them */
    /* A PartyCard addressed to the owner is the broker's to take: may it be, and taking it once it is on disk. */
    enum erab_reason (*check_card)(void *user, const struct erabi_attachment *source, const struct erab_header *header,
                                   const Erab__V1__PartyCard *card);
    void (*take_card)(void *user, const struct erabi_attachment *source, const struct erab_header *header,
                      const Erab__V1__PartyCard *card);
    void *card_user;
};

/* Allocates the tables above for the registry and the configuration that are set. 0 or -ENOMEM. */
int erabi_outlets_init(struct erabi_pipeline *pipeline);
/* The tables of a configuration; 0 or -ENOMEM (then there is nothing to free). For another configuration: make the new
 * ones, free the old ones, and once every target has its attachment of the new registry, erabi_outlets_rekey, which
 * cannot fail. known.charged and marks.charged must then be as long as the new registry. */
int erabi_tables_make(struct erabi_tables *tables, const struct erabi_config *config,
                      const struct erabi_registry *registry);
void erabi_tables_free(struct erabi_tables *tables);
void erabi_outlets_rekey(struct erabi_pipeline *pipeline);
/* NULL: no such group. `id` without '@'. */
const struct erabi_config_group *erabi_pipeline_group(const struct erabi_pipeline *pipeline, const char *id);
/* The target of an attachment on an interface (ERAB_IF_NONE: the local endpoint), made when first asked for;
 * NULL: out of memory. */
struct erabi_target *erabi_pipeline_outlet(struct erabi_pipeline *pipeline,
                                           const struct erabi_attachment *attachment,
                                           enum erab_interface interface);
/* Where messages to this party leave on this interface: its own attachment there, its adapter or (for the
 * owner) the local application that takes the type (takers.h). When none does, the owner's messages wait, for a taker or
 * their deadline. NULL when there is nothing. */
struct erabi_target *erabi_pipeline_target(struct erabi_pipeline *pipeline, uint32_t party,
                                           enum erab_interface interface, enum erab_type type);
/* swap.c: puts another snapshot into the place of the present one. Prepare does all that may fail; then either swap or
 * undo. Every target goes over to the attachment of the new snapshot; `cut` is called for those that ended or
 * are another party's now, and what waited there is told to its senders. The old snapshot's reference is given back. */
struct erabi_swap {
    struct erabi_snapshot *snapshot;
    struct erabi_pipeline tables;         /* those of outlets.c, for the new snapshot */
    const struct erabi_attachment **next; /* by target */
    bool *emptied;                        /* by target */
};
int erabi_pipeline_swap_prepare(struct erabi_swap *swap, struct erabi_pipeline *pipeline,
                                struct erabi_snapshot *snapshot);
void erabi_pipeline_swap(struct erabi_swap *swap, struct erabi_pipeline *pipeline,
                         void (*cut)(void *user, struct erabi_target *target), void *user);
/* An interface is isolated from now on, or joined again; what waits for links of it is told to its senders. */
void erabi_pipeline_isolate(struct erabi_pipeline *pipeline, enum erab_interface interface, bool isolated);
/* voided.c: is this a command of a time that counts no more; and: from now on that is true of all accepted so far. */
bool erabi_pipeline_voided(const struct erabi_pipeline *pipeline, const struct erab_header *header);
void erabi_pipeline_void(struct erabi_pipeline *pipeline, uint64_t now_ms);
/* One envelope of a bound session. */
void erabi_pipeline_receive(struct erabi_pipeline *pipeline, struct erabi_session *session,
                            const struct erab_header *header, const struct erabi_envelope *envelope);
/* One envelope that the broker itself makes for its owner; the same steps, no shorter way. */
void erabi_pipeline_originate(struct erabi_pipeline *pipeline, const struct erab_header *header,
                              const struct erabi_envelope *envelope);
/* followup.c: a cancel ends the order here too, nothing new may follow from it; a newer version of an order ends the
 * older one; a receipt of the recipient (or its broker) takes the message out of the outbox; and what leaves an outbox
 * without one (erabi_left_fn, `user` is the pipeline). */
void erabi_followup_cancel(struct erabi_pipeline *pipeline, const struct erab_header *header,
                           const Erab__V1__DispatchCancel *cancel);
void erabi_followup_order(struct erabi_pipeline *pipeline, struct erabi_known *known);
void erabi_followup_receipt(struct erabi_pipeline *pipeline, struct erabi_target *source,
                            const struct erabi_registry_party *from, const struct erab_header *header,
                            const Erab__V1__Receipt *receipt);
void erabi_followup_left(void *user, struct erabi_delivery *delivery, enum erab_reason reason);
/* A delivery that its link (open) or a policy does not let go: its sender is told. */
void erabi_followup_denied(struct erabi_pipeline *pipeline, struct erabi_delivery *delivery, enum erab_reason reason,
                           const char *section, const char *detail);
/* egress.c: the policies are asked once more before a message leaves (struct erabi_target_gate; `user` is the
 * pipeline); and told of the orders of before a restart. */
bool erabi_egress_asks(void *user);
bool erabi_egress_leaves(void *user, struct erabi_delivery *delivery);
void erabi_egress_refused(void *user, struct erabi_delivery *delivery);
void erabi_pipeline_recall(struct erabi_pipeline *pipeline, const struct erab_header *header,
                           const struct erabi_journal_mark *row, const ProtobufCMessage *body);
/* notices.c: tells the other end of a link, when it is connected, what became of the link's breaker. */
void erabi_notices_send(struct erabi_pipeline *pipeline, const struct erabi_link *link);
/* heads.c: the heads of the audit logs, ours to others and theirs here. */
void erabi_heads_send(struct erabi_pipeline *pipeline, const struct erabi_audit_head *head);
void erabi_heads_take(struct erabi_pipeline *pipeline, const struct erab_header *header,
                      const Erab__V1__AuditHead *head);
/* What the journal kept goes back into its outbox; what expired meanwhile or has no way any more is told to its sender.
 * 0 or a negative errno. */
int erabi_pipeline_restore_member(struct erabi_pipeline *pipeline, const struct erabi_journal_member *row);
int erabi_pipeline_restore(struct erabi_pipeline *pipeline, const struct erabi_journal_pending *row);
int erabi_pipeline_restore_mark(struct erabi_pipeline *pipeline, const struct erabi_journal_mark *row);
/* Everything waiting for a target is dropped, with a receipt to each sender. */
void erabi_pipeline_drop(struct erabi_pipeline *pipeline, struct erabi_target *target, enum erab_reason reason);
/* Frees what the pipeline owns. */
void erabi_pipeline_deinit(struct erabi_pipeline *pipeline);
void erabi_pipeline_tick(struct erabi_pipeline *pipeline);
/* outlets.c: what was pushed to a target in this turn of the loop leaves at its end, which is told by the second one. */
void erabi_pipeline_pump(struct erabi_pipeline *pipeline, struct erabi_target *target);
void erabi_pipeline_turn(struct erabi_pipeline *pipeline);
/* Would a command be accepted now? */
bool erabi_pipeline_ready(const struct erabi_pipeline *pipeline);
uint64_t erabi_pipeline_next_seq(struct erabi_pipeline *pipeline, const char *to);

#endif
