/* Speaks for others, ends what was never given to it, and answers nonsense. */
#include "shell.h"

static void began(struct bad *b)
{
    Erab__V1__Capability c = ERAB__V1__CAPABILITY__INIT;
    struct erab_outgoing_message m = {.size = sizeof m, .type = ERAB_CAPABILITY, .category = ERAB_OPERATION, .from = "birch",
                                      .to = "coordinator.rest", .body = &c.base};
    uint8_t id[ERAB_ID_SIZE];
    say(b, "as another: %s", strerror(-b->host->publish(b->self, &m, id)));
    for (erab_call call = 1; call < 100; call++)
        b->host->complete(b->self, call, ERAB_APPLIED, ERAB_REASON_NONE, "done");
    b->host->complete(b->self, UINT64_MAX, (enum erab_receipt_state)77, (enum erab_reason)9999, "?");
}

static int commanded(struct bad *b, erab_call call, const struct erab_message *message)
{
    switch (b->n++) {
    case 0:
        return -12345;
    case 1:
        return 99999;
    case 2:
        b->host->complete(b->self, call, (enum erab_receipt_state)77, (enum erab_reason)9999, NULL);
        b->host->complete(b->self, call, ERAB_APPLIED, ERAB_REASON_NONE, NULL);
        return 0;
    default:
        return apply(b, call);
    }
}
