#include "one_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

const struct erab_policy *policy;
void *instance;
static struct erab_config_value values[16];
static const char *lists[8][16];
static struct erab_config config;
struct erab_verdict verdict;

void make(const struct erab_policy *p, const char *options)
{
    static char text[2048];
    struct erab_error error = {.size = sizeof(error)};
    uint32_t n = 0, list = 0;
    policy = p;
    strcpy(text, options);
    for (const struct erab_option *o = p->options; o->name; o++, n++) {
        values[n] = (struct erab_config_value){.name = o->name, .text = o->default_value};
        if (o->default_value)
            values[n].integer = strtoll(o->default_value, NULL, 10);
    }
    config = (struct erab_config){.size = sizeof(config), .n = n, .values = values};
    char *outer;
    for (char *word = strtok_r(text, "|", &outer); word; word = strtok_r(NULL, "|", &outer)) {
        size_t at = strcspn(word, "=:");
        bool is_list = word[at] == '=';
        word[at] = '\0';
        struct erab_config_value *v = NULL;
        for (uint32_t i = 0; i < n; i++)
            if (strcmp(values[i].name, word) == 0)
                v = &values[i];
        assert_non_null(v);
        v->text = word + at + 1;
        v->integer = strtoll(v->text, NULL, 10);
        uint32_t k = 0;
        char *inner;
        for (char *item = strtok_r(word + at + 1, ";", &inner); item && is_list; item = strtok_r(NULL, ";", &inner))
            lists[list][k++] = item;
        if (is_list) {
            lists[list][k] = NULL;
            v->list = lists[list++];
        }
    }
    instance = calloc(1, p->instance_size);
    assert_int_equal(p->check(&config, &error), 0);
    if (p->init(instance, NULL, NULL, &config, &error) < 0)
        fail_msg("%s", error.text);
}

int drop(void **state)
{
    if (policy)
        policy->fini(instance);
    free(instance);
    policy = NULL;
    instance = NULL;
    return 0;
}

enum erab_vote ask_about(struct ask a, const ProtobufCMessage *body)
{
    struct erab_header header = {.type = a.type, .category = a.category ? a.category : ERAB_OPERATION, .id = {a.id}};
    struct erab_policy_request request = {.size = sizeof(request),
                                          .stage = a.stage ? a.stage : ERAB_STAGE_INGRESS,
                                          .interface = a.interface ? a.interface : ERAB_IF_R4,
                                          .from = a.from ? a.from : "alder",
                                          .to = a.to ? a.to : "battery-1",
                                          .header = &header,
                                          .body = body,
                                          .now_ms = NOW + a.after_ms,
                                          .body_size = a.size};
    verdict = (struct erab_verdict){.size = sizeof(verdict), .section = "", .detail = ""};
    policy->decide(instance, 1, &request, &verdict);
    return verdict.vote;
}
