#include "config/given.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static struct erabi_mark place(const struct erabi_given_entry *entry, const struct erabi_option_fault *fault)
{
    for (size_t i = 0; i < entry->n_options; i++) {
        const struct erabi_option_pair *pair = &entry->options[i];
        if (strcmp(pair->key, fault->option) != 0)
            continue;
        if (fault->is_name)
            return pair->key_mark;
        return fault->item && fault->item <= pair->n_items ? pair->item_marks[fault->item - 1] : pair->mark;
    }
    return entry->mark;
}

void erabi_given_fault(const struct erabi_given_entry *entry, const struct erabi_option_fault *fault)
{
    erabi_config_error(entry->errors, entry->file, place(entry, fault), "%s '%s': %.300s", entry->kind, entry->instance,
                       fault->text);
}

void erabi_given_error(const struct erabi_given_entry *entry, const struct erab_error *error)
{
    const struct erabi_option_fault fault = {.option = error->option, .item = error->item, .text = error->text};
    erabi_given_fault(entry, &fault);
}

static void on_fault(void *user, const struct erabi_option_fault *fault)
{
    erabi_given_fault(user, fault);
}

bool erabi_given_fill(struct erab_config *out, const struct erab_option *table, const struct erabi_given_entry *entry)
{
    const struct erabi_option_fault none = {.option = "", .text = "no memory"};
    struct erabi_given_entry to = *entry;
    _free_ struct erabi_option_given *at = calloc(entry->n_options + 1, sizeof(*at));
    *out = (struct erab_config){.size = sizeof(*out)};
    if (!at) {
        erabi_given_fault(entry, &none);
        return false;
    }
    for (size_t i = 0; i < entry->n_options; i++) {
        const struct erabi_option_pair *pair = &entry->options[i];
        at[i] = (struct erabi_option_given){.name = pair->key,
                                            .text = pair->items ? NULL : pair->value,
                                            .items = (const char *const *)pair->items,
                                            .n_items = pair->n_items};
    }
    const struct erabi_options_given given = {
        .at = at, .n = entry->n_options, .lists_are_lists = true, .fault = on_fault, .user = &to};
    return erabi_module_options_fill(out, table, &given) == 0;
}
