/* One message on its way through the pipeline, and what the steps do with it that is not the order of the steps. Only
 * pipeline.c and passage.c know it. */
#ifndef ERABI_PASSAGE_H
#define ERABI_PASSAGE_H

#include "pipeline.h"

enum step { NEXT, REFUSE, WAIT, END };

/* One message on its way. Heap-allocated, for the commit is waited for. */
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
    ProtobufCMessage *body; /* NULL when sealed */
    const struct erabi_registry_party *from;
    struct link {
        const struct erabi_registry_party *to;
        enum erab_interface interface;
        struct erabi_target *target;
        enum erab_reason reason; /* NONE: it passes */
        int64_t row;
        bool held; /* room in the target's queue is promised */
    } *links;
    size_t n_links, n_passed;
    struct erabi_known *known;
    struct erabi_gather *gather; /* of a message to a group, until it is accepted */
    bool stored;                 /* with the rows of its members */
    bool gathered;               /* a receipt of a group's member: told with the others' */
    struct erabi_parcel *parcel;
    enum erab_reason reason; /* of a refusal, with section and detail for the receipt */
    const char *section;
    const char *detail;
    size_t cursor;
};

/* Where this broker is neither end, it carries what tells of a person only closed (PROTOCOL.md, section 2.2). */
bool erabi_passage_must_seal(const struct passage *p, const struct link *link);
/* What it takes of a packet, and of a queue. */
size_t erabi_passage_size(const struct passage *p);
/* The members of a group, whose states are gathered from here on; false: no room. */
bool erabi_passage_gather(struct passage *p);
/* Message and outbox rows into the journal. `done` NULL: it is not waited for (a receipt: until its row is written, who
 * sent it has it too). 0 or a negative errno. */
int erabi_passage_put(struct passage *p, erabi_journal_done_fn done);

#endif
