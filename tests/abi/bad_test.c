/* Modules with one fault each, in the runner: what they do stays in their process, and the broker is told the truth
 * or nothing. argv: the runner, the folder of the modules. */
#include "runner_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

#define RAN "the module's code runs"

static void run(struct world *w, const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/bad_%s.so", folder, name);
    world_start(w, path, "bad", "{}");
}

static void refused_unrun(struct world *w, const char *name, const char *said)
{
    char path[4200];
    struct erab_identity signer = w->signer;
    snprintf(path, sizeof path, "%s/bad_%s.so", folder, name);
    world_copy(w, path);
    world_sign(w, &signer);
    world_run(w, "bad", "{}");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, said));
    assert_false(world_said(w, RAN));
}

static void refused(struct world *w, const char *name, const char *said)
{
    run(w, name);
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, said));
    assert_int_equal(w->pings, 0);
}

static void another_major_abi_is_refused_before_any_code_runs(void **state)
{
    refused_unrun(*state, "wrong_major", "module-abi: ");
}

static void a_newer_minor_abi_is_refused_before_any_code_runs(void **state)
{
    refused_unrun(*state, "newer_minor", "was built for ABI 0.99, this host has ");
}

static void a_module_without_a_note_is_refused_before_any_code_runs(void **state)
{
    refused_unrun(*state, "no_note", "has no ABI note");
}

static void a_table_cut_short_is_refused(void **state)
{
    refused(*state, "wrong_size", "an adapter's table has 16 bytes");
}

static void a_table_of_another_abi_than_the_note_is_refused(void **state)
{
    refused(*state, "lying_note", "says ABI 7.3; the file's note says 0.1");
}

static void no_table_is_refused(void **state)
{
    refused(*state, "null_table", "gives no table");
}

static void empty_lists_are_refused(void **state)
{
    refused(*state, "null_lists", "has neither an adapter nor a policy");
}

static void an_adapter_without_deliver_is_refused(void **state)
{
    refused(*state, "null_functions", "adapter bad is incomplete: it has no deliver");
}

static void a_default_outside_its_range_is_refused(void **state)
{
    refused(*state, "bad_options", "the default of option level: must be from 1 to 10");
}

static void a_failed_init_ends_the_runner_and_its_text_is_one_line(void **state)
{
    struct world *w = *state;
    run(w, "init_fails");
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "no licence?[2J?INFO other"));
    assert_false(world_said(w, "\nINFO other"));
}

static void a_hung_init_says_nothing_to_the_broker_and_can_be_killed(void **state)
{
    struct world *w = *state;
    run(w, "init_hangs");
    until(w, world_said(w, "hangs now"));
    assert_int_equal(w->pings, 0);
    kill(w->pid, SIGKILL);
    assert_int_equal(world_exit(w), -SIGKILL);
}

static void a_crash_in_init_is_the_end_of_its_process_only(void **state)
{
    struct world *w = *state;
    run(w, "init_crashes");
    assert_int_not_equal(world_exit(w), 0);
    assert_int_equal(w->pings, 0);
}

static void a_module_that_ends_the_process_completes_nothing(void **state)
{
    struct world *w = *state;
    run(w, "exits");
    until(w, w->pings == 2);
    world_command(w);
    assert_int_equal(world_exit(w), 0);
    assert_int_equal(w->applied, 0);
}

static void a_module_that_never_falls_silent_is_left_after_its_time(void **state)
{
    struct world *w = *state;
    run(w, "never_quiet");
    until(w, w->pings == 2);
    kill(w->pid, SIGTERM);
    assert_int_equal(world_exit(w), 1);
    assert_true(world_said(w, "did not fall silent"));
}

static void a_command_is_completed_once_however_often_the_module_says_so(void **state)
{
    struct world *w = *state;
    run(w, "completes_twice");
    until(w, w->pings == 2);
    world_command(w);
    world_command(w);
    until(w, w->applied == 2);
    kill(w->pid, SIGTERM);
    assert_int_equal(world_exit(w), 0);
    for (unsigned i = 0; i < 20; i++)
        world_turn(w);
    assert_int_equal(w->applied, 2);
    assert_int_equal(w->refused, 0);
}

static void a_call_that_was_never_made_is_not_answered(void **state)
{
    struct world *w = *state;
    run(w, "completes_unknown");
    until(w, w->pings == 2);
    world_command(w);
    until(w, w->applied == 1);
    kill(w->pid, SIGTERM);
    assert_int_equal(world_exit(w), 0);
    for (unsigned i = 0; i < 20; i++)
        world_turn(w);
    assert_int_equal(w->refused, 0);
}

static void a_state_that_does_not_end_a_command_counts_as_refused(void **state)
{
    struct world *w = *state;
    run(w, "odd_states");
    until(w, w->pings == 2);
    world_command(w);
    until(w, w->refused == 1);
    assert_string_equal(w->code, "internal");
}

/* The module applies the command when it was stopped from what it tried. */
static void stopped_from_it(struct world *w, const char *name)
{
    run(w, name);
    until(w, w->pings == 2);
    world_command(w);
    until(w, w->applied + w->refused == 1);
    assert_int_equal(w->applied, 1);
}

static void speaking_for_a_foreign_party_is_refused_and_never_sent(void **state)
{
    struct world *w = *state;
    stopped_from_it(w, "foreign_party");
    assert_int_equal(w->foreign, 0);
}

static void a_flood_of_log_lines_is_cut(void **state)
{
    struct world *w = *state;
    run(w, "floods_log");
    until(w, w->pings == 2);
    kill(w->pid, SIGTERM);
    assert_int_equal(world_exit(w), 0);
    assert_true(world_lines(w) < 5000);
    assert_true(world_said(w, "line?line?line"));
}

static void closing_the_hosts_descriptors_ends_the_process_only(void **state)
{
    struct world *w = *state;
    run(w, "closes_files");
    until(w, w->pings == 2);
    world_command(w);
    assert_int_not_equal(world_exit(w), 0);
    assert_int_equal(w->applied, 0);
}

/* Of the runner, or of the process that it keeps for the module. */
static bool has_seccomp(const struct world *w)
{
    char path[64], line[128];
    int mode = 0, pid = (int)w->pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *children = fopen(path, "r");
    if (children && fscanf(children, "%d", &pid) != 1)
        pid = (int)w->pid;
    if (children)
        fclose(children);
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Seccomp: %d", &mode) == 1)
            break;
    if (f)
        fclose(f);
    return mode == 2;
}

/* Needs the runner's seccomp filter; skipped in a runner without. */
static void a_module_cannot_start_processes(void **state)
{
    struct world *w = *state;
    run(w, "forks");
    until(w, w->pings == 2);
    if (!has_seccomp(w))
        skip();
    world_command(w);
    until(w, w->applied + w->refused == 1 || world_said(w, "signal"));
    assert_int_equal(w->refused, 0);
}

static void the_store_has_limits(void **state)
{
    stopped_from_it(*state, "eats_store");
}

static void timers_and_posts_have_limits(void **state)
{
    stopped_from_it(*state, "eats_handles");
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(another_major_abi_is_refused_before_any_code_runs),
        T(a_newer_minor_abi_is_refused_before_any_code_runs),
        T(a_module_without_a_note_is_refused_before_any_code_runs),
        T(a_table_cut_short_is_refused),
        T(a_table_of_another_abi_than_the_note_is_refused),
        T(no_table_is_refused),
        T(empty_lists_are_refused),
        T(an_adapter_without_deliver_is_refused),
        T(a_default_outside_its_range_is_refused),
        T(a_failed_init_ends_the_runner_and_its_text_is_one_line),
        T(a_hung_init_says_nothing_to_the_broker_and_can_be_killed),
        T(a_crash_in_init_is_the_end_of_its_process_only),
        T(a_module_that_ends_the_process_completes_nothing),
        T(a_module_that_never_falls_silent_is_left_after_its_time),
        T(a_command_is_completed_once_however_often_the_module_says_so),
        T(a_call_that_was_never_made_is_not_answered),
        T(a_state_that_does_not_end_a_command_counts_as_refused),
        T(speaking_for_a_foreign_party_is_refused_and_never_sent),
        T(a_flood_of_log_lines_is_cut),
        T(closing_the_hosts_descriptors_ends_the_process_only),
        T(a_module_cannot_start_processes),
        T(the_store_has_limits),
        T(timers_and_posts_have_limits),
    };
    if (argc != 3)
        return 2;
    if (!world_possible())
        return 77;
    world_runner = realpath(argv[1], NULL);
    folder = realpath(argv[2], NULL);
    return world_runner && folder ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
