/* Mapping a module whose file has been judged, and its tables. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/module.h"

#define INSTANCE_MAX (64u << 20)
#define WORD_MAX     63u
/* The tables of ABI 0.1 end here; a longer one is of a later minor and read as far as this host knows it. */
#define END_OF(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))
#define MODULE_SIZE        END_OF(struct erab_module, policies)
#define ADAPTER_SIZE       END_OF(struct erab_adapter, fini)
#define POLICY_SIZE        END_OF(struct erab_policy, fini)

static void copy_known(void *to, size_t size, const void *from, size_t given)
{
    erabi_copy_bytes(to, from, given < size ? given : size);
}

static bool is_word(const char *text)
{
    size_t n = text ? strnlen(text, WORD_MAX + 1) : 0;
    return n && n <= WORD_MAX && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

static bool is_text(const char *text)
{
    return !text || strnlen(text, 256) < 256;
}

static bool abi_fits(uint16_t major, uint16_t minor, const struct erabi_module_facts *facts)
{
    return major == facts->abi_major && minor <= facts->abi_minor;
}

static int take_adapter(struct erabi_module *m, const struct erab_adapter *from,
                        const struct erabi_module_facts *facts, struct erab_error *error)
{
    if (from->size < ADAPTER_SIZE || from->size > 65536 || !abi_fits(from->abi_major, from->abi_minor, facts))
        return erabi_error_set(error, ERAB_REASON_MODULE_ABI,
                               "an adapter's table has %u bytes and says ABI %u.%u; the file's note says %u.%u",
                               from->size, from->abi_major, from->abi_minor, facts->abi_major, facts->abi_minor);
    struct erab_adapter *a = &m->adapters[m->n_adapters];
    copy_known(a, sizeof *a, from, from->size);
    if (!is_word(a->name))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "an adapter has no name of a-z, 0-9, '_', '.', '-'");
    for (size_t i = 0; i < m->n_adapters; i++)
        if (strcmp(m->adapters[i].name, a->name) == 0)
            return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "the adapter %s stands twice", a->name);
    const struct {
        bool there;
        const char *what;
    } needed[] = {{a->version, "version"}, {a->init, "init"},     {a->start, "start"}, {a->deliver, "deliver"},
                  {a->cancel, "cancel"},   {a->stop, "stop"},     {a->fini, "fini"},
                  {a->instance_size, "instance_size"}};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!needed[i].there)
            return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "adapter %s is incomplete: it has no %s", a->name,
                                   needed[i].what);
    if (a->instance_size > INSTANCE_MAX || !is_text(a->version) || !is_text(a->vendor) || !is_text(a->hardened_for))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE,
                               "adapter %s: a text of over 255 bytes or an instance of over 64 MiB", a->name);
    struct erab_error why = {.size = sizeof why};
    if (erabi_module_options_table(a->options, &why))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "adapter %s: %.200s", a->name, why.text);
    m->n_adapters++;
    return 0;
}

static int take_policy(struct erabi_module *m, const struct erab_policy *from, const struct erabi_module_facts *facts,
                       struct erab_error *error)
{
    if (from->size < POLICY_SIZE || from->size > 65536 || !abi_fits(from->abi_major, from->abi_minor, facts))
        return erabi_error_set(error, ERAB_REASON_MODULE_ABI,
                               "a policy's table has %u bytes and says ABI %u.%u; the file's note says %u.%u",
                               from->size, from->abi_major, from->abi_minor, facts->abi_major, facts->abi_minor);
    struct erab_policy *p = &m->policies[m->n_policies];
    copy_known(p, sizeof *p, from, from->size);
    if (!is_word(p->name))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "a policy has no name of a-z, 0-9, '_', '.', '-'");
    for (size_t i = 0; i < m->n_policies; i++)
        if (strcmp(m->policies[i].name, p->name) == 0)
            return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "the policy %s stands twice", p->name);
    if (!p->version || !p->decide || !p->stages)
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "policy %s is incomplete: it has no %s", p->name,
                               !p->version ? "version" : !p->decide ? "decide" : "stages");
    if (p->instance_size > INSTANCE_MAX || !is_text(p->version) || !is_text(p->vendor))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE,
                               "policy %s: a text of over 255 bytes or an instance of over 64 MiB", p->name);
    struct erab_error why = {.size = sizeof why};
    if (erabi_module_options_table(p->options, &why))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "policy %s: %.200s", p->name, why.text);
    m->n_policies++;
    return 0;
}

static int take_tables(struct erabi_module *m, const struct erab_module *from, const struct erabi_module_facts *facts,
                       struct erab_error *error)
{
    if (!from)
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "erab_module() gives no table");
    if (from->size < MODULE_SIZE || from->abi_major != facts->abi_major || from->abi_minor != facts->abi_minor)
        return erabi_error_set(error, ERAB_REASON_MODULE_ABI,
                               "its table has %u bytes and says ABI %u.%u; the file's note says %u.%u", from->size,
                               from->abi_major, from->abi_minor, facts->abi_major, facts->abi_minor);
    copy_known(&m->table, sizeof m->table, from, from->size);
    if (!is_text(m->table.build))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "its build text has over 255 bytes");
    int r = 0;
    for (size_t i = 0; !r && m->table.adapters && m->table.adapters[i]; i++)
        r = i < ERABI_MODULE_LIST_MAX ? take_adapter(m, m->table.adapters[i], facts, error)
                                      : erabi_error_set(error, ERAB_REASON_MODULE_FILE, "too many adapters");
    for (size_t i = 0; !r && m->table.policies && m->table.policies[i]; i++)
        r = i < ERABI_MODULE_LIST_MAX ? take_policy(m, m->table.policies[i], facts, error)
                                      : erabi_error_set(error, ERAB_REASON_MODULE_FILE, "too many policies");
    if (!r && !m->n_adapters && !m->n_policies)
        r = erabi_error_set(error, ERAB_REASON_MODULE_FILE, "has neither an adapter nor a policy");
    return r;
}

void erabi_module_free(struct erabi_module *m)
{
    if (!m)
        return;
    free(m->adapters);
    free(m->policies);
    free(m);
}

static struct erabi_module *module_new(void)
{
    struct erabi_module *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->adapters = calloc(ERABI_MODULE_LIST_MAX, sizeof *m->adapters);
    m->policies = calloc(ERABI_MODULE_LIST_MAX, sizeof *m->policies);
    if (m->adapters && m->policies)
        return m;
    erabi_module_free(m);
    return NULL;
}

int erabi_module_load(struct erabi_module **out, struct erabi_module_file *file, struct erab_error *error)
{
    char name[64];
    struct erab_error why = {.size = sizeof why};
    struct erabi_module *m = *out = NULL;
    snprintf(name, sizeof name, "/proc/self/fd/%d", file->fd);
    file->fd = -1; /* stays open */
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    erab_module_fn entry = NULL;
    if (handle)
        *(void **)&entry = dlsym(handle, "erab_module");
    int r;
    if (!handle)
        r = erabi_error_set(&why, ERAB_REASON_MODULE_FILE, "cannot be loaded: %s", dlerror());
    else if (!entry)
        r = erabi_error_set(&why, ERAB_REASON_MODULE_FILE, "exports no erab_module");
    else if (!(m = module_new()))
        r = erabi_error_set(&why, -ENOMEM, "out of memory");
    else
        r = take_tables(m, entry(), &file->facts, &why);
    if (r) {
        erabi_error_set(error, r, "%.300s: %.180s", file->path, why.text);
        erabi_module_free(m);
    } else {
        *out = m;
    }
    erabi_module_close(file);
    return r;
}

const struct erab_adapter *erabi_module_adapter(const struct erabi_module *m, const char *name,
                                                struct erab_error *error)
{
    for (size_t i = 0; i < m->n_adapters; i++)
        if (strcmp(m->adapters[i].name, name) == 0)
            return &m->adapters[i];
    erabi_error_set(error, ERAB_REASON_MODULE_FILE, "the module has no adapter %.63s; it has %s", name,
                    m->n_adapters ? m->adapters[0].name : "none");
    return NULL;
}
