/* A module of an old ABI in today's host: the same major loads, another one is refused. argv: runner, module. */
#include "runner_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/module.h"

static const char *module_path;

static bool should_load(void)
{
    return ERAB_ABI_MAJOR == 0 && ERAB_ABI_MINOR >= 1;
}

static void it_loads_or_is_refused_by_the_rule(void **state)
{
    struct erab_error error = {.size = sizeof error};
    struct erabi_module_file file;
    struct erabi_module *m;
    (void)state;
    if (!should_load()) {
        assert_int_equal(erabi_module_open(&file, module_path, &error), ERAB_REASON_MODULE_ABI);
        return;
    }
    assert_int_equal(erabi_module_open(&file, module_path, &error), 0);
    assert_int_equal(file.facts.abi_minor, 1);
    assert_true(file.facts.exports_entry);
    assert_string_equal(file.facts.other_export, "");
    assert_int_equal(erabi_module_load(&m, &file, &error), 0);
    assert_int_equal(m->n_adapters, 1);
    assert_int_equal(m->n_policies, 1);
    assert_string_equal(m->adapters[0].name, "frozen");
    assert_null(m->adapters[0].health);
    assert_int_equal(m->policies[0].stages, ERAB_STAGE_INGRESS);
    erabi_module_free(m);
}

static void its_adapter_works_in_the_runner(void **state)
{
    struct world *w = *state;
    if (!should_load())
        skip();
    world_start(w, module_path, "frozen", "{\"token\":\"hush\"}");
    until(w, w->pings == 2);
    world_command(w);
    until(w, w->applied == 1);
    kill(w->pid, SIGTERM);
    assert_int_equal(world_exit(w), 0);
    assert_true(world_said(w, "frozen and well"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_loads_or_is_refused_by_the_rule),
        cmocka_unit_test_setup_teardown(its_adapter_works_in_the_runner, world_setup, world_teardown),
    };
    if (argc != 3)
        return 2;
    if (!world_possible())
        return 77;
    world_runner = realpath(argv[1], NULL);
    module_path = realpath(argv[2], NULL);
    return world_runner && module_path ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
