/* One message on its way through the pipeline, and what the steps do with it that is not the order of the steps. Only
 * pipeline.c and passage*.c know it. */
#ifndef ERABI_PASSAGE_H
#define ERABI_PASSAGE_H

#include "pipeline.h"

enum step { NEXT, REFUSE, WAIT, END };

/* One message on its way. Of a pool, not of the stack, for the commit is waited for. */
struct passage {
    struct erabi_pipeline *pipeline;
    struct erabi_snapshot *snapshot; /* a reference: a reload may come while the commit is waited for */
    struct erabi_target *source;
    const struct erabi_attachment *attachment;
    struct erabi_envelope envelope; /* views into the packet until `parcel` holds a copy */
    struct erab_header header;
    uint8_t hash[ERAB_HASH_SIZE];
    uint8_t signature[ERAB_SIGNATURE_SIZE];
    bool is_signed;
    struct erabi_seen seen; /* which fields the body has; none when sealed */
    ProtobufCMessage *body; /* NULL when sealed, and of telemetry until a policy wants it */
    const struct erabi_registry_party *from;
    struct link {
        struct passage *passage;
        const struct erabi_registry_party *to;
        enum erab_interface interface;
        struct erabi_target *target;
        enum erab_reason reason; /* NONE: it passes */
        int64_t row;
        bool held; /* room in the target's queue is promised */
    } *links, one; /* one: of a message to a single party */
    size_t n_links, n_passed, n_waiting;
    bool judging; /* votes that come while the links are still gone through */
    bool waited;
    struct erabi_known *known;   /* of commands and control messages */
    bool marked;                 /* of telemetry */
    struct erabi_gather *gather; /* of a message to a group, until it is accepted */
    bool stored;                 /* with the rows of its members */
    bool gathered;               /* a receipt of a group's member: told with the others' */
    struct erabi_parcel *parcel;
    enum erab_reason reason; /* of a refusal, with section and detail for the receipt */
    const char *section;
    const char *detail;
    char kept_section[16], kept_detail[128]; /* what a policy said: its own text may not last */
    size_t cursor;
};

/* Addressed to this broker's owner: by name, or as the member of a group of the broker above an uplink. */
bool erabi_passage_to_owner(const struct passage *p);
/* Where this broker is neither end, it carries what tells of a person only closed (PROTOCOL.md, section 2.2). */
bool erabi_passage_must_seal(const struct passage *p, const struct link *link);
/* What it takes of a packet, and of a queue. */
size_t erabi_passage_size(const struct passage *p);
/* A link for each member of a group, configured or approved into it; false: no memory. */
bool erabi_passage_members(struct passage *p, const struct erabi_config_group *group);
/* The members of a group, whose states are gathered from here on; false: no room. */
bool erabi_passage_gather(struct passage *p);
/* Goes on from the step at the cursor. */
void erabi_passage_run(struct passage *p);
/* Unpacks a body that was scanned. NONE, or why it cannot be. */
enum erab_reason erabi_passage_unpack(struct passage *p);
/* Asks the policies about one link: its reason is set now, or later (n_waiting counts it). */
void erabi_passage_ask(struct passage *p, struct link *link);
/* From here on it owns its bytes and, unless it is a receipt, is remembered, so that the same bytes again are not taken
 * twice. False: no room. */
bool erabi_passage_hold(struct passage *p);
/* What was refused in the end is not remembered. */
void erabi_passage_forget(struct passage *p);
/* Time has passed for what had to wait: what was checked before is checked again. NONE: it may go on. */
enum erab_reason erabi_passage_look_again(const struct passage *p);
/* A copy of what was refused because its link was open: the answer is on its way, and what it says must stay true. */
bool erabi_passage_was_refused(struct passage *p);
void erabi_passage_keep_refusal(const struct passage *p);
/* Message and outbox rows into the journal. `done` NULL: it is not waited for (a receipt: until its row is written, who
 * sent it has it too). 0 or a negative errno. */
int erabi_passage_put(struct passage *p, erabi_journal_done_fn done);

#endif
