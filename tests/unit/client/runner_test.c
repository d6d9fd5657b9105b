/* erab-runner with the echo module. argv: the runner, the module. */
#include "runner_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *module_path;

static void commands_are_applied_one_after_another(void **state)
{
    struct world *w = *state;
    world_start(w, module_path, "echo", "{}");
    until(w, w->pings == 2);
    world_command(w);
    world_command(w);
    world_command(w);
    until(w, w->applied == 3);
    assert_int_equal(w->delivered, 3);
}

static void stops_with_exit_code_0_on_sigterm(void **state)
{
    struct world *w = *state;
    struct stat st;
    char path[128];
    world_start(w, module_path, "echo", "{}");
    until(w, w->pings == 2);
    kill(w->pid, SIGTERM);
    assert_int_equal(world_exit(w), 0);
    snprintf(path, sizeof path, "%s/started", w->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
}

static void refusal_of_the_adapter_reaches_the_sender(void **state)
{
    struct world *w = *state;
    world_start(w, module_path, "echo", "{\"refuse\":true}");
    until(w, w->pings == 2);
    world_command(w);
    until(w, w->refused == 1);
    assert_string_equal(w->code, "declined");
}

static void unknown_option_is_refused(void **state)
{
    struct world *w = *state;
    world_start(w, module_path, "echo", "{\"refusse\":true}");
    assert_int_equal(world_exit(w), 1);
}

static void module_that_others_may_write_is_refused(void **state)
{
    struct world *w = *state;
    world_copy(w, module_path);
    world_sign(w, &w->signer);
    assert_int_equal(chmod(w->module, 0666), 0);
    world_run(w, "echo", "{}");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "module-file: "));
}

static void unsigned_module_is_refused(void **state)
{
    struct world *w = *state;
    world_copy(w, module_path);
    world_run(w, "echo", "{}");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "signature-missing: "));
    assert_true(world_said(w, w->module));
}

static void module_of_another_signer_is_refused(void **state)
{
    struct world *w = *state;
    struct erab_identity other;
    erab_identity_generate(&other, "other");
    world_copy(w, module_path);
    world_sign(w, &other);
    world_run(w, "echo", "{}");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "signer-unknown: "));
}

static void module_changed_after_signing_is_refused(void **state)
{
    struct world *w = *state;
    world_copy(w, module_path);
    world_sign(w, &w->signer);
    FILE *f = fopen(w->module, "a");
    fputc('x', f);
    fclose(f);
    world_run(w, "echo", "{}");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "signature-bad: "));
}

static void adapter_that_the_module_lacks_is_refused(void **state)
{
    struct world *w = *state;
    world_start(w, module_path, "ecco", "{}");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "no adapter ecco; it has echo"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(commands_are_applied_one_after_another),
        T(stops_with_exit_code_0_on_sigterm),
        T(refusal_of_the_adapter_reaches_the_sender),
        T(unknown_option_is_refused),
        T(module_that_others_may_write_is_refused),
        T(unsigned_module_is_refused),
        T(module_of_another_signer_is_refused),
        T(module_changed_after_signing_is_refused),
        T(adapter_that_the_module_lacks_is_refused),
    };
    if (argc != 3)
        return 2;
    if (!world_possible())
        return 77;
    world_runner = realpath(argv[1], NULL);
    module_path = realpath(argv[2], NULL);
    return world_runner && module_path ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
