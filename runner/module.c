/* Loading a module: who may have written the file, then its sizes and ABI, before any call into it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

#define INSTANCE_MAX (64u << 20)
#define ADAPTERS_MAX 64u

static int open_checked(const char *path, struct erab_error *error)
{
    if (*path != '/')
        return runner_fail(error, -EINVAL, "%s: the module must be named by its absolute path", path);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return runner_fail(error, -errno, "%s: %s", path,
                           errno == ELOOP ? "is a symbolic link; name the file itself" : strerror(errno));
    struct stat st;
    const char *why = NULL;
    if (fstat(fd, &st))
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "is not a regular file";
    else if (st.st_uid != 0 && st.st_uid != geteuid())
        why = "belongs neither to root nor to the user of this process";
    else if (st.st_mode & 022)
        why = "may be written by its group or others; chmod go-w it";
    if (!why)
        return fd;
    close(fd);
    return runner_fail(error, -EPERM, "%s: %s", path, why);
}

static int check_adapter(const struct erab_adapter *a, struct erab_error *error)
{
    if (a->size < sizeof *a || a->abi_major != ERAB_ABI_MAJOR || a->abi_minor > ERAB_ABI_MINOR)
        return runner_fail(error, -EINVAL, "an adapter was built for ABI %u.%u, this host has %d.%d", a->abi_major,
                           a->abi_minor, ERAB_ABI_MAJOR, ERAB_ABI_MINOR);
    if (!a->name || !a->version || !a->init || !a->start || !a->deliver || !a->cancel || !a->stop || !a->fini ||
        !a->instance_size || a->instance_size > INSTANCE_MAX)
        return runner_fail(error, -EINVAL, "adapter %s is incomplete", a->name ? a->name : "without a name");
    return 0;
}

static int check(const struct erab_module *m, struct erab_error *error)
{
    if (!m || m->size < sizeof *m)
        return runner_fail(error, -EINVAL, "its table is shorter than this host's; build it against this version");
    if (m->abi_major != ERAB_ABI_MAJOR || m->abi_minor > ERAB_ABI_MINOR)
        return runner_fail(error, -EINVAL, "built for ABI %u.%u, this host has %d.%d", m->abi_major, m->abi_minor,
                           ERAB_ABI_MAJOR, ERAB_ABI_MINOR);
    for (unsigned i = 0; m->adapters && m->adapters[i]; i++) {
        int r = i < ADAPTERS_MAX ? check_adapter(m->adapters[i], error)
                                 : runner_fail(error, -EINVAL, "more than %u adapters", ADAPTERS_MAX);
        if (r)
            return r;
    }
    return 0;
}

const struct erab_module *runner_module_load(const char *path, struct erab_error *error)
{
    int fd = open_checked(path, error);
    if (fd < 0)
        return NULL;
    /* What was checked is what is mapped. The descriptor stays open: glibc tells loaded files apart by name. */
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        runner_fail(error, -EINVAL, "%s: cannot be loaded: %s", path, dlerror());
        return NULL;
    }
    erab_module_fn entry = (erab_module_fn)dlsym(handle, "erab_module");
    if (!entry) {
        runner_fail(error, -EINVAL, "%s: exports no erab_module; this is no module", path);
        return NULL;
    }
    const struct erab_module *module = entry();
    struct erab_error why = {.size = sizeof why};
    if (check(module, &why)) {
        runner_fail(error, -EINVAL, "%s: %.300s", path, why.text);
        return NULL;
    }
    return module;
}

const struct erab_adapter *runner_module_adapter(const struct erab_module *m, const char *name,
                                                 struct erab_error *error)
{
    for (unsigned i = 0; m->adapters && m->adapters[i]; i++)
        if (strcmp(m->adapters[i]->name, name) == 0)
            return m->adapters[i];
    runner_fail(error, -ENOENT, "the module has no adapter %s; see erab-runner --check", name);
    return NULL;
}

static void print_option(const struct erab_option *o)
{
    static const char *const types[] = {"text", "integer", "boolean", "path", "list"};
    printf("  %s: %s%s%s", o->name, (unsigned)o->type <= ERAB_OPTION_LIST ? types[o->type] : "?",
           o->flags & ERAB_OPTION_REQUIRED ? ", required" : "", o->flags & ERAB_OPTION_SECRET ? ", secret" : "");
    if (o->default_value)
        printf(", default %s", o->default_value);
    printf("%s%s\n", o->help ? " - " : "", o->help ? o->help : "");
}

int runner_module_print(const char *path)
{
    struct erab_error error = {.size = sizeof error};
    const struct erab_module *m = runner_module_load(path, &error);
    if (!m) {
        fprintf(stderr, "erab-runner: %s\n", error.text);
        return 1;
    }
    printf("ABI %u.%u%s%s\n", m->abi_major, m->abi_minor, m->build ? ", build " : "", m->build ? m->build : "");
    for (unsigned i = 0; m->adapters && m->adapters[i]; i++) {
        const struct erab_adapter *a = m->adapters[i];
        printf("adapter %s %s (%s), hardened for: %s, at most %u in flight\n", a->name, a->version,
               a->vendor ? a->vendor : "no vendor", a->hardened_for ? a->hardened_for : "nothing stated",
               a->max_in_flight);
        for (const struct erab_option *o = a->options; o && o->name; o++)
            print_option(o);
    }
    runner_policy_print(m);
    return 0;
}
