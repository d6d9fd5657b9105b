/* A module in a process without a supervisor; erab-runner --check: what it says of itself. */
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "runner.h"

int runner_module_load(erab_self *self, const char *path, struct erab_error *error)
{
    struct erabi_module_file file;
    const struct document *d = &self->document;
    int r = erabi_module_open(&file, path, error);
    if (r)
        return r;
    if ((r = erabi_module_verify(&file, (const uint8_t(*)[ERAB_KEY_SIZE])d->signers, d->n_signers, NULL, error)) ||
        (r = runner_files_lock(self, error)) || (r = runner_doors_close(DOORS_LOADING, error))) {
        erabi_module_close(&file);
        return r;
    }
    return erabi_module_load(&self->module, &file, error);
}

static const char *or_none(const char *text, const char *none)
{
    return text ? text : none;
}

static void print_options(const struct erab_option *table)
{
    json_t *list = erabi_module_options_manual(table);
    size_t i;
    const json_t *row;
    json_array_foreach(list, i, row)
    {
        const char *preset = json_string_value(json_object_get(row, "default"));
        const char *help = json_string_value(json_object_get(row, "help"));
        printf("  %s: %s%s%s%s%s%s%s\n", json_string_value(json_object_get(row, "name")),
               json_string_value(json_object_get(row, "type")),
               json_is_true(json_object_get(row, "required")) ? ", required" : "",
               json_is_true(json_object_get(row, "secret")) ? ", secret" : "", preset ? ", default " : "",
               or_none(preset, ""), help ? " - " : "", or_none(help, ""));
    }
    json_decref(list);
}

int runner_module_print(const char *path)
{
    struct erab_error error = {.size = sizeof error};
    struct erabi_module_file file;
    struct erabi_module *m;
    static erab_self nobody; /* who may open libraries and nothing else */
    if (runner_doors_limit(&error) || erabi_module_open(&file, path, &error) || runner_files_lock(&nobody, &error) ||
        runner_doors_close(DOORS_LOADING, &error) || erabi_module_load(&m, &file, &error)) {
        erabi_plain_text(error.text, strlen(error.text));
        fprintf(stderr, "erab-runner: %s\n", error.text);
        return 1;
    }
    printf("ABI %u.%u, build %s\n", m->table.abi_major, m->table.abi_minor, or_none(m->table.build, "not stated"));
    for (size_t i = 0; i < m->n_adapters; i++) {
        const struct erab_adapter *a = &m->adapters[i];
        printf("adapter %s %s (%s), hardened for: %s, at most %u in flight\n", a->name, a->version,
               or_none(a->vendor, "no vendor"), or_none(a->hardened_for, "nothing stated"), a->max_in_flight);
        print_options(a->options);
    }
    for (size_t i = 0; i < m->n_policies; i++) {
        printf("policy %s %s (%s)\n", m->policies[i].name, m->policies[i].version,
               or_none(m->policies[i].vendor, "no vendor"));
        print_options(m->policies[i].options);
    }
    erabi_module_free(m);
    return 0;
}
