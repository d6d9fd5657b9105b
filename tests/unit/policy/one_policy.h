/* One shipped policy by itself: made of options, asked about a message. */
#ifndef ERAB_TEST_ONE_POLICY_H
#define ERAB_TEST_ONE_POLICY_H

#include <erab/policy.h>

#define NOW UINT64_C(1900000000000) /* 2030-03-17 17:46:40 UTC, 02:46:40 the next day in Japan */

extern const struct erab_policy *policy;
extern void *instance;
extern struct erab_verdict verdict; /* the last one */

/* `options`: name=item;item|name=item, for lists; an option that is not a list: name:value. */
void make(const struct erab_policy *p, const char *options);
int drop(void **state);

struct ask {
    const char *from, *to;
    enum erab_type type;
    enum erab_category category;
    enum erab_interface interface;
    uint64_t after_ms;
    uint32_t size;
    uint8_t id;
    uint32_t stage; /* 0: ingress */
};

enum erab_vote ask_about(struct ask a, const ProtobufCMessage *body);
#define ASK(body, ...) ask_about((struct ask){__VA_ARGS__}, body)

#endif
