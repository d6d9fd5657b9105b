/* Which files the sandboxed half may open (Landlock): libraries, its own folder of state, and what its
 * options name. Keys and journals of the broker, which often belong to the same user, are not among them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "runner.h"

/* Of kernels newer than these headers. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#define READ_FILE  (LANDLOCK_ACCESS_FS_READ_FILE)
#define READ_TREE  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_TREE                                                                                           \
    (READ_TREE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | \
     LANDLOCK_ACCESS_FS_TRUNCATE)

static int allow(int rules, const char *path, uint64_t handled, uint64_t access)
{
    struct stat st;
    _close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return 0; /* what is not there needs no permission */
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
    const struct landlock_path_beneath_attr rule = {.allowed_access = access & handled, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

static int allow_options(int rules, json_t *options, uint64_t handled)
{
    const char *name;
    json_t *value;
    int r = 0;
    json_object_foreach(options, name, value) {
        const char *text = json_string_value(value);
        if (!r && text && *text == '/')
            r = allow(rules, text, handled, READ_TREE);
    }
    return r;
}

static int allow_all(int rules, const struct document *d, uint64_t handled)
{
    static const char *const places[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/certs",
                                         "/etc/ssl/openssl.cnf", "/dev/urandom", "/proc/self"};
    int r = allow(rules, "/dev/null", handled, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
    for (size_t i = 0; i < sizeof places / sizeof *places && !r; i++)
        r = allow(rules, places[i], handled, READ_TREE);
    if (!r)
        r = allow(rules, d->state_dir, handled, WRITE_TREE);
    return r ? r : allow_options(rules, d->options, handled);
}

int runner_files_lock(erab_self *self, struct erab_error *error)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        runner_log(self, ERAB_LOG_WARNING, "this kernel has no Landlock: the adapter may open every file of its user");
        return 0;
    }
    /* Everything that the first version knows, and what came later as far as the kernel has it. */
    struct landlock_ruleset_attr attr = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    if (abi >= 2)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    _close_ int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    int r = rules < 0 ? -errno : allow_all(rules, &self->document, attr.handled_access_fs);
    if (!r && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        r = -errno;
    return r ? runner_fail(error, r, "the rules about files (Landlock) cannot be set: %s", strerror(-r)) : 0;
}
