#include "policy/build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/given.h"
#include "policy/judge.h"

struct building {
    const char *file;
    const struct erabi_policy_source *source;
    struct erabi_config_errors *errors;
};

static void abstain(void *instance, erab_call call, const struct erab_policy_request *request,
                    struct erab_verdict *verdict)
{
}

static const struct erab_policy placeholder = {.size = sizeof(placeholder),
                                               .abi_major = ERAB_ABI_MAJOR,
                                               .abi_minor = ERAB_ABI_MINOR,
                                               .name = "elsewhere",
                                               .version = "1",
                                               .stages = ERAB_STAGE_INGRESS,
                                               .decide = abstain};

static const struct erab_policy *shipped(const struct building *b, const struct erabi_config_policy *entry)
{
    for (const struct erab_policy *const *p = b->source->shipped; *p; p++)
        if (strcmp((*p)->name, entry->name) == 0)
            return *p;
    char names[200] = "";
    size_t used = 0;
    for (const struct erab_policy *const *p = b->source->shipped; *p && used < sizeof(names); p++) {
        int n = snprintf(names + used, sizeof(names) - used, " %s", (*p)->name);
        used += n > 0 ? (size_t)n : 0;
    }
    erabi_config_error(b->errors, b->file, entry->mark,
                       "there is no policy '%s'; shipped are%s; one of your own needs its `module`", entry->name, names);
    return NULL;
}

static struct erabi_policy_instance *open_module(const struct building *b, const struct erabi_config_policy *entry)
{
    int fault = 0;
    struct erabi_policy_instance *instance =
        b->source->open ? b->source->open(b->source->user, entry, &fault)
                        : erabi_policy_instance_new(&placeholder, entry->instance, &fault);
    if (!instance)
        erabi_config_error(b->errors, b->file, entry->mark, "the policy '%s' cannot be started: %s", entry->instance,
                           strerror(-fault));
    else
        instance->elsewhere = true;
    return instance;
}

static struct erabi_policy_instance *make(const struct building *b, const struct erabi_config_policy *entry)
{
    if (entry->module)
        return open_module(b, entry);
    const struct erab_policy *policy = shipped(b, entry);
    if (!policy)
        return NULL;
    int fault;
    struct erabi_policy_instance *instance = erabi_policy_instance_new(policy, entry->instance, &fault);
    if (!instance) {
        erabi_config_error(b->errors, b->file, entry->mark, "the policy '%s': %s", entry->instance, strerror(-fault));
        return NULL;
    }
    instance->self.engine = b->source->engine;
    struct erab_error error = {.size = sizeof(error)};
    const struct erabi_given_entry given = {"policy", entry->instance, entry->mark, entry->options, entry->n_options,
                                            b->file, b->errors};
    bool good = erabi_given_fill(&instance->config, policy->options, &given);
    if (good && policy->check && policy->check(&instance->config, &error) < 0) {
        erabi_given_error(&given, &error);
        good = false;
    }
    if (good) {
        instance->ready = true; /* what a failed init leaves is released by fini */
        if (policy->init && policy->init(instance->memory, &instance->self, &erabi_policy_host, &instance->config,
                                         &error) < 0) {
            erabi_given_error(&given, &error);
            good = false;
        }
    }
    if (!good) {
        erabi_policy_instance_unref(instance);
        return NULL;
    }
    return instance;
}

/* Everything of an entry as one text; lengths stand before the texts, so that no two entries read the same. */
static char *identity_of(const struct erabi_config_policy *entry)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "%s %s %s %" PRIu64 " %" PRIx64 " %" PRIx64 "\n", entry->instance, entry->name,
            entry->module ? entry->module : "-", entry->deadline_ms, entry->interfaces, entry->types);
    for (size_t i = 0; i < entry->n_options; i++) {
        const struct erabi_option_pair *pair = &entry->options[i];
        fprintf(out, "%zu:%s=", strlen(pair->key), pair->key);
        for (size_t k = 0; k < pair->n_items; k++)
            fprintf(out, "%zu:%s,", strlen(pair->items[k]), pair->items[k]);
        if (!pair->items)
            fprintf(out, "%zu:%s", strlen(pair->value), pair->value);
        fputc('\n', out);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static struct erabi_policy_instance *stays(const struct erabi_policy_chain *previous, const char *identity)
{
    for (size_t i = 0; previous && i < previous->n; i++)
        if (previous->at[i]->identity && strcmp(previous->at[i]->identity, identity) == 0)
            return erabi_policy_instance_ref(previous->at[i]);
    return NULL;
}

static void chain_unrefp(struct erabi_policy_chain **chain)
{
    erabi_policy_chain_unref(*chain);
}

int erabi_policy_build(struct erabi_policy_chain **out, const struct erabi_config *config, const char *file,
                       const struct erabi_policy_source *source, const struct erabi_policy_chain *previous,
                       struct erabi_config_errors *errors)
{
    struct building b = {file, source, errors};
    _cleanup_(chain_unrefp) struct erabi_policy_chain *chain = erabi_policy_chain_new();
    if (!chain)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; i < config->n_policies; i++) {
        const struct erabi_config_policy *entry = &config->policies[i];
        _free_ char *identity = identity_of(entry);
        if (!identity)
            return -ENOMEM;
        struct erabi_policy_instance *instance = stays(previous, identity);
        if (!instance && (instance = make(&b, entry))) {
            instance->identity = erabi_take(identity);
            instance->deadline_ms = (uint32_t)entry->deadline_ms;
            instance->interfaces = entry->interfaces;
            instance->types = entry->types;
        }
        if (!instance || erabi_policy_chain_add(chain, instance) < 0)
            r = -EINVAL;
    }
    if (r == 0)
        *out = erabi_take(chain);
    return r;
}
