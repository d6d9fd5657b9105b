/* Files of modules: what may be opened, whose signature counts, what is mapped. argv: two different modules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include <erab/identity.h>

#include "module/module.h"

static const char *one, *two;
static char dir[] = "/tmp/erab-module-XXXXXX";
static char path[64], sig[72];
static struct erab_error error;
static struct erab_identity signer, other;

static char *slurp(const char *from, size_t *size)
{
    FILE *f = fopen(from, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size ? *size : 1);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

static void spill(const char *to, const void *bytes, size_t size)
{
    FILE *f = fopen(to, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static int each(void **state)
{
    size_t size;
    (void)state;
    char *bytes = slurp(one, &size);
    unlink(path);
    unlink(sig);
    spill(path, bytes, size);
    chmod(path, 0755);
    free(bytes);
    return 0;
}

static void opened(struct erabi_module_file *f)
{
    int r = erabi_module_open(f, path, &error);
    if (r)
        print_message("%s\n", error.text);
    assert_int_equal(r, 0);
}

static void refused(const char *what, int reason, const char *said)
{
    struct erabi_module_file f;
    assert_int_equal(erabi_module_open(&f, what, &error), reason);
    assert_int_equal(f.fd, -1);
    if (!strstr(error.text, said))
        print_message("%s\n", error.text);
    assert_non_null(strstr(error.text, said));
}

static void only_a_regular_file_of_ones_own_is_opened(void **state)
{
    char link_path[80];
    (void)state;
    refused("m.so", ERAB_REASON_MODULE_FILE, "absolute path");
    refused("/nonexistent/m.so", ERAB_REASON_MODULE_FILE, "No such file");
    refused(dir, ERAB_REASON_MODULE_FILE, "is not a regular file");
    snprintf(link_path, sizeof link_path, "%s/link.so", dir);
    assert_int_equal(symlink(path, link_path), 0);
    refused(link_path, ERAB_REASON_MODULE_FILE, "is a symbolic link");
    unlink(link_path);
    chmod(path, 0775);
    refused(path, ERAB_REASON_MODULE_FILE, "chmod go-w");
}

static void what_is_no_shared_object_is_refused(void **state)
{
    (void)state;
    spill(path, "", 0);
    refused(path, ERAB_REASON_MODULE_FILE, "is empty");
    spill(path, "#!/bin/sh\n", 10);
    refused(path, ERAB_REASON_MODULE_FILE, "is no ELF file");
    refused("/proc/self/exe", ERAB_REASON_MODULE_FILE, "is a symbolic link");
}

static void another_machine_is_told(void **state)
{
    size_t size;
    (void)state;
    char *bytes = slurp(one, &size);
    bytes[18] = 2; /* e_machine: SPARC */
    spill(path, bytes, size);
    free(bytes);
    refused(path, ERAB_REASON_MODULE_FILE, "another machine");
}

/* No length and no flipped byte makes the reader read outside of the bytes (the sanitizer build says so). */
static void broken_bytes_are_read_safely(void **state)
{
    size_t size;
    struct erabi_module_facts facts;
    (void)state;
    uint8_t *bytes = (uint8_t *)slurp(one, &size);
    for (size_t n = 0; n < size; n += n < 4096 ? 1 : 211) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, bytes, n);
        erabi_module_read(erabi_slice(cut, n), &facts, &error);
        free(cut);
    }
    assert_int_equal(erabi_module_read(erabi_slice(bytes, 63), &facts, &error), ERAB_REASON_MODULE_FILE);
    for (size_t i = 0; i < 2048 && i < size; i++)
        for (unsigned bit = 0; bit < 8; bit += 7) {
            bytes[i] ^= (uint8_t)(1u << bit);
            erabi_module_read(erabi_slice(bytes, size), &facts, &error);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    assert_int_equal(erabi_module_read(erabi_slice(bytes, size), &facts, &error), 0);
    free(bytes);
}

static void what_was_opened_can_no_longer_be_changed(void **state)
{
    struct erabi_module_file f;
    (void)state;
    opened(&f);
    uint8_t before = f.data[f.size / 2];
    assert_int_equal(pwrite(f.fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(f.fd, 0), -1);
    FILE *file = fopen(path, "r+b");
    fseek(file, (long)(f.size / 2), SEEK_SET);
    fputc(before ^ 0xff, file);
    fclose(file);
    assert_int_equal(f.data[f.size / 2], before);
    erabi_module_close(&f);
}

static int verify(const struct erab_identity *trusted, uint8_t named[ERAB_KEY_SIZE])
{
    struct erabi_module_file f;
    opened(&f);
    int r = erabi_module_verify(&f, (const uint8_t(*)[ERAB_KEY_SIZE]) & trusted->sign_public, 1, named, &error);
    erabi_module_close(&f);
    return r;
}

static void sign(const struct erab_identity *with)
{
    struct erabi_module_file f;
    opened(&f);
    assert_int_equal(erabi_module_sign(&f, with->sign_public, with->sign_secret, &error), 0);
    erabi_module_close(&f);
}

static void a_signature_of_a_listed_signer_counts(void **state)
{
    uint8_t named[ERAB_KEY_SIZE];
    (void)state;
    sign(&signer);
    assert_int_equal(verify(&signer, named), 0);
    assert_memory_equal(named, signer.sign_public, sizeof named);
    sign(&other); /* replaces it */
    assert_int_equal(verify(&signer, named), ERAB_REASON_SIGNER_UNKNOWN);
    assert_memory_equal(named, other.sign_public, sizeof named);
}

static void with_no_signer_listed_nothing_is_good(void **state)
{
    struct erabi_module_file f;
    (void)state;
    sign(&signer);
    opened(&f);
    assert_int_equal(erabi_module_verify(&f, NULL, 0, NULL, &error), ERAB_REASON_SIGNER_UNKNOWN);
    erabi_module_close(&f);
}

static void a_missing_signature_is_told_with_the_path(void **state)
{
    (void)state;
    assert_int_equal(verify(&signer, NULL), ERAB_REASON_SIGNATURE_MISSING);
    assert_non_null(strstr(error.text, path));
}

static void one_changed_byte_is_found(void **state)
{
    size_t size;
    (void)state;
    sign(&signer);
    char *bytes = slurp(path, &size);
    bytes[size - 1] ^= 1;
    spill(path, bytes, size);
    free(bytes);
    assert_int_equal(verify(&signer, NULL), ERAB_REASON_SIGNATURE_BAD);
    assert_non_null(strstr(error.text, "was changed after signer"));
}

static void a_signature_of_another_module_does_not_fit(void **state)
{
    size_t size;
    (void)state;
    sign(&signer);
    char *bytes = slurp(two, &size);
    spill(path, bytes, size);
    free(bytes);
    assert_int_equal(verify(&signer, NULL), ERAB_REASON_SIGNATURE_BAD);
}

static void any_change_of_the_signature_file_is_found(void **state)
{
    size_t size;
    (void)state;
    sign(&signer);
    char *bytes = slurp(sig, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 4;
        spill(sig, bytes, size);
        assert_int_not_equal(verify(&signer, NULL), 0);
        bytes[i] ^= 4;
    }
    for (size_t n = 0; n < size; n++) {
        spill(sig, bytes, n);
        assert_int_equal(verify(&signer, NULL), ERAB_REASON_SIGNATURE_BAD);
    }
    spill(sig, bytes, size);
    assert_int_equal(verify(&signer, NULL), 0);
    free(bytes);
}

static void a_signature_that_others_may_write_is_refused(void **state)
{
    (void)state;
    sign(&signer);
    chmod(sig, 0666);
    assert_int_equal(verify(&signer, NULL), ERAB_REASON_MODULE_FILE);
}

/* The C library tells loaded files apart by name; closing the first descriptor would make it load the first twice. */
static void two_modules_in_one_process_are_two(void **state)
{
    struct erabi_module_file f;
    struct erabi_module *a, *b;
    (void)state;
    opened(&f);
    assert_int_equal(erabi_module_load(&a, &f, &error), 0);
    assert_int_equal(erabi_module_open(&f, two, &error), 0);
    assert_int_equal(erabi_module_load(&b, &f, &error), 0);
    assert_string_not_equal(a->adapters[0].name, b->adapters[0].name);
    erabi_module_free(a);
    erabi_module_free(b);
}

static void an_adapter_is_found_by_its_name(void **state)
{
    struct erabi_module_file f;
    struct erabi_module *m;
    (void)state;
    opened(&f);
    assert_int_equal(erabi_module_load(&m, &f, &error), 0);
    assert_ptr_equal(erabi_module_adapter(m, "echo", &error), &m->adapters[0]);
    assert_null(erabi_module_adapter(m, "ech", &error));
    assert_non_null(strstr(error.text, "no adapter ech; it has echo"));
    erabi_module_free(m);
}

#define T(f) cmocka_unit_test_setup(f, each)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(only_a_regular_file_of_ones_own_is_opened),
        T(what_is_no_shared_object_is_refused),
        T(another_machine_is_told),
        T(broken_bytes_are_read_safely),
        T(what_was_opened_can_no_longer_be_changed),
        T(a_signature_of_a_listed_signer_counts),
        T(with_no_signer_listed_nothing_is_good),
        T(a_missing_signature_is_told_with_the_path),
        T(one_changed_byte_is_found),
        T(a_signature_of_another_module_does_not_fit),
        T(any_change_of_the_signature_file_is_found),
        T(a_signature_that_others_may_write_is_refused),
        T(two_modules_in_one_process_are_two),
        T(an_adapter_is_found_by_its_name),
    };
    umask(022);
    if (argc != 3 || sodium_init() < 0 || !mkdtemp(dir))
        return 2;
    one = realpath(argv[1], NULL);
    two = realpath(argv[2], NULL);
    snprintf(path, sizeof path, "%s/m.so", dir);
    snprintf(sig, sizeof sig, "%s/m.so.sig", dir);
    erab_identity_generate(&signer, "signer");
    erab_identity_generate(&other, "other");
    int r = one && two ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
    unlink(path);
    unlink(sig);
    rmdir(dir);
    return r;
}
