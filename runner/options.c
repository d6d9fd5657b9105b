/* erab-runner --options-fd: whether a module would take these options. Its tables and its check() are all that runs of
 * it, behind the doors of a policy. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "runner.h"

struct asked {
    const char *path, *kind, *name;
    const json_t *options;
    const struct erab_option *table;
    int (*check)(const struct erab_config *config, struct erab_error *error);
};

/* One line a fault, for who knows the lines of the configuration. */
static void print_fault(void *user, const struct erabi_option_fault *fault)
{
    char text[400], option[64]; /* a module may put any bytes there, and they are a refusal all the same */
    (void)user;
    snprintf(text, sizeof text, "%s", fault->text);
    snprintf(option, sizeof option, "%s", fault->option);
    erabi_plain_text(text, strlen(text));
    erabi_plain_text(option, strlen(option));
    json_t *line = json_pack("{s:s, s:b, s:I, s:s}", "option", option, "is_name", fault->is_name, "item",
                             (json_int_t)fault->item, "text", text);
    char *out = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (out)
        printf("%s\n", out);
    free(out);
    json_decref(line);
}

static int take(erab_self *self, struct asked *a, json_t *root, struct erab_error *error)
{
    json_t *signers;
    if (json_unpack(root, "{s:s,s:s,s:s,s:o,s:o}", "module", &a->path, "kind", &a->kind, "name", &a->name, "options",
                    &a->options, "signers", &signers))
        return runner_fail(error, -EINVAL, "the document is not complete");
    return runner_document_signers(&self->document, signers, error);
}

static int find(const erab_self *self, struct asked *a, struct erab_error *error)
{
    if (strcmp(a->kind, "adapter") == 0) {
        const struct erab_adapter *adapter = erabi_module_adapter(self->module, a->name, error);
        if (!adapter)
            return ERAB_REASON_MODULE_FILE;
        a->table = adapter->options;
        a->check = adapter->check;
        return 0;
    }
    for (size_t i = 0; i < self->module->n_policies; i++)
        if (strcmp(self->module->policies[i].name, a->name) == 0) {
            a->table = self->module->policies[i].options;
            a->check = self->module->policies[i].check;
            return 0;
        }
    return runner_fail(error, ERAB_REASON_MODULE_FILE, "the module has no policy %.63s", a->name);
}

static void look(const struct asked *a)
{
    struct erab_config config;
    struct erab_error error = {.size = sizeof error};
    if (erabi_module_options_json(&config, a->table, a->options, print_fault, NULL) == 0 && a->check &&
        a->check(&config, &error) != 0) {
        error.option[sizeof error.option - 1] = error.text[sizeof error.text - 1] = '\0';
        const struct erabi_option_fault fault = {
            .option = error.option, .item = error.item, .text = *error.text ? error.text : "refused without a reason"};
        print_fault(NULL, &fault);
    }
    erabi_module_options_deinit(&config, a->table);
}

int runner_options(int fd)
{
    static erab_self self;
    struct asked a = {0};
    struct erab_error error = {.size = sizeof error};
    self.store = -1;
    int r = runner_doors_limit(&error);
    json_t *root = r ? NULL : json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
    if (!r && !root)
        r = runner_fail(&error, -EINVAL, "the document is no JSON");
    close(fd);
    if (!r && !(r = take(&self, &a, root, &error)) && !(r = runner_module_load(&self, a.path, &error)) &&
        !(r = find(&self, &a, &error)) && !(r = runner_doors_close(DOORS_THINKING, &error)))
        look(&a);
    if (r) {
        erabi_plain_text(error.text, strlen(error.text));
        fprintf(stderr, "erab-runner: %s%s%s\n", r > 0 ? erab_reason_code((enum erab_reason)r) : "", r > 0 ? ": " : "",
                error.text);
    }
    json_decref(root);
    erabi_module_free(self.module);
    free(self.document.signers);
    return r ? 1 : fflush(stdout) != 0;
}
