/* The file of a module and its signature: who may have written it, its bytes in a sealed memory file, who signed
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include <erab/identity.h>

#include "base/cleanup.h"
#include "base/write_all.h"
#include "module/module.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

#define SIG_FIRST  "erab-module-signature 1\nsigner "
#define SIG_SECOND "\nsignature "
#define SIG_BYTES  (sizeof SIG_FIRST - 1 + 64 + sizeof SIG_SECOND - 1 + 128 + 1)
#define DOMAIN     "erab.v1.module"
#define HASH_BYTES 64u
#define SIGNED_MAX (sizeof DOMAIN + 8 + HASH_BYTES)
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

int erabi_error_set(struct erab_error *error, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}

/* 0 with *fd, -ENOENT, or refused. */
static int open_by_the_rules(int *fd, const char *path, off_t most, struct erab_error *error)
{
    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return erabi_error_set(error, errno == ENOENT ? -ENOENT : ERAB_REASON_MODULE_FILE, "%.300s: %s", path,
                               errno == ELOOP ? "is a symbolic link; name the file itself" : strerror(errno));
    struct stat st;
    const char *why = NULL;
    if (fstat(*fd, &st))
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "is not a regular file";
    else if (st.st_uid != 0 && st.st_uid != geteuid())
        why = "belongs neither to root nor to the user of this process";
    else if (st.st_mode & 022)
        why = "may be written by its group or others; chmod go-w it";
    else if (st.st_size > most)
        why = "is too large";
    if (!why)
        return 0;
    close(*fd);
    *fd = -1;
    return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "%.300s: %s", path, why);
}

/* Named as the file, so that the process's memory map tells what is in it. */
static int memory_file(const char *path)
{
    char name[64];
    snprintf(name, sizeof name, "%.63s", strrchr(path, '/') + 1);
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) /* kernels before 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

/* To the end of the file, however long it says to be. */
static int copy(int from, int to, size_t *size)
{
    char buffer[65536];
    *size = 0;
    for (;;) {
        ssize_t n = read(from, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        *size += (size_t)n;
        int r = *size > ERABI_MODULE_FILE_MAX ? -EFBIG : erabi_write_all(to, buffer, (size_t)n);
        if (r)
            return r;
    }
}

static int map(struct erabi_module_file *f)
{
    void *data = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    f->data = data;
    return 0;
}

static int seal_and_map(struct erabi_module_file *f)
{
    return fcntl(f->fd, F_ADD_SEALS, SEALS) ? -errno : map(f);
}

static int closed(struct erabi_module_file *f, int r)
{
    erabi_module_close(f);
    return r;
}

static int take_facts(struct erabi_module_file *f, struct erab_error *error)
{
    struct erab_error why = {.size = sizeof why};
    int r = erabi_module_read(erabi_slice(f->data, f->size), &f->facts, &why);
    if (r)
        erabi_error_set(error, r, "%.300s: %.180s", f->path, why.text);
    return r ? closed(f, r) : 0;
}

int erabi_module_open(struct erabi_module_file *out, const char *path, struct erab_error *error)
{
    *out = (struct erabi_module_file){.fd = -1};
    if (*path != '/' || !erabi_copy_text(out->path, sizeof out->path, path))
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "%.300s: name the module by its absolute path", path);
    _close_ int fd = -1;
    int r = open_by_the_rules(&fd, path, ERABI_MODULE_FILE_MAX, error);
    if (r)
        return r < 0 ? ERAB_REASON_MODULE_FILE : r;
    out->fd = memory_file(path);
    r = out->fd < 0 ? out->fd : copy(fd, out->fd, &out->size);
    if (!r && !out->size)
        r = erabi_error_set(error, ERAB_REASON_MODULE_FILE, "%.300s: is empty", path);
    else if (r || (r = seal_and_map(out)))
        erabi_error_set(error, r, "%.300s: cannot be read: %s", path, strerror(-r));
    return r ? closed(out, r) : take_facts(out, error);
}

int erabi_module_adopt(struct erabi_module_file *out, const char *path, int fd, struct erab_error *error)
{
    *out = (struct erabi_module_file){.fd = fd};
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    int r = !erabi_copy_text(out->path, sizeof out->path, path) || seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st)
                ? -EINVAL
                : 0;
    if (!r) {
        out->size = (size_t)st.st_size;
        r = map(out);
    }
    if (!r)
        return take_facts(out, error);
    erabi_error_set(error, r, "%.300s: is no sealed memory file", path);
    return closed(out, r);
}

void erabi_module_close(struct erabi_module_file *file)
{
    if (file->data)
        munmap((void *)file->data, file->size);
    if (file->fd >= 0)
        close(file->fd);
    file->data = NULL;
    file->size = 0;
    file->fd = -1;
}

/* What is signed: the domain with its NUL, the length, BLAKE2b-512 of the bytes. */
static void signed_bytes(const struct erabi_module_file *file, uint8_t out[SIGNED_MAX])
{
    struct erabi_writer w = erabi_writer(out, SIGNED_MAX);
    erabi_write_bytes(&w, DOMAIN, sizeof DOMAIN);
    erabi_write_u64(&w, file->size);
    crypto_generichash(erabi_write_room(&w, HASH_BYTES), HASH_BYTES, file->data, file->size, NULL, 0);
}

static int signature_path(const struct erabi_module_file *file, const char *end, char path[PATH_MAX],
                          struct erab_error *error)
{
    if (snprintf(path, PATH_MAX, "%s%s%s", file->path, ERABI_MODULE_SIG, end) < PATH_MAX)
        return 0;
    return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "%.300s: the path is too long", file->path);
}

static bool hex(struct erabi_slice text, uint8_t *out, size_t size)
{
    size_t used = 0;
    return text.size == 2 * size &&
           sodium_hex2bin(out, size, (const char *)text.data, text.size, NULL, &used, NULL) == 0 && used == size;
}

static int read_signature(const struct erabi_module_file *file, uint8_t signer[ERAB_KEY_SIZE],
                          uint8_t signature[ERAB_SIGNATURE_SIZE], struct erab_error *error)
{
    char path[PATH_MAX], bytes[SIG_BYTES + 1];
    int r = signature_path(file, "", path, error);
    if (r)
        return r;
    _close_ int fd = -1;
    r = open_by_the_rules(&fd, path, 4096, error);
    if (r == -ENOENT)
        return erabi_error_set(error, ERAB_REASON_SIGNATURE_MISSING,
                               "%.300s: is not signed; there is no %s beside it (erab plugin sign makes one)",
                               file->path, ERABI_MODULE_SIG);
    if (r)
        return r;
    ssize_t n = read(fd, bytes, sizeof bytes);
    struct erabi_reader in = erabi_reader(bytes, n > 0 ? (size_t)n : 0);
    bool good = erabi_read_expect(&in, SIG_FIRST, sizeof SIG_FIRST - 1);
    struct erabi_slice key = erabi_read_slice(&in, 64);
    good = erabi_read_expect(&in, SIG_SECOND, sizeof SIG_SECOND - 1) && good;
    struct erabi_slice proof = erabi_read_slice(&in, 128);
    good = erabi_read_expect(&in, "\n", 1) && good && erabi_reader_done(&in);
    if (!good || !hex(key, signer, ERAB_KEY_SIZE) || !hex(proof, signature, ERAB_SIGNATURE_SIZE))
        return erabi_error_set(error, ERAB_REASON_SIGNATURE_BAD, "%.300s: is no signature file of a module", path);
    return 0;
}

int erabi_module_verify(const struct erabi_module_file *file, const uint8_t (*signers)[ERAB_KEY_SIZE], size_t n,
                        uint8_t signer[ERAB_KEY_SIZE], struct erab_error *error)
{
    uint8_t key[ERAB_KEY_SIZE] = {0}, proof[ERAB_SIGNATURE_SIZE], bytes[SIGNED_MAX];
    char text[65];
    int r = read_signature(file, key, proof, error);
    if (signer)
        erabi_copy_bytes(signer, key, ERAB_KEY_SIZE);
    if (r)
        return r;
    bool known = false;
    for (size_t i = 0; i < n; i++)
        known = known || sodium_memcmp(signers[i], key, ERAB_KEY_SIZE) == 0;
    erab_key_text(key, text);
    if (!known)
        return erabi_error_set(error, ERAB_REASON_SIGNER_UNKNOWN,
                               "%.300s: its signer %s is not one of modules: signers: of the configuration",
                               file->path, text);
    signed_bytes(file, bytes);
    if (crypto_sign_verify_detached(proof, bytes, sizeof bytes, key))
        return erabi_error_set(error, ERAB_REASON_SIGNATURE_BAD,
                               "%.300s: was changed after signer %s signed it; get the file anew", file->path, text);
    return 0;
}

int erabi_module_sign(const struct erabi_module_file *file, const uint8_t sign_public[ERAB_KEY_SIZE],
                      const uint8_t sign_secret[ERAB_SIGN_SECRET], struct erab_error *error)
{
    uint8_t bytes[SIGNED_MAX], proof[ERAB_SIGNATURE_SIZE];
    char path[PATH_MAX], new_path[PATH_MAX], key[65], proof_text[129], text[SIG_BYTES + 1];
    int r = signature_path(file, "", path, error);
    if (r || (r = signature_path(file, ".new", new_path, error)))
        return r;
    signed_bytes(file, bytes);
    crypto_sign_detached(proof, NULL, bytes, sizeof bytes, sign_secret);
    erab_key_text(sign_public, key);
    sodium_bin2hex(proof_text, sizeof proof_text, proof, sizeof proof);
    snprintf(text, sizeof text, "%s%s%s%s\n", SIG_FIRST, key, SIG_SECOND, proof_text);
    unlink(new_path);
    _close_ int fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    r = fd < 0 ? -errno : erabi_write_all(fd, text, strlen(text));
    if (!r && (fchmod(fd, 0644) || fsync(fd) || rename(new_path, path)))
        r = -errno;
    if (r && fd >= 0)
        unlink(new_path);
    return r ? erabi_error_set(error, r, "%.300s: %s", path, strerror(-r)) : 0;
}
