/* Speaks for a party that is not its own; applies the command when that was refused, so that the test sees it. */
#define BAD_DELIVER                                                                                          \
    if (!call)                                                                                               \
        return 0;                                                                                            \
    Erab__V1__Opt opt = ERAB__V1__OPT__INIT;                                                                 \
    uint8_t id[ERAB_ID_SIZE];                                                                                \
    opt.order = (char[]){"o-1"};                                                                             \
    opt.decision = ERAB__V1__OPT_DECISION__OPT_IN;                                                           \
    struct erab_outgoing_message m = {.size = sizeof m, .type = ERAB_OPT, .category = ERAB_OPERATION,        \
                                      .from = "birch", .to = "hub", .body = &opt.base};                      \
    bool refused = b->host->publish(b->self, &m, id) == -13;                                                 \
    b->host->complete(b->self, call, refused ? ERAB_APPLIED : ERAB_REFUSED,                                  \
                      refused ? ERAB_REASON_NONE : ERAB_REASON_INTERNAL, NULL);                              \
    return 0;
#include "good.h"
